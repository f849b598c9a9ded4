/* See floor.h. */
#include "rebuild/floor.h"

#include "base/clock.h"
#include "base/file.h"
#include "rebuild/binding.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    CHUNK_BYTES = 1 << 20,
    PATHS_MAX = 1024,  /* of a type that are remembered as read; more are read again */
    SCHEMAS_MAX = 256, /* of a type in a segment that count */
    FLUSH_BYTES = 2 << 20, /* the disk starts on so many, as it does for base files */
};
#define SCRATCH_BYTES_MAX ((size_t)4 << 30)

struct floor;

/* Confined to its thread; the file is fsynced by whichever worker comes. */
struct worker {
    struct floor *floor;
    rf_binder binder;
    bool bound; /* binder is begun */
    rf_log_scan *scan;
    rf_codec *codec;
    rf_payload_reader *payloads;
    rf_arena scratch;
    uint32_t *types;
    uint32_t *streams;
    int64_t *values;
    int64_t *schemas; /* of the segment's events, once a type asks for them */
    rf_slice *paths;  /* of the type at hand that were read */
    uint32_t path_count;
    char path[RF_PATH_SIZE];
    int fd;
    uint64_t unflushed;
};

struct floor {
    /* fixed after start */
    rf_log *log;
    const rf_floor_options *options;
    uint32_t *order;
    uint32_t partitions;
    rf_census *census;
    char *chunk;
    struct worker *workers;
    uint32_t worker_count;
};

/* ---- decoding ---- */

static rf_status read_payloads(struct worker *worker, const rf_log_step *step, uint32_t type,
                               rf_err *err)
{
    rf_slice data, metadata;
    rf_status status = RF_OK;

    for (uint32_t i = step->begin; status == RF_OK && i < step->end; i++)
        if (worker->types[i] == type)
            status =
                rf_payload_read(worker->payloads, &step->segment, i, &data, &metadata, NULL, err);
    return status;
}

/* Whether the path is met for the first time in the type at hand. */
static bool is_new_path(struct worker *worker, rf_slice path)
{
    for (uint32_t i = 0; i < worker->path_count; i++)
        if (rf_slice_equal(worker->paths[i], path))
            return false;
    if (worker->path_count < PATHS_MAX)
        worker->paths[worker->path_count++] = path;
    return true;
}

/* Each path once, however many fields, stages and schemas read it. */
static rf_status decode_stage(struct worker *worker, const rf_log_step *step, uint32_t type,
                              const rf_stage *stage, bool *payload, rf_err *err)
{
    rf_field_column columns[5];
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < stage->fill_count; i++) {
        const rf_definition_field *field = stage->fills[i].field;
        uint32_t column_count;
        bool capped;
        if (!field->path_text.data)
            continue;
        if (stage->fills[i].compound || field->field.kind == RF_JSON) {
            *payload = true;
            continue;
        }
        if (!is_new_path(worker, field->path_text))
            continue;
        rf_arena_reset(&worker->scratch);
        status = rf_segment_field(&step->segment, type, &field->path, worker->codec,
                                  &worker->scratch, &worker->scratch, columns, &column_count,
                                  &capped, NULL, err);
        *payload = *payload || capped;
    }
    return status;
}

static rf_status decode_envelope(struct worker *worker, const rf_segment *segment,
                                 const rf_stage *stage, bool read[RF_ENVELOPE_COUNT], rf_err *err)
{
    static const rf_envelope columns[] = {
        [RF_EVENT_VERSION] = RF_ENVELOPE_VERSION,
        [RF_EVENT_SCHEMA] = RF_ENVELOPE_SCHEMA,
        [RF_EVENT_POSITION] = RF_ENVELOPE_POSITION,
        [RF_EVENT_TIME] = RF_ENVELOPE_TIME,
    };
    rf_status status = RF_OK;

    for (uint32_t c = 0; c < stage->call_count; c++) {
        const rf_definition_handler *handler = stage->calls[c].handler;
        for (uint32_t f = 0; status == RF_OK && f < handler->field_count; f++) {
            rf_field_source source = handler->fields[f].field.source;
            if (source < RF_EVENT_VERSION || source > RF_EVENT_TIME || read[columns[source]])
                continue;
            read[columns[source]] = true;
            status = rf_segment_envelope(segment, columns[source],
                                         columns[source] == RF_ENVELOPE_SCHEMA ? worker->schemas
                                                                               : worker->values,
                                         NULL, err);
        }
    }
    return status;
}

static rf_status decode_binding(struct worker *worker, const rf_log_step *step, uint32_t type,
                                const rf_binding *binding, bool read[RF_ENVELOPE_COUNT],
                                bool *payload, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t s = 0; status == RF_OK && s < binding->stage_count; s++) {
        status = decode_envelope(worker, &step->segment, &binding->stages[s], read, err);
        if (status == RF_OK)
            status = decode_stage(worker, step, type, &binding->stages[s], payload, err);
    }
    return status;
}

