/* See refold/bench.h.
 *
 *     lock -> resolve -> checks -> (warm-up: replay) -> rounds of (replay, floor) a case -> report
 *
 * What is timed is a pool's start, a replay (replay.h) and its seal, nothing around them.
 */
#include "refold/bench.h"

#include "base/clock.h"
#include "base/machine.h"
#include "generation/replay.h"
#include "pipeline/preflight.h"
#include "rebuild/floor.h"

#include <stdlib.h>

enum { RUNS_DEFAULT = 5 };
#define REPORT_BYTES_MAX ((size_t)64 << 20)

/* Sums over the replays of a case, in seconds. */
struct sums {
    rf_timings timings;
    double wall;
};

struct bench {
    rf_store *store;
    const rf_bench_options *options;
    rf_resolved resolved;
    rf_preflight preflight;
    bool preflight_done;
    int lock;
    bool scratch_made;
    rf_bench_report report; /* pieces in the arena */
    rf_arena arena;
    rf_bench_projection *projections;
    rf_bench_case *cases;
    double **seconds; /* by case; what the report shows as const */
    double **floors;
    struct sums *sums;
    uint32_t replays_done;
    double start;
};

struct report {
    rf_bench_report report;
    rf_arena arena;
};

/* ---- what to measure ---- */

static rf_status no_memory(rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "out of memory for the figures of a bench");
}

static rf_status check_options(const rf_bench_options *options, rf_err *err)
{
    if (options->runs > RF_BENCH_RUNS_MAX)
        return rf_fail(err, RF_ERR_USAGE, "%u runs are more than %d", options->runs,
                       RF_BENCH_RUNS_MAX);
    if (options->worker_count > RF_BENCH_CASES_MAX)
        return rf_fail(err, RF_ERR_USAGE, "%u numbers of workers are more than %d",
                       options->worker_count, RF_BENCH_CASES_MAX);
    for (uint32_t i = 0; i < options->worker_count; i++) {
        if (options->workers[i] > RF_POOL_WORKERS_MAX)
            return rf_fail(err, RF_ERR_USAGE, "%u workers are more than %d", options->workers[i],
                           RF_POOL_WORKERS_MAX);
        for (uint32_t k = 0; k < i; k++)
            if (options->workers[k] == options->workers[i])
                return rf_fail(err, RF_ERR_USAGE, "%u workers are to be measured twice",
                               options->workers[i]);
    }
    return RF_OK;
}

/* 0, 1, 2, 4 ... and the processors. */
static uint32_t default_workers(uint32_t workers_out[RF_BENCH_CASES_MAX])
{
    uint32_t most = rf_processor_count();
    uint32_t count = 0;

    if (most > RF_POOL_WORKERS_MAX)
        most = RF_POOL_WORKERS_MAX;
    workers_out[count++] = 0;
    for (uint32_t workers = 1; workers < most; workers *= 2)
        workers_out[count++] = workers;
    workers_out[count++] = most;
    return count;
}

