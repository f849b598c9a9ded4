/* See kurrentdb.h. */
#include "source/kurrentdb.h"

#include "base/checksum.h"
#include "source/line_text.h"

#include <stdlib.h>

#define LINES_BYTES_MAX ((size_t)4 << 30)

typedef struct kurrentdb_entry {
    size_t begin, size; /* in the lines */
    int64_t number;     /* in its feed */
    uint64_t feed;      /* a hash of its name */
    uint64_t place;     /* as it came: page by page, each from its end */
} kurrentdb_entry;

struct rf_kurrentdb {
    rf_json_parser *parser;
    rf_buf lines;
    kurrentdb_entry *entries; /* owned */
    size_t count;
    size_t room;
    size_t given;
    bool is_sorted;
};

rf_kurrentdb *rf_kurrentdb_new(void)
{
    rf_kurrentdb *pages = calloc(1, sizeof *pages);

    if (!pages)
        return NULL;
    rf_buf_init(&pages->lines, LINES_BYTES_MAX);
    pages->parser = rf_json_parser_new();
    if (!pages->parser) {
        free(pages);
        return NULL;
    }
    return pages;
}

void rf_kurrentdb_free(rf_kurrentdb *pages)
{
    if (!pages)
        return;
    rf_json_parser_free(pages->parser);
    rf_buf_free(&pages->lines);
    free(pages->entries);
    free(pages);
}

/* A member of the object nodes[at]; NULL where it has none, or null. */
static const rf_json_node *member_of(const rf_json_node *nodes, uint32_t at, const char *name)
{
    const rf_json_node *found = NULL;

    for (uint32_t i = at + 1; i < nodes[at].next; i = nodes[i].next)
        if (rf_slice_equal(rf_json_key(&nodes[i]), rf_slice_of(name)))
            found = &nodes[i];
    return found && found->kind != RF_JSON_NULL ? found : NULL;
}

static rf_status text_of(const rf_json_node *nodes, uint32_t at, const char *name,
                         rf_slice *text_out, rf_err *err)
{
    const rf_json_node *node = member_of(nodes, at, name);

    if (!node || node->kind != RF_JSON_STRING)
        return rf_fail(err, RF_ERR_INPUT,
                       "an entry has no text %s; the feed has to be read with embed=body", name);
    *text_out = rf_json_text(node);
    return RF_OK;
}

static rf_status number_of(const rf_json_node *nodes, uint32_t at, const char *name,
                           int64_t *number_out, rf_err *err)
{
    const rf_json_node *node = member_of(nodes, at, name);

    if (!node || node->kind != RF_JSON_INTEGER ||
        rf_parse_int(rf_json_text(node), number_out) != RF_VALUE_OK || *number_out < 0)
        return rf_fail(err, RF_ERR_INPUT,
                       "an entry has no number %s; the feed has to be read with embed=body", name);
    return RF_OK;
}

static bool is_true(const rf_json_node *nodes, uint32_t at, const char *name)
{
    const rf_json_node *node = member_of(nodes, at, name);

    return !node || node->kind != RF_JSON_FALSE;
}

static bool is_blank(rf_slice text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!strchr(" \t\r\n", text.data[i]))
            return false;
    return true;
}

static rf_status bodies_append(const rf_json_node *nodes, uint32_t at, rf_buf *out, rf_err *err)
{
    rf_slice data = RF_SLICE("");

    rf_status status = text_of(nodes, at, "data", &data, err);
    if (status)
        return status;
    if (!is_true(nodes, at, "isJson"))
        rf_line_string(out, "data", data);
    else if (!rf_line_json(out, "data", data))
        return rf_fail(err, RF_ERR_INPUT, "the data of an entry is not valid JSON");
    const rf_json_node *metadata = member_of(nodes, at, "metaData");
    if (!metadata || metadata->kind != RF_JSON_STRING || is_blank(rf_json_text(metadata)))
        return RF_OK;
    if (!rf_line_json(out, "metadata", rf_json_text(metadata)))
        return rf_fail(err, RF_ERR_INPUT, "the metaData of an entry is not valid JSON");
    return RF_OK;
}

