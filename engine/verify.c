/* Verifying a store: every stored byte that means something is read and compared; see rf_verify in
 * refold/generation.h.
 *
 * The log checks itself (rf_log_verify). A generation is pinned, the hash of its kept definition
 * compared, its blocks' checksums verified, its rows decoded, and their digest compared with
 * MANIFEST's; then its delta (verify_delta.h). `serial` folds each generation that serves, live or a colour, once more, inline,
 * with the definition that it keeps, up to its position, and compares the digests: a second way to
 * the same rows.
 */
#include "base/pool.h"
#include "catalog/named.h"
#include "event/key.h"
#include "generation/build.h"
#include "generation/build_index.h"
#include "generation/resolve.h"
#include "verify_delta.h"

#include <stdio.h>
#include <stdlib.h>

#define SERIAL_MEMORY_BYTES ((uint64_t)1 << 30)

struct verification {
    rf_store *store;
    const rf_verify_options *options;
    rf_pool *pool;
    rf_verify_result result;
};

static void report_damage(void *arg, const rf_err *damage)
{
    struct verification *verification = arg;

    verification->result.damages++;
    if (verification->options->report)
        verification->options->report(verification->options->report_arg, damage->message);
}

/* Digest of one partition of a base; one per partition, so that tasks share nothing. */
struct table_check {
    const rf_pinned *pinned;
    const rf_reader_column *columns;
    rf_digest *digests;
};

static rf_status check_partition(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    struct table_check *check = arg;
    const rf_manifest *manifest = &check->pinned->manifest;
    rf_base_cursor *cursor = NULL;
    rf_slice key;
    rf_slice row;
    bool found = false;

    (void)worker;
    rf_value *values = calloc(manifest->column_count, sizeof *values);
    if (!values)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a row");
    rf_status status = rf_base_cursor_open(check->pinned->base, (uint32_t)index,
                                           (rf_slice){"", 0}, &cursor, err);
    while (status == RF_OK) {
        status = rf_base_cursor_next(cursor, &key, &row, &found, err);
        if (status != RF_OK || !found)
            break;
        status = rf_row_decode(row, check->columns, manifest->column_count, values, err);
        if (status == RF_OK && rf_partition_of(key, manifest->partitions) != index)
            status = rf_fail(err, RF_ERR_DAMAGED, "the row of %.*s stands in the wrong partition",
                             (int)key.size, key.data);
        rf_digest_add_row(&check->digests[index], key, row);
    }
    rf_base_cursor_close(cursor);
    free(values);
    return status;
}

/* One index: as many entries as rows, and each is that of the row that it leads to. */
static rf_status check_index(const struct table_check *check, uint32_t number,
                             rf_reader_column *parts, rf_err *err)
{
    const rf_manifest *manifest = &check->pinned->manifest;
    const rf_manifest_index *index = &manifest->indexes[number];
    char entry[RF_KEY_BYTES_MAX];
    rf_base_reader *reader = NULL;
    rf_base_cursor *cursor = NULL;
    rf_slice key, row;
    uint64_t count = 0;
    bool found = false;

    rf_value *values = calloc(manifest->column_count, sizeof *values);
    if (!values)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a row");
    for (uint32_t i = 0; i < index->column_count; i++)
        parts[i] = check->columns[index->columns[i]];
    rf_status status = rf_base_reader_open(check->pinned->base, &reader, err);
    if (status == RF_OK)
        status = rf_base_cursor_open(check->pinned->indexes[number], RF_BASE_ALL,
                                     (rf_slice){"", 0}, &cursor, err);
    while (status == RF_OK) {
        size_t size = 0;
        status = rf_base_cursor_next(cursor, &key, &row, &found, err);
        if (status != RF_OK || !found)
            break;
        count++;
        bool whole = rf_key_skip(key, parts, index->column_count, &size);
        const rf_slice row_key = {key.data + size, key.size - size};
        if (whole)
            status = rf_base_reader_get(reader, row_key, &row, &whole, err);
        if (status == RF_OK && whole)
            status = rf_row_decode(row, check->columns, manifest->column_count, values, err);
        if (status == RF_OK && whole)
            whole = rf_index_entry(values, index->columns, index->column_count, row_key, entry,
                                   &size) == RF_KEY_FINE &&
                    rf_slice_equal((rf_slice){entry, size}, key);
        if (status == RF_OK && !whole)
            status = rf_fail(err, RF_ERR_DAMAGED, "%s: an entry is not that of its row",
                             index->file.name);
    }
    if (status == RF_OK && count != manifest->rows)
        status = rf_fail(err, RF_ERR_DAMAGED, "%s: %llu entries for %llu rows", index->file.name,
                         (unsigned long long)count, (unsigned long long)manifest->rows);
    rf_base_cursor_close(cursor);
    rf_base_reader_close(reader);
    free(values);
    return status;
}

