/* See mapping.h.
 *
 * The members that are read stand in a short list of names, found by size and bytes; each name
 * leads to a set of targets. A line is parsed once; data and metadata are cut out of its nodes
 * (rf_json_detach), so that nothing is parsed or copied twice. Nothing is allocated for a line that
 * is right.
 */
#include "source/mapping.h"

#include "event/value.h"
#include "source/mapping_rules.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    UNKNOWN_MAX = 64, /* unused members of a line that are compared for duplicates */
};

#define NONE RF_MEMBER_NONE

void rf_unused_members_add(rf_unused_members *unused, rf_slice name, uint64_t count)
{
    size_t size_max = sizeof unused->members[0].name - 1;
    size_t size = 0;

    /* As much as fits of it, up to a character's border; NUL would end it early. */
    while (size < name.size && name.data[size] != '\0') {
        size_t width = rf_utf8_width((rf_slice){name.data + size, name.size - size});
        if (width == 0 || size + width > size_max)
            break;
        size += width;
    }
    for (uint32_t i = 0; i < unused->count; i++) {
        rf_import_member *member = &unused->members[i];
        if (member->name[size] == '\0' && memcmp(member->name, name.data, size) == 0) {
            member->count += count;
            return;
        }
    }
    if (unused->count == RF_IMPORT_MEMBERS_MAX)
        return;
    rf_import_member *member = &unused->members[unused->count++];
    memset(member, 0, sizeof *member);
    memcpy(member->name, name.data, size);
    member->count = count;
}

/* One line on its way. */
typedef struct reading {
    const rf_mapping *mapping;
    rf_json_parser *parser;
    rf_slice line;
    const rf_json_node *nodes;
    uint32_t count;
    uint32_t found[RF_TARGET_COUNT];   /* indexes of nodes; NONE */
    uint32_t ordinal[RF_TARGET_COUNT]; /* which of the top-level members it is */
    rf_unused_members *unused;
    rf_event event;
    rf_err *err;
} reading;

static const char *label_of(const reading *from, rf_target of)
{
    return from->mapping->sources[of].label;
}

static rf_status refuse(const reading *from, rf_target of, const char *what)
{
    return rf_fail(from->err, RF_ERR_INPUT, "%s %s", label_of(from, of), what);
}

static rf_status refuse_kind(const reading *from, rf_target of, const rf_json_node *node,
                             const char *due)
{
    static const char *const kinds[] = {
        [RF_JSON_NULL] = "null",
        [RF_JSON_FALSE] = "false",
        [RF_JSON_TRUE] = "true",
        [RF_JSON_INTEGER] = "an integer",
        [RF_JSON_NUMBER] = "a number with a fraction or exponent",
        [RF_JSON_STRING] = "a string",
        [RF_JSON_ARRAY] = "an array",
        [RF_JSON_OBJECT] = "an object",
    };
    return rf_fail(from->err, RF_ERR_INPUT, "%s is %s where %s is due", label_of(from, of),
                   kinds[node->kind], due);
}

/* For messages: as much of a value's text as is useful. */
static int shown_size(const rf_json_node *node)
{
    return node->text_size < 64 ? (int)node->text_size : 64;
}

static rf_status refuse_duplicate(const reading *from, rf_slice name)
{
    return rf_fail(from->err, RF_ERR_INPUT, "the member \"%.*s\" stands twice in the event",
                   (int)(name.size < 64 ? name.size : 64), name.data);
}

/* Sorts the top-level members: those that a target reads, and the others. */
static rf_status members_find(reading *from)
{
    const rf_mapping *mapping = from->mapping;
    uint32_t unknown[UNKNOWN_MAX];
    uint32_t unknown_count = 0;
    uint32_t ordinal = 0;
    uint32_t seen = 0;

    for (uint32_t i = 1; i < from->count; i = from->nodes[i].next, ordinal++) {
        rf_slice key = rf_json_key(&from->nodes[i]);
        uint32_t at = 0;
        while (at < mapping->name_count && !rf_short_equal(mapping->names[at].name, key))
            at++;
        if (at < mapping->name_count) {
            if (seen >> at & 1)
                return refuse_duplicate(from, key);
            seen |= 1u << at;
            for (uint32_t left = mapping->names[at].targets; left; left &= left - 1) {
                from->found[__builtin_ctz(left)] = i;
                from->ordinal[__builtin_ctz(left)] = ordinal;
            }
            continue;
        }
        for (uint32_t j = 0; j < unknown_count; j++) {
            if (rf_slice_equal(rf_json_key(&from->nodes[unknown[j]]), key))
                return refuse_duplicate(from, key);
        }
        if (unknown_count < UNKNOWN_MAX)
            unknown[unknown_count++] = i;
        rf_unused_members_add(from->unused, key, 1);
    }
    return RF_OK;
}

