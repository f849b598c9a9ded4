/* See jsonl.h.
 *
 * For each block: its chunks are cut at newlines and their lines counted, so that each chunk knows
 * the number of its first line and the place of its events in one array; then they are parsed, each
 * with a parser of its own, while task 0 reads the next block of a file. Chunks have a fixed size:
 * results and messages do not depend on the number of workers.
 */
#include "source/jsonl.h"

#include "base/bytes.h"
#include "source/lines.h"
#include "source/pattern.h"

#include <stdlib.h>

enum {
    CHUNK_SIZE = 64 << 10,
    CHUNKS_MAX = RF_LINES_LINE_MAX / CHUNK_SIZE + 2,
    ARENA_BYTES_MAX = 1 << 30,
    EVENT_LINE_MIN = 9, /* {"a":"b"}, mapped to everything: no event has a shorter line */
};

typedef struct jsonl_chunk {
    rf_slice text;
    uint64_t line_first;
    uint64_t line_count;
    size_t event_first; /* in the array of the block */
    size_t event_count;
    size_t event_max;
    rf_unused_members unused;
    rf_json_parser *parser; /* owned */
    rf_arena values;        /* of events with a shape */
} jsonl_chunk;

typedef struct jsonl_reader {
    /* fixed while tasks run */
    rf_lines *lines;
    rf_events_take take;
    void *take_arg;
    rf_mapping *mapping;
    rf_event_shapes *shapes;
    rf_slice name;
    uint32_t chunk_count;
    uint64_t line_next; /* number of the first line after the block */
    /* a chunk and its part of `events`: confined to its task */
    jsonl_chunk chunks[CHUNKS_MAX];
    rf_event *events; /* owned */
    size_t event_capacity;
    /* confined to their workers; owned */
    rf_patterns *patterns[RF_POOL_WORKERS_MAX];
    /* confined to task 0 */
    bool ahead;
    rf_slice ahead_block;
    rf_status ahead_status;
    rf_err ahead_err;
} jsonl_reader;

static void reader_free(jsonl_reader *reader)
{
    for (uint32_t i = 0; i < CHUNKS_MAX; i++) {
        rf_json_parser_free(reader->chunks[i].parser);
        rf_arena_free(&reader->chunks[i].values);
    }
    for (uint32_t i = 0; i < RF_POOL_WORKERS_MAX; i++)
        rf_patterns_free(reader->patterns[i]);
    rf_lines_close(reader->lines);
    rf_mapping_free(reader->mapping);
    free(reader->events);
    free(reader);
}

static rf_status reader_new(const char *path, const rf_import_options *options,
                            jsonl_reader **reader_out, rf_err *err)
{
    jsonl_reader *reader = calloc(1, sizeof *reader);

    if (!reader)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for reading %s", path);
    for (uint32_t i = 0; i < CHUNKS_MAX; i++)
        rf_arena_init(&reader->chunks[i].values, ARENA_BYTES_MAX);
    rf_status status = rf_mapping_new(options, &reader->mapping, err);
    if (status == RF_OK)
        status = rf_lines_open(path, options->run.cancel, &reader->lines, err);
    if (status != RF_OK) {
        reader_free(reader);
        return status;
    }
    reader->name = rf_lines_name(reader->lines);
    reader->line_next = 1;
    *reader_out = reader;
    return RF_OK;
}

/* Cuts the block at newlines into chunks of CHUNK_SIZE and a line. */
static void block_cut(jsonl_reader *reader, rf_slice block)
{
    const char *at = block.data;
    const char *end = block.data + block.size;

    reader->chunk_count = 0;
    while (at < end) {
        const char *cut = end;
        if (end - at > CHUNK_SIZE) {
            const char *newline = memchr(at + CHUNK_SIZE, '\n', (size_t)(end - at) - CHUNK_SIZE);
            cut = newline ? newline + 1 : end;
        }
        RF_ASSERT(reader->chunk_count < CHUNKS_MAX);
        reader->chunks[reader->chunk_count++].text = (rf_slice){at, (size_t)(cut - at)};
        at = cut;
    }
}

