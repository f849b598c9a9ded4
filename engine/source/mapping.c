/* See mapping.h.
 *
 * The members that are read stand in a short list of names, found by size and bytes; each name leads to
 * a set of targets. A line is parsed once; data and metadata are cut out of its nodes
 * (rf_json_detach), so that nothing is parsed or copied twice. Nothing is allocated for a line that
 * is right.
 */
#include "source/mapping.h"

#include "event/value.h"
#include "source/zone.h"

#include <stdio.h>
#include <stdlib.h>

typedef enum target {
    TARGET_POSITION,
    TARGET_STREAM,
    TARGET_VERSION,
    TARGET_TYPE,
    TARGET_SCHEMA,
    TARGET_TIME,
    TARGET_DATA,
    TARGET_METADATA,
    TARGET_COUNT,
} target;

static const char *const target_names[TARGET_COUNT] = {"position", "stream", "version", "type",
                                                       "schema",   "time",   "data",    "metadata"};

enum {
    NAME_SIZE_MAX = 255, /* of a member that a map reads */
    PARTS_MAX = 16,
    UNKNOWN_MAX = 64, /* unused members of a line that are compared for duplicates */
    NONE = UINT32_MAX,
};

typedef struct target_source {
    char *text;                /* owned: what the parts and `label` borrow from */
    const char *label;         /* "schema", or "schema (data.class_version)" */
    rf_slice parts[PARTS_MAX]; /* one: a top-level member; more: a path in data or metadata */
    uint32_t part_count;
} target_source;

typedef struct member_name {
    rf_slice name;
    uint32_t targets; /* a bit each */
} member_name;

struct rf_mapping {
    target_source sources[TARGET_COUNT];
    member_name names[TARGET_COUNT];
    uint32_t name_count;
    rf_time_unit time_unit;
    rf_zone *zone; /* NULL: times need an offset */
};

/* Cuts `text` at dots outside quotes; the quotes are taken out in place. */
static bool parts_cut(char *text, target_source *source)
{
    char *at = text;

    source->part_count = 0;
    for (;;) {
        char *begin = at;
        char *end;
        if (*at == '"') {
            begin++;
            end = strchr(begin, '"');
            if (!end)
                return false;
            at = end + 1;
        } else {
            at += strcspn(at, ".\"");
            end = at;
        }
        if (end == begin || end - begin > NAME_SIZE_MAX || source->part_count == PARTS_MAX)
            return false;
        source->parts[source->part_count++] = (rf_slice){begin, (size_t)(end - begin)};
        if (*at == '\0')
            return true;
        if (*at++ != '.')
            return false;
    }
}

static rf_status target_of(rf_slice map, size_t name_size, target *target_out, rf_err *err)
{
    for (target at = 0; at < TARGET_COUNT; at++) {
        if (rf_slice_equal((rf_slice){map.data, name_size}, rf_slice_of(target_names[at]))) {
            *target_out = at;
            return RF_OK;
        }
    }
    return rf_fail(err, RF_ERR_USAGE,
                   "map %.*s: before the = stands one of position, stream, version, type, schema, "
                   "time, data, metadata",
                   (int)map.size, map.data);
}