static int compare_counts(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

static rf_status make_cases(struct bench *bench, rf_err *err)
{
    rf_bench_report *report = &bench->report;
    const rf_bench_options *options = bench->options;
    uint32_t workers[RF_BENCH_CASES_MAX];
    uint32_t count = options->worker_count;
    rf_arena *arena = &bench->arena;

    if (count == 0)
        count = default_workers(workers);
    else
        memcpy(workers, options->workers, count * sizeof *workers);
    qsort(workers, count, sizeof *workers, compare_counts);
    report->runs = options->runs ? options->runs : RUNS_DEFAULT;
    report->case_count = count;
    report->projection_count = bench->resolved.count;
    bench->projections =
        rf_arena_alloc(arena, report->projection_count * sizeof *bench->projections);
    bench->cases = rf_arena_alloc(arena, count * sizeof *bench->cases);
    bench->seconds = rf_arena_alloc(arena, count * sizeof *bench->seconds);
    bench->floors = rf_arena_alloc(arena, count * sizeof *bench->floors);
    bench->sums = rf_arena_alloc(arena, count * sizeof *bench->sums);
    if (!bench->projections || !bench->cases || !bench->seconds || !bench->floors || !bench->sums)
        return no_memory(err);
    memset(bench->sums, 0, count * sizeof *bench->sums);
    for (uint32_t i = 0; i < count; i++) {
        bench->seconds[i] = rf_arena_alloc(arena, report->runs * sizeof(double));
        bench->floors[i] = rf_arena_alloc(arena, report->runs * sizeof(double));
        if (!bench->seconds[i] || !bench->floors[i])
            return no_memory(err);
        bench->cases[i] = (rf_bench_case){
            .workers = workers[i],
            .seconds = bench->seconds[i],
            .floor_seconds = bench->floors[i],
        };
    }
    report->projections = bench->projections;
    report->cases = bench->cases;
    return RF_OK;
}

static rf_status describe(struct bench *bench, rf_err *err)
{
    rf_bench_report *report = &bench->report;
    rf_machine machine;
    rf_log_info info;

    rf_status status = rf_log_get_info(bench->store->log, &info, err);
    if (status != RF_OK)
        return status;
    rf_machine_get(&machine);
    report->processor = rf_arena_copy(&bench->arena, rf_slice_of(machine.processor)).data;
    report->system = rf_arena_copy(&bench->arena, rf_slice_of(machine.system)).data;
    report->store = rf_arena_copy(&bench->arena, rf_slice_of(bench->store->path)).data;
    if (!report->processor || !report->system || !report->store)
        return no_memory(err);
    report->processors = rf_processor_count();
    report->machine_memory = machine.memory_bytes;
    report->load = machine.load;
    report->measured_at = rf_clock_wall_us();
    report->position = info.position;
    report->events = info.events;
    report->streams = info.streams;
    report->partitions = bench->store->partitions;
    report->payload_bytes = info.raw_bytes;
    report->log_bytes = info.bytes;
    report->memory_bytes =
        bench->options->memory_bytes ? bench->options->memory_bytes : RF_REPLAY_MEMORY_DEFAULT;
    return RF_OK;
}

static rf_status prepare(struct bench *bench, rf_err *err)
{
    /* what a type without handler means for the rows is a rebuild's matter */
    const rf_preflight_options options = {.until = UINT64_MAX, .ignore_unknown = true};

    rf_status status =
        rf_preflight_run(bench->store, &bench->resolved, &options, &bench->preflight, err);
    bench->preflight_done = status == RF_OK;
    if (status == RF_OK && !bench->options->allow_missing)
        status = rf_preflight_refusal(&bench->preflight, false, err);
    if (status == RF_OK)
        status = rf_catalog_remove_scratch(bench->store->catalog, err);
    if (status == RF_OK)
        status = describe(bench, err);
    return status == RF_OK ? make_cases(bench, err) : status;
}

/* ---- measuring ---- */

/* A fold's progress as that of all replays. */
static void pass_progress(void *arg, const rf_progress *progress)
{
    const struct bench *bench = arg;
    const rf_bench_report *report = &bench->report;
    const rf_run *run = &bench->options->run;
    uint64_t replays = 1 + (uint64_t)report->runs * report->case_count;
    const rf_progress all = {
        .what = "bench",
        .done = bench->replays_done * report->position + progress->done,
        .total = replays * report->position,
        .seconds = rf_clock_seconds() - bench->start,
    };

    run->progress(run->progress_arg, &all);
}

/* Rows and digests: taken from the first replay, the same in all others. */
static rf_status take_results(struct bench *bench, const rf_replay *replay, rf_err *err)
{
    rf_bench_report *report = &bench->report;
    uint64_t bytes_written = 0;

    for (uint32_t i = 0; i < report->projection_count; i++) {
        const rf_manifest *manifest = rf_build_manifest(replay->builds[i]);
        rf_bench_projection now = {
            .version = manifest->version,
            .rows = manifest->rows,
            .events = replay->events[i],
        };
        for (uint32_t k = 0; k < manifest->file_count; k++)
            now.bytes += manifest->files[k].size;
        bytes_written += now.bytes;
        rf_digest_format(&manifest->digest, now.digest);
        now.name = rf_arena_copy(&bench->arena, rf_slice_of(manifest->name)).data;
        if (!now.name)
            return no_memory(err);
        if (bench->replays_done == 0)
            bench->projections[i] = now;
        else if (strcmp(bench->projections[i].digest, now.digest) != 0)
            return rf_fail(err, RF_ERR_PLUGIN,
                           "%s: two replays of the same events gave different rows (digests %s and "
                           "%s): it is not deterministic; nothing was changed",
                           now.name, bench->projections[i].digest, now.digest);
    }
    report->bytes_decoded = replay->bytes_decoded;
    report->bytes_written = bytes_written;
    return RF_OK;
}

static rf_status measure_replay(struct bench *bench, uint32_t workers, double *seconds_out,
                                rf_timings *timings_out, rf_err *err)
{
    const rf_run *run = &bench->options->run;
    const rf_fold_options options = {
        .until = bench->report.position,
        .memory_bytes = bench->report.memory_bytes,
        .cancel = run->cancel,
        .progress = run->progress ? pass_progress : NULL,
        .progress_arg = bench,
    };
    rf_replay replay = {0};
    rf_pool *pool = NULL;
    double start = rf_clock_seconds();

    rf_status status = rf_pool_new(workers, &pool, err);
    if (status == RF_OK)
        status = rf_replay_begin(&replay, bench->store, &bench->resolved, pool, true, err);
    if (status == RF_OK)
        status = rf_replay_fold(&replay, &options, err);
    if (status == RF_OK)
        status = rf_replay_seal(&replay, bench->report.position, bench->preflight.time_last, err);
    if (status == RF_OK) {
        *seconds_out = rf_clock_seconds() - start;
        *timings_out = replay.timings;
        status = take_results(bench, &replay, err);
    }
    rf_replay_end(&replay);
    rf_pool_free(pool);
    bench->replays_done++;
    return status;
}

static rf_status measure_floor(struct bench *bench, uint32_t workers, double *seconds_out,
                               rf_err *err)
{
    /* any scratch will do */
    const char *name = bench->resolved.definitions[0]->name;
    char dir[RF_PATH_SIZE];
    rf_pool *pool = NULL;

    rf_status status = rf_catalog_new_scratch(bench->store->catalog, name, dir, err);
    if (status == RF_OK)
        status = rf_pool_new(workers, &pool, err);
    if (status == RF_OK) {
        const rf_floor_options options = {
            .until = bench->report.position,
            .write_bytes = bench->report.bytes_written,
            .dir = dir,
            .cancel = bench->options->run.cancel,
        };
        status = rf_floor_run(bench->store->log, pool,
                              (const rf_definition *const *)bench->resolved.definitions,
                              bench->resolved.count, &options, seconds_out, err);
    }
    rf_pool_free(pool);
    return status;
}

static rf_status measure_case(struct bench *bench, uint32_t index, uint32_t round, rf_err *err)
{
    rf_bench_case *at = &bench->cases[index];
    struct sums *sums = &bench->sums[index];
    rf_timings timings;

    bool known = rf_memory_peak_reset();
    rf_status status =
        measure_replay(bench, at->workers, &bench->seconds[index][round], &timings, err);
    if (status != RF_OK)
        return status;
    /* in later rounds what more workers left in malloc's hands would count too */
    if (known && round == 0)
        at->memory_peak = rf_memory_peak();
    sums->wall += bench->seconds[index][round];
    sums->timings.load += timings.load;
    sums->timings.fold += timings.fold;
    sums->timings.emit += timings.emit;
    sums->timings.write += timings.write;
    sums->timings.seal += timings.seal;
    return measure_floor(bench, at->workers, &bench->floors[index][round], err);
}

static rf_status measure(struct bench *bench, rf_err *err)
{
    rf_timings timings;
    double seconds;

    bench->scratch_made = true;
    rf_status status = measure_replay(bench, bench->cases[0].workers, &seconds, &timings, err);
    for (uint32_t round = 0; status == RF_OK && round < bench->report.runs; round++)
        for (uint32_t i = 0; status == RF_OK && i < bench->report.case_count; i++)
            status = measure_case(bench, i, round, err);
    return status;
}

/* ---- figures ---- */

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;

    return (a > b) - (a < b);
}

