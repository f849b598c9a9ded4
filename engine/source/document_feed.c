/* See document_feed.h. */
#include "source/document_feed.h"

#include "source/cloudevents.h"
#include "source/json_values.h"
#include "source/kurrentdb.h"
#include "source/line_text.h"
#include "source/lines.h"
#include "source/mapping.h"

#include <stdlib.h>

/* A page of a feed may be large; a CloudEvent is an event. */
#define PAGE_BYTES_MAX ((size_t)1 << 30)

typedef struct document_feed {
    rf_feed feed;
    rf_feed *inner; /* owned */
    rf_json_values values;
    rf_json_parser *parser;
    rf_kurrentdb *pages; /* NULL: CloudEvents */
    bool pages_read;
    rf_line_blocks blocks;
} document_feed;

static void document_close(rf_feed *feed)
{
    document_feed *at = (document_feed *)feed;

    rf_kurrentdb_free(at->pages);
    rf_json_parser_free(at->parser);
    rf_json_values_free(&at->values);
    rf_line_blocks_free(&at->blocks);
    rf_feed_close(at->inner);
    free(at);
}

static rf_status value_failed(const document_feed *at, uint64_t line, rf_err *err)
{
    return rf_err_context(err, "%s:%llu", at->feed.name.data, (unsigned long long)line);
}

static rf_status events_next(document_feed *at, rf_buf *out, rf_err *err)
{
    uint64_t line;
    rf_slice value;

    while (out->size < RF_LINES_BLOCK_SIZE) {
        rf_status status = rf_json_values_next(&at->values, &value, &line, err);
        if (status || value.size == 0)
            return status;
        status = rf_cloudevents_line(at->parser, value, at->feed.has_ids, out, err);
        if (status)
            return value_failed(at, line, err);
        /* What a program has written need not wait for what it writes next. */
        if (!at->inner->reads_ahead && at->values.rest.size == 0)
            break;
    }
    return RF_OK;
}

static rf_status pages_read(document_feed *at, rf_err *err)
{
    rf_status status = RF_OK;
    rf_slice page = RF_SLICE("x");
    uint64_t line = 0;

    while (!status && page.size > 0) {
        status = rf_json_values_next(&at->values, &page, &line, err);
        if (status || page.size == 0)
            break;
        status = rf_kurrentdb_page(at->pages, page, err);
        if (status)
            return value_failed(at, line, err);
    }
    at->pages_read = true;
    return status;
}

static rf_status entries_next(document_feed *at, rf_buf *out, rf_err *err)
{
    rf_status status = at->pages_read ? RF_OK : pages_read(at, err);

    while (!status && out->size < RF_LINES_BLOCK_SIZE) {
        rf_slice line = rf_kurrentdb_line(at->pages);
        if (line.size == 0)
            break;
        rf_buf_append_slice(out, line);
    }
    return status;
}

static rf_status document_next(rf_feed *feed, uint64_t line, rf_feed_block *block_out, rf_err *err)
{
    document_feed *at = (document_feed *)feed;

    (void)line;
    rf_feed_on_wait(at->inner, feed->waiting, feed->waiting_arg);
    rf_buf *out = rf_line_blocks_turn(&at->blocks);
    rf_status status = at->pages ? entries_next(at, out, err) : events_next(at, out, err);
    return status ? status : rf_line_blocks_give(&at->blocks, RF_SLICE(""), block_out, err);
}

static const rf_feed_ops document_ops = {.next = document_next, .close = document_close};

rf_status rf_document_feed_open(rf_feed *inner, const rf_import_options *options,
                                rf_feed **feed_out, rf_err *err)
{
    bool is_pages = strcmp(options->preset, "kurrentdb") == 0;
    document_feed *at = calloc(1, sizeof *at);

    RF_ASSERT(is_pages || strcmp(options->preset, "cloudevents") == 0);
    if (!at)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for reading %s", inner->name.data);
    at->feed.ops = &document_ops;
    at->feed.name = inner->name;
    at->feed.reads_ahead = inner->reads_ahead;
    at->feed.has_positions = true;
    at->feed.has_ids =
        !is_pages && rf_slice_equal(rf_mapping_path(options, "position"), RF_SLICE("position"));
    rf_line_blocks_init(&at->blocks);
    rf_json_values_init(&at->values, inner, !is_pages,
                        is_pages ? PAGE_BYTES_MAX : RF_LINES_LINE_MAX);
    at->parser = rf_json_parser_new();
    at->pages = is_pages ? rf_kurrentdb_new() : NULL;
    if (!at->parser || (is_pages && !at->pages)) {
        document_close(&at->feed);
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for reading events");
    }
    at->inner = inner;
    inner->in_pieces = true;
    *feed_out = &at->feed;
    return RF_OK;
}
