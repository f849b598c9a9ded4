/* What a definition expects of every row, asked while a generation moves on; see catch_up.h.
 *
 * A row is asked when it changes, and only whether it breaks what held for it before: one that was
 * taken with a row that breaks it already goes on. A fold takes many events at once, so which of them
 * it was is found by halves: what folds is committed, until one event is left that does not. So it is
 * where a row cannot be stored, or has no place in an index.
 */
#include "catch_up/catch_up_job.h"
#include "event/key.h"
#include "projection/expectation.h"
#include "refold/log.h"

static rf_status refuse(const rf_catch_up_item *item, const rf_definition_expect *expect,
                        rf_slice key, rf_err *err)
{
    const rf_definition *definition = item->definition;
    rf_buf shown;

    rf_buf_init(&shown, 8 * RF_KEY_BYTES_MAX);
    rf_key_append_json(&shown, key, definition->key_parts, definition->key_part_count);
    rf_slice text = rf_buf_slice(&shown);
    rf_status status = rf_fail(err, RF_ERR_REFUSED,
                               "%s: expect (\"%.160s\") does not hold any more for the row %.*s of %s",
                               expect->place, expect->text, (int)text.size, text.data, item->name);
    rf_buf_free(&shown);
    return status;
}

rf_status rf_catch_up_ask(const rf_catch_up_item *item, rf_catch_up_slot *slot,
                          const rf_catch_up_change *at, rf_err *err)
{
    const rf_definition *definition = item->definition;
    rf_slice after = at->rows[RF_CHANGE_NEW], before = at->rows[RF_CHANGE_CURRENT];
    bool knows_before = false;
    rf_status status = RF_OK;

    if (definition->expect_count == 0 || !after.data)
        return RF_OK;
    status = rf_row_decode(after, item->columns, definition->column_count,
                           slot->values[RF_CHANGE_NEW], err);
    for (uint32_t i = 0; status == RF_OK && i < definition->expect_count; i++) {
        const rf_definition_expect *expect = &definition->expects[i];
        if (rf_expectation_holds(expect->expectation, slot->values[RF_CHANGE_NEW]))
            continue;
        if (before.data && !knows_before)
            status = rf_row_decode(before, item->columns, definition->column_count,
                                   slot->values[RF_CHANGE_CURRENT], err);
        knows_before = true;
        if (status != RF_OK ||
            (before.data &&
             !rf_expectation_holds(expect->expectation, slot->values[RF_CHANGE_CURRENT])))
            continue;
        status = slot->refused = refuse(item, expect, at->key, err);
    }
    return status;
}

void rf_catch_up_forget_broken(rf_catch_up *catch_up)
{
    for (uint32_t i = 0; i < catch_up->count; i++)
        for (uint32_t k = 0; k < catch_up->items[i].slot_count; k++)
            catch_up->items[i].slots[k].refused = RF_OK;
}

/* Whether the last fold failed for what a row would be, and not for an event. */
static bool has_refused(const rf_catch_up *catch_up, const rf_err *failure)
{
    bool refused = false;

    for (uint32_t i = 0; i < catch_up->count; i++)
        for (uint32_t k = 0; k < catch_up->items[i].slot_count; k++)
            refused = refused || (catch_up->items[i].slots[k].refused != RF_OK &&
                                  catch_up->items[i].slots[k].refused == failure->status);
    return refused && failure->position == 0;
}

bool rf_catch_up_is_broken(const rf_catch_up *catch_up, const rf_err *failure)
{
    return failure->status == RF_ERR_REFUSED && has_refused(catch_up, failure);
}

void rf_catch_up_ask_expectations(rf_catch_up *catch_up, bool asks)
{
    for (uint32_t i = 0; i < catch_up->count; i++)
        catch_up->items[i].asks = asks;
}

/* Says which event it was. */
static void blame(const rf_catch_up *catch_up, uint64_t position, rf_err *failure)
{
    const rf_event_query query = {.from = position, .until = position, .limit = 1};
    rf_stored_event event;
    rf_events *events = NULL;

    rf_status status = rf_events_open(catch_up->store, &query, &events, NULL);
    if (status == RF_OK)
        status = rf_events_next(events, &event, NULL);
    if (status == RF_OK)
        (void)rf_err_suffix(failure, "%s before the event at position %llu (stream %.*s, type %.*s)",
                            failure->status == RF_ERR_REFUSED ? "it held" : "all rows stay as they were",
                            (unsigned long long)position, (int)event.stream.size, event.stream.data,
                            (int)event.type.size, event.type.data);
    rf_events_close(events);
    failure->position = position;
}

/* Moves on to just before the event that makes a row what it cannot be. */
static rf_status find_refused(rf_catch_up *catch_up, const volatile int *cancel, rf_err *failure)
{
    uint64_t low = rf_catch_up_position(catch_up);
    uint64_t high = catch_up->folded_until;
    rf_status status = RF_OK;

    RF_ASSERT(high > low);
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        rf_err found = {0};
        status = rf_catch_up_fold(catch_up, middle, cancel, &found);
        if (status == RF_OK)
            status = rf_catalog_move_on(catch_up->store->catalog, catch_up->moves, catch_up->count,
                                        &found);
        if (status == RF_OK) {
            rf_catch_up_done(catch_up);
            low = middle;
            continue;
        }
        *failure = found;
        if (!has_refused(catch_up, &found))
            return status;
        high = middle;
    }
    status = rf_catch_up_fold(catch_up, high, cancel, failure); /* for its row */
    if (status != RF_OK && has_refused(catch_up, failure))
        blame(catch_up, high, failure);
    return status;
}

/* The event that a fold fails for need not be the first in the log that fails, and a row may be refused before it:
 * each is looked for in front of what was found, until the generations stand right before it. */
rf_status rf_catch_up_stop_before(rf_catch_up *catch_up, rf_status status,
                                  const volatile int *cancel, rf_err *failure)
{
    for (;;) {
        if (has_refused(catch_up, failure))
            status = find_refused(catch_up, cancel, failure);
        if (failure->position <= rf_catch_up_position(catch_up) + 1)
            return status;
        rf_err earlier = {0};
        rf_status found =
            rf_catch_up_run(catch_up, failure->position - 1, cancel, &earlier);
        if (found == RF_OK)
            return status;
        *failure = earlier;
        status = found;
    }
}
