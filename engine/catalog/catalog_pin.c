/* Opening generations for reading; see catalog.h.
 *
 * The order is what makes it safe beside gc: look at the catalog, lock the MANIFEST, look at the
 * catalog again. gc locks it the other way before it takes the record away, so a generation that is
 * still known at the second look stays while the lock is held. A process locks and maps a
 * generation once, however many readers it has: pins are counted, and the mapped files and what is
 * verified of them are shared.
 */
#include "catalog/named.h"
#include "catalog/record.h"

#include <inttypes.h>
#include <stdlib.h>

enum { PIN_TRIES_MAX = 100, PIN_WAIT_MS = 1000 };

struct rf_pin {
    /* fixed after it is listed */
    rf_catalog *catalog;
    char name[64];
    uint64_t number;
    uint32_t delta;
    rf_manifest manifest;
    rf_base *base;
    rf_base *indexes[RF_MANIFEST_INDEXES_MAX];
    int lock_fd;
    /* guarded by the catalog's pins_mutex */
    uint32_t users;
    rf_pin *next;
};

static void pin_free(rf_pin *pin)
{
    if (!pin)
        return;
    rf_base_close(pin->base);
    for (uint32_t i = 0; i < RF_MANIFEST_INDEXES_MAX; i++)
        rf_base_close(pin->indexes[i]);
    rf_manifest_free(&pin->manifest);
    rf_lock_release(pin->lock_fd);
    free(pin);
}

/* What is to be opened. */
struct wanted {
    const rf_named *named;
    uint64_t number; /* 0: what is named */
};

/* As the catalog has it now. */
static rf_status look(rf_catalog *catalog, const struct wanted *wanted, rf_catalog_generation *out,
                      rf_err *err)
{
    const char *name = wanted->named->name;
    rf_catalog_model model;
    rf_kv_txn *txn;
    bool found;

    if (wanted->number == 0)
        return rf_named_find(catalog, wanted->named, out, err);
    rf_status status = rf_kv_begin(catalog->kv, false, &txn, err);
    if (status != RF_OK)
        return status;
    status = rf_record_get_model(txn, name, &model, &found, err);
    if (status == RF_OK && !found)
        status = rf_fail(err, RF_ERR_ABSENT, "%s: no such read model", name);
    if (status == RF_OK)
        status = rf_record_get_generation(txn, name, wanted->number, out, &found, err);
    if (status == RF_OK && !found)
        status = rf_fail(err, RF_ERR_ABSENT, "%s has no sealed generation %" PRIu64, name,
                         wanted->number);
    rf_kv_abort(txn);
    return status;
}

static rf_pin *find_pin(rf_catalog *catalog, const rf_catalog_generation *generation)
{
    for (rf_pin *pin = catalog->pins; pin; pin = pin->next)
        if (pin->number == generation->number && strcmp(pin->name, generation->name) == 0)
            return pin;
    return NULL;
}

/* Locks and maps; *gone_out if gc took it meanwhile or another one is named so by now. */
static rf_status pin_open(rf_catalog *catalog, const rf_catalog_generation *generation,
                          const struct wanted *wanted, rf_pin **pin_out, bool *gone_out,
                          rf_err *err)
{
    char dir[RF_PATH_SIZE], path[RF_PATH_SIZE];
    rf_catalog_generation again;

    rf_pin *pin = calloc(1, sizeof *pin);
    if (!pin)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a reader", generation->name);
    pin->catalog = catalog;
    pin->lock_fd = -1;
    pin->users = 1;
    pin->number = generation->number;
    pin->delta = generation->delta;
    memcpy(pin->name, generation->name, sizeof pin->name);
    rf_status status = rf_catalog_path(catalog, pin->name, pin->number, dir, err);
    if (status == RF_OK)
        status = rf_path_format(path, "%s/MANIFEST", err, dir);
    rf_status locked = status;
    if (status == RF_OK)
        locked = rf_lock_acquire(path, RF_LOCK_SHARED, PIN_WAIT_MS, "gc is removing a generation",
                                 &pin->lock_fd, err);
    if (status == RF_OK)
        status = look(catalog, wanted, &again, err);
    *gone_out = status == RF_OK && again.number != pin->number;
    if (status == RF_OK && !*gone_out && locked != RF_OK)
        status = rf_path_exists(path) ? locked
                                      : rf_fail(err, RF_ERR_DAMAGED,
                                                "%s: damaged: its MANIFEST is missing", dir);
    if (status == RF_OK && !*gone_out)
        status = rf_catalog_check_manifest(catalog, &again, &pin->manifest, err);
    if (status == RF_OK && !*gone_out)
        status = rf_base_open(dir, pin->manifest.partitions, pin->manifest.files,
                              pin->manifest.file_count, &pin->base, err);
    for (uint32_t i = 0; status == RF_OK && !*gone_out && i < pin->manifest.index_count; i++)
        status = rf_base_open(dir, pin->manifest.partitions, &pin->manifest.indexes[i].file, 1,
                              &pin->indexes[i], err);
    if (status != RF_OK || *gone_out) {
        pin_free(pin);
        return status;
    }
    *pin_out = pin;
    return RF_OK;
}

