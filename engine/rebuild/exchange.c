/* See exchange.h.
 *
 *     begin -> pass (window (scatter -> fold -> perhaps drop) … -> emit) … -> end
 *
 * A pass that met a fault emits nothing, and the passes after it go up to the fault only: to find
 * one that comes before.
 */
#include "rebuild/exchange_job.h"

#include "base/clock.h"

#include <stdlib.h>

enum {
    WINDOW_MIN = 1 << 8,
    NUMBERS_MIN = 1 << 16,
    NUMBERS_EACH = 16, /* an event: clearing the places of more costs what finding keys again does */
    WINDOW_MAX = 1 << 22, /* two digits of the sort */
    CHUNK_MIN = 1 << 10,
    CHUNK_MAX = 1 << 16,
};
#define ROWS_BUDGET_MIN ((size_t)1 << 14)
#define TEXT_BUDGET_MIN ((size_t)1 << 20)

/* ---- begin and end ---- */

static rf_status begin_sources(rf_exchange *job, rf_err *err)
{
    rf_status status = RF_OK;

    job->sources = calloc(job->partition_count, sizeof *job->sources);
    if (!job->sources)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u partitions", job->partition_count);
    for (uint32_t i = 0; status == RF_OK && i < job->partition_count; i++) {
        rf_log_partition info;
        status = rf_log_get_partition(job->log, i, &info, err);
        job->sources[i].stream_count = status == RF_OK ? info.streams : 0;
    }
    return status;
}

static void end_source(rf_exchange_source *source)
{
    rf_carried_end(&source->carried);
    free(source->row_sets);
    free(source->asked);
    *source = (rf_exchange_source){.stream_count = source->stream_count};
}

/* Of a pass: nothing is carried yet, of `count` streams from `first` on, and no stream has rows. */
static rf_status reset_source(rf_exchange *job, rf_exchange_source *source, uint32_t first,
                              uint32_t count, rf_err *err)
{
    uint32_t streams = source->stream_count;

    end_source(source);
    source->idle = rf_exchange_leaves_out(job, (uint32_t)(source - job->sources));
    if (source->idle)
        return RF_OK;
    bool made = rf_carried_begin(&source->carried, job->keying.slots, job->keying.slot_count, first,
                                 count);
    if (job->keying.has_every_row) {
        source->row_sets = calloc(streams ? streams : 1, sizeof *source->row_sets);
        made = made && source->row_sets;
    }
    if (job->keying.has_every_row && rf_exchange_goes_on(job)) {
        source->asked = calloc(streams ? streams : 1, sizeof *source->asked);
        made = made && source->asked;
    }
    return made ? RF_OK
                : rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for what %u streams carry",
                          job->keying.definition->name, streams);
}

/* Shares of the memory: three eighths for the records of a window, a quarter for rows, an eighth for
 * text and a sixteenth for mapped pages of the log. Where columns are combined there are no records:
 * rows have five eighths, places by number a quarter, text and pages a sixteenth each. */
static void set_budgets(rf_exchange *job, const rf_census_type *types, uint32_t type_count)
{
    const rf_keying *keying = &job->keying;
    uint64_t memory = job->options->memory_bytes;
    uint64_t events = 0, bytes = 0;

    for (uint32_t i = 0; i < type_count; i++) {
        events += types[i].events;
        for (uint32_t h = 0; h < keying->derived.handler_count; h++) {
            const rf_keying_handler *handler = &keying->handlers[h];
            if (handler->handler && (handler->handler->every_type ||
                                     rf_slice_equal(handler->handler->type, types[i].type)))
                bytes += types[i].events * (sizeof(rf_exchange_record) + handler->event_size +
                                            2 * sizeof(rf_exchange_entry) / job->partition_count);
        }
    }
    uint64_t each = events ? bytes / events + 1 : 64;
    uint64_t window = memory / 8 * 3 / each;
    window = window < WINDOW_MIN ? WINDOW_MIN : window > WINDOW_MAX ? WINDOW_MAX : window;
    bool combines = job->keying.definition->combines;
    job->window = combines ? UINT64_MAX : window;
    uint64_t chunk = window * each / job->partition_count / job->worker_count / 4;
    job->chunk_size = chunk < CHUNK_MIN   ? CHUNK_MIN
                      : chunk > CHUNK_MAX ? CHUNK_MAX
                                          : (uint32_t)chunk & ~7u;
    uint64_t rows = combines ? memory / 8 * 5 : memory / 4;
    job->rows_budget = rows > ROWS_BUDGET_MIN ? (size_t)rows : ROWS_BUDGET_MIN;
    uint64_t share = memory / job->worker_count;
    job->numbers_max = (size_t)(share / (combines ? 4 : 32) / sizeof(rf_exchange_place));
    job->numbers_max = job->numbers_max > NUMBERS_MIN ? job->numbers_max : NUMBERS_MIN;
    if (job->numbers_max / NUMBERS_EACH > rf_exchange_event_count(job))
        job->numbers_max = (size_t)rf_exchange_event_count(job) * NUMBERS_EACH;
    job->mapped_budget = rf_fold_mapped_budget(job->options, job->worker_count);
    uint64_t text = share / (combines ? 16 : 8);
    job->text_budget = text > TEXT_BUDGET_MIN ? (size_t)text : TEXT_BUDGET_MIN;
}

