/* Repair; see refold/repair.h.
 *
 * lock -> what is live -> its chosen rows folded anew (catch_up_chosen.h) -> one transaction. A follower
 * may move the generation on meanwhile: then the commit is refused, since it names rows that are not
 * there any more, and all begins again, at the new position. After some times FOLLOW is waited for.
 */
#include "refold/repair.h"

#include "base/machine.h"
#include "catalog/named.h"
#include "catch_up/catch_up_chosen.h"
#include "event/key.h"
#include "store/store.h"

#include <stdlib.h>

enum { TRIES_MAX = 8 };

typedef struct repair {
    rf_store *store;
    const char *name; /* of the read model, without a version */
    const rf_repair_options *options;
    rf_pool *pool;
    int lock, follow; /* LOCK and FOLLOW; -1: not held */
    uint64_t number;  /* of the generation */
    rf_key_bytes *keys; /* owned, as all that follows */
    rf_slice *slices;
    uint32_t key_count;
    rf_key_bytes prefix;
    rf_catch_up *catch_up;
    rf_refold_result refolded;
} repair;

/* ---- which rows ---- */

static rf_status parse_key(const rf_reader *reader, const char *text, rf_key_use use,
                           rf_key_bytes *key_out, rf_err *err)
{
    char bytes[RF_KEY_BYTES_MAX];
    rf_slice key;

    rf_status status = rf_reader_parse_key(reader, rf_slice_of(text), use, bytes, &key, err);
    if (status != RF_OK)
        return status;
    if (key.size > sizeof key_out->data)
        return rf_fail(err, RF_ERR_USAGE, "a key of %zu bytes is over the limit of %d", key.size,
                       RF_KEY_BYTES_MAX);
    memcpy(key_out->data, key.data, key.size);
    key_out->size = key.size;
    return RF_OK;
}

static rf_status parse_keys(repair *run, const rf_reader *reader, rf_err *err)
{
    const rf_repair_options *options = run->options;
    uint32_t count = options->key_count;
    rf_status status = RF_OK;

    run->keys = calloc(count + 1, sizeof *run->keys);
    run->slices = calloc(count + 1, sizeof *run->slices);
    if (!run->keys || !run->slices)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u keys", count);
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        status = parse_key(reader, options->keys[i], RF_KEY_WHOLE, &run->keys[i], err);
        run->slices[i] = rf_key_slice(&run->keys[i]);
    }
    if (status == RF_OK && options->prefix && *options->prefix)
        status = parse_key(reader, options->prefix, RF_KEY_PREFIX, &run->prefix, err);
    if (status != RF_OK)
        return status;
    rf_slices_sort(run->slices, count);
    run->key_count = 0;
    for (uint32_t i = 0; i < count; i++)
        if (i == 0 || !rf_slice_equal(run->slices[i], run->slices[run->key_count - 1]))
            run->slices[run->key_count++] = run->slices[i];
    return RF_OK;
}

static void forget_keys(repair *run)
{
    free(run->keys);
    free(run->slices);
    run->keys = NULL;
    run->slices = NULL;
}

/* ---- folding and committing ---- */

static void forget_fold(repair *run)
{
    rf_refold_result_free(&run->refolded);
    rf_catch_up_close(run->catch_up);
    run->catch_up = NULL;
}

/* One try; RF_ERR_LOCKED where the generation moved on. */
static rf_status try_repair(repair *run, const rf_chosen *chosen, rf_err *err)
{
    const rf_catch_up_of of = {.name = run->name, .number = run->number, .if_followed = true};
    uint32_t count;

    rf_status status = rf_catch_up_open(run->store, run->pool, &of, 1, &run->catch_up, err);
    if (status == RF_OK)
        status = rf_catch_up_refold(run->catch_up, chosen, run->options->run.cancel, &run->refolded,
                                    err);
    if (status != RF_OK || run->options->dry_run || run->refolded.change_count == 0)
        return status;
    if (run->options->run.cancel && *run->options->run.cancel)
        return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted; nothing was changed");
    const rf_catalog_move *moves = rf_catch_up_moves(run->catch_up, &count);
    return rf_catalog_move_on(run->store->catalog, moves, count, err);
}

static rf_status try_some_times(repair *run, rf_err *err)
{
    const rf_chosen chosen = {run->slices, run->key_count, rf_key_slice(&run->prefix)};
    rf_status status = RF_ERR_LOCKED;
    rf_err failure = {0};
    rf_named named;

    for (int tries = 0; status == RF_ERR_LOCKED && tries <= TRIES_MAX; tries++) {
        forget_fold(run);
        if (tries == TRIES_MAX) {
            status = rf_named_parse(run->name, &named, &failure);
            if (status == RF_OK)
                status = rf_catalog_lock_follow(run->store->catalog, &named,
                                                run->options->run.wait_lock_ms, &run->follow,
                                                &failure);
            if (status != RF_OK)
                break;
        }
        failure = (rf_err){0};
        status = try_repair(run, &chosen, &failure);
    }
    if (status == RF_ERR_LOCKED)
        (void)rf_err_context(&failure, "%s moves on faster than its rows are folded; nothing was "
                             "changed", run->name);
    if (status != RF_OK && err)
        *err = failure;
    return status;
}

