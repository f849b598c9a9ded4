/* Waiting until read models have what the log has, and letting those go on that were suspended; see refold/follow.h. */
#include "base/clock.h"
#include "catalog/named.h"
#include "refold/follow.h"
#include "store/store.h"

#include <stdlib.h>
#include <time.h>

enum { IDLE_MS = 20 };

static void pause_idle(void)
{
    const struct timespec idle = {.tv_nsec = IDLE_MS * 1000000L};

    (void)nanosleep(&idle, NULL);
}

/* The first that is not there yet. */
struct laggard {
    char name[RF_NAMED_TEXT_SIZE]; /* empty: all are */
    uint64_t position;
};

/* One generation: *laggard stays as it is if it is far enough. */
static rf_status look_at(rf_store *store, const rf_named *named, uint64_t position, struct laggard *laggard,
                         rf_err *err)
{
    rf_catalog_generation served;
    rf_catalog_suspension suspension;
    char text[RF_NAMED_TEXT_SIZE];
    bool suspended = false;

    rf_status status = rf_named_find(store->catalog, named, &served, err);
    if (status == RF_OK)
        status = rf_catalog_get_suspension(store->catalog, named->name, served.number, &suspension,
                                           &suspended, err);
    if (status != RF_OK)
        return status;
    bool there = served.position >= position;
    rf_named_format(named, text);
    if (!there && suspended)
        return rf_fail(err, RF_ERR_REFUSED, "%s is suspended at position %llu: %s", text,
                       (unsigned long long)served.position, suspension.reason);
    if (!there && !*laggard->name) {
        memcpy(laggard->name, text, sizeof laggard->name);
        laggard->position = served.position;
    }
    return RF_OK;
}

/* Every live one. */
static rf_status look_at_live(rf_store *store, uint64_t position, struct laggard *laggard, rf_err *err)
{
    rf_catalog_model *models = NULL;
    uint32_t count = 0;

    rf_status status = rf_catalog_models(store->catalog, &models, &count, err);
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        rf_named named = {.version = 0};
        memcpy(named.name, models[i].name, sizeof named.name);
        if (models[i].live != 0)
            status = look_at(store, &named, position, laggard, err);
    }
    free(models);
    return status;
}

static rf_status look(rf_store *store, const char *const *names, uint32_t name_count,
                      uint64_t position, struct laggard *laggard, rf_err *err)
{
    rf_status status = RF_OK;

    *laggard->name = '\0';
    if (name_count == 0)
        return look_at_live(store, position, laggard, err);
    for (uint32_t i = 0; status == RF_OK && i < name_count; i++) {
        rf_named named;
        status = rf_named_parse(names[i], &named, err);
        if (status == RF_OK)
            status = look_at(store, &named, position, laggard, err);
    }
    return status;
}

rf_status rf_wait(rf_store *store, const char *const *names, uint32_t name_count, uint64_t position,
                  int64_t timeout_ms, const volatile int *cancel, rf_err *err)
{
    double end = rf_clock_seconds() + (double)timeout_ms / 1000;
    rf_status status = RF_OK;
    rf_log_info info = {0};
    struct laggard laggard;

    if (position == 0) {
        status = rf_log_get_info(store->log, &info, err);
        position = info.position;
    }

    while (status == RF_OK) {
        status = look(store, names, name_count, position, &laggard, err);
        if (status != RF_OK || !*laggard.name)
            break;
        if (cancel && *cancel)
            status = rf_fail(err, RF_ERR_INTERRUPTED, "interrupted; nothing was changed");
        else if (timeout_ms >= 0 && rf_clock_seconds() >= end)
            status = rf_fail(err, RF_ERR_UNREACHABLE,
                             "%s is at position %llu, not at %llu, after %.3g s (does follow run?)",
                             laggard.name, (unsigned long long)laggard.position,
                             (unsigned long long)position, (double)timeout_ms / 1000);
        else
            pause_idle();
    }
    return status;
}

rf_status rf_resume(rf_store *store, const char *name, rf_err *err)
{
    rf_catalog_generation generation = {.number = 0};
    rf_named named;

    rf_status status = rf_named_parse(name, &named, err);
    if (status == RF_OK && named.version != 0)
        status = rf_named_find(store->catalog, &named, &generation, err);
    return status == RF_OK
               ? rf_catalog_resume(store->catalog, named.name, generation.number, err)
               : status;
}
