/* Replay: decoding, folding, emitting and writing of one projection, taken apart, over the store
 * that the import left. The floor of the whole is rebuild/floor.h's: the columns decoded, as many
 * bytes written and fsynced.
 */
#include "micro.h"

#include "base/clock.h"
#include "generation/replay.h"
#include "rebuild/floor.h"

#include <stdio.h>
#include <stdlib.h>

enum { RUNS_MAX = 1000 };

struct parts {
    double decode[RUNS_MAX], fold[RUNS_MAX], emit[RUNS_MAX], write[RUNS_MAX], seal[RUNS_MAX];
    double all[RUNS_MAX], floor[RUNS_MAX];
    uint64_t events, rows, bytes_decoded, bytes_written;
};

static rf_status run_floor(rf_store *store, rf_pool *pool, const rf_resolved *resolved,
                           uint64_t bytes, double *seconds_out, rf_err *err)
{
    char dir[RF_PATH_SIZE];
    const rf_floor_options options = {.until = UINT64_MAX, .write_bytes = bytes, .dir = dir};

    rf_status status = rf_catalog_new_scratch(store->catalog, resolved->definitions[0]->name, dir,
                                              err);
    if (status == RF_OK)
        status = rf_floor_run(store->log, pool, (const rf_definition *const *)resolved->definitions,
                              resolved->count, &options, seconds_out, err);
    return status;
}

static rf_status run_once(rf_store *store, rf_pool *pool, const rf_resolved *resolved,
                          struct parts *parts, uint32_t run, rf_err *err)
{
    const rf_fold_options options = {.until = UINT64_MAX};
    rf_replay replay = {0};
    double start = rf_clock_seconds();

    rf_status status = rf_replay_begin(&replay, store, resolved, pool, true, err);
    if (status == RF_OK)
        status = rf_replay_fold(&replay, &options, err);
    if (status == RF_OK)
        status = rf_replay_seal(&replay, 1, 0, err);
    if (status == RF_OK) {
        const rf_manifest *manifest = rf_build_manifest(replay.builds[0]);
        parts->all[run] = rf_clock_seconds() - start;
        parts->decode[run] = replay.timings.load;
        parts->fold[run] = replay.timings.fold;
        parts->emit[run] = replay.timings.emit;
        parts->write[run] = replay.timings.write;
        parts->seal[run] = replay.timings.seal;
        parts->events = replay.events[0];
        parts->rows = manifest->rows;
        parts->bytes_decoded = replay.bytes_decoded;
        parts->bytes_written = 0;
        for (uint32_t k = 0; k < manifest->file_count; k++)
            parts->bytes_written += manifest->files[k].size;
    }
    rf_replay_end(&replay);
    if (status == RF_OK)
        status = run_floor(store, pool, resolved, parts->bytes_written, &parts->floor[run], err);
    return status;
}

static void print_parts(micro *bench, struct parts *parts)
{
    const micro_case cases[] = {
        {"floor: decode, write, fsync", "event", parts->events, parts->bytes_written, true, NULL,
         NULL},
        {"replay", "event", parts->events, parts->bytes_written, false, NULL, NULL},
        {"  decode, stored bytes", "event", parts->events, parts->bytes_decoded, false, NULL, NULL},
        {"  fold", "event", parts->events, 0, false, NULL, NULL},
        {"  emit", "row", parts->rows, parts->bytes_written, false, NULL, NULL},
        {"  write", "row", parts->rows, parts->bytes_written, false, NULL, NULL},
        {"  seal", "row", parts->rows, parts->bytes_written, false, NULL, NULL},
    };
    double *const seconds[] = {parts->floor, parts->all,   parts->decode, parts->fold,
                               parts->emit,  parts->write, parts->seal};

    micro_title("replay");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        micro_print(bench, &cases[i], seconds[i]);
}

rf_status micro_replay(micro *bench, rf_err *err)
{
    struct parts *parts = calloc(1, sizeof *parts);
    rf_resolved resolved = {0};
    rf_store *store = NULL;
    rf_pool *pool = NULL;
    char path[RF_PATH_SIZE];

    if (!parts)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for figures");
    snprintf(path, sizeof path, "%s/0.refold", bench->folder);
    rf_status status = rf_store_open(path, NULL, &store, err);
    if (status == RF_OK)
        status = rf_pool_new(0, &pool, err);
    if (status == RF_OK)
        status = rf_resolve(store, &bench->projection, 1, false, &resolved, err);
    if (status == RF_OK)
        status = run_once(store, pool, &resolved, parts, 0, err);
    for (uint32_t i = 0; status == RF_OK && i < bench->runs; i++)
        status = run_once(store, pool, &resolved, parts, i, err);
    if (status == RF_OK)
        print_parts(bench, parts);
    rf_resolved_free(&resolved);
    rf_pool_free(pool);
    rf_store_close(store);
    free(parts);
    return status;
}
