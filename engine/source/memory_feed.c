/* See memory_feed.h. */
#include "source/memory_feed.h"

#include "event/json.h"
#include "source/lines.h"

#include <stdlib.h>

typedef struct memory_feed {
    rf_feed feed;
    size_t size, given;
    char bytes[]; /* and padding */
} memory_feed;

static void memory_close(rf_feed *feed)
{
    free(feed);
}

static rf_status memory_next(rf_feed *feed, uint64_t line, rf_feed_block *block_out, rf_err *err)
{
    memory_feed *at = (memory_feed *)feed;
    const char *begin = at->bytes + at->given;
    size_t size = at->size - at->given;

    (void)line;
    (void)err;
    if (size > RF_LINES_BLOCK_SIZE) {
        const char *end = memchr(begin + RF_LINES_BLOCK_SIZE, '\n', size - RF_LINES_BLOCK_SIZE);
        size = end ? (size_t)(end + 1 - begin) : size;
    }
    at->given += size;
    *block_out = (rf_feed_block){.text = {begin, size}, .cursor = RF_SLICE("")};
    return RF_OK;
}

static const rf_feed_ops memory_ops = {.next = memory_next, .close = memory_close};

rf_status rf_memory_feed_open(rf_slice lines, rf_feed **feed_out, rf_err *err)
{
    bool lacks_newline = lines.size > 0 && lines.data[lines.size - 1] != '\n';
    memory_feed *at = NULL;

    if (lines.size < SIZE_MAX / 2)
        at = calloc(1, sizeof *at + lines.size + 1 + RF_JSON_PADDING);
    if (!at)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %zu bytes of events", lines.size);
    at->feed = (rf_feed){.ops = &memory_ops, .name = RF_SLICE("events"), .reads_ahead = true};
    if (lines.size > 0)
        memcpy(at->bytes, lines.data, lines.size);
    if (lacks_newline)
        at->bytes[lines.size] = '\n';
    at->size = lines.size + lacks_newline;
    *feed_out = &at->feed;
    return RF_OK;
}
