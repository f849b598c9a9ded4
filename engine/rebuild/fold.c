/* See fold.h.
 *
 * A worker keeps its plan, its scan and its buffers from partition to partition. A partition goes:
 *
 *     size the states -> (step: bind, fold, perhaps evacuate) … -> names -> rows to the sinks
 *
 * The loop over a segment's events runs once for each definition: types
 * and stream numbers are in the nearest cache by then, and a definition's rows have it for
 * themselves.
 */
#include "rebuild/fold.h"

#include "base/clock.h"
#include "rebuild/plan.h"
#include "rebuild/state.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
    FOLD_ALLOC_MAX = 16 << 20,
    REASON_SIZE = 256,
    EMIT_AHEAD = 16,
};
#define TEXT_BUDGET_MIN ((size_t)1 << 20)
/* No budget but a border: an arena must have one. What is kept is what rows need, twice at most. */
#define TEXT_BYTES_MAX ((size_t)1 << 40)
#define NAMES_BYTES_MAX ((size_t)1 << 40)
#define PROGRESS_S 1.0

/* The calls of one definition for one type of the segment at hand. */
struct lane {
    const rf_plan_call *calls;
    uint32_t call_count;
    uint32_t ordinal; /* of the next event of the type */
};

/* What handlers get; `fold` is first. */
struct context {
    rf_fold fold;
    struct worker *worker;
    char reason[REASON_SIZE];
};

struct run;

/* Confined to its thread. */
struct worker {
    struct run *run;
    struct context context;
    rf_plan *plan;
    rf_log_scan *scan;
    rf_state *states; /* one per definition, as the next */
    uint64_t *events; /* that its handlers got */
    rf_arena text;    /* what rows and event structs refer to */
    size_t text_live; /* bytes of it after the last evacuation */
    char *spare; /* what alloc gives when there is no memory: the run fails, the handler goes on */
    bool out_of_memory;
    uint32_t partition;
    uint32_t stream_count;
    rf_arena names_arena;
    rf_stream_name *names; /* of the partition, in name order; NULL until loaded */
    uint32_t name_count;
    rf_slice *names_by_number;      /* NULL unless a handler reads streams or categories */
    rf_slice *categories_by_number; /* NULL unless one reads categories */
    struct lane *lanes;
    uint32_t lane_capacity;
    double last_progress;
    rf_fold_stats stats;
};

struct run {
    /* fixed after start */
    rf_log *log;
    rf_fold_target *targets;
    uint32_t target_count;
    const rf_fold_options *options;
    const rf_definition **definitions;
    uint32_t *order; /* partitions, largest first */
    rf_census *census;
    const rf_census_type *census_types;
    uint32_t census_count;
    size_t text_budget;
    double start;
    struct worker *workers;
    uint32_t worker_count;
    /* atomic */
    atomic_uint_fast64_t events_done;
};

/* ---- what handlers may call ---- */

static char *context_alloc(rf_fold *fold, size_t size)
{
    struct worker *worker = ((struct context *)fold)->worker;

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
    struct context *context = (struct context *)fold;
    size_t size = reason ? strnlen(reason, REASON_SIZE - 1) : 0;

    memcpy(context->reason, reason ? reason : "", size);
    context->reason[size] = '\0';
}

/* ---- faults ---- */

static rf_status load_names(struct worker *worker, rf_err *err)
{
    if (worker->names)
        return RF_OK;
    return rf_log_names(worker->run->log, worker->partition, worker->stream_count,
                        &worker->names_arena, &worker->names, &worker->name_count, err);
}

/* Adds the place of a segment's event to what went wrong there. */
static rf_status blame(struct worker *worker, const rf_log_step *step, uint32_t event,
                       uint32_t target, rf_status failure, const char *reason, rf_err *err)
{
    const rf_segment *segment = &step->segment;
    int64_t *values = malloc(segment->count * sizeof *values);
    uint64_t position = 0;
    rf_slice type = {"?", 1};
    rf_slice stream = {"?", 1};

    if (values) {
        if (rf_segment_envelope(segment, RF_ENVELOPE_POSITION, values, NULL, NULL) == RF_OK)
            position = (uint64_t)values[event];
        if (rf_segment_envelope(segment, RF_ENVELOPE_TYPE, values, NULL, NULL) == RF_OK &&
            (uint64_t)values[event] < segment->type_count)
            type = segment->types[values[event]].name;
        if (rf_segment_envelope(segment, RF_ENVELOPE_STREAM, values, NULL, NULL) == RF_OK &&
            load_names(worker, NULL) == RF_OK)
            for (uint32_t i = 0; i < worker->name_count; i++)
                if (worker->names[i].number == values[event])
                    stream = worker->names[i].name;
    }
    free(values);
    rf_status status =
        rf_fail(err, failure, "%s: %s, at position %llu (stream %.*s, type %.*s)",
                worker->run->definitions[target]->name, reason, (unsigned long long)position,
                (int)stream.size, stream.data, (int)type.size, type.data);
    if (err)
        err->position = position;
    return status;
}