static rf_status count_task(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    jsonl_reader *reader = arg;
    jsonl_chunk *chunk = &reader->chunks[index];
    const char *at = chunk->text.data;
    const char *end = at + chunk->text.size;
    uint64_t count = 0;

    (void)worker;
    (void)err;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        count++;
        at = newline ? newline + 1 : end;
    }
    chunk->line_count = count;
    return RF_OK;
}

/* Gives each chunk its first line and its place among the events. */
static rf_status block_place(jsonl_reader *reader, rf_err *err)
{
    size_t event_count = 0;

    for (uint32_t i = 0; i < reader->chunk_count; i++) {
        jsonl_chunk *chunk = &reader->chunks[i];
        size_t bound = chunk->text.size / EVENT_LINE_MIN + 1;
        chunk->line_first = reader->line_next;
        chunk->event_first = event_count;
        reader->line_next += chunk->line_count;
        chunk->event_max = chunk->line_count < bound ? (size_t)chunk->line_count : bound;
        event_count += chunk->event_max;
    }
    if (event_count <= reader->event_capacity)
        return RF_OK;
    free(reader->events);
    reader->event_capacity = 0;
    reader->events = malloc(event_count * sizeof *reader->events);
    if (!reader->events)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %zu events of %s", event_count,
                       reader->name.data);
    reader->event_capacity = event_count;
    return RF_OK;
}

static bool is_blank(rf_slice line)
{
    for (size_t i = 0; i < line.size; i++) {
        if (line.data[i] != ' ' && line.data[i] != '\t' && line.data[i] != '\r')
            return false;
    }
    return true;
}

/* Reads the line at *at_ref, by a pattern or in full; *is_event_out: it is not blank. */
static rf_status line_parse(jsonl_reader *reader, jsonl_chunk *chunk, rf_patterns *patterns,
                            const char **at_ref, rf_event *event_out, bool *is_event_out,
                            rf_err *err)
{
    const char *at = *at_ref;
    const char *end = chunk->text.data + chunk->text.size;
    rf_line_members members;

    *is_event_out = true;
    if (rf_patterns_read(patterns, at_ref, end, &chunk->values, &chunk->unused, event_out))
        return RF_OK;
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    rf_slice line = {at, (size_t)((newline ? newline : end) - at)};
    *at_ref = newline ? newline + 1 : end;
    *is_event_out = !is_blank(line);
    if (!*is_event_out)
        return RF_OK;
    rf_status status = rf_mapping_read_members(reader->mapping, chunk->parser, line,
                                               &chunk->unused, &members, event_out, err);
    if (status == RF_OK)
        rf_patterns_learn(patterns, line, &members, event_out);
    return status;
}

static rf_status chunk_parse(jsonl_reader *reader, jsonl_chunk *chunk, uint32_t worker,
                             rf_err *err)
{
    const char *at = chunk->text.data;
    const char *end = at + chunk->text.size;
    uint64_t number = chunk->line_first;
    rf_patterns **patterns = &reader->patterns[worker];

    if (!*patterns)
        *patterns = rf_patterns_new(reader->mapping, reader->shapes);
    if (!chunk->parser)
        chunk->parser = rf_json_parser_new();
    if (!*patterns || !chunk->parser)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for parsing %s", reader->name.data);
    rf_patterns_leave(*patterns);
    chunk->event_count = 0;
    chunk->unused.count = 0;
    for (; at < end; number++) {
        /* In its place only once it is right: there is no room for lines that are too short. */
        rf_event event;
        bool is_event;
        rf_status status = line_parse(reader, chunk, *patterns, &at, &event, &is_event, err);
        if (status != RF_OK)
            return rf_err_context(err, "%s:%llu", reader->name.data, (unsigned long long)number);
        if (!is_event)
            continue;
        event.file = reader->name;
        event.line = number;
        RF_ASSERT(chunk->event_count < chunk->event_max);
        reader->events[chunk->event_first + chunk->event_count++] = event;
    }
    return RF_OK;
}