static rf_status check_table(struct verification *verification, const rf_pinned *pinned,
                             rf_err *err)
{
    const rf_manifest *manifest = &pinned->manifest;
    rf_digest sum = {0};
    rf_status status = RF_OK;

    rf_reader_column *columns = calloc(manifest->column_count, sizeof *columns);
    struct table_check check = {.pinned = pinned, .columns = columns};
    check.digests = calloc(manifest->partitions, sizeof *check.digests);
    if (!columns || !check.digests)
        status =
            rf_fail(err, RF_ERR_MEMORY, "out of memory for %u partitions", manifest->partitions);
    for (uint32_t i = 0; status == RF_OK && i < manifest->column_count; i++)
        columns[i] = (rf_reader_column){manifest->columns[i].name, manifest->columns[i].kind,
                                        manifest->columns[i].scale};
    if (status == RF_OK)
        status =
            rf_pool_run(verification->pool, manifest->partitions, check_partition, &check, err);
    for (uint32_t i = 0; status == RF_OK && i < manifest->partitions; i++)
        rf_digest_add(&sum, &check.digests[i]);
    if (status == RF_OK && (sum.low != manifest->digest.low || sum.high != manifest->digest.high ||
                            sum.rows != manifest->rows))
        status = rf_fail(err, RF_ERR_DAMAGED, "the rows are not those that MANIFEST promises");
    for (uint32_t i = 0; status == RF_OK && i < manifest->index_count; i++) {
        rf_reader_column parts[RF_KEY_PARTS_MAX];
        status = check_index(&check, i, parts, err);
    }
    if (status == RF_OK)
        status = rf_verify_delta(verification->store->catalog, pinned, columns, &sum.rows, err);
    verification->result.rows += sum.rows;
    free(check.digests);
    free(columns);
    return status;
}

static uint32_t on_record(const rf_left_out_list *list)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < list->count; i++)
        count += list->items[i].cause == RF_CAUSE_ON_RECORD;
    return count;
}

/* Whether a fold left out what the generation says that it left out. */
static rf_status compare_left_out(const rf_faults *faults, const rf_left_out_list *list,
                                  rf_err *err)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i].cause == RF_CAUSE_ON_RECORD)
            continue;
        if (at == faults->count || faults->items[at].position != list->items[i].position)
            break;
        at++;
    }
    if (at == faults->count && at + on_record(list) == list->count)
        return RF_OK;
    return rf_fail(err, RF_ERR_DAMAGED,
                   "a serial fold of the log leaves out %u events or keys, not those that "
                   "QUARANTINE has",
                   faults->count);
}

