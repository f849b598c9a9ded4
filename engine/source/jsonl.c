/* See jsonl.h.
 *
 * A block of whole lines goes through three steps: it is read, cut at newlines into chunks, and the
 * lines of these are counted, so that each chunk knows the number of its first line and the place of
 * its events in one array; its chunks are parsed, each with a parser of its own; its events are
 * taken. Of a feed that reads ahead three blocks are on their way at a time: while one is taken, the pool reads the
 * next but one and parses the next, as work ahead (base/pool.h). Of anything else, which may keep
 * us waiting, one block is. Chunks have a fixed size: results and messages do not depend on the
 * number of workers.
 */
#include "source/jsonl.h"

#include "base/bytes.h"
#include "source/lines.h"
#include "source/newlines.h"
#include "source/pattern.h"

#include <stdlib.h>

enum {
    CHUNK_SIZE = 64 << 10,
    CHUNKS_MAX = RF_LINES_LINE_MAX / CHUNK_SIZE + 2,
    ARENA_BYTES_MAX = 1 << 30,
    EVENT_LINE_MIN = 9, /* {"a":"b"}, mapped to everything: no event has a shorter line */
};

/* A piece of a block. */
typedef struct jsonl_piece {
    rf_slice text;
    uint64_t line_first;
    uint64_t line_count;
} jsonl_piece;

/* A block that was read; empty at the end. */
typedef struct jsonl_block {
    size_t size;
    rf_slice cursor;
    uint32_t piece_count, piece_capacity;
    jsonl_piece *pieces; /* owned */
} jsonl_block;

/* A piece that is parsed. */
typedef struct jsonl_chunk {
    const jsonl_piece *piece;
    size_t event_first; /* in the array of the block */
    size_t event_count;
    size_t event_max;
    rf_unused_members unused;
    rf_json_parser *parser; /* owned */
    rf_arena values;        /* of events with a shape */
} jsonl_chunk;

/* A block that is parsed. A chunk and its part of `events` and `notes` are confined to its task. */
typedef struct jsonl_parsed {
    size_t size; /* of the text */
    rf_slice cursor;
    uint32_t chunk_count, chunk_capacity;
    jsonl_chunk *chunks; /* owned */
    rf_event *events; /* owned */
    rf_event_note *notes; /* of each event; owned */
    size_t event_capacity;
} jsonl_parsed;

typedef struct jsonl_reader {
    /* fixed after start */
    rf_feed *feed; /* the caller's */
    const rf_events_sink *sink;
    rf_mapping *mapping;
    rf_event_shapes *shapes;
    rf_slice name;
    /* confined to their workers; owned */
    rf_patterns *patterns[RF_POOL_WORKERS_MAX];
    /* confined to the task that reads, while the pool runs */
    uint64_t line_next; /* number of the first line after the last block that was read */
    jsonl_block *reading;
    rf_status read_status;
    rf_err read_err;
    rf_slice end_cursor; /* that came with the end */
    /* handed to the tasks that parse */
    jsonl_parsed *parsing;
    /* owned, changing turns */
    jsonl_block blocks[2];  /* the one that is read, the one that is parsed */
    jsonl_parsed parsed[2]; /* the one that is parsed, the one that is taken */
} jsonl_reader;

static void parsed_free(jsonl_parsed *parsed)
{
    for (uint32_t i = 0; i < parsed->chunk_capacity; i++) {
        rf_json_parser_free(parsed->chunks[i].parser);
        rf_arena_free(&parsed->chunks[i].values);
    }
    free(parsed->chunks);
    free(parsed->events);
    free(parsed->notes);
}

static void reader_free(jsonl_reader *reader)
{
    for (uint32_t i = 0; i < RF_POOL_WORKERS_MAX; i++)
        rf_patterns_free(reader->patterns[i]);
    rf_mapping_free(reader->mapping);
    for (uint32_t i = 0; i < 2; i++) {
        parsed_free(&reader->parsed[i]);
        free(reader->blocks[i].pieces);
    }
    free(reader);
}

static rf_status reader_new(rf_feed *feed, const rf_import_options *options,
                            jsonl_reader **reader_out, rf_err *err)
{
    jsonl_reader *reader = calloc(1, sizeof *reader);

    if (!reader)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for reading %s", feed->name.data);
    rf_status status = rf_mapping_new(options, &reader->mapping, err);
    if (status != RF_OK) {
        reader_free(reader);
        return status;
    }
    reader->feed = feed;
    reader->name = feed->name;
    reader->line_next = 1;
    *reader_out = reader;
    return RF_OK;
}

