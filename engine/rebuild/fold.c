/* See fold.h.
 *
 * A worker keeps its steps, its states and its buffers from partition to partition. A partition
 * goes: ranges of its streams -> (size the states -> fold -> rows to the sinks, or to a spill) …
 */
#include "rebuild/fold_job.h"

#include "base/clock.h"
#include "rebuild/exchange.h"

#include <stdlib.h>

enum { FOLD_ALLOC_MAX = 16 << 20, RANGES_MAX = 1 << 20 };
#define TEXT_BUDGET_MIN ((size_t)1 << 20)
#define STATES_BUDGET_MIN ((size_t)1 << 10)
#define MAPPED_BUDGET_MIN ((uint64_t)1 << 20)
/* No budget but a border: an arena must have one. */
#define TEXT_BYTES_MAX ((size_t)1 << 40)
#define NAMES_BYTES_MAX ((size_t)1 << 40)
/* A name in an index by number, guessed: the slice, the category's, and its bytes. */
enum { NAME_BYTES = 2 * sizeof(rf_slice) + 48 };

/* ---- what handlers may call ---- */

static char *context_alloc(rf_fold *fold, size_t size)
{
    rf_fold_worker *worker = ((rf_fold_context *)fold)->worker;

    if (size > FOLD_ALLOC_MAX) {
        worker->out_of_memory = true;
        return NULL;
    }
    char *bytes = rf_arena_bytes(&worker->text, size);
    if (bytes)
        return bytes;
    worker->out_of_memory = true;
    return worker->spare;
}

static void context_fail(rf_fold *fold, const char *reason)
{
    rf_fold_context *context = (rf_fold_context *)fold;
    size_t size = reason ? strnlen(reason, RF_FOLD_REASON_SIZE - 1) : 0;

    memcpy(context->reason, reason ? reason : "", size);
    context->reason[size] = '\0';
}

/* ---- a partition ---- */

rf_status rf_fold_range_begin(rf_fold_worker *worker, rf_fold_range range, rf_err *err)
{
    rf_status status = RF_OK;

    worker->range = range;
    worker->names_by_number = NULL;
    worker->categories_by_number = NULL;
    rf_arena_rewind(&worker->names_arena);
    rf_arena_rewind(&worker->text);
    if (worker->text.spare_bytes > worker->job->text_budget)
        rf_arena_free(&worker->text);
    worker->text_live = 0;
    for (uint32_t i = 0; status == RF_OK && i < worker->job->target_count; i++)
        status = rf_state_size(&worker->states[i], worker->partition, range.count, err);
    if (status == RF_OK && worker->job->target_count > 1) {
        uint8_t *exists = realloc(worker->exists, range.count ? range.count : 1);
        if (!exists)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u streams", range.count);
        worker->exists = exists;
    }
    return status;
}

/* The ranges of a partition that was folded in several. */
typedef struct range_list {
    rf_fold_range *ranges;
    uint32_t count, capacity;
} range_list;

static rf_status range_list_add(range_list *list, rf_fold_range range, rf_err *err)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity ? 2 * list->capacity : 16;
        rf_fold_range *ranges =
            capacity <= RANGES_MAX ? realloc(list->ranges, capacity * sizeof *ranges) : NULL;
        if (!ranges)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u ranges of streams", capacity);
        list->ranges = ranges;
        list->capacity = capacity;
    }
    list->ranges[list->count++] = range;
    return RF_OK;
}

void rf_fold_range_mark(rf_fold_worker *worker)
{
    for (uint32_t i = 0; i < worker->job->target_count; i++) {
        worker->events_before[i] = worker->events[i];
        worker->faults_before[i] = worker->faults[i].count;
    }
}

void rf_fold_range_forget(rf_fold_worker *worker)
{
    for (uint32_t i = 0; i < worker->job->target_count; i++) {
        worker->events[i] = worker->events_before[i];
        rf_faults_cut(&worker->faults[i], worker->faults_before[i]);
    }
}

/* In ranges of the same size. */
static uint32_t range_size(uint32_t streams, uint32_t most)
{
    uint32_t ranges = streams / most + (streams % most > 0);

    return ranges > 1 ? streams / ranges + (streams % ranges > 0) : streams;
}

/* Folds the partition's streams, as many at a time as memory allows. A range whose texts turn out
 * to be too many is begun anew with half of its streams. */
