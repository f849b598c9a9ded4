/* Listing what a generation left out, and putting events aside; see refold/quarantine.h.
 *
 * A generation keeps what it left out (catalog/quarantine.h), also the skips that it obeyed. The
 * skips on record stand in the catalog by the read model's name. So what the two do not have in
 * common is what the next rebuild changes.
 */
#include "store/quarantine.h"

#include "catalog/named.h"
#include "refold/log.h"

#include <stdlib.h>

struct quarantine {
    rf_quarantine quarantine; /* first: the two are cast into each other */
    rf_left_out_list had;
    rf_left_out_list skips;
    rf_quarantine_item *items;
};

bool rf_shell_quote(const char *text, char *out, size_t size)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "/._-+,:@%=";
    size_t used = 0;

    if (*text && text[strspn(text, plain)] == '\0') {
        used = strlen(text);
        if (used >= size)
            return false;
        memcpy(out, text, used + 1);
        return true;
    }
    rf_buf quoted;
    rf_buf_init(&quoted, size - 1);
    rf_buf_append_byte(&quoted, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            rf_buf_append(&quoted, "'\\''", 4);
        else
            rf_buf_append_byte(&quoted, (uint8_t)*text);
    }
    rf_buf_append_byte(&quoted, '\'');
    bool fits = !quoted.failed;
    if (fits) {
        memcpy(out, quoted.data, quoted.size);
        out[quoted.size] = '\0';
    }
    rf_buf_free(&quoted);
    return fits;
}

/* Goes along both lists, which are in position order. Items may be NULL: then they are counted. */
static uint32_t merge(const rf_left_out_list *had, const rf_left_out_list *skips,
                      rf_quarantine_item *items, uint64_t *pending_out)
{
    uint32_t count = 0;
    uint64_t pending = 0;

    for (uint32_t h = 0, s = 0; h < had->count || s < skips->count; count++) {
        rf_quarantine_item item = {0};
        if (h < had->count && (s == skips->count ||
                               had->items[h].position <= skips->items[s].position)) {
            item.left_out = had->items[h++];
            bool same = s < skips->count && skips->items[s].position == item.left_out.position;
            bool on_record = item.left_out.cause == RF_CAUSE_ON_RECORD;
            s += same;
            item.withdrawn = on_record && !same;
            item.pending = !on_record && same;
        } else {
            item.left_out = skips->items[s++];
            item.pending = true;
        }
        pending += item.withdrawn || item.pending;
        if (items)
            items[count] = item;
    }
    *pending_out = pending;
    return count;
}

rf_status rf_quarantine_count(rf_store *store, const rf_manifest *manifest,
                              rf_quarantine_counts *counts_out, rf_err *err)
{
    rf_left_out_list had = {0};
    rf_left_out_list skips = {0};

    rf_status status = rf_catalog_left_out(store->catalog, manifest, &had, err);
    if (status == RF_OK)
        status = rf_catalog_skips(store->catalog, manifest->name, &skips, err);
    if (status == RF_OK) {
        counts_out->left_out = had.count;
        (void)merge(&had, &skips, NULL, &counts_out->pending);
    }
    rf_left_out_list_free(&had);
    rf_left_out_list_free(&skips);
    return status;
}

/* The generation's own list into *quarantine; nothing for generation 0. */
static rf_status take_generation(rf_store *store, const char *name, uint64_t number,
                                 struct quarantine *quarantine, rf_err *err)
{
    char dir[RF_PATH_SIZE];
    rf_manifest manifest;

    if (number == 0)
        return RF_OK;
    rf_status status = rf_catalog_path(store->catalog, name, number, dir, err);
    if (status == RF_OK)
        status = rf_manifest_read(dir, &manifest, err);
    if (status == RF_ERR_ABSENT)
        return rf_fail(err, RF_ERR_ABSENT, "%s has no generation %llu", name,
                       (unsigned long long)number);
    if (status != RF_OK)
        return status;
    rf_checkpoint checkpoint = {0};
    quarantine->quarantine.generation = number;
    quarantine->quarantine.on_error = manifest.on_error;
    status = rf_catalog_checkpoint(store->catalog, &manifest, &checkpoint, err);
    quarantine->quarantine.position = checkpoint.position;
    if (status == RF_OK)
        status = rf_catalog_left_out(store->catalog, &manifest, &quarantine->had, err);
    rf_manifest_free(&manifest);
    for (uint32_t i = 0; status == RF_OK && i < quarantine->had.count; i++) {
        rf_cause cause = quarantine->had.items[i].cause;
        quarantine->quarantine.skipped += cause == RF_CAUSE_SKIPPED;
        quarantine->quarantine.quarantined += cause == RF_CAUSE_QUARANTINED;
        quarantine->quarantine.on_record += cause == RF_CAUSE_ON_RECORD;
    }
    return status;
}

static rf_status fill(rf_store *store, const char *text, uint64_t number,
                      struct quarantine *quarantine, rf_err *err)
{
    rf_catalog_generation generation;
    rf_catalog_model model;
    bool found = false;
    uint64_t pending;
    rf_named named = {.version = 0};