/* The same for each schema that events of the type have here. */
static rf_status decode_schemas(struct worker *worker, const rf_log_step *step, uint32_t type,
                                bool read[RF_ENVELOPE_COUNT], bool *payload, rf_err *err)
{
    const rf_segment *segment = &step->segment;
    int64_t seen[SCHEMAS_MAX];
    uint32_t count = 0;
    rf_status status = RF_OK;

    if (!read[RF_ENVELOPE_SCHEMA]) {
        read[RF_ENVELOPE_SCHEMA] = true;
        status = rf_segment_envelope(segment, RF_ENVELOPE_SCHEMA, worker->schemas, NULL, err);
    }
    for (uint32_t i = 0; status == RF_OK && i < segment->count; i++) {
        bool known = worker->types[i] != type || count == SCHEMAS_MAX;
        for (uint32_t k = 0; k < count && !known; k++)
            known = seen[k] == worker->schemas[i];
        if (known)
            continue;
        seen[count++] = worker->schemas[i];
        const rf_binding *binding =
            rf_binder_find(&worker->binder, segment->types[type].name, worker->schemas[i]);
        if (!binding)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for the types of events");
        status = decode_binding(worker, step, type, binding, read, payload, err);
    }
    return status;
}

static rf_status decode_step(struct worker *worker, const rf_log_step *step, rf_err *err)
{
    const rf_segment *segment = &step->segment;
    bool read[RF_ENVELOPE_COUNT] = {false};
    rf_status status = RF_OK;

    if (segment->count > RF_SEGMENT_EVENTS_MAX)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "segment of partition %u at position %llu: too many events",
                       segment->partition, (unsigned long long)segment->first_position);
    for (uint32_t t = 0; status == RF_OK && t < segment->type_count; t++) {
        const rf_binding *binding = rf_binder_find(&worker->binder, segment->types[t].name, 0);
        bool payload = false;
        if (!binding)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for the types of events");
        if (binding->call_count == 0 && !binding->by_schema)
            continue;
        if (!read[RF_ENVELOPE_TYPE]) {
            read[RF_ENVELOPE_TYPE] = true;
            status = rf_segment_envelope_u32(segment, RF_ENVELOPE_TYPE, worker->types,
                                             worker->values, NULL, err);
            if (status == RF_OK)
                status = rf_segment_envelope_u32(segment, RF_ENVELOPE_STREAM, worker->streams,
                                                 worker->values, NULL, err);
        }
        worker->path_count = 0;
        if (status == RF_OK && binding->by_schema)
            status = decode_schemas(worker, step, t, read, &payload, err);
        else if (status == RF_OK)
            status = decode_binding(worker, step, t, binding, read, &payload, err);
        if (status == RF_OK && payload)
            status = read_payloads(worker, step, t, err);
    }
    return status;
}

static rf_status decode_partition(struct worker *worker, uint32_t partition, rf_err *err)
{
    const struct floor *floor = worker->floor;
    uint64_t until = floor->options->until;
    rf_log_step step;
    bool found = true;

    rf_status status = worker->scan
                           ? rf_log_scan_restart(worker->scan, partition, 1, until, err)
                           : rf_log_scan_open(floor->log, partition, 1, until, &worker->scan, err);
    while (status == RF_OK) {
        if (floor->options->cancel && *floor->options->cancel)
            return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted; nothing was changed");
        status = rf_log_scan_next(worker->scan, &step, &found, err);
        if (status != RF_OK || !found)
            break;
        status = decode_step(worker, &step, err);
    }
    return status;
}

/* ---- writing ---- */