static rf_status fold_ranges(rf_fold_worker *worker, range_list *list, rf_err *err)
{
    rf_fold_job *job = worker->job;
    uint32_t streams = worker->stream_count;
    uint32_t at_a_time = range_size(streams, job->streams_budget);
    uint32_t first = 0;
    rf_status status = RF_OK;

    while (status == RF_OK && first < streams) {
        uint32_t count = streams - first < at_a_time ? streams - first : at_a_time;
        bool fits = true;
        rf_fold_range_mark(worker);
        status = rf_fold_range_begin(worker, (rf_fold_range){first, count}, err);
        if (status == RF_OK && rf_ahead_reads_names(job->ahead))
            status = rf_fold_read_names(worker, err);
        if (status == RF_OK)
            status = rf_fold_range_fold(worker, &fits, err);
        if (status == RF_OK && !fits) {
            rf_fold_range_forget(worker);
            at_a_time = count / 2;
            continue;
        }
        if (status == RF_OK && count == streams)
            return rf_fold_emit(worker, err);
        if (status == RF_OK && first + count == streams)
            return rf_fold_emit_spilled(worker, list->ranges, list->count, err);
        if (status == RF_OK)
            status = rf_fold_spill(worker, err);
        if (status == RF_OK)
            status = range_list_add(list, worker->range, err);
        worker->ranges_spilled++;
        first += count;
    }
    return status == RF_OK ? rf_fold_emit(worker, err) : status; /* of no streams */
}

/* The same from a later event on: of streams that have any there. */
static rf_status fold_on(rf_fold_worker *worker, rf_err *err)
{
    bool fits = true;

    rf_status status = rf_fold_range_begin(worker, (rf_fold_range){0, worker->stream_count}, err);
    if (status == RF_OK)
        status = rf_fold_start_begin(worker, err);
    if (status == RF_OK)
        status = rf_fold_range_fold(worker, &fits, err);
    RF_ASSERT(fits); /* there is nowhere to spill to */
    return status == RF_OK ? rf_fold_start_emit(worker, err) : status;
}

static rf_status run_partition(rf_fold_worker *worker, uint32_t partition, rf_err *err)
{
    uint64_t from = worker->job->options->from;
    rf_log_partition info;
    range_list list = {0};

    rf_status status = rf_log_get_partition(worker->job->log, partition, &info, err);
    if (status != RF_OK)
        return status;
    worker->partition = partition;
    worker->stream_count = info.streams;
    worker->range = (rf_fold_range){0, 0};
    for (uint32_t i = 0; i < worker->job->target_count; i++)
        worker->faults_begin[i] = worker->faults[i].count;
    if (worker->job->options->chosen_count > 0)
        status = rf_fold_chosen(worker, err);
    else if (from <= 1)
        status = fold_ranges(worker, &list, err);
    else if (from <= info.last_position)
        status = fold_on(worker, err);
    free(list.ranges);
    for (uint32_t i = 0; status == RF_OK && i < worker->job->target_count; i++)
        status = rf_faults_name(&worker->faults[i], worker->faults_begin[i], worker->names,
                                partition, err);
    return status;
}

/* ---- a job ---- */

/* A task is a partition or, behind the last, to help those that still fold one. */
static rf_status run_task(void *arg, uint32_t worker_index, size_t index, rf_err *err)
{
    rf_fold_job *job = arg;

    RF_ASSERT(worker_index < job->worker_count);
    if (index >= job->partition_count) {
        rf_ahead_help(job->ahead, worker_index);
        return RF_OK;
    }
    rf_status status = run_partition(&job->workers[worker_index], job->order[index], err);
    rf_ahead_partition_done(job->ahead);
    return status;
}

static void worker_end(rf_fold_worker *worker, uint32_t target_count)
{
    for (uint32_t i = 0; worker->states && i < target_count; i++)
        rf_state_end(&worker->states[i]);
    for (uint32_t i = 0; worker->spills && i < target_count; i++)
        rf_spill_free(worker->spills[i]);
    rf_fold_batch_end(worker);
    rf_log_names_close(worker->names);
    free(worker->states);
    free(worker->spills);
    free(worker->events);
    free(worker->events_before);
    for (uint32_t i = 0; worker->faults && i < target_count; i++)
        rf_faults_free(&worker->faults[i]);
    free(worker->faults);
    free(worker->faults_begin);
    free(worker->faults_before);
    free(worker->positions);
    free(worker->row_before);
    free(worker->rows_before);
    free(worker->flags_before);
    free(worker->exists);
    free(worker->touched);
    rf_log_scan_close(worker->scan);
    free(worker->listed);
    free(worker->spare);
    free(worker->lanes);
    free(worker->blocks);
    free(worker->wanted);
    rf_arena_free(&worker->text);
    rf_arena_free(&worker->names_arena);
}