static rf_status begin_ahead(rf_exchange *job, rf_err *err)
{
    rf_ahead_config config = {
        .log = job->log,
        .definition_count = 1,
        .worker_count = job->worker_count,
        .partition_count = job->partition_count,
        .until = job->options->until,
        .cancel = job->options->cancel,
        .lenient = !rf_fault_policy_is_strict(&job->target->policy),
    };

    job->census = rf_census_new();
    if (!job->census)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a fold");
    rf_status status = rf_log_census(job->log, job->census, err);
    if (status == RF_OK)
        status = rf_census_list(job->census, &config.census, &config.census_count, err);
    if (status != RF_OK)
        return status;
    job->census_types = config.census;
    job->census_type_count = config.census_count;
    job->derived = &job->keying.derived;
    job->carries = *job->derived;
    job->carries.handler_count = job->keying.definition->carry_count; /* they come first */
    job->carries_of = &job->carries;
    config.definitions = &job->derived;
    job->ahead = rf_ahead_new(&config);
    if (!job->ahead)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a fold");
    job->reads_names = rf_ahead_reads_names(job->ahead);
    job->by_call = rf_exchange_goes_by_call(job);
    set_budgets(job, config.census, config.census_count);
    return RF_OK;
}

static rf_status begin_tables(rf_exchange *job, rf_err *err)
{
    const rf_definition *definition = job->keying.definition;

    job->workers = calloc(job->worker_count, sizeof *job->workers);
    job->order = calloc(job->partition_count, sizeof *job->order);
    job->fold_order = calloc(job->partition_count, sizeof *job->fold_order);
    job->active = calloc(job->partition_count, sizeof *job->active);
    job->rows = calloc(job->partition_count, sizeof *job->rows);
    job->locks = aligned_alloc(_Alignof(rf_exchange_lock), job->partition_count * sizeof *job->locks);
    for (uint32_t i = 0; job->locks && i < job->partition_count; i++)
        (void)pthread_mutex_init(&job->locks[i].mutex, NULL);
    if (!job->workers || !job->order || !job->fold_order || !job->active || !job->rows ||
        !job->locks)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a fold");
    for (uint32_t i = 0; i < job->partition_count; i++)
        rf_exchange_rows_init(&job->rows[i], rf_exchange_row_size(job));
    for (uint32_t i = 0; i < definition->column_count; i++)
        job->row_texts = job->row_texts || definition->columns[i].kind == RF_TEXT ||
                         definition->columns[i].kind == RF_JSON;
    return rf_fold_order(job->log, job->order, err);
}

static rf_status job_begin(rf_exchange *job, rf_err *err)
{
    const rf_definition *definition = job->target->definition;

    (void)pthread_mutex_init(&job->mutex, NULL);
    job->has_mutex = true;
    rf_status status = rf_keying_begin(&job->keying, definition, err);
    if (status == RF_OK && definition->combines && !rf_combiner_begin(&job->combiner, definition))
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for a fold");
    if (status == RF_OK)
        status = begin_ahead(job, err);
    if (status == RF_OK)
        status = begin_tables(job, err);
    if (status == RF_OK)
        status = begin_sources(job, err);
    for (uint32_t i = 0; status == RF_OK && i < job->worker_count; i++)
        status = rf_exchange_worker_begin(&job->workers[i], job, i, err);
    return status;
}

/* All of them, between tasks. */
static void drop_rows(rf_exchange *job)
{
    rf_key_room *room = &job->workers[0].room;

    for (uint32_t i = 0; i < job->partition_count; i++) {
        if (job->rows)
            rf_exchange_rows_free(&job->rows[i], room);
        for (uint32_t w = 0; w < job->worker_count; w++)
            if (job->workers[w].own)
                rf_exchange_rows_free(&job->workers[w].own[i], room);
    }
    for (uint32_t w = 0; w < job->worker_count; w++)
        rf_key_room_clear(&job->workers[w].room);
}

