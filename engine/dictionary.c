/* The data dictionary: what the values of each field were, and how many streams have each type; see
 * rf_store_dictionary in refold/log.h.
 *
 * The log is read once, partition by partition on the pool, column by column. Nothing of this is
 * kept with the log: an import pays nothing for it, and what is told is exact. Columns of texts are
 * decoded only while they may still tell something new: until a text is no time and the first
 * examples are found. Streams are counted by a bitmap for each type, over the numbers of a
 * partition's streams; types whose bitmaps do not fit into memory together take turns.
 */
#include "base/clock.h"
#include "base/pool.h"
#include "dictionary.h"
#include "rebuild/fold.h"

#include <stdlib.h>

#define SCRATCH_BYTES_MAX ((size_t)4 << 30)
enum { BITMAPS_BYTES = 32 << 20, MAPPED_BYTES = 32 << 20 };
#define PROGRESS_S 1.0

/* ---- a partition ---- */

static rf_status room_for_bitmaps(rf_dictionary_worker *worker, size_t size, rf_err *err)
{
    if (size > worker->bitmaps_size) {
        free(worker->bitmaps);
        worker->bitmaps = malloc(size);
        worker->bitmaps_size = worker->bitmaps ? size : 0;
    }
    if (size > 0 && !worker->bitmaps)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for counting streams: %zu bytes", size);
    if (size > 0)
        memset(worker->bitmaps, 0, size);
    return RF_OK;
}

static void report_progress(rf_dictionary *dictionary, uint32_t worker, uint32_t events)
{
    uint64_t done = atomic_fetch_add(&dictionary->events_done, events) + events;
    double now = rf_clock_seconds();

    if (!dictionary->run->progress || worker != 0 || now - dictionary->last_progress < PROGRESS_S)
        return;
    dictionary->last_progress = now;
    const rf_progress progress = {
        .what = "types",
        .done = done < dictionary->until ? done : dictionary->until,
        .total = dictionary->until,
        .seconds = now - dictionary->start,
    };
    dictionary->run->progress(dictionary->run->progress_arg, &progress);
}

static rf_status take_turn(rf_dictionary *dictionary, uint32_t index, uint32_t partition,
                           rf_entries turn, size_t bitmap_size, rf_err *err)
{
    rf_dictionary_worker *worker = &dictionary->workers[index];
    rf_log_step step;
    bool found = true;
    rf_status status;

    if (worker->scan)
        status = rf_log_scan_restart(worker->scan, partition, 1, dictionary->until, err);
    else
        status =
            rf_log_scan_open(dictionary->log, partition, 1, dictionary->until, &worker->scan, err);
    if (status == RF_OK)
        status = room_for_bitmaps(worker, (turn.end - turn.begin) * bitmap_size, err);
    while (status == RF_OK && found) {
        if (dictionary->run->cancel && *dictionary->run->cancel)
            return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted; nothing was changed");
        status = rf_log_scan_next(worker->scan, &step, &found, err);
        if (status != RF_OK || !found)
            break;
        if (step.segment.stream_max / 8 >= bitmap_size)
            return rf_fail(err, RF_ERR_DAMAGED,
                           "segment of partition %u at position %llu: a stream number that the "
                           "partition has not given",
                           partition, (unsigned long long)step.segment.first_position);
        status = rf_dictionary_step(dictionary, worker, &step, turn, bitmap_size, err);
        worker->mapped += step.segment.bytes.size;
        if (worker->mapped >= MAPPED_BYTES) {
            rf_log_unload(dictionary->log);
            worker->mapped = 0;
        }
        if (turn.begin == 0)
            report_progress(dictionary, index, step.end - step.begin);
    }
    return status;
}

static rf_status run_partition(void *arg, uint32_t index, size_t task, rf_err *err)
{
    rf_dictionary *dictionary = arg;
    uint32_t partition = dictionary->order[task];
    uint32_t type_count = dictionary->types->type_count;
    rf_log_partition info;

    rf_status status = rf_log_get_partition(dictionary->log, partition, &info, err);
    if (status != RF_OK || info.events == 0)
        return status;
    size_t bitmap_size = info.streams / 8 + 1;
    size_t at_a_time = BITMAPS_BYTES / bitmap_size ? BITMAPS_BYTES / bitmap_size : 1;
    for (uint32_t begin = 0; status == RF_OK && begin < type_count;) {
        rf_entries turn = {begin, type_count};
        if (turn.end - turn.begin > at_a_time)
            turn.end = turn.begin + (uint32_t)at_a_time;
        status = take_turn(dictionary, index, partition, turn, bitmap_size, err);
        begin = turn.end;
    }
    return status;
}

/* ---- the whole ---- */

static rf_status worker_begin(rf_dictionary_worker *worker, const rf_types *types, rf_err *err)
{
    size_t events = RF_SEGMENT_EVENTS_MAX;

    rf_arena_init(&worker->scratch, SCRATCH_BYTES_MAX);
    rf_buf_init(&worker->path, 1 << 20);
    worker->codec = rf_codec_new();
    worker->values = calloc((size_t)types->field_count + 1, sizeof *worker->values);
    worker->seen = calloc((size_t)types->field_count + 1, sizeof *worker->seen);
    worker->streams = calloc((size_t)types->type_count + 1, sizeof *worker->streams);
    worker->targets = calloc((size_t)types->type_count + 1, sizeof(rf_field_values *));
    worker->types = malloc(events * sizeof *worker->types);
    worker->stream_numbers = malloc(events * sizeof *worker->stream_numbers);
    worker->events = malloc(events * sizeof *worker->events);
    worker->positions = malloc(events * sizeof *worker->positions);
    worker->schemas = malloc(events * sizeof *worker->schemas);
    worker->wide = malloc(events * sizeof *worker->wide);
    if (!worker->codec || !worker->values || !worker->seen || !worker->streams ||
        !worker->targets || !worker->types || !worker->stream_numbers || !worker->events ||
        !worker->positions || !worker->schemas || !worker->wide)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a look at the log");
    return RF_OK;
}