static size_t row_size_max(const rf_fold_job *job)
{
    size_t size = 1;

    for (uint32_t i = 0; i < job->target_count; i++)
        size = job->definitions[i]->row_size > size ? job->definitions[i]->row_size : size;
    return size;
}

static rf_status worker_begin(rf_fold_worker *worker, rf_fold_job *job, uint32_t index, rf_err *err)
{
    worker->job = job;
    worker->index = index;
    worker->last_progress = job->start;
    worker->mapped.budget = job->mapped_budget;
    worker->context = (rf_fold_context){
        .fold = {.abi = RF_PROJECTION_ABI, .alloc = context_alloc, .fail = context_fail},
        .worker = worker,
    };
    rf_arena_init(&worker->text, TEXT_BYTES_MAX);
    rf_arena_init(&worker->names_arena, NAMES_BYTES_MAX);
    worker->steps = rf_ahead_steps(job->ahead, index);
    worker->states = calloc(job->target_count, sizeof *worker->states);
    worker->spills = calloc(job->target_count, sizeof(rf_spill *));
    worker->events = calloc(job->target_count, sizeof *worker->events);
    worker->events_before = calloc(job->target_count, sizeof *worker->events_before);
    worker->faults = calloc(job->target_count, sizeof *worker->faults);
    worker->faults_begin = calloc(job->target_count, sizeof *worker->faults_begin);
    worker->faults_before = calloc(job->target_count, sizeof *worker->faults_before);
    worker->row_before = malloc(row_size_max(job));
    worker->listed = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *worker->listed);
    worker->spare = malloc(FOLD_ALLOC_MAX);
    worker->blocks = malloc(RF_FOLD_BLOCKS_BYTES);
    if (!worker->states || !worker->spills || !worker->events ||
        !worker->events_before || !worker->listed || !worker->spare || !worker->faults ||
        !worker->faults_begin || !worker->faults_before || !worker->row_before || !worker->blocks)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for worker %u of a fold", index + 1);
    for (uint32_t i = 0; i < job->target_count; i++) {
        rf_state_begin(&worker->states[i], job->definitions[i]);
        rf_faults_init(&worker->faults[i]);
    }
    rf_status status = rf_fold_batch_begin(worker, err);
    if (status != RF_OK)
        return status;
    return rf_log_names_open(job->log, &worker->names, err);
}

struct partition_size {
    uint64_t events;
    uint32_t partition;
};

static int compare_sizes(const void *left, const void *right)
{
    const struct partition_size *a = left;
    const struct partition_size *b = right;

    if (a->events != b->events)
        return a->events < b->events ? 1 : -1;
    return (a->partition > b->partition) - (a->partition < b->partition);
}

/* Largest first: the last to end are small. */
rf_status rf_fold_order(rf_log *log, uint32_t *order, rf_err *err)
{
    uint32_t count = rf_log_partitions(log);
    struct partition_size *sizes = calloc(count, sizeof *sizes);
    rf_log_partition *infos = calloc(count, sizeof *infos);

    rf_status status = sizes && infos
                           ? rf_log_get_partitions(log, infos, err)
                           : rf_fail(err, RF_ERR_MEMORY, "out of memory for %u partitions", count);
    if (status == RF_OK) {
        for (uint32_t i = 0; i < count; i++)
            sizes[i] = (struct partition_size){infos[i].events, i};
        qsort(sizes, count, sizeof *sizes, compare_sizes);
        for (uint32_t i = 0; i < count; i++)
            order[i] = sizes[i].partition;
    }
    free(infos);
    free(sizes);
    return status;
}

/* Who begins behind the first event looks into segments here and there, and comes back to them. */
uint64_t rf_fold_mapped_budget(const rf_fold_options *options, uint32_t worker_count)
{
    uint64_t share = options->memory_bytes / worker_count / (options->from > 1 ? 4 : 16);

    return share > MAPPED_BUDGET_MIN ? share : MAPPED_BUDGET_MIN;
}