    rf_status status = rf_named_parse(text, &named, err);
    const char *name = named.name;
    if (status == RF_OK)
        status = rf_named_check_number(&named, number, err);
    if (status == RF_OK && named.version != 0)
        status = rf_named_find(store->catalog, &named, &generation, err);
    if (status == RF_OK && named.version != 0)
        number = generation.number;
    if (status == RF_OK)
        status = rf_catalog_get_model(store->catalog, name, &model, &found, err);
    if (status == RF_OK)
        status = rf_catalog_skips(store->catalog, name, &quarantine->skips, err);
    if (status == RF_OK && !found && quarantine->skips.count == 0)
        status = rf_fail(err, RF_ERR_ABSENT, "%s: no such read model, and no event is put aside",
                         name);
    if (status == RF_OK)
        status = take_generation(store, name, number ? number : model.live, quarantine, err);
    if (status != RF_OK)
        return status;
    size_t room = (size_t)quarantine->had.count + quarantine->skips.count;
    quarantine->items = calloc(room + 1, sizeof *quarantine->items);
    if (!quarantine->items)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %zu events that are left out", room);
    quarantine->quarantine.items = quarantine->items;
    quarantine->quarantine.item_count =
        merge(&quarantine->had, &quarantine->skips, quarantine->items, &pending);
    return RF_OK;
}

rf_status rf_quarantine_list(rf_store *store, const char *name, uint64_t number,
                             const rf_quarantine **quarantine_out, rf_err *err)
{
    struct quarantine *quarantine = calloc(1, sizeof *quarantine);

    if (!quarantine)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a list");
    rf_status status = fill(store, name, number, quarantine, err);
    if (status != RF_OK) {
        rf_quarantine_free(&quarantine->quarantine);
        return status;
    }
    *quarantine_out = &quarantine->quarantine;
    return RF_OK;
}

void rf_quarantine_free(const rf_quarantine *quarantine)
{
    if (!quarantine)
        return;
    struct quarantine *owner = (struct quarantine *)(uintptr_t)quarantine;
    rf_left_out_list_free(&owner->had);
    rf_left_out_list_free(&owner->skips);
    free(owner->items);
    free(owner);
}

static rf_status check_reason(const char *reason, rf_err *err)
{
    rf_slice text = rf_slice_of(reason);

    if (text.size < 1 || text.size > RF_SKIP_REASON_SIZE_MAX || !rf_utf8_valid(text))
        return rf_fail(err, RF_ERR_USAGE, "a reason is UTF-8 text of 1 to %d bytes",
                       RF_SKIP_REASON_SIZE_MAX);
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return rf_fail(err, RF_ERR_USAGE, "a reason is one line without control characters");
    return RF_OK;
}

/* Whether there is room for another skip of the read model, and whether there is a model. */
static rf_status check_room(rf_store *store, const char *name, bool *known_out, rf_err *err)
{
    rf_left_out_list skips = {0};
    rf_catalog_model model;

    rf_status status = rf_catalog_skips(store->catalog, name, &skips, err);
    if (status == RF_OK && skips.count >= RF_SKIPS_MAX)
        status = rf_fail(err, RF_ERR_USAGE, "%s: %u events are put aside already; that is the most",
                         name, skips.count);
    rf_left_out_list_free(&skips);
    return status == RF_OK
               ? rf_catalog_get_model(store->catalog, name, &model, known_out, err)
               : status;
}

rf_status rf_skip(rf_store *store, const char *name, uint64_t position, const char *reason,
                  bool *known_out, rf_err *err)
{
    const rf_event_query query = {.from = position, .until = position, .limit = 1};
    rf_events *events = NULL;
    rf_stored_event event;
    bool known = false;

    rf_status status = check_reason(reason, err);
    if (status == RF_OK && position == 0)
        status = rf_fail(err, RF_ERR_USAGE, "positions begin at 1");
    if (status == RF_OK)
        status = check_room(store, name, &known, err);
    if (status == RF_OK)
        status = rf_events_open(store, &query, &events, err);
    if (status == RF_OK)
        status = rf_events_next(events, &event, err);
    if (status == RF_ERR_NO_ROW)
        status = rf_fail(err, RF_ERR_NO_ROW, "the log has no event at position %llu",
                         (unsigned long long)position);
    if (status == RF_OK) {
        const rf_left_out skip = {
            .position = position,
            .cause = RF_CAUSE_ON_RECORD,
            .stream = event.stream,
            .type = event.type,
            .reason = rf_slice_of(reason),
        };
        status = rf_catalog_put_skip(store->catalog, name, &skip, err);
    }
    rf_events_close(events);
    if (status == RF_OK && known_out)
        *known_out = known;
    return status;
}

rf_status rf_unskip(rf_store *store, const char *name, uint64_t position, rf_err *err)
{
    bool found = false;

    rf_status status = rf_catalog_remove_skip(store->catalog, name, position, &found, err);
    if (status == RF_OK && !found)
        status = rf_fail(err, RF_ERR_NO_ROW, "%s: the event at position %llu is not put aside",
                         name, (unsigned long long)position);
    return status;
}