/* Step `pin` of tests/model/swap.pml. */
static rf_status pin_wanted(rf_catalog *catalog, const struct wanted *wanted, rf_pinned *pinned_out,
                            rf_err *err)
{
    rf_pin *pin = NULL;
    rf_pin *surplus = NULL;

    for (int tries = 0; !pin; tries++) {
        rf_catalog_generation generation;
        bool gone = false;
        if (tries == PIN_TRIES_MAX)
            return rf_fail(err, RF_ERR_LOCKED, "%s: its live generation changes too fast",
                           wanted->named->name);
        rf_status status = look(catalog, wanted, &generation, err);
        if (status != RF_OK)
            return status;
        (void)pthread_mutex_lock(&catalog->pins_mutex);
        pin = find_pin(catalog, &generation);
        if (pin)
            pin->users++;
        (void)pthread_mutex_unlock(&catalog->pins_mutex);
        if (pin)
            break;
        status = pin_open(catalog, &generation, wanted, &pin, &gone, err);
        if (status != RF_OK)
            return status;
        if (gone)
            continue;
        (void)pthread_mutex_lock(&catalog->pins_mutex);
        rf_pin *known = find_pin(catalog, &generation);
        if (known) {
            known->users++;
            surplus = pin;
            pin = known;
        } else {
            pin->next = catalog->pins;
            catalog->pins = pin;
        }
        (void)pthread_mutex_unlock(&catalog->pins_mutex);
        pin_free(surplus);
    }
    *pinned_out = (rf_pinned){
        pin->manifest, pin->base, pin->indexes, pin->lock_fd, pin->delta, pin};
    return RF_OK;
}

rf_status rf_catalog_pin(rf_catalog *catalog, const char *name, uint64_t number,
                         rf_pinned *pinned_out, rf_err *err)
{
    rf_named named = {.version = 0};

    if (!rf_record_name_valid(name))
        return rf_fail(err, RF_ERR_ABSENT, "%s: no such read model", name);
    memcpy(named.name, name, strlen(name) + 1);
    const struct wanted wanted = {&named, number};
    return pin_wanted(catalog, &wanted, pinned_out, err);
}

rf_status rf_catalog_pin_named(rf_catalog *catalog, const rf_named *named, rf_pinned *pinned_out,
                               rf_err *err)
{
    const struct wanted wanted = {named, 0};

    return pin_wanted(catalog, &wanted, pinned_out, err);
}

void rf_catalog_unpin(rf_pinned *pinned)
{
    rf_pin *pin = pinned->pin;

    if (!pin)
        return;
    rf_catalog *catalog = pin->catalog;
    (void)pthread_mutex_lock(&catalog->pins_mutex);
    RF_ASSERT(pin->users > 0);
    bool last = --pin->users == 0;
    if (last) {
        rf_pin **link = &catalog->pins;
        while (*link != pin)
            link = &(*link)->next;
        *link = pin->next;
    }
    (void)pthread_mutex_unlock(&catalog->pins_mutex);
    if (last)
        pin_free(pin);
    *pinned = (rf_pinned){.lock_fd = -1};
}

uint64_t rf_catalog_stamp(rf_catalog *catalog)
{
    return rf_kv_last_txn_id(catalog->kv);
}