/* The value of a path below `nodes`; NULL where there is none. The last of equal names counts. */
static const rf_json_node *path_find(const rf_json_node *nodes, const rf_slice *parts,
                                     uint32_t part_count)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < part_count; i++) {
        uint32_t found = NONE;
        if (nodes[at].kind != RF_JSON_OBJECT)
            return NULL;
        for (uint32_t j = at + 1; j < nodes[at].next; j = nodes[j].next) {
            if (rf_slice_equal(rf_json_key(&nodes[j]), parts[i]))
                found = j;
        }
        if (found == NONE)
            return NULL;
        at = found;
    }
    return &nodes[at];
}

/* The value of a path in data or metadata, which have been cut out. */
static const rf_json_node *inner_value(const reading *from, const rf_target_source *source)
{
    bool in_data = rf_slice_equal(source->parts[0], RF_SLICE("data"));
    const rf_json_node *nodes = in_data ? from->event.data_nodes : from->event.metadata_nodes;

    return nodes ? path_find(nodes, source->parts + 1, source->part_count - 1) : NULL;
}

/* What a target reads; NULL if the event has none. */
static inline const rf_json_node *value_of(const reading *from, rf_target of)
{
    const rf_target_source *source = &from->mapping->sources[of];
    const rf_json_node *node = NULL;

    if (source->part_count > 1)
        node = inner_value(from, source);
    else if (from->found[of] != NONE)
        node = &from->nodes[from->found[of]];
    return node && node->kind == RF_JSON_NULL ? NULL : node;
}

static rf_status read_integer(const reading *from, rf_target of, int64_t minimum,
                              int64_t *value_out)
{
    const rf_json_node *node = value_of(from, of);
    int64_t value;

    if (!node)
        return RF_OK;
    if (node->kind != RF_JSON_INTEGER)
        return refuse_kind(from, of, node, "an integer");
    if (rf_parse_int(rf_json_text(node), &value) != RF_VALUE_OK)
        return rf_fail(from->err, RF_ERR_INPUT, "%s %.*s is beyond 64 bits", label_of(from, of),
                       shown_size(node), node->text);
    if (value < minimum)
        return rf_fail(from->err, RF_ERR_INPUT, "%s is %lld; the least is %lld", label_of(from, of),
                       (long long)value, (long long)minimum);
    *value_out = value;
    return RF_OK;
}

static rf_status read_name(const reading *from, rf_target of, size_t size_max, rf_slice *name_out)
{
    const rf_json_node *node = value_of(from, of);

    if (!node)
        return refuse(from, of, "is missing");
    if (node->kind != RF_JSON_STRING)
        return refuse_kind(from, of, node, "a string");
    if (node->text_size == 0)
        return refuse(from, of, "is empty");
    if (node->text_size > size_max)
        return rf_fail(from->err, RF_ERR_INPUT, "%s has %u bytes; the most is %zu",
                       label_of(from, of), node->text_size, size_max);
    if (memchr(node->text, '\0', node->text_size))
        return refuse(from, of, "holds a NUL");
    *name_out = rf_json_text(node);
    return RF_OK;
}

/* 1900-01-01 and 2201-01-01, in microseconds. */
#define TIME_MIN INT64_C(-2208988800000000)
#define TIME_END INT64_C(7289654400000000)

static rf_status refuse_time(const reading *from, const rf_json_node *node, const char *what)
{
    return rf_fail(from->err, RF_ERR_INPUT, "%s %.*s %s", label_of(from, RF_TARGET_TIME),
                   shown_size(node), node->text, what);
}