/* ---- text ---- */

/* Lets go of text that no row refers to any more, where there is much of it. Between segments:
 * event structs refer to text too. */
static rf_status evacuate(struct worker *worker, rf_err *err)
{
    rf_arena fresh;
    rf_status status = RF_OK;

    if (worker->text.bytes <= worker->run->text_budget ||
        worker->text.bytes <= 2 * worker->text_live)
        return RF_OK;
    rf_arena_init(&fresh, TEXT_BYTES_MAX);
    for (uint32_t i = 0; status == RF_OK && i < worker->run->target_count; i++)
        status = rf_state_move_texts(&worker->states[i], &fresh, err);
    /* after a failure rows refer to both; neither is read again */
    rf_arena_free(&worker->text);
    worker->text = fresh;
    worker->text_live = fresh.bytes;
    return status;
}

/* ---- folding ---- */

static rf_status set_lanes(struct worker *worker, const rf_segment *segment,
                           const rf_plan_segment *bound, uint32_t target, bool *any_out,
                           rf_err *err)
{
    if (segment->type_count > worker->lane_capacity) {
        free(worker->lanes);
        worker->lanes = malloc(segment->type_count * sizeof *worker->lanes);
        worker->lane_capacity = worker->lanes ? segment->type_count : 0;
        if (!worker->lanes)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u types of events",
                           segment->type_count);
    }
    *any_out = false;
    for (uint32_t t = 0; t < segment->type_count; t++) {
        const rf_plan_type *type = &bound->types[t];
        struct lane lane = {.ordinal = type->events_before};
        for (uint32_t c = 0; c < type->call_count; c++) {
            if (type->calls[c].definition != target)
                continue;
            if (!lane.calls)
                lane.calls = &type->calls[c];
            lane.call_count++;
        }
        worker->lanes[t] = lane;
        *any_out = *any_out || lane.call_count > 0;
    }
    return RF_OK;
}

static rf_status refuse_result(struct worker *worker, const rf_log_step *step, uint32_t event,
                               uint32_t target, rf_fold_result result, rf_err *err)
{
    const char *reason = worker->context.reason;

    if (worker->out_of_memory)
        return blame(worker, step, event, target, RF_ERR_MEMORY,
                     "out of memory for text that a handler makes (16 MiB a piece at most)", err);
    if (result != RF_FOLD_FAILED)
        reason = "a handler returned what is no rf_fold_result";
    else if (reason[0] == '\0')
        reason = "a handler failed without giving a reason";
    return blame(worker, step, event, target, RF_ERR_PLUGIN, reason, err);
}

/* The loop that everything else is there for. */
static rf_status fold_events(struct worker *worker, const rf_log_step *step,
                             const rf_plan_segment *bound, uint32_t target, rf_err *err)
{
    const rf_definition *definition = worker->run->definitions[target];
    const rf_state *state = &worker->states[target];
    rf_fold *fold = &worker->context.fold;
    struct lane *lanes = worker->lanes;
    const uint32_t *types = bound->event_types;
    const uint32_t *streams = bound->event_streams;
    char *rows = state->rows;
    uint8_t *flags = state->flags;
    size_t stride = state->stride;
    uint64_t events = 0;

    for (uint32_t i = step->begin; i < step->end; i++) {
        struct lane *lane = &lanes[types[i]];
        uint32_t ordinal = lane->ordinal++;
        const rf_plan_call *call = lane->calls;
        const rf_plan_call *call_end = call + lane->call_count;
        uint32_t stream = streams[i];
        char *row = rows + stream * stride;
        if (call == call_end)
            continue;
        events++;
        do {
            if (!(flags[stream] & RF_STATE_TOUCHED)) {
                memcpy(row, definition->row_template, definition->row_size);
                flags[stream] = RF_STATE_TOUCHED;
            }
            rf_fold_result result =
                call->fold(fold, row, rf_plan_event(call, i, ordinal, stream));
            if (result == RF_ROW_WRITTEN)
                flags[stream] = RF_STATE_TOUCHED | RF_STATE_EXISTS;
            else if (result == RF_ROW_DELETED)
                flags[stream] = 0;
            else if (result != RF_ROW_UNCHANGED)
                return refuse_result(worker, step, i, target, result, err);
        } while (++call < call_end);
        if (__builtin_expect(worker->out_of_memory, false))
            return refuse_result(worker, step, i, target, RF_FOLD_FAILED, err);
    }
    worker->events[target] += events;
    return RF_OK;
}