/* *is_event_out: it is not one of the database's own. */
static rf_status entry_append(rf_kurrentdb *pages, const rf_json_node *nodes, uint32_t at,
                              bool *is_event_out, rf_err *err)
{
    rf_buf *out = &pages->lines;
    rf_slice stream = RF_SLICE(""), type = RF_SLICE("");
    int64_t version = 0;

    if (nodes[at].kind != RF_JSON_OBJECT)
        return rf_fail(err, RF_ERR_INPUT, "an entry is no object");
    rf_status status = text_of(nodes, at, "eventType", &type, err);
    *is_event_out = !status && (type.size == 0 || type.data[0] != '$');
    if (status || !*is_event_out)
        return status;
    status = text_of(nodes, at, "streamId", &stream, err);
    if (!status)
        status = number_of(nodes, at, "eventNumber", &version, err);
    if (status)
        return status;
    rf_line_begin(out);
    rf_line_string(out, "stream", stream);
    rf_line_integer(out, "version", version);
    rf_line_string(out, "type", type);
    const rf_json_node *updated = member_of(nodes, at, "updated");
    if (updated && updated->kind == RF_JSON_STRING)
        rf_line_string(out, "time", rf_json_text(updated));
    status = bodies_append(nodes, at, out, err);
    if (status)
        return rf_err_context(err, "%lld@%.*s", (long long)version,
                              (int)(stream.size < 80 ? stream.size : 80), stream.data);
    rf_line_end(out);
    return rf_buf_check(out, "the pages of a feed", err);
}

static rf_status entry_add(rf_kurrentdb *pages, const rf_json_node *nodes, uint32_t at,
                           uint64_t place, rf_err *err)
{
    size_t begin = pages->lines.size;
    bool is_event = false;
    rf_slice feed = RF_SLICE("");
    int64_t number = 0;

    rf_status status = entry_append(pages, nodes, at, &is_event, err);
    if (status || !is_event)
        return status;
    status = text_of(nodes, at, "positionStreamId", &feed, err);
    if (!status)
        status = number_of(nodes, at, "positionEventNumber", &number, err);
    if (status)
        return status;
    if (pages->count == pages->room) {
        size_t room = pages->room ? 2 * pages->room : 256;
        kurrentdb_entry *grown = realloc(pages->entries, room * sizeof *grown);
        if (!grown)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for %zu entries", room);
        pages->entries = grown;
        pages->room = room;
    }
    pages->entries[pages->count++] = (kurrentdb_entry){
        .begin = begin,
        .size = pages->lines.size - begin,
        .number = number,
        .feed = rf_checksum(feed),
        .place = place,
    };
    return RF_OK;
}

rf_status rf_kurrentdb_page(rf_kurrentdb *pages, rf_slice page, rf_err *err)
{
    const rf_json_node *nodes;
    uint32_t count;
    uint32_t index = 0;

    RF_ASSERT(!pages->is_sorted);
    rf_status status = rf_json_parse(pages->parser, page, &nodes, &count, err);
    if (status)
        return status == RF_ERR_INPUT ? rf_err_context(err, "not valid JSON") : status;
    const rf_json_node *entries =
        nodes[0].kind == RF_JSON_OBJECT ? member_of(nodes, 0, "entries") : NULL;
    if (!entries || entries->kind != RF_JSON_ARRAY) {
        rf_json_parser_reset(pages->parser);
        return rf_fail(err, RF_ERR_INPUT,
                       "no page of an Atom feed: it has no array \"entries\"");
    }
    uint32_t at = (uint32_t)(entries - nodes);
    uint64_t place = (uint64_t)pages->count << 32 | UINT32_MAX;
    for (uint32_t i = at + 1; i < nodes[at].next && !status; i = nodes[i].next)
        status = entry_add(pages, nodes, i, place - index++, err);
    rf_json_parser_reset(pages->parser);
    return status;
}

static int by_place(const void *a, const void *b)
{
    const kurrentdb_entry *left = a, *right = b;

    return (left->place > right->place) - (left->place < right->place);
}

static int by_number(const void *a, const void *b)
{
    const kurrentdb_entry *left = a, *right = b;
    int order = (left->number > right->number) - (left->number < right->number);

    return order ? order : by_place(a, b);
}

rf_slice rf_kurrentdb_line(rf_kurrentdb *pages)
{
    if (!pages->is_sorted && pages->count > 0) {
        bool is_one_feed = true;
        for (size_t i = 1; i < pages->count; i++)
            is_one_feed = is_one_feed && pages->entries[i].feed == pages->entries[0].feed;
        qsort(pages->entries, pages->count, sizeof *pages->entries,
              is_one_feed ? by_number : by_place);
    }
    pages->is_sorted = true;
    if (pages->given == pages->count)
        return RF_SLICE("");
    const kurrentdb_entry *entry = &pages->entries[pages->given++];
    return (rf_slice){pages->lines.data + entry->begin, entry->size};
}