/* `sorted` has room for `count`. */
static double median_of(const double *values, uint32_t count, double *sorted)
{
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_doubles);
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

static double ratio(double value, double by)
{
    return by > 0 ? value / by : 0;
}

static rf_bench_shares shares_of(const struct sums *sums, uint32_t workers)
{
    double all = sums->wall * (workers ? workers : 1);
    const rf_timings *timings = &sums->timings;
    rf_bench_shares shares = {
        .decode = ratio(timings->load, all),
        .fold = ratio(timings->fold, all),
        .emit = ratio(timings->emit, all),
        .write = ratio(timings->write, all),
        .seal = ratio(timings->seal, all),
    };
    double known = shares.decode + shares.fold + shares.emit + shares.write + shares.seal;

    shares.idle = known < 1 ? 1 - known : 0;
    return shares;
}

static rf_status compute(struct bench *bench, rf_err *err)
{
    rf_bench_report *report = &bench->report;
    const rf_bench_case *baseline = &bench->cases[0];

    double *sorted = rf_arena_alloc(&bench->arena, report->runs * sizeof *sorted);
    if (!sorted)
        return no_memory(err);
    for (uint32_t i = 0; i < report->case_count; i++) {
        rf_bench_case *at = &bench->cases[i];
        at->floor_median = median_of(bench->floors[i], report->runs, sorted);
        at->median = median_of(bench->seconds[i], report->runs, sorted);
        at->fastest = sorted[0];
        at->slowest = sorted[report->runs - 1];
        at->floor_ratio = ratio(at->median, at->floor_median);
        at->events_per_second = ratio((double)report->events, at->median);
        at->payload_bytes_per_second = ratio((double)report->payload_bytes, at->median);
        at->shares = shares_of(&bench->sums[i], at->workers);
        if (at->workers == 1)
            baseline = at;
    }
    report->baseline_workers = baseline->workers;
    for (uint32_t i = 0; i < report->case_count; i++)
        bench->cases[i].speedup = ratio(baseline->median, bench->cases[i].median);
    return RF_OK;
}