/* Lines of a text; the last one may have no newline. */
static uint64_t count_lines(rf_slice text)
{
    return rf_count_newlines(text) +
           (text.size > 0 && text.data[text.size - 1] != '\n');
}

/* One more piece; most imports of a program have one. */
static jsonl_piece *block_add(jsonl_block *block)
{
    uint32_t capacity = block->piece_capacity ? 4 * block->piece_capacity : 4;

    RF_ASSERT(block->piece_count < CHUNKS_MAX);
    if (block->piece_count == block->piece_capacity) {
        jsonl_piece *grown = realloc(block->pieces, capacity * sizeof *grown);
        if (!grown)
            return NULL;
        block->pieces = grown;
        block->piece_capacity = capacity;
    }
    return &block->pieces[block->piece_count++];
}

/* Cuts a block at newlines into pieces of CHUNK_SIZE and a line. */
static rf_status block_cut(jsonl_reader *reader, jsonl_block *block, rf_slice text, rf_err *err)
{
    const char *at = text.data;
    const char *end = text.data + text.size;

    block->size = text.size;
    block->piece_count = 0;
    while (at < end) {
        const char *cut = end;
        if (end - at > CHUNK_SIZE) {
            const char *newline = memchr(at + CHUNK_SIZE, '\n', (size_t)(end - at) - CHUNK_SIZE);
            cut = newline ? newline + 1 : end;
        }
        jsonl_piece *piece = block_add(block);
        if (!piece)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for reading %s", reader->name.data);
        piece->text = (rf_slice){at, (size_t)(cut - at)};
        piece->line_first = reader->line_next;
        piece->line_count = count_lines(piece->text);
        reader->line_next += piece->line_count;
        at = cut;
    }
    return RF_OK;
}

static rf_status block_read(jsonl_reader *reader, jsonl_block *block, rf_err *err)
{
    rf_feed *feed = reader->feed;
    rf_feed_block read = {RF_SLICE(""), RF_SLICE("")};

    block->size = 0;
    rf_status status = rf_feed_next(feed, reader->line_next, &read, err);
    if (status != RF_OK)
        return status;
    status = block_cut(reader, block, read.text, err);
    if (status != RF_OK)
        return status;
    block->cursor = read.cursor;
    if (block->size == 0)
        reader->end_cursor = read.cursor;
    return RF_OK;
}

/* As many chunks as a block has pieces. */
static rf_status parsed_grow(const jsonl_reader *reader, jsonl_parsed *parsed, uint32_t count,
                             rf_err *err)
{
    if (count <= parsed->chunk_capacity)
        return RF_OK;
    jsonl_chunk *grown = realloc(parsed->chunks, count * sizeof *grown);
    if (!grown)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for reading %s", reader->name.data);
    parsed->chunks = grown;
    for (; parsed->chunk_capacity < count; parsed->chunk_capacity++) {
        jsonl_chunk *chunk = &grown[parsed->chunk_capacity];
        *chunk = (jsonl_chunk){.parser = NULL};
        rf_arena_init(&chunk->values, ARENA_BYTES_MAX);
    }
    return RF_OK;
}

/* Gives each chunk its place among the events. */
static rf_status parsed_place(const jsonl_reader *reader, jsonl_parsed *parsed,
                              const jsonl_block *block, rf_err *err)
{
    size_t event_count = 0;

    rf_status status = parsed_grow(reader, parsed, block->piece_count, err);
    if (status != RF_OK)
        return status;
    parsed->size = block->size;
    parsed->cursor = block->cursor;
    parsed->chunk_count = block->piece_count;
    for (uint32_t i = 0; i < parsed->chunk_count; i++) {
        jsonl_chunk *chunk = &parsed->chunks[i];
        chunk->piece = &block->pieces[i];
        size_t bound = chunk->piece->text.size / EVENT_LINE_MIN + 1;
        chunk->event_first = event_count;
        chunk->event_max =
            chunk->piece->line_count < bound ? (size_t)chunk->piece->line_count : bound;
        event_count += chunk->event_max;
    }
    if (event_count <= parsed->event_capacity)
        return RF_OK;
    free(parsed->events);
    free(parsed->notes);
    parsed->event_capacity = 0;
    parsed->events = malloc(event_count * sizeof *parsed->events);
    parsed->notes = malloc(event_count * sizeof *parsed->notes);
    if (!parsed->events || !parsed->notes)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %zu events of %s", event_count,
                       reader->name.data);
    parsed->event_capacity = event_count;
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
    const char *end = chunk->piece->text.data + chunk->piece->text.size;
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