static void job_end(rf_exchange *job)
{
    if (job->workers)
        drop_rows(job);
    for (uint32_t i = 0; job->workers && i < job->worker_count; i++)
        rf_exchange_worker_end(&job->workers[i]);
    rf_log_unload(job->log);
    for (uint32_t i = 0; job->sources && i < job->partition_count; i++)
        end_source(&job->sources[i]);
    rf_ahead_free(job->ahead);
    rf_census_free(job->census);
    rf_combiner_end(&job->combiner);
    rf_keying_end(&job->keying);
    free(job->workers);
    free(job->sources);
    free(job->order);
    free(job->fold_order);
    free(job->active);
    free(job->rows);
    rf_exchange_guard_end(job);
    for (uint32_t i = 0; job->locks && i < job->partition_count; i++)
        (void)pthread_mutex_destroy(&job->locks[i].mutex);
    free(job->locks);
    (void)pthread_mutex_destroy(&job->mutex);
}

/* ---- tasks ---- */

/* Of a pass that begins behind the first event: what streams with events carry from before. */
static rf_status begin_behind(rf_exchange_worker *worker, uint32_t partition, rf_err *err)
{
    rf_exchange *job = worker->job;
    rf_exchange_source *source = &job->sources[partition];

    end_source(source);
    rf_status status = rf_exchange_mark_streams(worker, partition, job->options->from,
                                                job->options->until, err);
    source->idle = status == RF_OK && worker->touched_count == 0;
    if (status != RF_OK || source->idle)
        return status;
    rf_exchange_span_touched(worker, source->stream_count);
    status = reset_source(job, source, worker->first_stream, worker->stream_span, err);
    return status == RF_OK && job->keying.slot_count > 0
               ? rf_exchange_carry_prior(worker, partition, err)
               : status;
}

/* A task is a partition of the log or, behind the last, to help those that still scatter one. */
static rf_status scatter_task(void *arg, uint32_t worker_index, size_t index, rf_err *err)
{
    rf_exchange *job = arg;

    RF_ASSERT(worker_index < job->worker_count);
    if (index >= job->partition_count) {
        rf_ahead_help(job->ahead, worker_index);
        return RF_OK;
    }
    rf_exchange_source *source = &job->sources[job->order[index]];
    bool once = job->keying.definition->combines; /* all of it, so nothing is carried on */
    bool behind = rf_exchange_goes_on(job) && job->from == job->options->from;
    rf_status status = behind ? begin_behind(&job->workers[worker_index], job->order[index], err)
                       : once ? reset_source(job, source, 0, source->stream_count, err)
                              : RF_OK;
    if (status == RF_OK)
        status = rf_exchange_scatter(&job->workers[worker_index], job->order[index], err);
    if (once)
        rf_carried_end(&source->carried);
    rf_ahead_partition_done(job->ahead);
    return status;
}

static rf_status fold_task(void *arg, uint32_t worker_index, size_t index, rf_err *err)
{
    rf_exchange *job = arg;

    return rf_exchange_fold(&job->workers[worker_index], job->fold_order[index], err);
}

static rf_status emit_task(void *arg, uint32_t worker_index, size_t index, rf_err *err)
{
    rf_exchange *job = arg;

    return job->active[index]
               ? rf_exchange_emit(&job->workers[worker_index], (uint32_t)index, err)
               : RF_OK;
}

/* ---- windows ---- */

static uint64_t records_of(const rf_exchange *job, uint32_t partition)
{
    uint64_t count = 0;

    for (uint32_t w = 0; w < job->worker_count; w++)
        count += job->workers[w].buckets[partition].count;
    return count;
}

/* Partitions with many records first: the last to end are small. */
static void order_fold(rf_exchange *job)
{
    for (uint32_t i = 0; i < job->partition_count; i++) {
        uint64_t count = records_of(job, i);
        uint32_t at = i;
        for (; at > 0 && records_of(job, job->fold_order[at - 1]) < count; at--)
            job->fold_order[at] = job->fold_order[at - 1];
        job->fold_order[at] = i;
    }
}

/* What led to rows of partitions that were left. */
static void forget_rows(rf_exchange *job)
{
    for (uint32_t i = 0; i < job->worker_count; i++)
        rf_exchange_memo_clear(&job->workers[i]);
    for (uint32_t i = 0; i < job->partition_count; i++)
        rf_exchange_forget_places(job, &job->sources[i].carried);
}