static bool time_in_range(int64_t us)
{
    return us >= TIME_MIN && us < TIME_END;
}

bool rf_mapping_time_of_integer(const rf_mapping *mapping, int64_t value, int64_t *us_out)
{
    bool beyond = false;
    int64_t us = 0;

    switch (mapping->time_unit) {
    case RF_TIME_UNIT_S:
        beyond = __builtin_mul_overflow(value, INT64_C(1000000), &us);
        break;
    case RF_TIME_UNIT_MS:
        beyond = __builtin_mul_overflow(value, INT64_C(1000), &us);
        break;
    case RF_TIME_UNIT_US:
        us = value;
        break;
    case RF_TIME_UNIT_NS:
        us = value / 1000 - (value % 1000 < 0);
        break;
    }
    if (beyond || !time_in_range(us))
        return false;
    *us_out = us;
    return true;
}

static rf_status time_of_integer(const reading *from, const rf_json_node *node, int64_t *us_out)
{
    int64_t value;

    if (rf_parse_int(rf_json_text(node), &value) != RF_VALUE_OK ||
        !rf_mapping_time_of_integer(from->mapping, value, us_out))
        return refuse_time(from, node,
                           "is outside the years 1900 to 2200; is it in another unit than "
                           "--time-unit says?");
    return RF_OK;
}

rf_value_fault rf_mapping_time_of_text(const rf_mapping *mapping, rf_slice text, int64_t *us_out)
{
    const rf_zone *zone = mapping->zone;
    int64_t us = 0;
    rf_value_fault fault = rf_parse_time(text, false, 0, &us);

    if (fault == RF_VALUE_NO_ZONE && zone) {
        fault = rf_parse_time(text, true, 0, &us);
        if (fault == RF_VALUE_OK)
            us -= rf_zone_offset(zone, us / 1000000 - (us % 1000000 < 0)) * INT64_C(1000000);
    }
    if (fault == RF_VALUE_OK && !time_in_range(us))
        fault = RF_VALUE_RANGE;
    if (fault == RF_VALUE_OK)
        *us_out = us;
    return fault;
}

static rf_status time_of_string(const reading *from, const rf_json_node *node, int64_t *us_out)
{
    rf_value_fault fault = rf_mapping_time_of_text(from->mapping, rf_json_text(node), us_out);

    if (fault == RF_VALUE_NO_ZONE)
        return refuse_time(from, node, "has no offset from UTC; --time-zone gives one");
    if (fault == RF_VALUE_WRONG_KIND)
        return refuse_time(from, node, "is no time; the form is 2024-07-10T12:00:00Z");
    if (fault != RF_VALUE_OK)
        return refuse_time(from, node, "is outside the years 1900 to 2200");
    return RF_OK;
}

static rf_status read_time(const reading *from, int64_t *us_out)
{
    const rf_json_node *node = value_of(from, RF_TARGET_TIME);

    *us_out = RF_TIME_NONE;
    if (!node)
        return RF_OK;
    if (node->kind == RF_JSON_INTEGER)
        return time_of_integer(from, node, us_out);
    if (node->kind == RF_JSON_STRING)
        return time_of_string(from, node, us_out);
    return refuse_kind(from, RF_TARGET_TIME, node, "a time as a string or an integer");
}

/* Names the path of nodes[index] in a member, as far as there is room. */
static void path_show(const rf_json_node *nodes, uint32_t index, const char *member, char *out,
                      size_t size)
{
    size_t used = 0;
    uint32_t at = 0;
    int written = snprintf(out, size, "%s", member);

    while (at != index && written >= 0 && used + (size_t)written < size) {
        uint32_t ordinal = 0;
        uint32_t child = at + 1;
        used += (size_t)written;
        while (nodes[child].next <= index) {
            child = nodes[child].next;
            ordinal++;
        }
        if (nodes[child].key)
            written = snprintf(out + used, size - used, ".%.*s",
                               (int)(nodes[child].key_size < 64 ? nodes[child].key_size : 64),
                               nodes[child].key);
        else
            written = snprintf(out + used, size - used, "[%u]", ordinal);
        at = child;
    }
}