/* Where a line stands: its number, or its position where the feed's lines begin with these. */
static rf_status line_failed(const jsonl_reader *reader, const char *at, uint64_t number,
                             rf_err *err)
{
    static const char member[] = "{\"position\":";

    if (reader->feed->has_positions && strncmp(at, member, sizeof member - 1) == 0)
        return rf_err_context(err, "%s, position %llu", reader->name.data,
                              strtoull(at + sizeof member - 1, NULL, 10));
    if (reader->feed->has_positions)
        return rf_err_context(err, "%s, row %llu", reader->name.data, (unsigned long long)number);
    return rf_err_context(err, "%s:%llu", reader->name.data, (unsigned long long)number);
}

/* What the feed wrote as the position is the id of an event that has no version to be known by. */
static void event_take_id(rf_event *event)
{
    if (event->version != RF_VERSION_NONE)
        event->source_position = 0;
    else if (event->source_position > 0)
        event->source_position |= RF_EVENT_ID;
}

static rf_status chunk_parse(jsonl_reader *reader, jsonl_chunk *chunk, uint32_t worker,
                             rf_err *err)
{
    const char *at = chunk->piece->text.data;
    const char *end = at + chunk->piece->text.size;
    uint64_t number = chunk->piece->line_first;
    rf_event *events = reader->parsing->events + chunk->event_first;
    rf_event spare; /* for lines that are too short to be events, and have no place */
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
        const char *begin = at;
        bool is_place = chunk->event_count < chunk->event_max;
        rf_event *event = is_place ? &events[chunk->event_count] : &spare;
        bool is_event;
        rf_status status = line_parse(reader, chunk, *patterns, &at, event, &is_event, err);
        if (status != RF_OK)
            return line_failed(reader, begin, number, err);
        if (!is_event)
            continue;
        RF_ASSERT(is_place);
        event->file = reader->name;
        if (reader->feed->has_ids)
            event_take_id(event);
        bool has_position = event->source_position > 0 && !rf_event_is_id(event->source_position);
        event->line = reader->feed->has_positions && has_position ? 0 : number;
        chunk->event_count++;
    }
    rf_event_notes_take(events, chunk->event_count, reader->parsing->notes + chunk->event_first);
    return RF_OK;
}

/* Task 0 reads a block, if one is to be read; the others parse. */
static rf_status ahead_task(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    jsonl_reader *reader = arg;

    if (index > 0)
        return chunk_parse(reader, &reader->parsing->chunks[index - 1], worker, err);
    if (reader->reading)
        reader->read_status = block_read(reader, reader->reading, &reader->read_err);
    return RF_OK; /* what it found comes after the faults of the blocks before */
}

/* Moves the events of the chunks together and adds up what they counted. */
static size_t parsed_collect(jsonl_parsed *parsed, rf_jsonl_stats *stats)
{
    rf_unused_members all = {.count = stats->member_count};
    size_t count = 0;

    memcpy(all.members, stats->members, sizeof all.members);
    for (uint32_t i = 0; i < parsed->chunk_count; i++) {
        jsonl_chunk *chunk = &parsed->chunks[i];
        if (chunk->event_first != count) {
            memmove(parsed->events + count, parsed->events + chunk->event_first,
                    chunk->event_count * sizeof *parsed->events);
            memmove(parsed->notes + count, parsed->notes + chunk->event_first,
                    chunk->event_count * sizeof *parsed->notes);
        }
        count += chunk->event_count;
        for (uint32_t j = 0; j < chunk->unused.count; j++) {
            const rf_import_member *member = &chunk->unused.members[j];
            rf_unused_members_add(&all, rf_slice_of(member->name), member->count);
        }
    }
    memcpy(stats->members, all.members, sizeof all.members);
    stats->member_count = all.count;
    stats->lines += count;
    stats->bytes += parsed->size;
    return count;
}

static rf_status parsed_take(const jsonl_reader *reader, jsonl_parsed *parsed,
                             rf_jsonl_stats *stats, rf_err *err)
{
    size_t count = parsed_collect(parsed, stats);
    rf_status status =
        count > 0 || parsed->cursor.size > 0
            ? reader->sink->take(reader->sink->arg, parsed->events, parsed->notes, count,
                                 parsed->cursor, err)
            : RF_OK;

    for (uint32_t i = 0; i < parsed->chunk_count; i++) {
        rf_json_parser_reset(parsed->chunks[i].parser);
        rf_arena_rewind(&parsed->chunks[i].values);
    }
    parsed->chunk_count = 0;
    return status;
}