size_t rf_exchange_kept_max(const rf_exchange *job, size_t room, uint64_t done)
{
    uint64_t end = job->options->until;
    size_t eighth = room / 8;
    double behind = end > 0 && done < end ? (double)done / (double)end : 1;

    return eighth + (size_t)(behind * 6 * (double)eighth);
}

/* Where the rows are beyond the budget, leaves the last partitions to another pass. */
static void drop_partitions(rf_exchange *job)
{
    size_t kept_max = rf_exchange_kept_max(job, job->rows_budget, job->until);
    size_t kept = 0, sum = 0;
    uint32_t active = 0;

    for (uint32_t i = 0; i < job->partition_count; i++) {
        sum += job->active[i] ? rf_exchange_rows_bytes(&job->rows[i]) : 0;
        active += job->active[i];
    }
    if (sum <= job->rows_budget || active <= 1)
        return;
    bool first = true;
    for (uint32_t i = 0; i < job->partition_count; i++) {
        if (!job->active[i])
            continue;
        kept += rf_exchange_rows_bytes(&job->rows[i]);
        job->active[i] = first || kept <= kept_max;
        first = false;
        if (job->active[i])
            continue;
        rf_exchange_rows_free(&job->rows[i], &job->workers[i % job->worker_count].room);
    }
    forget_rows(job);
}

static rf_status run_window(rf_exchange *job, rf_err *err)
{
    size_t scatter_tasks = (size_t)job->partition_count + job->worker_count - 1;
    bool combines = job->keying.definition->combines;

    for (uint32_t i = 0; i < job->worker_count; i++) {
        rf_exchange_empty_buckets(&job->workers[i]);
        rf_exchange_drop_text(&job->workers[i]);
    }
    rf_ahead_restart(job->ahead, job->partition_count);
    rf_status status = rf_pool_run(job->pool, scatter_tasks, scatter_task, job, err);
    if (status == RF_OK && !rf_exchange_guard_gather(job))
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for events that failed");
    if (status != RF_OK || combines)
        return status;
    order_fold(job);
    return rf_pool_run(job->pool, job->partition_count, fold_task, job, err);
}

/* How far a pass goes: to the end, or to a fault that is known. */
static uint64_t end_of(const rf_exchange *job)
{
    uint64_t limit = atomic_load(&job->limit);

    return limit < job->options->until ? limit : job->options->until;
}

/* Whether the rows of a pass leave: not after a fault, nor before it is known which events fail. */
static bool pass_emits(rf_exchange *job)
{
    bool whole = job->counts; /* the first pass, with all partitions */

    for (uint32_t i = 0; i < job->partition_count; i++)
        whole = whole && job->active[i];
    return job->guard.on ? rf_exchange_round_emits(job, whole) : job->fault == RF_OK;
}

/* Bytes of the rows of a partition, as those have that were not left in the pass at hand; of a worker
 * where each has its own. */
static size_t partition_bytes(const rf_exchange *job)
{
    size_t bytes = 0, most = 0;
    uint32_t active = 0;

    for (uint32_t i = 0; i < job->partition_count; i++) {
        bytes += job->active[i] ? rf_exchange_rows_bytes(&job->rows[i]) : 0;
        active += job->active[i];
    }
    for (uint32_t w = 0; w < job->worker_count && job->workers[w].own; w++) {
        bytes = 0;
        for (uint32_t i = 0; i < job->partition_count; i++)
            bytes += job->active[i] ? rf_exchange_rows_bytes(&job->workers[w].own[i]) : 0;
        most = bytes > most ? bytes : most;
    }
    return (bytes > most ? bytes : most) / (active ? active : 1);
}

/* One pass over the log for the partitions that are active and have not been emitted. */
static rf_status run_pass(rf_exchange *job, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; i < job->worker_count; i++)
        rf_exchange_memo_clear(&job->workers[i]);
    bool by_task = rf_exchange_goes_on(job) || job->keying.definition->combines;
    for (uint32_t i = 0; status == RF_OK && !by_task && i < job->partition_count; i++)
        status = reset_source(job, &job->sources[i], 0, job->sources[i].stream_count, err);
    job->from = rf_exchange_goes_on(job) ? job->options->from : 1;
    while (status == RF_OK && job->from <= end_of(job)) {
        uint64_t left = end_of(job) - job->from;
        job->until = job->from + (left < job->window ? left : job->window - 1);
        status = run_window(job, err);
        if (status == RF_OK && !job->keying.definition->combines)
            drop_partitions(job);
        job->from = job->until + 1;
    }
    job->bytes_each = partition_bytes(job);
    if (status == RF_OK && pass_emits(job))
        status = rf_pool_run(job->pool, job->partition_count, emit_task, job, err);
    drop_rows(job); /* of partitions too that were left to another pass when a worker had ended */
    return status;
}