/* One "position=id". */
static rf_status map_add(rf_mapping *mapping, rf_slice map, rf_err *err)
{
    const char *equals = memchr(map.data, '=', map.size);
    target to = TARGET_POSITION;

    if (!equals || map.size > 4096)
        return rf_fail(err, RF_ERR_USAGE, "map %.*s: a map has the form position=id",
                       (int)(map.size < 256 ? map.size : 256), map.data);
    rf_status status = target_of(map, (size_t)(equals - map.data), &to, err);
    if (status != RF_OK)
        return status;
    target_source *source = &mapping->sources[to];
    if (source->text)
        return rf_fail(err, RF_ERR_USAGE, "map %.*s: %s is mapped twice", (int)map.size, map.data,
                       target_names[to]);
    size_t path_size = map.size - (size_t)(equals + 1 - map.data);
    /* The path, to be cut up; then "TARGET (PATH)". */
    source->text = malloc(2 * path_size + 32);
    if (!source->text)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a map");
    memcpy(source->text, equals + 1, path_size);
    source->text[path_size] = '\0';
    char *label = source->text + path_size + 1;
    (void)snprintf(label, path_size + 31, "%s (%.*s)", target_names[to], (int)path_size,
                   equals + 1);
    source->label = label;
    if (!parts_cut(source->text, source))
        return rf_fail(err, RF_ERR_USAGE, "map %.*s: behind the = stands a member's name or a path",
                       (int)map.size, map.data);
    if (source->part_count == 1)
        return RF_OK;
    bool in_data = rf_slice_equal(source->parts[0], RF_SLICE("data"));
    if (!in_data && !rf_slice_equal(source->parts[0], RF_SLICE("metadata")))
        return rf_fail(err, RF_ERR_USAGE,
                       "map %.*s: a path leads into data or metadata; quote a name with a dot",
                       (int)map.size, map.data);
    if (to == TARGET_DATA || (to == TARGET_METADATA && !in_data))
        return rf_fail(err, RF_ERR_USAGE, "map %.*s: %s cannot come from inside itself",
                       (int)map.size, map.data, target_names[to]);
    return RF_OK;
}

/* Maps may come several in one text, with commas between. */
static rf_status maps_add(rf_mapping *mapping, const char *text, rf_err *err)
{
    const char *begin = text;
    bool quoted = false;

    for (const char *at = text;; at++) {
        if (*at == '"')
            quoted = !quoted;
        if (*at != '\0' && (*at != ',' || quoted))
            continue;
        rf_status status = map_add(mapping, (rf_slice){begin, (size_t)(at - begin)}, err);
        if (status != RF_OK || *at == '\0')
            return status;
        begin = at + 1;
    }
}

/* The list of top-level names to look for. */
static void names_collect(rf_mapping *mapping)
{
    for (target to = 0; to < TARGET_COUNT; to++) {
        target_source *source = &mapping->sources[to];
        uint32_t at = 0;
        if (source->part_count == 0) {
            source->parts[0] = rf_slice_of(target_names[to]);
            source->part_count = 1;
            source->label = target_names[to];
        }
        if (source->part_count > 1)
            continue;
        while (at < mapping->name_count &&
               !rf_slice_equal(mapping->names[at].name, source->parts[0]))
            at++;
        if (at == mapping->name_count)
            mapping->names[mapping->name_count++] = (member_name){source->parts[0], 0};
        mapping->names[at].targets |= 1u << to;
    }
}

rf_status rf_mapping_new(const rf_import_options *options, rf_mapping **mapping_out, rf_err *err)
{
    rf_status status = RF_OK;
    rf_mapping *mapping = calloc(1, sizeof *mapping);

    if (!mapping)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the maps");
    mapping->time_unit = options->time_unit;
    for (uint32_t i = 0; status == RF_OK && i < options->map_count; i++)
        status = maps_add(mapping, options->maps[i], err);
    if (status == RF_OK && options->time_zone)
        status = rf_zone_new(options->time_zone, &mapping->zone, err);
    if (status != RF_OK) {
        rf_mapping_free(mapping);
        return status;
    }
    names_collect(mapping);
    *mapping_out = mapping;
    return RF_OK;
}

void rf_mapping_free(rf_mapping *mapping)
{
    if (!mapping)
        return;
    for (target to = 0; to < TARGET_COUNT; to++)
        free(mapping->sources[to].text);
    rf_zone_free(mapping->zone);
    free(mapping);
}

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
    uint32_t found[TARGET_COUNT]; /* indexes of nodes; NONE */
    uint32_t ordinal[TARGET_COUNT]; /* which of the top-level members it is */
    rf_unused_members *unused;
    rf_event event;
    rf_err *err;
} reading;