static rf_status integers_check(const reading *from, rf_target of, const rf_json_node *nodes,
                                uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        int64_t value;
        char path[256];
        if (nodes[i].kind != RF_JSON_INTEGER || nodes[i].text_size <= 18 ||
            rf_parse_int(rf_json_text(&nodes[i]), &value) == RF_VALUE_OK)
            continue;
        path_show(nodes, i, rf_target_names[of], path, sizeof path);
        return rf_fail(from->err, RF_ERR_INPUT, "%s: the integer %.*s is beyond 64 bits", path,
                       shown_size(&nodes[i]), nodes[i].text);
    }
    return RF_OK;
}

/* The raw bytes of the value of a top-level member, by its ordinal, of a line that was parsed: for
 * strings with escapes, whose node does not say where they stand. */
static rf_slice raw_value(rf_slice line, uint32_t ordinal)
{
    uint32_t member = 0;
    int depth = 0;
    size_t begin = 0;

    for (size_t at = 0; at < line.size; at++) {
        char byte = line.data[at];
        size_t first = at;
        if (byte == '"') {
            for (at++; line.data[at] != '"'; at++)
                at += line.data[at] == '\\';
            if (begin > 0 && depth == 1 && member == ordinal)
                return (rf_slice){line.data + first, at + 1 - first};
        } else if (byte == '{' || byte == '[') {
            depth++;
        } else if (byte == '}' || byte == ']') {
            depth--;
        } else if (byte == ',' && depth == 1) {
            member++;
            begin = 0;
        } else if (byte == ':' && depth == 1) {
            begin = at + 1;
        }
    }
    RF_ASSERT(!"a string that was parsed is not there");
    return RF_SLICE("");
}

/* The bytes of a value as they came. */
static rf_slice raw_of(const reading *from, const rf_json_node *node, uint32_t ordinal)
{
    rf_slice line = from->line;
    uintptr_t at = (uintptr_t)node->text;

    if (node->kind != RF_JSON_STRING)
        return rf_json_text(node);
    if (at > (uintptr_t)line.data && at + node->text_size < (uintptr_t)line.data + line.size)
        return (rf_slice){node->text - 1, node->text_size + 2};
    return raw_value(line, ordinal);
}

static rf_status read_data(reading *from)
{
    uint32_t index = from->found[RF_TARGET_DATA];
    rf_event *event = &from->event;

    if (index == NONE)
        return refuse(from, RF_TARGET_DATA, "is missing");
    event->data = raw_of(from, &from->nodes[index], from->ordinal[RF_TARGET_DATA]);
    event->data_nodes = rf_json_detach(from->nodes, index, &event->data_node_count);
    return integers_check(from, RF_TARGET_DATA, event->data_nodes, event->data_node_count);
}

static rf_status read_metadata(reading *from)
{
    const rf_target_source *source = &from->mapping->sources[RF_TARGET_METADATA];
    const rf_json_node *node = value_of(from, RF_TARGET_METADATA);
    rf_event *event = &from->event;

    if (!node)
        return RF_OK;
    if (source->part_count > 1) {
        /* A copy of a part of data: the same bytes, with nodes of their own. */
        if (node->kind != RF_JSON_OBJECT)
            return refuse_kind(from, RF_TARGET_METADATA, node, "an object");
        event->metadata = rf_json_text(node);
        return rf_json_parse(from->parser, event->metadata, &event->metadata_nodes,
                             &event->metadata_node_count, from->err);
    }
    uint32_t index = from->found[RF_TARGET_METADATA];
    if (index ==
        from->found[RF_TARGET_DATA]) { /* one member mapped to both; its nodes are cut out */
        event->metadata = event->data;
        event->metadata_nodes = event->data_nodes;
        event->metadata_node_count = event->data_node_count;
        return RF_OK;
    }
    event->metadata = raw_of(from, node, from->ordinal[RF_TARGET_METADATA]);
    event->metadata_nodes = rf_json_detach(from->nodes, index, &event->metadata_node_count);
    return integers_check(from, RF_TARGET_METADATA, event->metadata_nodes,
                          event->metadata_node_count);
}