/* Reads, parses and takes one block after another. */
static rf_status read_in_turn(jsonl_reader *reader, rf_pool *pool, rf_jsonl_stats *stats,
                              rf_err *err)
{
    jsonl_parsed *parsed = &reader->parsed[0];

    for (;;) {
        rf_status status = block_read(reader, &reader->blocks[0], err);
        if (status != RF_OK || reader->blocks[0].size == 0)
            return status;
        status = parsed_place(reader, parsed, &reader->blocks[0], err);
        reader->parsing = parsed;
        if (status == RF_OK)
            status = rf_pool_run(pool, parsed->chunk_count + 1, ahead_task, reader, err);
        if (status == RF_OK)
            status = parsed_take(reader, parsed, stats, err);
        if (status != RF_OK)
            return status;
    }
}

/* Takes a block while the pool parses the next and reads the one after that. The first time there is
 * none to take, and at the end none to read. */
static rf_status read_overlapped(jsonl_reader *reader, rf_pool *pool, rf_jsonl_stats *stats,
                                 rf_err *err)
{
    unsigned turn = 0;
    jsonl_parsed *before = NULL; /* parsed in the turn before */

    rf_status status = block_read(reader, &reader->blocks[turn], err);
    while (status == RF_OK && (before || reader->blocks[turn].size > 0)) {
        rf_err ahead_err;
        bool more = reader->blocks[turn].size > 0;
        jsonl_parsed *parsed = &reader->parsed[turn];
        reader->read_status = RF_OK;
        reader->reading = more ? &reader->blocks[turn ^ 1] : NULL;
        reader->blocks[turn ^ 1].size = 0;
        reader->parsing = parsed;
        status = parsed_place(reader, parsed, &reader->blocks[turn], err);
        if (status != RF_OK)
            break;
        rf_pool_begin_ahead(pool, parsed->chunk_count + 1, ahead_task, reader);
        if (before)
            status = parsed_take(reader, before, stats, err);
        rf_status ahead = rf_pool_end_ahead(pool, &ahead_err);
        if (status == RF_OK && ahead != RF_OK) {
            status = ahead;
            if (err)
                *err = ahead_err;
        }
        before = more ? parsed : NULL;
        turn ^= 1;
        if (status == RF_OK && reader->read_status != RF_OK) {
            /* Of what stands before it nothing is wrong. */
            status = parsed_take(reader, parsed, stats, err);
            if (status == RF_OK && err)
                *err = reader->read_err;
            status = status == RF_OK ? reader->read_status : status;
        }
    }
    return status;
}

static rf_status reader_waits(void *arg, rf_err *err)
{
    const jsonl_reader *reader = arg;

    return reader->sink->take(reader->sink->arg, NULL, NULL, 0, RF_SLICE(""), err);
}

/* Reads to the end of what there is. */
static rf_status read_all(jsonl_reader *reader, rf_pool *pool, rf_jsonl_stats *stats, rf_err *err)
{
    reader->end_cursor = RF_SLICE("");
    rf_status status = reader->feed->reads_ahead ? read_overlapped(reader, pool, stats, err)
                                                 : read_in_turn(reader, pool, stats, err);

    if (status == RF_OK && reader->end_cursor.size > 0)
        status = reader->sink->take(reader->sink->arg, NULL, NULL, 0, reader->end_cursor, err);
    return status;
}

/* Until there may be more: what was taken may be committed meanwhile. */
static rf_status wait_for_more(jsonl_reader *reader, rf_err *err)
{
    rf_feed *feed = reader->feed;
    bool more = false;
    rf_status status = RF_OK;

    while (status == RF_OK && !more) {
        status = reader_waits(reader, err);
        if (status == RF_OK)
            status = feed->ops->wait(feed, &more, err);
    }
    if (status == RF_OK && reader->sink->resume)
        status = reader->sink->resume(reader->sink->arg, err);
    return status;
}

rf_status rf_jsonl_read(rf_feed *feed, const rf_import_options *options, rf_pool *pool,
                        rf_event_shapes *shapes, const rf_events_sink *sink,
                        rf_jsonl_stats *stats, rf_err *err)
{
    jsonl_reader *reader = NULL;

    rf_status status = reader_new(feed, options, &reader, err);
    if (status != RF_OK)
        return status;
    reader->shapes = shapes;
    reader->sink = sink;
    rf_feed_on_wait(feed, reader_waits, reader);
    status = read_all(reader, pool, stats, err);
    while (status == RF_OK && feed->follows) {
        status = wait_for_more(reader, err);
        if (status == RF_OK)
            status = read_all(reader, pool, stats, err);
    }
    rf_feed_on_wait(feed, NULL, NULL);
    reader_free(reader);
    return status;
}