/* Task 0 reads ahead; the others parse. */
static rf_status parse_task(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    jsonl_reader *reader = arg;

    if (index > 0)
        return chunk_parse(reader, &reader->chunks[index - 1], worker, err);
    if (reader->ahead)
        reader->ahead_status = rf_lines_next(reader->lines, reader->line_next, &reader->ahead_block,
                                             &reader->ahead_err);
    return RF_OK; /* what it found comes after this block's own faults */
}

/* Moves the events of the chunks together and adds up what they counted. */
static size_t block_collect(jsonl_reader *reader, size_t bytes, rf_jsonl_stats *stats)
{
    rf_unused_members all = {.count = stats->member_count};
    size_t count = 0;

    memcpy(all.members, stats->members, sizeof all.members);
    for (uint32_t i = 0; i < reader->chunk_count; i++) {
        jsonl_chunk *chunk = &reader->chunks[i];
        if (chunk->event_first != count)
            memmove(reader->events + count, reader->events + chunk->event_first,
                    chunk->event_count * sizeof *reader->events);
        count += chunk->event_count;
        for (uint32_t j = 0; j < chunk->unused.count; j++) {
            const rf_import_member *member = &chunk->unused.members[j];
            rf_unused_members_add(&all, rf_slice_of(member->name), member->count);
        }
    }
    memcpy(stats->members, all.members, sizeof all.members);
    stats->member_count = all.count;
    stats->lines += count;
    stats->bytes += bytes;
    return count;
}

/* One block from text to the taker; the next one stands in *block after it. */
static rf_status block_take(jsonl_reader *reader, rf_slice *block, rf_pool *pool,
                            rf_jsonl_stats *stats, rf_err *err)
{
    block_cut(reader, *block);
    rf_status status = rf_pool_run(pool, reader->chunk_count, count_task, reader, err);
    if (status == RF_OK)
        status = block_place(reader, err);
    if (status != RF_OK)
        return status;
    reader->ahead = rf_lines_is_file(reader->lines);
    reader->ahead_status = RF_OK;
    status = rf_pool_run(pool, reader->chunk_count + 1, parse_task, reader, err);
    if (status != RF_OK)
        return status;
    size_t count = block_collect(reader, block->size, stats);
    if (count > 0)
        status = reader->take(reader->take_arg, reader->events, count, err);
    for (uint32_t i = 0; i < reader->chunk_count; i++) {
        rf_json_parser_reset(reader->chunks[i].parser);
        rf_arena_rewind(&reader->chunks[i].values);
    }
    if (status != RF_OK)
        return status;
    if (!reader->ahead)
        return rf_lines_next(reader->lines, reader->line_next, block, err);
    if (reader->ahead_status != RF_OK && err)
        *err = reader->ahead_err;
    *block = reader->ahead_block;
    return reader->ahead_status;
}

static rf_status reader_waits(void *arg, rf_err *err)
{
    const jsonl_reader *reader = arg;

    return reader->take(reader->take_arg, NULL, 0, err);
}

rf_status rf_jsonl_read(const char *path, const rf_import_options *options, rf_pool *pool,
                        rf_event_shapes *shapes, rf_events_take take, void *take_arg,
                        rf_jsonl_stats *stats, rf_err *err)
{
    const volatile int *cancel = options->run.cancel;
    jsonl_reader *reader = NULL;
    rf_slice block = RF_SLICE("");

    rf_status status = reader_new(path, options, &reader, err);
    if (status != RF_OK)
        return status;
    reader->shapes = shapes;
    reader->take = take;
    reader->take_arg = take_arg;
    rf_lines_on_wait(reader->lines, reader_waits, reader);
    status = rf_lines_next(reader->lines, reader->line_next, &block, err);
    while (status == RF_OK && block.size > 0) {
        if (cancel && *cancel)
            status = rf_fail(err, RF_ERR_INTERRUPTED, "interrupted before line %llu of %s",
                             (unsigned long long)reader->line_next, reader->name.data);
        else
            status = block_take(reader, &block, pool, stats, err);
    }
    reader_free(reader);
    return status;
}