static const char *label_of(const reading *from, target of)
{
    return from->mapping->sources[of].label;
}

static rf_status refuse(const reading *from, target of, const char *what)
{
    return rf_fail(from->err, RF_ERR_INPUT, "%s %s", label_of(from, of), what);
}

static rf_status refuse_kind(const reading *from, target of, const rf_json_node *node,
                             const char *due)
{
    static const char *const kinds[] = {
        [RF_JSON_NULL] = "null",         [RF_JSON_FALSE] = "false",
        [RF_JSON_TRUE] = "true",         [RF_JSON_INTEGER] = "an integer",
        [RF_JSON_NUMBER] = "a number with a fraction or exponent",
        [RF_JSON_STRING] = "a string",   [RF_JSON_ARRAY] = "an array",
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
        while (at < mapping->name_count && !rf_slice_equal(mapping->names[at].name, key))
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

/* What a target reads; NULL if the event has none. After data and metadata have been cut out. */
static const rf_json_node *value_of(const reading *from, target of)
{
    const target_source *source = &from->mapping->sources[of];
    const rf_json_node *node;

    if (source->part_count == 1) {
        node = from->found[of] == NONE ? NULL : &from->nodes[from->found[of]];
    } else {
        bool in_data = rf_slice_equal(source->parts[0], RF_SLICE("data"));
        const rf_json_node *nodes = in_data ? from->event.data_nodes : from->event.metadata_nodes;
        node = nodes ? path_find(nodes, source->parts + 1, source->part_count - 1) : NULL;
    }
    return node && node->kind == RF_JSON_NULL ? NULL : node;
}

static rf_status read_integer(const reading *from, target of, int64_t minimum, int64_t *value_out)
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

static rf_status read_name(const reading *from, target of, size_t size_max, rf_slice *name_out)
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
    return rf_fail(from->err, RF_ERR_INPUT, "%s %.*s %s", label_of(from, TARGET_TIME),
                   shown_size(node), node->text, what);
}

/* An integer literal in the unit that was chosen. */
static rf_status time_of_integer(const reading *from, const rf_json_node *node, int64_t *us_out)
{
    int64_t value = 0;
    int64_t us = 0;
    bool beyond = rf_parse_int(rf_json_text(node), &value) != RF_VALUE_OK;

    switch (from->mapping->time_unit) {
    case RF_TIME_UNIT_S:
        beyond = __builtin_mul_overflow(value, INT64_C(1000000), &us) || beyond;
        break;
    case RF_TIME_UNIT_MS:
        beyond = __builtin_mul_overflow(value, INT64_C(1000), &us) || beyond;
        break;
    case RF_TIME_UNIT_US:
        us = value;
        break;
    case RF_TIME_UNIT_NS:
        us = value / 1000 - (value % 1000 < 0);
        break;
    }
    if (beyond || us < TIME_MIN || us >= TIME_END)
        return refuse_time(from, node,
                           "is outside the years 1900 to 2200; is it in another unit than "
                           "--time-unit says?");
    *us_out = us;
    return RF_OK;
}

static rf_status time_of_string(const reading *from, const rf_json_node *node, int64_t *us_out)
{
    rf_slice text = rf_json_text(node);
    const rf_zone *zone = from->mapping->zone;
    int64_t us = 0;
    rf_value_fault fault = rf_parse_time(text, false, 0, &us);

    if (fault == RF_VALUE_NO_ZONE && !zone)
        return refuse_time(from, node, "has no offset from UTC; --time-zone gives one");
    if (fault == RF_VALUE_NO_ZONE) {
        fault = rf_parse_time(text, true, 0, &us);
        if (fault == RF_VALUE_OK)
            us -= rf_zone_offset(zone, us / 1000000 - (us % 1000000 < 0)) * INT64_C(1000000);
    }
    if (fault == RF_VALUE_WRONG_KIND)
        return refuse_time(from, node, "is no time; the form is 2024-07-10T12:00:00Z");
    if (fault != RF_VALUE_OK || us < TIME_MIN || us >= TIME_END)
        return refuse_time(from, node, "is outside the years 1900 to 2200");
    *us_out = us;
    return RF_OK;
}

static rf_status read_time(const reading *from, int64_t *us_out)
{
    const rf_json_node *node = value_of(from, TARGET_TIME);

    *us_out = RF_TIME_NONE;
    if (!node)
        return RF_OK;
    if (node->kind == RF_JSON_INTEGER)
        return time_of_integer(from, node, us_out);
    if (node->kind == RF_JSON_STRING)
        return time_of_string(from, node, us_out);
    return refuse_kind(from, TARGET_TIME, node, "a time as a string or an integer");
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

static rf_status integers_check(const reading *from, target of, const rf_json_node *nodes,
                                uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        int64_t value;
        char path[256];
        if (nodes[i].kind != RF_JSON_INTEGER || nodes[i].text_size <= 18 ||
            rf_parse_int(rf_json_text(&nodes[i]), &value) == RF_VALUE_OK)
            continue;
        path_show(nodes, i, target_names[of], path, sizeof path);
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
    uint32_t index = from->found[TARGET_DATA];
    rf_event *event = &from->event;

    if (index == NONE)
        return refuse(from, TARGET_DATA, "is missing");
    event->data = raw_of(from, &from->nodes[index], from->ordinal[TARGET_DATA]);
    event->data_nodes = rf_json_detach(from->nodes, index, &event->data_node_count);
    return integers_check(from, TARGET_DATA, event->data_nodes, event->data_node_count);
}

static rf_status read_metadata(reading *from)
{
    const target_source *source = &from->mapping->sources[TARGET_METADATA];
    const rf_json_node *node = value_of(from, TARGET_METADATA);
    rf_event *event = &from->event;

    if (!node)
        return RF_OK;
    if (source->part_count > 1) {
        /* A copy of a part of data: the same bytes, with nodes of their own. */
        if (node->kind != RF_JSON_OBJECT)
            return refuse_kind(from, TARGET_METADATA, node, "an object");
        event->metadata = rf_json_text(node);
        return rf_json_parse(from->parser, event->metadata, &event->metadata_nodes,
                             &event->metadata_node_count, from->err);
    }
    uint32_t index = from->found[TARGET_METADATA];
    if (index == from->found[TARGET_DATA]) { /* one member mapped to both; its nodes are cut out */
        event->metadata = event->data;
        event->metadata_nodes = event->data_nodes;
        event->metadata_node_count = event->data_node_count;
        return RF_OK;
    }
    event->metadata = raw_of(from, node, from->ordinal[TARGET_METADATA]);
    event->metadata_nodes = rf_json_detach(from->nodes, index, &event->metadata_node_count);
    return integers_check(from, TARGET_METADATA, event->metadata_nodes, event->metadata_node_count);
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
        status = read_name(from, TARGET_STREAM, RF_STREAM_NAME_SIZE_MAX, &event->stream);
    if (status == RF_OK)
        status = read_name(from, TARGET_TYPE, RF_TYPE_SIZE_MAX, &event->type);
    if (status == RF_OK)
        status = read_integer(from, TARGET_POSITION, 1, &position);
    if (status == RF_OK)
        status = read_integer(from, TARGET_VERSION, 0, &event->version);
    if (status == RF_OK)
        status = read_integer(from, TARGET_SCHEMA, 1, &event->schema);
    if (status == RF_OK)
        status = read_time(from, &event->time);
    event->source_position = (uint64_t)position;
    return status;
}

/* Whether the line is JSON once each two backslashes are one: what COPY … TO STDOUT makes of JSON in
 * PostgreSQL's text format. */
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
    if (status == RF_OK)
        *event_out = from.event;
    return status;
}