/* Of the partitions that are not done those that a pass begins with: all, or as many as there is room
 * for by what is known from a pass before. Leaving them later costs what was done for them. */
static void activate(rf_exchange *job, const bool *done, size_t each)
{
    bool own = job->keying.definition->combines;
    size_t room = (own ? job->rows_budget / job->worker_count : job->rows_budget) / 8 * 7;
    size_t taken = 0;

    for (uint32_t i = 0; i < job->partition_count; i++) {
        job->active[i] = !done[i] && (taken == 0 || taken + each <= room);
        taken += job->active[i] ? each : 0;
    }
}

static rf_status run_passes(rf_exchange *job, rf_err *err)
{
    rf_status status = RF_OK;
    uint32_t left = job->partition_count;
    bool *done = calloc(job->partition_count, sizeof *done);

    if (!done)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a fold");
    job->counts = true;
    job->bytes_each = 0;
    while (status == RF_OK && left > 0) {
        activate(job, done, job->bytes_each);
        status = run_pass(job, err);
        job->counts = false;
        for (uint32_t i = 0; i < job->partition_count; i++) {
            left -= job->active[i];
            done[i] = done[i] || job->active[i];
        }
    }
    free(done);
    return status;
}

/* Once, or as often as it takes to know what is left out. */
static rf_status run_rounds(rf_exchange *job, rf_err *err)
{
    rf_status status = RF_OK;
    bool ended = !job->guard.on;

    if (ended) {
        status = run_passes(job, err);
        return status == RF_OK && job->fault != RF_OK ? rf_exchange_blame(job, err) : status;
    }
    while (status == RF_OK && !ended) {
        rf_exchange_round_begin(job);
        status = run_passes(job, err);
        ended = status == RF_OK && rf_exchange_round_ends(job, &status, err);
    }
    return status == RF_OK ? rf_exchange_guard_tell(job, err) : status;
}

static void add_up(const rf_exchange *job, rf_fold_stats *stats_out)
{
    rf_fold_stats stats = {
        .bytes_decoded = rf_ahead_bytes_decoded(job->ahead),
        .decode_s = rf_ahead_decode_seconds(job->ahead),
    };

    job->target->events = job->target->keyless = 0;
    job->target->needs_all = atomic_load(&job->ambiguous);
    for (uint32_t i = 0; i < job->worker_count; i++) {
        const rf_exchange_worker *worker = &job->workers[i];
        stats.fold_s += worker->fold_s;
        stats.emit_s += worker->emit_s;
        job->target->events += worker->events;
        job->target->keyless += worker->keyless;
    }
    for (uint32_t i = 0; i < job->guard.note_count; i++)
        job->target->events -= job->guard.notes[i].counted;
    *stats_out = stats;
}

rf_status rf_exchange_run(rf_log *log, rf_pool *pool, rf_fold_target *target,
                          const rf_fold_options *options, rf_fold_stats *stats_out, rf_err *err)
{
    rf_fold_options bounded = *options;
    rf_log_info info;
    rf_exchange job = {
        .log = log,
        .pool = pool,
        .target = target,
        .options = &bounded,
        .partition_count = rf_log_partitions(log),
        .worker_count = rf_pool_worker_slots(pool),
        .start = rf_clock_seconds(),
    };

    RF_ASSERT(!target->definition->by_stream);
    atomic_init(&job.events_done, 0);
    atomic_init(&job.limit, UINT64_MAX);
    atomic_init(&job.drops, 0);
    atomic_init(&job.ambiguous, false);
    rf_faults_init(&target->faults);
    rf_exchange_guard_begin(&job);
    job.careful = job.guard.on || target->definition->faults_late;
    rf_status status = rf_log_get_info(log, &info, err);
    if (status == RF_OK && info.position < bounded.until)
        bounded.until = info.position; /* there are no windows behind the log */
    if (status == RF_OK)
        status = job_begin(&job, err);
    if (status == RF_OK)
        status = run_rounds(&job, err);
    if (status == RF_OK)
        add_up(&job, stats_out);
    job_end(&job);
    return status;
}