static rf_status refold(struct verification *verification, const rf_definition *definition,
                        const rf_manifest *manifest, const rf_checkpoint *checkpoint,
                        const rf_left_out_list *left_out, rf_err *err)
{
    rf_fold_target target;
    rf_pool *inline_pool = NULL;
    rf_fold_stats stats;

    rf_digest_sink *sink = rf_digest_sink_new(definition);
    uint64_t *skips = calloc(left_out->count + 1, sizeof *skips);
    if (!sink || !skips) {
        rf_digest_sink_free(sink);
        free(skips);
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a serial fold");
    }
    rf_digest_sink_target(sink, &target);
    target.policy = (rf_fault_policy){
        .on_error = manifest->on_error, .errors_max = UINT64_MAX, .skips = skips};
    for (uint32_t i = 0; i < left_out->count; i++)
        if (left_out->items[i].cause == RF_CAUSE_ON_RECORD)
            skips[target.policy.skip_count++] = left_out->items[i].position;
    rf_fold_options options = {
        .until = checkpoint->position,
        .memory_bytes = SERIAL_MEMORY_BYTES,
        .cancel = verification->options->run.cancel,
    };
    rf_status status = rf_pool_new(0, &inline_pool, err);
    if (status == RF_OK)
        status =
            rf_fold_run(verification->store->log, inline_pool, &target, 1, &options, &stats, err);
    const rf_digest *digest = rf_digest_sink_digest(sink);
    if (status == RF_OK &&
        (digest->low != checkpoint->digest.low || digest->high != checkpoint->digest.high ||
         digest->rows != checkpoint->digest.rows))
        status = rf_fail(err, RF_ERR_DAMAGED,
                         "a serial fold of the log gives %llu other rows than the %llu stored ones",
                         (unsigned long long)digest->rows,
                         (unsigned long long)checkpoint->digest.rows);
    if (status == RF_OK)
        status = compare_left_out(&target.faults, left_out, err);
    rf_faults_free(&target.faults);
    free(skips);
    rf_pool_free(inline_pool);
    rf_digest_sink_free(sink);
    return status;
}

static rf_status check_serial(struct verification *verification, const rf_pinned *pinned,
                              rf_err *err)
{
    rf_catalog *catalog = verification->store->catalog;
    const rf_manifest *manifest = &pinned->manifest;
    rf_definition *definition = NULL;
    rf_left_out_list left_out = {0};
    rf_checkpoint checkpoint;
    uint32_t count = 0;

    /* The checkpoint first, once: what is followed meanwhile moves on. */
    rf_status status = rf_catalog_checkpoint(catalog, manifest, &checkpoint, err);
    if (status == RF_OK)
        status = rf_catalog_left_out(catalog, manifest, &left_out, err);
    if (status == RF_OK)
        status = rf_resolve_kept(verification->store, manifest->name, manifest->number, &definition,
                                 err);
    for (uint32_t i = 0; i < left_out.count; i++)
        if (left_out.items[i].position <= checkpoint.position)
            left_out.items[count++] = left_out.items[i];
    left_out.count = count;
    if (status == RF_OK)
        status = refold(verification, definition, manifest, &checkpoint, &left_out, err);
    rf_left_out_list_free(&left_out);
    rf_definition_free(definition);
    return status;
}

static rf_status check_generation(struct verification *verification,
                                  const rf_catalog_generation *generation, bool serves, rf_err *err)
{
    char path[RF_PATH_SIZE];
    rf_pinned pinned;

    rf_status status = rf_catalog_pin(verification->store->catalog, generation->name,
                                      generation->number, &pinned, err);
    if (status == RF_ERR_ABSENT)
        return RF_OK; /* gc took it meanwhile */
    if (status == RF_OK) {
        status = rf_resolve_check_kept(verification->store, generation->name, generation->number,
                                       path, err);
        rf_left_out_list left_out = {0};
        if (status == RF_OK)
            status = rf_catalog_left_out(verification->store->catalog, &pinned.manifest, &left_out,
                                         err);
        if (status == RF_OK)
            status = check_table(verification, &pinned, err);
        if (status == RF_OK && serves && verification->options->serial)
            status = check_serial(verification, &pinned, err);
        rf_left_out_list_free(&left_out);
        rf_catalog_unpin(&pinned);
    }
    if (status != RF_OK)
        (void)rf_err_context(err, "%s generation %llu", generation->name,
                             (unsigned long long)generation->number);
    return status;
}

/* Whether a failure is the store's; else it is one of the moment, and says nothing of the bytes. */
static bool is_of_store(rf_status status)
{
    return status == RF_ERR_DAMAGED || status == RF_ERR_ABSENT || status == RF_ERR_FORMAT ||
           status == RF_ERR_IO;
}