static rf_status bind_step(struct worker *worker, const rf_log_step *step, rf_plan_segment *bound,
                           rf_err *err)
{
    rf_plan_input input = {
        .segment = &step->segment,
        .begin = step->begin,
        .end = step->end,
        .stream_count = worker->stream_count,
        .streams = worker->names_by_number,
        .categories = worker->categories_by_number,
        .text = &worker->text,
    };
    rf_plan_fault fault;
    rf_err found = {0};

    rf_status status = rf_plan_bind(worker->plan, &input, bound, &fault, &found);
    if (status == RF_OK)
        return RF_OK;
    if (fault.event != UINT32_MAX)
        return blame(worker, step, fault.event, fault.definition, status, found.message, err);
    if (err)
        *err = found;
    return status;
}

static rf_status fold_step(struct worker *worker, const rf_log_step *step, double *since,
                           rf_err *err)
{
    rf_plan_segment bound;

    rf_status status = bind_step(worker, step, &bound, err);
    double decoded = rf_clock_seconds();
    worker->stats.decode_s += decoded - *since;
    for (uint32_t i = 0; status == RF_OK && bound.event_types && i < worker->run->target_count;
         i++) {
        bool any = false;
        status = set_lanes(worker, &step->segment, &bound, i, &any, err);
        if (status == RF_OK && any)
            status = fold_events(worker, step, &bound, i, err);
    }
    if (status == RF_OK)
        status = evacuate(worker, err);
    *since = rf_clock_seconds();
    worker->stats.fold_s += *since - decoded;
    return status;
}

static void report_progress(struct worker *worker, uint32_t events)
{
    struct run *run = worker->run;
    uint64_t done = atomic_fetch_add_explicit(&run->events_done, events, memory_order_relaxed);
    double now;

    if (!run->options->progress || worker != &run->workers[0])
        return;
    now = rf_clock_seconds();
    if (now - worker->last_progress < PROGRESS_S)
        return;
    worker->last_progress = now;
    const rf_progress progress = {
        .what = "rebuild",
        .done = done + events,
        .total = run->options->until,
        .seconds = now - run->start,
    };
    run->options->progress(run->options->progress_arg, &progress);
}

static rf_status fold_partition(struct worker *worker, rf_err *err)
{
    struct run *run = worker->run;
    double since = rf_clock_seconds();
    rf_log_step step;
    bool found = true;

    rf_status status = worker->scan ? rf_log_scan_restart(worker->scan, worker->partition, 1,
                                                          run->options->until, err)
                                    : rf_log_scan_open(run->log, worker->partition, 1,
                                                       run->options->until, &worker->scan, err);
    while (status == RF_OK) {
        if (run->options->cancel && *run->options->cancel)
            return rf_fail(err, RF_ERR_INTERRUPTED,
                           "interrupted while folding; what was live is live");
        status = rf_log_scan_next(worker->scan, &step, &found, err);
        if (status != RF_OK || !found)
            break;
        status = fold_step(worker, &step, &since, err);
        report_progress(worker, step.end - step.begin);
    }
    return status;
}

/* ---- a partition ---- */

/* The part of a name before the first '-', for each stream. */
static rf_status index_categories(struct worker *worker, rf_err *err)
{
    size_t size = (size_t)worker->stream_count * sizeof *worker->categories_by_number;
    rf_slice *categories = rf_arena_alloc(&worker->names_arena, size);

    if (!categories)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the categories of %u streams",
                       worker->stream_count);
    for (uint32_t i = 0; i < worker->stream_count; i++) {
        rf_slice name = worker->names_by_number[i];
        const char *end = memchr(name.data, '-', name.size);
        categories[i] = (rf_slice){name.data, end ? (size_t)(end - name.data) : name.size};
    }
    worker->categories_by_number = categories;
    return RF_OK;
}