static rf_status make_report(struct bench *bench, rf_bench_report **report_out, rf_err *err)
{
    rf_status status = compute(bench, err);

    if (status != RF_OK)
        return status;
    struct report *owner = malloc(sizeof *owner);
    if (!owner)
        return no_memory(err);
    *owner = (struct report){bench->report, bench->arena};
    rf_arena_init(&bench->arena, REPORT_BYTES_MAX);
    *report_out = &owner->report;
    return RF_OK;
}

rf_status rf_bench(rf_store *store, const char *const *projections, uint32_t projection_count,
                   const rf_bench_options *options, rf_bench_report **report_out, rf_err *err)
{
    const rf_bench_options none = {0};
    struct bench bench = {
        .store = store,
        .options = options ? options : &none,
        .lock = -1,
        .start = rf_clock_seconds(),
    };

    rf_arena_init(&bench.arena, REPORT_BYTES_MAX);
    rf_status status = check_options(bench.options, err);
    if (status == RF_OK)
        status = rf_store_lock(store, bench.options->run.wait_lock_ms, &bench.lock, err);
    if (status == RF_OK)
        status = rf_resolve(store, projections, projection_count, false, &bench.resolved, err);
    if (status == RF_OK)
        status =
            rf_resolve_evolution(&bench.resolved, projections, bench.options->evolution, err);
    if (status == RF_OK)
        status = prepare(&bench, err);
    if (status == RF_OK)
        status = measure(&bench, err);
    if (bench.scratch_made) {
        rf_status removed = rf_catalog_remove_scratch(store->catalog, status == RF_OK ? err : NULL);
        status = status == RF_OK ? removed : status;
    }
    if (status == RF_OK)
        status = make_report(&bench, report_out, err);
    if (bench.preflight_done)
        rf_preflight_free(&bench.preflight);
    rf_resolved_free(&bench.resolved);
    rf_arena_free(&bench.arena);
    rf_lock_release(bench.lock);
    return status;
}

void rf_bench_report_free(rf_bench_report *report)
{
    if (!report)
        return;
    struct report *owner = (struct report *)report;
    rf_arena_free(&owner->arena);
    free(owner);
}