/* Shares of the memory: a quarter for rows, an eighth for their text (and as much again while it is
 * moved), a sixteenth for mapped pages, which cost nothing to let go of; the rest is for what is
 * decoded, emitted and written. */
static void set_budgets(rf_fold_job *job)
{
    uint64_t share = job->options->memory_bytes / job->worker_count;
    uint64_t states = share / 4 > STATES_BUDGET_MIN ? share / 4 : STATES_BUDGET_MIN;
    uint64_t bytes = 1;

    job->text_budget = share / 8 > TEXT_BUDGET_MIN ? (size_t)(share / 8) : TEXT_BUDGET_MIN;
    job->mapped_budget = rf_fold_mapped_budget(job->options, job->worker_count);
    for (uint32_t i = 0; i < job->target_count; i++)
        bytes += rf_state_stream_bytes(job->definitions[i]);
    if (rf_ahead_reads_names(job->ahead))
        bytes += NAME_BYTES;
    uint64_t streams = states / bytes;
    job->streams_budget = job->options->spill_dir && streams < UINT32_MAX
                              ? (uint32_t)(streams ? streams : 1)
                              : UINT32_MAX;
}

static rf_status job_begin(rf_fold_job *job, rf_err *err)
{
    rf_ahead_config config = {
        .log = job->log,
        .definition_count = job->target_count,
        .worker_count = job->worker_count,
        .partition_count = job->partition_count,
        .until = job->options->until,
        .cancel = job->options->cancel,
    };

    job->definitions = calloc(job->target_count, sizeof *job->definitions);
    job->workers = calloc(job->worker_count, sizeof *job->workers);
    job->census = rf_census_new();
    job->order = calloc(job->partition_count, sizeof *job->order);
    if (!job->definitions || !job->workers || !job->census || !job->order)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a fold");
    rf_status status = rf_log_census(job->log, job->census, err);
    if (status == RF_OK)
        status = rf_census_list(job->census, &config.census, &config.census_count, err);
    if (status != RF_OK)
        return status;
    for (uint32_t i = 0; i < job->target_count; i++) {
        job->definitions[i] = job->targets[i].definition;
        config.lenient |= !rf_fault_policy_is_strict(&job->targets[i].policy);
    }
    config.definitions = job->definitions;
    job->ahead = rf_ahead_new(&config);
    if (!job->ahead)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a fold");
    set_budgets(job);
    for (uint32_t i = 0; status == RF_OK && i < job->worker_count; i++)
        status = worker_begin(&job->workers[i], job, i, err);
    return status == RF_OK ? rf_fold_order(job->log, job->order, err) : status;
}

static void job_end(rf_fold_job *job)
{
    for (uint32_t i = 0; job->workers && i < job->worker_count; i++)
        worker_end(&job->workers[i], job->target_count);
    rf_log_unload(job->log);
    rf_ahead_free(job->ahead);
    free(job->workers);
    free(job->definitions);
    free(job->order);
    rf_census_free(job->census);
}

static void add_up(const rf_fold_job *job, rf_fold_stats *stats_out)
{
    rf_fold_stats stats = {
        .bytes_decoded = rf_ahead_bytes_decoded(job->ahead),
        .decode_s = rf_ahead_decode_seconds(job->ahead),
    };

    for (uint32_t i = 0; i < job->target_count; i++)
        job->targets[i].events = 0;
    for (uint32_t i = 0; i < job->worker_count; i++) {
        const rf_fold_worker *worker = &job->workers[i];
        stats.fold_s += worker->fold_s;
        stats.emit_s += worker->emit_s;
        stats.ranges_spilled += worker->ranges_spilled;
        for (uint32_t k = 0; k < job->target_count; k++)
            job->targets[k].events += worker->events[k];
    }
    *stats_out = stats;
}

/* The workers' lists of what was left out in one, in the same order for any number of them. */
static rf_status gather_faults(const rf_fold_job *job, uint32_t target_index, rf_err *err)
{
    rf_fold_target *target = &job->targets[target_index];
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < job->worker_count; i++)
        status = rf_faults_take(&target->faults, &job->workers[i].faults[target_index], err);
    rf_faults_sort(&target->faults);
    if (status == RF_OK && target->faults.count > target->policy.errors_max)
        status = rf_fail(err, RF_ERR_PLUGIN, "%s: %u events failed, more than %llu (--max-errors)",
                         target->definition->name, target->faults.count,
                         (unsigned long long)target->policy.errors_max);
    return status;
}