static rf_status read_event(reading *from)
{
    rf_event *event = &from->event;
    int64_t position = 0;
    rf_status status = members_find(from);

    event->version = RF_VERSION_NONE;
    event->schema = 1;
    if (status == RF_OK)
        status = read_data(from);
    if (status == RF_OK)
        status = read_metadata(from);
    if (status == RF_OK && event->data.size + event->metadata.size > RF_EVENT_SIZE_MAX)
        status = rf_fail(from->err, RF_ERR_INPUT,
                         "data and metadata have %zu bytes; an event has at most 16 MiB",
                         event->data.size + event->metadata.size);
    if (status == RF_OK)
        status = read_name(from, RF_TARGET_STREAM, RF_STREAM_NAME_SIZE_MAX, &event->stream);
    if (status == RF_OK)
        status = read_name(from, RF_TARGET_TYPE, RF_TYPE_SIZE_MAX, &event->type);
    if (status == RF_OK)
        status = read_integer(from, RF_TARGET_POSITION, 1, &position);
    if (status == RF_OK)
        status = read_integer(from, RF_TARGET_VERSION, 0, &event->version);
    if (status == RF_OK)
        status = read_integer(from, RF_TARGET_SCHEMA, 1, &event->schema);
    if (status == RF_OK)
        status = read_time(from, &event->time);
    event->source_position = (uint64_t)position;
    return status;
}

/* Whether the line is JSON once each two backslashes are one: what COPY … TO STDOUT makes of JSON
 * in PostgreSQL's text format. */
static bool is_doubled(rf_slice line)
{
    const rf_json_node *nodes;
    uint32_t count;
    bool doubled = false;

    if (!memmem(line.data, line.size, "\\\\", 2))
        return false;
    char *single = malloc(line.size + RF_JSON_PADDING);
    rf_json_parser *parser = rf_json_parser_new();
    if (single && parser) {
        size_t size = 0;
        for (size_t i = 0; i < line.size; i++) {
            single[size++] = line.data[i];
            i += line.data[i] == '\\' && i + 1 < line.size && line.data[i + 1] == '\\';
        }
        memset(single + size, 0, RF_JSON_PADDING);
        doubled = rf_json_parse(parser, (rf_slice){single, size}, &nodes, &count, NULL) == RF_OK;
    }
    rf_json_parser_free(parser);
    free(single);
    return doubled;
}

rf_status rf_mapping_read(const rf_mapping *mapping, rf_json_parser *parser, rf_slice line,
                          rf_unused_members *unused, rf_event *event_out, rf_err *err)
{
    rf_line_members members;

    return rf_mapping_read_members(mapping, parser, line, unused, &members, event_out, err);
}

rf_status rf_mapping_read_members(const rf_mapping *mapping, rf_json_parser *parser, rf_slice line,
                                  rf_unused_members *unused, rf_line_members *members_out,
                                  rf_event *event_out, rf_err *err)
{
    reading from = {.mapping = mapping,
                    .parser = parser,
                    .line = line,
                    .found = {NONE, NONE, NONE, NONE, NONE, NONE, NONE, NONE},
                    .unused = unused,
                    .err = err};

    rf_status status = rf_json_parse(parser, line, &from.nodes, &from.count, err);
    if (status == RF_ERR_INPUT && is_doubled(line))
        return rf_fail(err, RF_ERR_INPUT,
                       "JSON whose backslashes are doubled, as COPY ... TO STDOUT writes it in "
                       "text format; use the CSV form of COPY that the README shows");
    if (status != RF_OK)
        return status == RF_ERR_INPUT ? rf_err_context(err, "not valid JSON") : status;
    if (from.nodes[0].kind != RF_JSON_OBJECT)
        return rf_fail(err, RF_ERR_INPUT, "an event is a JSON object; this is another value");
    status = read_event(&from);
    if (status != RF_OK)
        return status;
    *event_out = from.event;
    members_out->nodes = from.nodes;
    members_out->count = from.count;
    memcpy(members_out->found, from.found, sizeof from.found);
    return RF_OK;
}