static void worker_end(rf_dictionary_worker *worker)
{
    rf_log_scan_close(worker->scan);
    rf_codec_free(worker->codec);
    rf_arena_free(&worker->scratch);
    rf_buf_free(&worker->path);
    free(worker->values);
    free(worker->seen);
    free(worker->streams);
    free(worker->targets);
    free(worker->bitmaps);
    free(worker->types);
    free(worker->stream_numbers);
    free(worker->events);
    free(worker->positions);
    free(worker->schemas);
    free(worker->wide);
}

static const char *keep_text(rf_types *types, const char *text, size_t size)
{
    return rf_arena_copy(&types->arena, (rf_slice){text, size}).data;
}

/* What was found about a field, into the report. */
static rf_status report_field(rf_types *types, const rf_field_values *values, rf_type_field *field,
                              rf_err *err)
{
    static const rf_values_kind kinds[] = {
        [RF_VALUES_UNORDERED] = RF_VALUES_NONE,
        [RF_VALUES_NUMBERS] = RF_VALUES_NUMBER,
        [RF_VALUES_TIMES] = RF_VALUES_TIME,
        [RF_VALUES_DATES] = RF_VALUES_DATE,
    };
    char text[RF_VALUE_TEXT_SIZE];
    rf_type_example *examples =
        rf_arena_alloc(&types->arena, values->example_count * sizeof *examples);
    bool kept = examples != NULL;

    field->values = kinds[rf_field_values_order(values)];
    field->partial = values->partial;
    if (field->values != RF_VALUES_NONE) {
        field->smallest = keep_text(types, text, rf_field_values_smallest(values, text));
        field->largest = keep_text(types, text, rf_field_values_largest(values, text));
        kept = kept && field->smallest && field->largest;
    }
    for (uint32_t i = 0; kept && i < values->example_count; i++) {
        const rf_values_example *example = &values->examples[i];
        examples[i] = (rf_type_example){
            .text = keep_text(types, example->text, example->size),
            .cut = example->cut,
            .position = example->position,
        };
        kept = examples[i].text != NULL;
    }
    if (!kept)
        return rf_fail(err, RF_ERR_MEMORY, "no memory for the report of types");
    field->examples = examples;
    field->example_count = values->example_count;
    return RF_OK;
}

static rf_status report(const rf_dictionary *dictionary, rf_types *types, rf_err *err)
{
    rf_field_values *values = dictionary->workers[0].values;
    rf_status status = RF_OK;

    for (uint32_t w = 0; w < dictionary->worker_count; w++) {
        const rf_dictionary_worker *worker = &dictionary->workers[w];
        for (uint32_t i = 0; i < types->type_count; i++)
            types->types[i].streams += worker->streams[i];
        for (uint32_t i = 0; w > 0 && i < types->field_count; i++)
            rf_field_values_add(&values[i], &worker->values[i]);
    }
    for (uint32_t i = 0; status == RF_OK && i < types->field_count; i++)
        status = report_field(types, &values[i], &types->fields[i], err);
    return status;
}

static rf_status prepare(rf_dictionary *dictionary, rf_err *err)
{
    const rf_types *types = dictionary->types;

    dictionary->order = calloc(rf_log_partitions(dictionary->log), sizeof *dictionary->order);
    dictionary->field_begin = calloc((size_t)types->type_count + 1, sizeof(uint32_t));
    dictionary->workers = calloc(dictionary->worker_count, sizeof *dictionary->workers);
    if (!dictionary->order || !dictionary->field_begin || !dictionary->workers)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a look at the log");
    for (uint32_t i = 0; i < types->type_count; i++)
        dictionary->field_begin[i + 1] =
            dictionary->field_begin[i] + types->list[i].field_count;
    rf_status status = rf_fold_order(dictionary->log, dictionary->order, err);
    for (uint32_t i = 0; status == RF_OK && i < dictionary->worker_count; i++)
        status = worker_begin(&dictionary->workers[i], types, err);
    return status;
}

rf_status rf_types_look(rf_store *store, const rf_run *run, uint64_t until, rf_types *types,
                        rf_err *err)
{
    rf_dictionary dictionary = {
        .log = store->log,
        .types = types,
        .run = run,
        .until = until,
        .start = rf_clock_seconds(),
    };
    rf_pool *pool = NULL;

    atomic_init(&dictionary.events_done, 0);
    dictionary.last_progress = dictionary.start;
    rf_status status =
        rf_pool_new(run->workers_default ? rf_processor_count() : run->workers, &pool, err);
    if (status != RF_OK)
        return status;
    dictionary.worker_count = rf_pool_worker_slots(pool);
    status = prepare(&dictionary, err);
    if (status == RF_OK)
        status = rf_pool_run(pool, rf_log_partitions(store->log), run_partition, &dictionary, err);
    if (status == RF_OK)
        status = report(&dictionary, types, err);
    for (uint32_t i = 0; dictionary.workers && i < dictionary.worker_count; i++)
        worker_end(&dictionary.workers[i]);
    free(dictionary.workers);
    free(dictionary.field_begin);
    free(dictionary.order);
    rf_pool_free(pool);
    return status;
}