/* ---- telling ---- */

static rf_diff_op op_of(const rf_refolded *change)
{
    if (!change->after.data)
        return RF_DIFF_REMOVE;
    return change->before.data || change->was_damaged ? RF_DIFF_CHANGE : RF_DIFF_ADD;
}

/* The rows of one change, decoded. */
static rf_status tell(const repair *run, const rf_reader_info *info, const rf_refolded *change,
                      rf_value *values[2], rf_err *err)
{
    rf_repaired repaired = {.info = info,
                            .op = op_of(change),
                            .before = {.key = change->key},
                            .after = {.key = change->key},
                            .was_damaged = change->was_damaged};
    rf_status status = RF_OK;

    if (change->before.data) {
        status = rf_row_decode(change->before, info->columns, info->column_count, values[0], err);
        repaired.before.values = values[0];
    }
    if (status == RF_OK && change->after.data) {
        status = rf_row_decode(change->after, info->columns, info->column_count, values[1], err);
        repaired.after.values = values[1];
    }
    return status == RF_OK ? run->options->visit(run->options->visit_arg, &repaired, err) : status;
}

static rf_status tell_all(const repair *run, const rf_reader *reader, rf_err *err)
{
    const rf_reader_info *info = rf_reader_get_info(reader);
    rf_value *values[2] = {calloc(info->column_count + 1, sizeof(rf_value)),
                           calloc(info->column_count + 1, sizeof(rf_value))};
    rf_status status = RF_OK;

    if (!values[0] || !values[1])
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for a row");
    for (size_t i = 0; status == RF_OK && run->options->visit && i < run->refolded.change_count; i++)
        status = tell(run, info, &run->refolded.changes[i], values, err);
    free(values[0]);
    free(values[1]);
    return status;
}

static void count(const repair *run, rf_repair_result *result)
{
    *result = (rf_repair_result){.generation = run->number,
                                 .position = rf_catch_up_position(run->catch_up),
                                 .rows = run->refolded.rows,
                                 .is_unsearched = run->refolded.is_unsearched};
    for (size_t i = 0; i < run->refolded.change_count; i++) {
        result->counts[op_of(&run->refolded.changes[i])]++;
        result->damaged += run->refolded.changes[i].was_damaged;
    }
}

/* ---- a run ---- */

static rf_status check_options(const rf_repair_options *options, rf_err *err)
{
    if (options->key_count > 0 && options->prefix)
        return rf_fail(err, RF_ERR_USAGE, "either keys or a prefix, not both");
    if (options->key_count == 0 && !options->prefix)
        return rf_fail(err, RF_ERR_USAGE, "no key is named, and no prefix");
    return RF_OK;
}

/* The generation that is named, which the reader keeps from going. */
static rf_status repair_named(repair *run, rf_repair_result *result_out, rf_err *err)
{
    rf_reader *reader = NULL;

    rf_status status = rf_reader_open(run->store, run->name, run->number, &reader, err);
    if (status == RF_OK)
        status = parse_keys(run, reader, err);
    if (status == RF_OK)
        status = try_some_times(run, err);
    if (status == RF_OK) {
        count(run, result_out);
        status = tell_all(run, reader, err);
    }
    rf_reader_close(reader);
    return status;
}

rf_status rf_repair(rf_store *store, const char *name, const rf_repair_options *options,
                    rf_repair_result *result_out, rf_err *err)
{
    repair run = {.store = store, .options = options, .lock = -1, .follow = -1};
    rf_catalog_generation generation;
    rf_named named;
    uint32_t workers =
        options->run.workers_default ? rf_processor_count() : options->run.workers;

    rf_status status = check_options(options, err);
    if (status == RF_OK)
        status = rf_named_parse(name, &named, err);
    if (status == RF_OK && !options->dry_run)
        status = rf_store_lock(store, options->run.wait_lock_ms, &run.lock, err);
    if (status == RF_OK)
        status = rf_pool_new(workers, &run.pool, err);
    if (status == RF_OK)
        status = rf_named_find(store->catalog, &named, &generation, err);
    if (status == RF_OK) {
        run.name = named.name;
        run.number = generation.number;
        status = repair_named(&run, result_out, err);
    }
    forget_fold(&run);
    forget_keys(&run);
    rf_pool_free(run.pool);
    rf_lock_release(run.follow);
    rf_lock_release(run.lock);
    return status;
}