static rf_status index_names(struct worker *worker, rf_err *err)
{
    size_t size = (size_t)worker->stream_count * sizeof *worker->names_by_number;

    rf_status status = load_names(worker, err);
    if (status != RF_OK)
        return status;
    rf_slice *by_number = rf_arena_alloc(&worker->names_arena, size);
    if (!by_number)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the names of %u streams",
                       worker->stream_count);
    memset(by_number, 0, size);
    for (uint32_t i = 0; i < worker->name_count; i++)
        if (worker->names[i].number < worker->stream_count)
            by_number[worker->names[i].number] = worker->names[i].name;
    for (uint32_t i = 0; i < worker->stream_count; i++)
        if (!by_number[i].data)
            return rf_fail(err, RF_ERR_DAMAGED, "partition %u: stream number %u has no name",
                           worker->partition, i);
    worker->names_by_number = by_number;
    return rf_plan_reads_category(worker->plan) ? index_categories(worker, err) : RF_OK;
}

static rf_status begin_partition(struct worker *worker, uint32_t partition, rf_err *err)
{
    rf_log_partition info;

    worker->partition = partition;
    worker->names = NULL;
    worker->name_count = 0;
    worker->names_by_number = NULL;
    worker->categories_by_number = NULL;
    rf_arena_rewind(&worker->names_arena);
    rf_arena_rewind(&worker->text);
    worker->text_live = 0;
    rf_status status = rf_log_get_partition(worker->run->log, partition, &info, err);
    if (status != RF_OK)
        return status;
    worker->stream_count = info.streams;
    for (uint32_t i = 0; status == RF_OK && i < worker->run->target_count; i++)
        status = rf_state_size(&worker->states[i], partition, info.streams, err);
    if (status == RF_OK &&
        (rf_plan_reads_stream(worker->plan) || rf_plan_reads_category(worker->plan)))
        status = index_names(worker, err);
    return status;
}

/* Name order is no order of memory: rows are fetched some names ahead, and when they are there,
 * what their texts refer to. */
static inline void fetch_row(const rf_state *state, uint32_t number)
{
    __builtin_prefetch(state->flags + number);
    __builtin_prefetch(state->rows + number * state->stride);
    __builtin_prefetch(state->rows + (number + 1) * state->stride - 1);
}

static inline void fetch_texts(const rf_state *state, uint32_t number)
{
    if (number >= state->stream_count || !(state->flags[number] & RF_STATE_TOUCHED))
        return;
    const char *row = state->rows + number * state->stride;
    for (uint32_t i = 0; i < state->text_count; i++) {
        rf_slice text;
        memcpy(&text, row + state->text_offsets[i], sizeof text);
        __builtin_prefetch(text.data);
    }
}

static rf_status emit_rows(struct worker *worker, uint32_t target_index, rf_err *err)
{
    const rf_fold_target *target = &worker->run->targets[target_index];
    const rf_state *state = &worker->states[target_index];
    uint32_t worker_index = (uint32_t)(worker - worker->run->workers);
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < worker->name_count; i++) {
        uint32_t number = worker->names[i].number;
        if (i + EMIT_AHEAD < worker->name_count)
            fetch_row(state, worker->names[i + EMIT_AHEAD].number);
        if (i + EMIT_AHEAD / 2 < worker->name_count)
            fetch_texts(state, worker->names[i + EMIT_AHEAD / 2].number);
        if (number >= worker->stream_count || !(state->flags[number] & RF_STATE_EXISTS))
            continue;
        status = target->row(target->sink_arg, worker_index, worker->partition,
                             worker->names[i].name, state->rows + number * state->stride, err);
    }
    if (status == RF_OK)
        status = target->partition_end(target->sink_arg, worker_index, worker->partition, err);
    return status;
}

static rf_status run_partition(void *arg, uint32_t worker_index, size_t index, rf_err *err)
{
    struct run *run = arg;
    struct worker *worker = &run->workers[worker_index];

    RF_ASSERT(worker_index < run->worker_count);
    rf_status status = begin_partition(worker, run->order[index], err);
    if (status == RF_OK)
        status = fold_partition(worker, err);
    double since = rf_clock_seconds();
    if (status == RF_OK)
        status = load_names(worker, err);
    for (uint32_t i = 0; status == RF_OK && i < run->target_count; i++)
        status = emit_rows(worker, i, err);
    worker->stats.emit_s += rf_clock_seconds() - since;
    return status;
}

/* ---- a run ---- */

static void worker_end(struct worker *worker, uint32_t target_count)
{
    rf_plan_free(worker->plan);
    rf_log_scan_close(worker->scan);
    for (uint32_t i = 0; worker->states && i < target_count; i++)
        rf_state_end(&worker->states[i]);
    free(worker->states);
    free(worker->events);
    free(worker->spare);
    free(worker->lanes);
    rf_arena_free(&worker->text);
    rf_arena_free(&worker->names_arena);
}