static rf_status check_generations(struct verification *verification, rf_err *err)
{
    rf_catalog *catalog = verification->store->catalog;
    const char *name = verification->options->name;
    rf_catalog_generation *generations = NULL;
    rf_catalog_generation only = {.number = 0}; /* 0: all of them */
    rf_named named = {.version = 0};
    uint32_t count = 0;
    const volatile int *cancel = verification->options->run.cancel;

    rf_status status = name ? rf_named_parse(name, &named, err) : RF_OK;
    if (status == RF_OK && named.version != 0)
        status = rf_named_find(catalog, &named, &only, err);
    if (status == RF_OK)
        status = rf_catalog_generations(catalog, name ? named.name : NULL, &generations, &count, err);
    if (status == RF_OK && name && count == 0)
        status = rf_fail(err, RF_ERR_ABSENT, "%s: no read model of this name", name);
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        rf_catalog_model model = {0};
        rf_err damage = {0};
        bool found = false;
        if (only.number != 0 && only.number != generations[i].number)
            continue;
        status = rf_catalog_get_model(catalog, generations[i].name, &model, &found, err);
        if (status != RF_OK)
            break;
        bool serves = found && (model.live == generations[i].number ||
                                rf_catalog_colour_of(&model, generations[i].number));
        rf_status one = check_generation(verification, &generations[i], serves, &damage);
        verification->result.generations++;
        if (one != RF_OK && is_of_store(one)) {
            report_damage(verification, &damage);
        } else if (one != RF_OK) {
            status = one;
            if (err)
                *err = damage;
        }
        if (cancel && *cancel)
            status = rf_fail(err, RF_ERR_INTERRUPTED, "interrupted; verify changes nothing");
    }
    free(generations);
    return status;
}

/* LMDB's own pages, which have no checksums. Where they are not whole LMDB must not be asked for what is in them. */
static rf_status check_environment(struct verification *verification, rf_kv *kv, const char *name,
                                   bool *whole_out, rf_err *err)
{
    rf_err damage = {0};
    rf_status status = rf_kv_check_pages(kv, &damage);

    *whole_out = status == RF_OK;
    if (status == RF_OK)
        return RF_OK;
    (void)rf_err_context(&damage, "%s/data.mdb", name);
    if (status == RF_ERR_DAMAGED) {
        report_damage(verification, &damage);
        return RF_OK;
    }
    if (err)
        *err = damage;
    return status;
}

static rf_status check_log(struct verification *verification, rf_err *err)
{
    rf_log_info info = {0};

    rf_status known = rf_log_get_info(verification->store->log, &info, err);
    if (known != RF_OK && known != RF_ERR_DAMAGED)
        return known;
    verification->result.segments = info.segments;
    rf_status status = rf_log_verify(verification->store->log, report_damage, verification, err);
    if (status == RF_ERR_DAMAGED && verification->result.damages > 0)
        return RF_OK; /* reported and counted; the generations are looked at all the same */
    return status != RF_OK ? status : known;
}

rf_status rf_verify(rf_store *store, const rf_verify_options *options, rf_verify_result *result_out,
                    rf_err *err)
{
    const rf_verify_options none = {.run = {.workers_default = true}};
    struct verification verification = {.store = store, .options = options ? options : &none};
    const rf_run *wanted = &verification.options->run;
    bool whole = false;

    rf_status status = rf_pool_new(
        wanted->workers_default ? rf_processor_count() : wanted->workers, &verification.pool, err);
    if (status == RF_OK && !verification.options->name)
        status = check_environment(&verification, rf_log_kv(store->log), "log", &whole, err);
    if (status == RF_OK && whole)
        status = check_log(&verification, err);
    if (status == RF_OK)
        status = check_environment(&verification, rf_catalog_kv(store->catalog), "live", &whole, err);
    if (status == RF_OK && whole)
        status = check_generations(&verification, err);
    rf_pool_free(verification.pool);
    *result_out = verification.result;
    if (status == RF_OK && verification.result.damages > 0)
        status = rf_fail(err, RF_ERR_DAMAGED, "%s: %llu damage%s found", store->path,
                         (unsigned long long)verification.result.damages,
                         verification.result.damages == 1 ? "" : "s");
    return status;
}
