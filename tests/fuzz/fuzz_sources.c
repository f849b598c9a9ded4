/* Fuzz target of what turns other systems' bytes into lines of events: any bytes give lines, each of which
 * is one line with each member once, or one error.
 *
 * The first byte chooses: states of the library eventsourcing, CloudEvents, or pages of KurrentDB; the rest is
 * the text, which comes block by block, a few lines each.
 */
#include "base/bytes.h"
#include "event/json.h"
#include "source/document_feed.h"
#include "source/eventsourcing.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A feed over bytes in memory. */
typedef struct memory_feed {
    rf_feed feed;
    rf_slice rest;
    unsigned lines_a_block;
    char *blocks[3]; /* owned, each of exactly its size and the padding */
    unsigned turn;
} memory_feed;

static rf_status memory_next(rf_feed *feed, uint64_t line, rf_feed_block *block_out, rf_err *err)
{
    memory_feed *at = (memory_feed *)feed;
    size_t size = 0;

    (void)line;
    (void)err;
    for (unsigned i = 0; i < at->lines_a_block && size < at->rest.size; i++) {
        const char *newline = memchr(at->rest.data + size, '\n', at->rest.size - size);
        size = newline ? (size_t)(newline + 1 - at->rest.data) : at->rest.size;
    }
    at->turn = (at->turn + 1) % 3;
    free(at->blocks[at->turn]);
    char *block = malloc(size + RF_JSON_PADDING);
    RF_ASSERT(block);
    memcpy(block, at->rest.data, size);
    memset(block + size, 0, RF_JSON_PADDING);
    at->blocks[at->turn] = block;
    at->rest.data += size;
    at->rest.size -= size;
    *block_out = (rf_feed_block){{block, size}, RF_SLICE("")};
    return RF_OK;
}

static void memory_close(rf_feed *feed)
{
    memory_feed *at = (memory_feed *)feed;

    for (int i = 0; i < 3; i++)
        free(at->blocks[i]);
    free(at);
}

static const rf_feed_ops memory_ops = {.next = memory_next, .close = memory_close};

static void check_members(const rf_json_node *nodes)
{
    static const char *const names[] = {"position", "stream", "version", "type",
                                        "schema",   "time",   "data",    "metadata"};
    unsigned seen = 0;

    RF_ASSERT(nodes[0].kind == RF_JSON_OBJECT);
    for (uint32_t i = 1; i < nodes[0].next; i = nodes[i].next) {
        unsigned at = 0;
        while (at < 8 && !rf_slice_equal(rf_json_key(&nodes[i]), rf_slice_of(names[at])))
            at++;
        RF_ASSERT(at < 8 && !(seen >> at & 1));
        seen |= 1u << at;
    }
    RF_ASSERT((seen & 0x4a) == 0x4a); /* stream, type, data */
}

/* Whether a line is valid is for the parser to say, later; that nothing got into it as a member of its own
 * is for these. */
static void check_lines(rf_slice text)
{
    static rf_json_parser *parser;

    if (!parser)
        parser = rf_json_parser_new();
    RF_ASSERT(parser);
    while (text.size > 0) {
        const rf_json_node *nodes;
        uint32_t count;
        const char *newline = memchr(text.data, '\n', text.size);
        RF_ASSERT(newline);
        rf_slice line = {text.data, (size_t)(newline - text.data)};
        char *copy = calloc(1, line.size + RF_JSON_PADDING);
        RF_ASSERT(copy);
        memcpy(copy, line.data, line.size);
        if (rf_json_parse(parser, (rf_slice){copy, line.size}, &nodes, &count, NULL) == RF_OK)
            check_members(nodes);
        rf_json_parser_reset(parser);
        free(copy);
        text.data += line.size + 1;
        text.size -= line.size + 1;
    }
}

static void run_states(rf_slice bytes, uint8_t choice)
{
    static const char *const packings[] = {"auto", "none", "zlib", "gzip"};
    static rf_eventsourcing *decoders[4];
    rf_err err = {0};
    rf_buf out;

    rf_eventsourcing **decoder = &decoders[choice & 3];
    rf_import_options options = {.decompress = packings[choice & 3]};
    if (!*decoder)
        RF_ASSERT(rf_eventsourcing_new(&options, decoder, NULL) == RF_OK);
    rf_eventsourcing_row row = {
        .position = choice & 4 ? 9 : 0,
        .originator = RF_SLICE("00112233-4455-6677-8899-aabbccddeeff"),
        .originator_is_uuid = (choice & 8) != 0,
        .version = -1,
        .topic = RF_SLICE("a:B"),
        .state = bytes,
    };
    rf_buf_init(&out, 64 << 20);
    rf_status status = rf_eventsourcing_line(*decoder, &row, &out, &err);
    if (status == RF_OK)
        check_lines(rf_buf_slice(&out));
    else
        RF_ASSERT(err.message[0] != '\0');
    rf_buf_free(&out);
}

static void run_documents(rf_slice bytes, const char *preset, uint8_t choice)
{
    memory_feed *memory = calloc(1, sizeof *memory);
    const rf_import_options options = {.preset = preset};
    rf_feed *feed = NULL;
    rf_feed_block block = {RF_SLICE("x"), RF_SLICE("")};
    rf_err err = {0};
    rf_status status = RF_OK;

    RF_ASSERT(memory);
    memory->feed = (rf_feed){.ops = &memory_ops, .name = RF_SLICE("input"),
                             .reads_ahead = (choice & 4) != 0};
    memory->rest = bytes;
    memory->lines_a_block = 1 + (choice >> 3);
    RF_ASSERT(rf_document_feed_open(&memory->feed, &options, &feed, NULL) == RF_OK);
    while (status == RF_OK && block.text.size > 0) {
        status = feed->ops->next(feed, 1, &block, &err);
        if (status == RF_OK)
            check_lines(block.text);
    }
    RF_ASSERT(status == RF_OK || err.message[0] != '\0');
    rf_feed_close(feed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    char *copy = malloc(size);
    RF_ASSERT(copy);
    memcpy(copy, data + 1, size - 1);
    rf_slice bytes = {copy, size - 1};
    uint8_t choice = data[0] >> 2;
    if ((data[0] & 3) == 0)
        run_states(bytes, choice);
    else
        run_documents(bytes, data[0] & 1 ? "cloudevents" : "kurrentdb", choice);
    free(copy);
    return 0;
}