static bool worker_begin(struct worker *worker, struct run *run)
{
    worker->run = run;
    worker->last_progress = run->start;
    worker->context = (struct context){
        .fold = {.abi = RF_PROJECTION_ABI, .alloc = context_alloc, .fail = context_fail},
        .worker = worker,
    };
    rf_arena_init(&worker->text, TEXT_BYTES_MAX);
    rf_arena_init(&worker->names_arena, NAMES_BYTES_MAX);
    worker->plan =
        rf_plan_new(run->definitions, run->target_count, run->census_types, run->census_count);
    worker->states = calloc(run->target_count, sizeof *worker->states);
    worker->events = calloc(run->target_count, sizeof *worker->events);
    worker->spare = malloc(FOLD_ALLOC_MAX);
    if (!worker->plan || !worker->states || !worker->events || !worker->spare)
        return false;
    for (uint32_t i = 0; i < run->target_count; i++)
        rf_state_begin(&worker->states[i], run->definitions[i]);
    return true;
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
    rf_status status = RF_OK;

    if (!sizes)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u partitions", count);
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        rf_log_partition info;
        status = rf_log_get_partition(log, i, &info, err);
        if (status == RF_OK)
            sizes[i] = (struct partition_size){info.events, i};
    }
    if (status == RF_OK) {
        qsort(sizes, count, sizeof *sizes, compare_sizes);
        for (uint32_t i = 0; i < count; i++)
            order[i] = sizes[i].partition;
    }
    free(sizes);
    return status;
}

static rf_status run_begin(struct run *run, rf_err *err)
{
    run->definitions = calloc(run->target_count, sizeof *run->definitions);
    run->workers = calloc(run->worker_count, sizeof *run->workers);
    run->census = rf_census_new();
    run->order = calloc(rf_log_partitions(run->log), sizeof *run->order);
    if (!run->definitions || !run->workers || !run->census || !run->order)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a fold");
    rf_status status = rf_log_census(run->log, run->census, err);
    if (status == RF_OK)
        status = rf_census_list(run->census, &run->census_types, &run->census_count, err);
    if (status != RF_OK)
        return status;
    for (uint32_t i = 0; i < run->target_count; i++)
        run->definitions[i] = run->targets[i].definition;
    for (uint32_t i = 0; i < run->worker_count; i++)
        if (!worker_begin(&run->workers[i], run))
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for worker %u of a fold", i + 1);
    return rf_fold_order(run->log, run->order, err);
}

static void run_end(struct run *run)
{
    for (uint32_t i = 0; run->workers && i < run->worker_count; i++)
        worker_end(&run->workers[i], run->target_count);
    free(run->workers);
    free(run->definitions);
    free(run->order);
    rf_census_free(run->census);
}

static void add_up(const struct run *run, rf_fold_stats *stats_out)
{
    rf_fold_stats stats = {0};

    for (uint32_t i = 0; i < run->target_count; i++)
        run->targets[i].events = 0;
    for (uint32_t i = 0; i < run->worker_count; i++) {
        const struct worker *worker = &run->workers[i];
        stats.bytes_decoded += rf_plan_bytes_decoded(worker->plan);
        stats.decode_s += worker->stats.decode_s;
        stats.fold_s += worker->stats.fold_s;
        stats.emit_s += worker->stats.emit_s;
        for (uint32_t k = 0; k < run->target_count; k++)
            run->targets[k].events += worker->events[k];
    }
    *stats_out = stats;
}

rf_status rf_fold_run(rf_log *log, rf_pool *pool, rf_fold_target *targets, uint32_t target_count,
                      const rf_fold_options *options, rf_fold_stats *stats_out, rf_err *err)
{
    struct run run = {
        .log = log,
        .targets = targets,
        .target_count = target_count,
        .options = options,
        .worker_count = rf_pool_worker_slots(pool),
        .start = rf_clock_seconds(),
    };

    RF_ASSERT(targets && target_count > 0);
    /* half of a worker's share is for text, the other for rows and what is being decoded */
    run.text_budget = (size_t)(options->memory_bytes / run.worker_count / 2);
    if (run.text_budget < TEXT_BUDGET_MIN)
        run.text_budget = TEXT_BUDGET_MIN;
    atomic_init(&run.events_done, 0);
    rf_status status = run_begin(&run, err);
    if (status == RF_OK)
        status = rf_pool_run(pool, rf_log_partitions(log), run_partition, &run, err);
    if (status == RF_OK)
        add_up(&run, stats_out);
    run_end(&run);
    return status;
}