static rf_status write_bytes(struct worker *worker, uint64_t bytes, rf_err *err)
{
    while (bytes > 0) {
        size_t size = bytes < CHUNK_BYTES ? (size_t)bytes : CHUNK_BYTES;
        ssize_t written = write(worker->fd, worker->floor->chunk, size);
        if (written < 0)
            return rf_fail_errno(err, "%s: cannot write", worker->path);
        bytes -= (uint64_t)written;
        worker->unflushed += (uint64_t)written;
        if (worker->unflushed >= FLUSH_BYTES) {
            (void)sync_file_range(worker->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
            worker->unflushed = 0;
        }
    }
    return RF_OK;
}

static rf_status run_partition(void *arg, uint32_t worker_index, size_t index, rf_err *err)
{
    struct floor *floor = arg;
    struct worker *worker = &floor->workers[worker_index];
    uint64_t share = floor->options->write_bytes / floor->partitions;
    uint64_t rest = index == 0 ? floor->options->write_bytes % floor->partitions : 0;

    rf_status status = decode_partition(worker, floor->order[index], err);
    return status == RF_OK ? write_bytes(worker, share + rest, err) : status;
}

static rf_status sync_file(void *arg, uint32_t worker_index, size_t index, rf_err *err)
{
    const struct worker *worker = &((struct floor *)arg)->workers[index];

    (void)worker_index;
    if (fsync(worker->fd) != 0)
        return rf_fail_errno(err, "%s: fsync failed", worker->path);
    return RF_OK;
}

/* ---- a run ---- */

static rf_status worker_begin(struct worker *worker, struct floor *floor, uint32_t index,
                              const rf_definition *const *definitions, uint32_t count, rf_err *err)
{
    const rf_census_type *census;
    uint32_t census_count;

    rf_arena_init(&worker->scratch, SCRATCH_BYTES_MAX);
    worker->floor = floor;
    rf_status status = rf_census_list(floor->census, &census, &census_count, err);
    if (status == RF_OK)
        status = rf_path_format(worker->path, "%s/floor-%02u", err, floor->options->dir, index);
    if (status != RF_OK)
        return status;
    worker->bound = true;
    bool made = rf_binder_begin(&worker->binder, definitions, count, census, census_count);
    worker->codec = rf_codec_new();
    worker->payloads = rf_payload_reader_new();
    worker->types = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *worker->types);
    worker->streams = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *worker->streams);
    worker->values = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *worker->values);
    worker->schemas = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *worker->schemas);
    worker->paths = malloc(PATHS_MAX * sizeof *worker->paths);
    if (!made || !worker->codec || !worker->payloads || !worker->types || !worker->streams ||
        !worker->values || !worker->schemas || !worker->paths)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for worker %u of a floor", index + 1);
    worker->fd = open(worker->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return worker->fd >= 0 ? RF_OK : rf_fail_errno(err, "%s: cannot make the file", worker->path);
}

static void worker_end(struct worker *worker)
{
    if (worker->bound)
        rf_binder_end(&worker->binder);
    rf_log_scan_close(worker->scan);
    rf_codec_free(worker->codec);
    rf_payload_reader_free(worker->payloads);
    rf_arena_free(&worker->scratch);
    free(worker->types);
    free(worker->streams);
    free(worker->values);
    free(worker->schemas);
    free(worker->paths);
    if (worker->fd >= 0) {
        (void)close(worker->fd);
        (void)unlink(worker->path);
    }
}

/* Bytes that no file system makes fewer. */
static void fill_chunk(char *chunk)
{
    uint64_t state = 0x9e3779b97f4a7c15;

    for (size_t i = 0; i < CHUNK_BYTES; i += sizeof state) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        memcpy(chunk + i, &state, sizeof state);
    }
}

static rf_status floor_begin(struct floor *floor, const rf_definition *const *definitions,
                             uint32_t count, rf_err *err)
{
    floor->order = calloc(floor->partitions, sizeof *floor->order);
    floor->chunk = malloc(CHUNK_BYTES);
    floor->workers = calloc(floor->worker_count, sizeof *floor->workers);
    floor->census = rf_census_new();
    if (!floor->order || !floor->chunk || !floor->workers || !floor->census)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a floor");
    fill_chunk(floor->chunk);
    for (uint32_t i = 0; i < floor->worker_count; i++)
        floor->workers[i].fd = -1;
    rf_status status = rf_log_census(floor->log, floor->census, err);
    if (status == RF_OK)
        status = rf_fold_order(floor->log, floor->order, err);
    for (uint32_t i = 0; status == RF_OK && i < floor->worker_count; i++)
        status = worker_begin(&floor->workers[i], floor, i, definitions, count, err);
    return status;
}

static void floor_end(struct floor *floor)
{
    for (uint32_t i = 0; floor->workers && i < floor->worker_count; i++)
        worker_end(&floor->workers[i]);
    free(floor->workers);
    free(floor->order);
    free(floor->chunk);
    rf_census_free(floor->census);
}

rf_status rf_floor_run(rf_log *log, rf_pool *pool, const rf_definition *const *definitions,
                       uint32_t definition_count, const rf_floor_options *options,
                       double *seconds_out, rf_err *err)
{
    struct floor floor = {
        .log = log,
        .options = options,
        .partitions = rf_log_partitions(log),
        .worker_count = rf_pool_worker_slots(pool),
    };

    rf_status status = floor_begin(&floor, definitions, definition_count, err);
    double start = rf_clock_seconds();
    if (status == RF_OK)
        status = rf_pool_run(pool, floor.partitions, run_partition, &floor, err);
    if (status == RF_OK)
        status = rf_pool_run(pool, floor.worker_count, sync_file, &floor, err);
    if (status == RF_OK)
        *seconds_out = rf_clock_seconds() - start;
    floor_end(&floor);
    return status;
}