/* Which event ended the fold: of those that the workers met, the one that is reported. */
static void tell_failure(const rf_fold_job *job, uint64_t position)
{
    rf_fold_failure *out = job->options->failure_out;

    for (uint32_t i = 0; out && position != 0 && i < job->worker_count; i++)
        if (job->workers && job->workers[i].failure.position == position)
            *out = job->workers[i].failure;
}

/* Definitions whose rows are those of streams, in one pass. */
static rf_status run_streams(rf_log *log, rf_pool *pool, rf_fold_target *targets,
                             uint32_t target_count, const rf_fold_options *options,
                             rf_fold_stats *stats_out, rf_err *err)
{
    rf_fold_job job = {
        .log = log,
        .targets = targets,
        .target_count = target_count,
        .options = options,
        .partition_count = rf_log_partitions(log),
        .worker_count = rf_pool_worker_slots(pool),
        .start = rf_clock_seconds(),
    };

    rf_err failure = {0};

    RF_ASSERT(targets && target_count > 0);
    atomic_init(&job.events_done, 0);
    for (uint32_t i = 0; i < target_count; i++)
        rf_faults_init(&targets[i].faults);
    rf_status status = job_begin(&job, &failure);
    size_t task_count = (size_t)job.partition_count + job.worker_count - 1;
    if (status == RF_OK)
        status = rf_pool_run(pool, task_count, run_task, &job, &failure);
    for (uint32_t i = 0; status == RF_OK && i < target_count; i++)
        status = gather_faults(&job, i, &failure);
    if (status == RF_OK)
        add_up(&job, stats_out);
    else
        tell_failure(&job, failure.position);
    if (status != RF_OK && err)
        *err = failure;
    job_end(&job);
    return status;
}

static void add_stats(rf_fold_stats *sum, const rf_fold_stats *more)
{
    sum->bytes_decoded += more->bytes_decoded;
    sum->decode_s += more->decode_s;
    sum->fold_s += more->fold_s;
    sum->emit_s += more->emit_s;
    sum->ranges_spilled += more->ranges_spilled;
}

/* Those that were folded together, in their places again; a failure names one by its place. */
static void take_back(rf_fold_target *targets, uint32_t target_count,
                      const rf_fold_target *together, rf_fold_failure *failure)
{
    uint32_t failed = failure ? failure->target : UINT32_MAX;
    uint32_t next = 0;

    for (uint32_t i = 0; i < target_count; i++) {
        if (!targets[i].definition->by_stream)
            continue;
        if (next == failed)
            failure->target = i;
        targets[i] = together[next++];
    }
}

rf_status rf_fold_run(rf_log *log, rf_pool *pool, rf_fold_target *targets, uint32_t target_count,
                      const rf_fold_options *options, rf_fold_stats *stats_out, rf_err *err)
{
    rf_fold_target *together = calloc(target_count, sizeof *together);
    rf_fold_stats sum = {0}, stats;
    uint32_t count = 0;
    rf_status status = RF_OK;

    RF_ASSERT(targets && target_count > 0);
    RF_ASSERT(options->chosen_count == 0 || options->from == 0);
    if (!together)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u projections", target_count);
    for (uint32_t i = 0; i < target_count; i++)
        if (targets[i].definition->by_stream)
            together[count++] = targets[i];
    if (count > 0) {
        status = run_streams(log, pool, together, count, options, &stats, err);
        if (status == RF_OK)
            add_stats(&sum, &stats);
    }
    take_back(targets, target_count, together, status == RF_OK ? NULL : options->failure_out);
    for (uint32_t i = 0; status == RF_OK && i < target_count; i++) {
        if (targets[i].definition->by_stream)
            continue;
        RF_ASSERT(options->chosen_count == 0 || targets[i].definition->of_streams);
        rf_err failure = {0};
        status = rf_exchange_run(log, pool, &targets[i], options, &stats, &failure);
        if (status == RF_OK)
            add_stats(&sum, &stats);
        else if (options->failure_out)
            *options->failure_out = (rf_fold_failure){failure.position, i};
        if (status != RF_OK && err)
            *err = failure;
    }
    free(together);
    if (status == RF_OK)
        *stats_out = sum;
    return status;
}
