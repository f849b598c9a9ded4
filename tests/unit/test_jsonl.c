/* JSON Lines: files in all forms, members and maps, and every refusal with its words. */
#include "source/jsonl.h"
#include "source/newlines.h"

#include "base/bytes.h"
#include "event/value.h"
#include "event/zone.h"
#include "source/lines.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

/* What one read gave, as text: a line an event. */
typedef struct outcome {
    char directory[64];
    char path[96];
    rf_import_options options;
    uint32_t workers;
    rf_buf text;
    rf_jsonl_stats stats;
    uint64_t nodes;
    uint64_t shaped;
    uint64_t last_line;
    rf_status status;
    rf_err err;
} outcome;

static outcome begin(void)
{
    outcome all = {.directory = "/tmp/refold-jsonl-XXXXXX"};

    cr_assert_not_null(mkdtemp(all.directory));
    snprintf(all.path, sizeof all.path, "%s/e", all.directory);
    rf_buf_init(&all.text, 64 << 20);
    return all;
}

static void end(outcome *all)
{
    (void)unlink(all->path);
    (void)rmdir(all->directory);
    rf_buf_free(&all->text);
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");

    cr_assert_not_null(file);
    cr_assert_eq(fwrite(data, 1, size, file), size);
    cr_assert_eq(fclose(file), 0);
}

/* Nodes must describe exactly the raw bytes that stand beside them. */
static uint64_t check_nodes(rf_slice raw, const rf_json_node *nodes, uint32_t count)
{
    if (!raw.data) {
        cr_assert_eq(count, 0);
        return 0;
    }
    cr_assert_gt(count, 0);
    cr_assert_eq(nodes[0].next, count);
    cr_assert_eq(nodes[0].depth, 0);
    if (nodes[0].kind != RF_JSON_STRING)
        cr_assert(rf_slice_equal(raw, rf_json_text(&nodes[0])));
    else
        cr_assert(raw.data[0] == '"' && raw.data[raw.size - 1] == '"');
    for (uint32_t i = 1; i < count; i++) {
        cr_assert_gt(nodes[i].next, i);
        cr_assert_leq(nodes[i].next, count);
    }
    return count;
}

/* Nodes of a shape with the event's values must be those of the raw bytes. */
static uint64_t check_shape(rf_slice raw, const rf_event *event, const rf_json_node *nodes,
                            uint32_t count)
{
    const rf_event_shape *shape = event->shape;
    rf_json_parser *parser = rf_json_parser_new();
    char *text = calloc(1, raw.size + RF_JSON_PADDING);
    const rf_json_node *due;
    uint32_t due_count;
    rf_err err;

    if (raw.size > 0)
        memcpy(text, raw.data, raw.size);
    if (count > 0) {
        cr_assert_eq(rf_json_parse(parser, (rf_slice){text, raw.size}, &due, &due_count, &err),
                     RF_OK);
        cr_assert_eq(due_count, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t value = 0;
        cr_assert(due[i].kind == nodes[i].kind && due[i].next == nodes[i].next &&
                  due[i].depth == nodes[i].depth);
        cr_assert(i == 0 || rf_slice_equal(rf_json_key(&due[i]), rf_json_key(&nodes[i])));
        if (due[i].kind != RF_JSON_INTEGER && due[i].kind != RF_JSON_NUMBER &&
            due[i].kind != RF_JSON_STRING)
            continue;
        while (shape->values[value].node != (uint32_t)(&nodes[i] - shape->data_nodes))
            value++;
        const rf_event_value *given = &event->values[value];
        cr_assert_lt(value, shape->value_count);
        cr_assert(rf_slice_equal((rf_slice){given->text, given->text_size},
                                 rf_json_text(&due[i])));
        int64_t number;
        unsigned scale;
        if (due[i].kind == RF_JSON_STRING)
            cr_assert(rf_slice_equal(rf_event_value_text(given), rf_json_text(&due[i])));
        if (due[i].kind == RF_JSON_INTEGER)
            cr_assert(rf_parse_int(rf_json_text(&due[i]), &number) == RF_VALUE_OK &&
                      number == given->value);
        if (due[i].kind == RF_JSON_NUMBER)
            cr_assert(rf_parse_exact(rf_json_text(&due[i]), &number, &scale) &&
                      number == given->value && scale == given->scale);
    }
    free(text);
    rf_json_parser_free(parser);
    return count;
}

/* Notes are those of these events. */
static void check_notes(const rf_event *events, const rf_event_note *notes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(notes[i].stream_hash, rf_checksum(events[i].stream));
        cr_assert_eq(notes[i].partition_hash % 64, rf_partition_of(events[i].stream, 64));
        cr_assert_eq(notes[i].fingerprint, rf_event_fingerprint(&events[i]));
    }
}

static rf_status take(void *arg, const rf_event *events, const rf_event_note *notes, size_t count,
                      rf_slice cursor, rf_err *err)
{
    outcome *all = arg;

    (void)err;
    check_notes(events, notes, count);
    cr_assert_eq(cursor.size, 0, "files have none");
    for (size_t i = 0; i < count; i++) {
        const rf_event *event = &events[i];
        rf_buf_append_format(&all->text, "%llu %.*s %lld %.*s %lld %lld %llu ",
                             (unsigned long long)event->line, (int)event->stream.size,
                             event->stream.data,
                             event->version == RF_VERSION_NONE ? -1LL : (long long)event->version,
                             (int)event->type.size, event->type.data, (long long)event->schema,
                             event->time == RF_TIME_NONE ? -1LL : (long long)event->time,
                             (unsigned long long)event->source_position);
        rf_buf_append_slice(&all->text, event->data);
        rf_buf_append_byte(&all->text, ' ');
        if (event->metadata.data)
            rf_buf_append_slice(&all->text, event->metadata);
        else
            rf_buf_append_byte(&all->text, '-');
        rf_buf_append_byte(&all->text, '\n');
        if (event->shape) {
            all->shaped++;
            all->nodes += check_shape(event->data, event, event->data_nodes,
                                      event->data_node_count);
            all->nodes += check_shape(event->metadata, event, event->metadata_nodes,
                                      event->metadata_node_count);
        } else {
            all->nodes += check_nodes(event->data, event->data_nodes, event->data_node_count);
            all->nodes +=
                check_nodes(event->metadata, event->metadata_nodes, event->metadata_node_count);
        }
        all->last_line = event->line;
    }
    return RF_OK;
}

/* Opens the path, and reads it to its end. */
static rf_status read_path(const char *path, const rf_import_options *options, rf_pool *pool,
                           rf_event_shapes *shapes, rf_events_take into, void *arg,
                           rf_jsonl_stats *stats, rf_err *err)
{
    rf_feed *feed = NULL;

    rf_status status = rf_lines_open(path, options->run.cancel, &feed, err);
    if (status == RF_OK)
        status = rf_jsonl_read(feed, options, pool, shapes, &(rf_events_sink){into, NULL, arg}, stats, err);
    rf_feed_close(feed);
    return status;
}

static void run_path(outcome *all, const char *path)
{
    rf_pool *pool;

    cr_assert_eq(rf_pool_new(all->workers, &pool, &all->err), RF_OK);
    rf_buf_clear(&all->text);
    memset(&all->stats, 0, sizeof all->stats);
    all->err.message[0] = '\0';
    rf_event_shapes *shapes = rf_event_shapes_new();
    cr_assert_not_null(shapes);
    all->shaped = 0;
    all->status =
        read_path(path, &all->options, pool, shapes, take, all, &all->stats, &all->err);
    rf_event_shapes_free(shapes);
    rf_pool_free(pool);
}

static void run(outcome *all, const void *data, size_t size)
{
    write_file(all->path, data, size);
    run_path(all, all->path);
}

static void expect(outcome *all, const char *text)
{
    cr_assert_eq(all->status, RF_OK, "%s", all->err.message);
    cr_assert(rf_slice_equal(rf_buf_slice(&all->text), rf_slice_of(text)), "got %.*s, not %s",
              (int)all->text.size, all->text.data, text);
}

/* One line in, one line out. */
static void expect_event(outcome *all, const char *line, const char *text)
{
    run(all, line, strlen(line));
    expect(all, text);
}

/* The message is FILE:LINE: what. */
static void expect_refused(outcome *all, const char *lines, size_t size, unsigned line,
                           const char *what)
{
    char due[2048];

    run(all, lines, size);
    snprintf(due, sizeof due, "%s:%u: %s", all->path, line, what);
    cr_assert_eq(all->status, RF_ERR_INPUT, "%.*s was accepted", (int)size, lines);
    cr_assert_str_eq(all->err.message, due);
    cr_assert_eq(all->text.size, 0);
}

#define REFUSED(all, line, what) expect_refused((all), (line), strlen(line), 1, (what))

#define FULL                                                                                       \
    "{\"position\":7,\"stream\":\"order-1\",\"version\":3,\"type\":\"ItemAdded\",\"schema\":2,"    \
    "\"time\":\"2024-07-10T12:00:00Z\",\"data\":{ \"qty\": 1 },\"metadata\":{\"u\":[1,2]}}"
#define FULL_OUT "order-1 3 ItemAdded 2 1720612800000000 7 { \"qty\": 1 } {\"u\":[1,2]}\n"
#define LEAST "{\"stream\":\"s\",\"type\":\"T\",\"data\":null}"
#define LEAST_OUT "s -1 T 1 -1 0 null -\n"

Test(jsonl, reads_all_members_and_gives_raw_bytes)
{
    outcome all = begin();

    expect_event(&all, FULL "\n", "1 " FULL_OUT);
    cr_assert_eq(all.nodes, 2 + 4);
    cr_assert_eq(all.stats.lines, 1);
    cr_assert_eq(all.stats.bytes, strlen(FULL) + 1);
    expect_event(&all, LEAST "\n", "1 " LEAST_OUT);
    end(&all);
}

Test(jsonl, null_counts_as_missing_but_in_data)
{
    outcome all = begin();

    expect_event(&all,
                 "{\"stream\":\"s\",\"type\":\"T\",\"data\":null,\"metadata\":null,\"time\":null,"
                 "\"version\":null,\"schema\":null,\"position\":null}",
                 "1 " LEAST_OUT);
    end(&all);
}

Test(jsonl, data_of_every_kind_comes_byte_for_byte)
{
    static const char *const values[] = {
        "{}",
        "[]",
        "[ 1 , {\"a\" : 2.50} ]",
        "-0",
        "1.50",
        "1e400",
        "true",
        "false",
        "null",
        "\"\"",
        "\"plain\"",
        "\"a\\n\\u00e9\\\\\"",
        "\"\\\"{[,:]}\\\"\"",
        "{\"a\\\"b\":\"\\\\\"}",
        "{\"a\":1,\"a\":2}",
        "{\"\\u0000\":\"\\u0000\"}",
    };
    outcome all = begin();

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char line[512];
        char due[512];
        snprintf(line, sizeof line,
                 "{ \"x\\\"{\": [\"\\\\\",{\"data\":1}], \"d\\u0061ta\" : %s , \"stream\":\"s\", "
                 "\"type\":\"T\", \"metadata\":%s }",
                 values[i], values[i]);
        bool null = strcmp(values[i], "null") == 0;
        snprintf(due, sizeof due, "1 s -1 T 1 -1 0 %s %s\n", values[i], null ? "-" : values[i]);
        expect_event(&all, line, due);
    }
    end(&all);
}

Test(jsonl, accepts_crlf_blank_lines_a_mark_and_no_last_newline)
{
    outcome all = begin();

    expect_event(&all, "", "");
    expect_event(&all, "\n \t\r\n\n", "");
    expect_event(&all, "\xef\xbb\xbf" LEAST "\r\n\r\n" LEAST "\n\n  \n" LEAST,
                 "1 " LEAST_OUT "3 " LEAST_OUT "6 " LEAST_OUT);
    cr_assert_eq(all.stats.lines, 3);
    end(&all);
}

Test(jsonl, refuses_what_is_no_event)
{
    outcome all = begin();

    REFUSED(&all, "{\"stream\":\"s\"", "not valid JSON: an object without an end at byte 14");
    REFUSED(&all, "[1]", "an event is a JSON object; this is another value");
    REFUSED(&all, "{}", "data is missing");
    REFUSED(&all, "{\"data\":1,\"type\":\"T\"}", "stream is missing");
    REFUSED(&all, "{\"data\":1,\"type\":\"T\",\"stream\":null}", "stream is missing");
    REFUSED(&all, "{\"data\":1,\"stream\":\"s\"}", "type is missing");
    REFUSED(&all, "{\"data\":1,\"stream\":5,\"type\":\"T\"}",
            "stream is an integer where a string is due");
    REFUSED(&all, "{\"data\":1,\"stream\":\"\",\"type\":\"T\"}", "stream is empty");
    REFUSED(&all, "{\"data\":1,\"stream\":\"a\\u0000\",\"type\":\"T\"}", "stream holds a NUL");
    REFUSED(&all, "{\"data\":1,\"stream\":\"s\",\"type\":[]}",
            "type is an array where a string is due");
    REFUSED(&all, "{\"data\":1,\"stream\":\"s\",\"type\":\"T\",\"type\":\"T\"}",
            "the member \"type\" stands twice in the event");
    REFUSED(&all, "{\"data\":1,\"stream\":\"s\",\"type\":\"T\",\"x\":1,\"\\u0078\":1}",
            "the member \"x\" stands twice in the event");
    end(&all);
}

static void refuse_member(outcome *all, const char *member, const char *what)
{
    char line[512];

    snprintf(line, sizeof line, "{\"stream\":\"s\",\"type\":\"T\",\"data\":1,%s}", member);
    REFUSED(all, line, what);
}

Test(jsonl, refuses_wrong_kinds_and_ranges)
{
    outcome all = begin();

    refuse_member(&all, "\"position\":0", "position is 0; the least is 1");
    refuse_member(&all, "\"position\":-1", "position is -1; the least is 1");
    refuse_member(&all, "\"position\":1.0",
                  "position is a number with a fraction or exponent where an integer is due");
    refuse_member(&all, "\"position\":\"1\"", "position is a string where an integer is due");
    refuse_member(&all, "\"position\":9223372036854775808",
                  "position 9223372036854775808 is beyond 64 bits");
    refuse_member(&all, "\"version\":-1", "version is -1; the least is 0");
    refuse_member(&all, "\"version\":99999999999999999999",
                  "version 99999999999999999999 is beyond 64 bits");
    refuse_member(&all, "\"schema\":0", "schema is 0; the least is 1");
    refuse_member(&all, "\"schema\":true", "schema is true where an integer is due");
    refuse_member(&all, "\"time\":true",
                  "time is true where a time as a string or an integer is due");
    refuse_member(&all, "\"time\":\"yesterday\"",
                  "time yesterday is no time; the form is 2024-07-10T12:00:00Z");
    refuse_member(&all, "\"time\":\"2024-07-10T12:00:00\"",
                  "time 2024-07-10T12:00:00 has no offset from UTC; --time-zone gives one");
    refuse_member(&all, "\"time\":\"1899-12-31T23:59:59Z\"",
                  "time 1899-12-31T23:59:59Z is outside the years 1900 to 2200");
    refuse_member(&all, "\"time\":\"2201-01-01T00:00:00Z\"",
                  "time 2201-01-01T00:00:00Z is outside the years 1900 to 2200");
    refuse_member(&all, "\"time\":1720612800000000",
                  "time 1720612800000000 is outside the years 1900 to 2200; is it in another unit "
                  "than --time-unit says?");
    refuse_member(&all, "\"metadata\":{\"a\":[0,{\"b\":-9223372036854775809}]}",
                  "metadata.a[1].b: the integer -9223372036854775809 is beyond 64 bits");
    REFUSED(&all,
            "{\"stream\":\"s\",\"type\":\"T\",\"data\":{\"x\":{},\"n\":[1,18446744073709551615]}}",
            "data.n[1]: the integer 18446744073709551615 is beyond 64 bits");
    expect_event(&all,
                 "{\"stream\":\"s\",\"type\":\"T\",\"data\":[-9223372036854775808,1e99],"
                 "\"position\":9223372036854775807,\"version\":0}",
                 "1 s 0 T 1 -1 9223372036854775807 [-9223372036854775808,1e99] -\n");
    end(&all);
}

Test(jsonl, refuses_names_that_are_too_long)
{
    char name[600];
    char line[1000];
    outcome all = begin();

    memset(name, 'n', sizeof name);
    snprintf(line, sizeof line, "{\"stream\":\"%.480s\",\"type\":\"%.255s\",\"data\":1}", name,
             name);
    run(&all, line, strlen(line));
    cr_assert_eq(all.status, RF_OK, "%s", all.err.message);
    snprintf(line, sizeof line, "{\"stream\":\"%.481s\",\"type\":\"T\",\"data\":1}", name);
    REFUSED(&all, line, "stream has 481 bytes; the most is 480");
    snprintf(line, sizeof line, "{\"stream\":\"s\",\"type\":\"%.256s\",\"data\":1}", name);
    REFUSED(&all, line, "type has 256 bytes; the most is 255");
    end(&all);
}

Test(jsonl, refuses_bad_bytes_with_their_place)
{
    outcome all = begin();
    static const char nul[] = LEAST "\n\0\n";

    REFUSED(&all, "{\"stream\":\"\xff\",\"type\":\"T\",\"data\":1}",
            "not valid JSON: invalid UTF-8 at byte 12");
    expect_refused(&all, nul, sizeof nul - 1, 2,
                   "not valid JSON: something that is no JSON value at byte 1");
    expect_refused(&all, LEAST "\n\xef\xbb\xbf" LEAST, 2 * strlen(LEAST) + 4, 2,
                   "not valid JSON: something that is no JSON value at byte 1");
    end(&all);
}

Test(jsonl, counts_depth_over_the_whole_line)
{
    char line[256];
    outcome all = begin();

    for (int depth = 63; depth <= 64; depth++) {
        size_t used =
            (size_t)snprintf(line, sizeof line, "{\"stream\":\"s\",\"type\":\"T\",\"data\":");
        memset(line + used, '[', (size_t)depth);
        memset(line + used + depth, ']', (size_t)depth);
        snprintf(line + used + 2 * (size_t)depth, 8, "}");
        if (depth == 63) {
            run(&all, line, strlen(line));
            cr_assert_eq(all.status, RF_OK, "%s", all.err.message);
        } else {
            REFUSED(&all, line, "not valid JSON: nesting deeper than 64 at byte 96");
        }
    }
    end(&all);
}

Test(jsonl, names_the_doubled_backslashes_of_copy)
{
    outcome all = begin();

    REFUSED(&all, "{\"stream\":\"s\",\"type\":\"T\",\"data\":{\"a\":\"x\\\\\"y\"}}",
            "JSON whose backslashes are doubled, as COPY ... TO STDOUT writes it in text format; "
            "use the CSV form of COPY that the README shows");
    REFUSED(&all, "{\"stream\":\"s\\\\x\",\"type\":\"T\",\"data\":{\"a\":1}",
            "not valid JSON: an object without an end at byte 43");
    end(&all);
}

Test(jsonl, maps_members_and_copies_payload_paths)
{
    outcome all = begin();
    static const char *const maps[] = {"position=id", "stream=\"a.b\",type=data.meta.kind",
                                       "schema=data.class_version", "version=metadata.v"};
    const char *line = "{\"id\":9,\"a.b\":\"st\",\"stream\":\"other\",\"position\":3,\"data\":"
                       "{\"class_version\":4,\"meta\":{\"kind\":\"K\"}},\"metadata\":{\"v\":6}}";

    all.options.maps = maps;
    all.options.map_count = 4;
    expect_event(&all, line,
                 "1 st 6 K 4 -1 9 {\"class_version\":4,\"meta\":{\"kind\":\"K\"}} {\"v\":6}\n");
    cr_assert_eq(all.stats.member_count, 2);
    cr_assert_str_eq(all.stats.members[0].name, "stream");
    cr_assert_str_eq(all.stats.members[1].name, "position");
    /* A member that is not there is missing; the name without map does not stand in for it. */
    expect_event(
        &all, "{\"a.b\":\"st\",\"position\":3,\"schema\":7,\"data\":{\"meta\":{\"kind\":\"K\"}}}",
        "1 st -1 K 1 -1 0 {\"meta\":{\"kind\":\"K\"}} -\n");
    REFUSED(&all, "{\"a.b\":\"st\",\"data\":{\"meta\":{\"kind\":7}}}",
            "type (data.meta.kind) is an integer where a string is due");
    REFUSED(&all, "{\"a.b\":\"st\",\"data\":{\"meta\":[]}}", "type (data.meta.kind) is missing");
    REFUSED(&all, "{\"stream\":\"st\",\"data\":{\"meta\":{\"kind\":\"K\"}}}",
            "stream (\"a.b\") is missing");
    end(&all);
}

Test(jsonl, maps_data_and_metadata)
{
    outcome all = begin();
    static const char *const maps[] = {"data=body,metadata=data.meta"};
    static const char *const same[] = {"stream=x,type=x,data=x,metadata=x"};

    all.options.maps = maps;
    all.options.map_count = 1;
    expect_event(
        &all, "{\"stream\":\"s\",\"type\":\"T\",\"body\":{\"meta\":{\"u\":1},\"q\":2},\"data\":5}",
        "1 s -1 T 1 -1 0 {\"meta\":{\"u\":1},\"q\":2} {\"u\":1}\n");
    REFUSED(&all, "{\"stream\":\"s\",\"type\":\"T\",\"body\":{\"meta\":\"u\"}}",
            "metadata (data.meta) is a string where an object is due");
    all.options.maps = same;
    expect_event(&all, "{\"x\":\"v\"}\n{\"x\":\"v\"}\n{\"x\":\"v\"}",
                 "1 v -1 v 1 -1 0 \"v\" \"v\"\n2 v -1 v 1 -1 0 \"v\" \"v\"\n"
                 "3 v -1 v 1 -1 0 \"v\" \"v\"\n");
    end(&all);
}

Test(jsonl, refuses_maps_that_make_no_sense)
{
    static const struct {
        const char *map;
        const char *message;
    } cases[] = {
        {"position", "map position: a map has the form position=id"},
        {"", "map : a map has the form position=id"},
        {"place=id", "map place=id: before the = stands one of position, stream, version, type, "
                     "schema, time, data, metadata"},
        {"position=", "map position=: behind the = stands a member's name or a path"},
        {"position=data.", "map position=data.: behind the = stands a member's name or a path"},
        {"position=\"a", "map position=\"a: behind the = stands a member's name or a path"},
        {"position=a.b",
         "map position=a.b: a path leads into data or metadata; quote a name with a dot"},
        {"data=data.x", "map data=data.x: data cannot come from inside itself"},
        {"metadata=metadata.x", "map metadata=metadata.x: metadata cannot come from inside itself"},
        {"position=a,position=b", "map position=b: position is mapped twice"},
    };
    outcome all = begin();

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        all.options.maps = &cases[i].map;
        all.options.map_count = 1;
        run(&all, LEAST, strlen(LEAST));
        cr_assert_eq(all.status, RF_ERR_USAGE, "%s was accepted", cases[i].map);
        cr_assert_str_eq(all.err.message, cases[i].message);
    }
    end(&all);
}

Test(jsonl, counts_unused_members_by_name)
{
    outcome all = begin();
    char line[2048] = "{\"stream\":\"s\",\"type\":\"T\",\"data\":1";

    for (int i = 0; i < 20; i++) {
        size_t used = strlen(line);
        snprintf(line + used, sizeof line - used, ",\"m%d\":%d", i, i);
    }
    strcat(line, "}\n{\"stream\":\"s\",\"type\":\"T\",\"data\":1,\"m3\":1,\"m\":1}\n");
    run(&all, line, strlen(line));
    cr_assert_eq(all.status, RF_OK, "%s", all.err.message);
    cr_assert_eq(all.stats.member_count, RF_IMPORT_MEMBERS_MAX);
    for (uint32_t i = 0; i < all.stats.member_count; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%u", i);
        cr_assert_str_eq(all.stats.members[i].name, name);
        cr_assert_eq(all.stats.members[i].count, i == 3 ? 2 : 1);
    }
    end(&all);
}

static void expect_time(outcome *all, const char *time, int64_t us)
{
    char line[256];
    char due[256];

    snprintf(line, sizeof line, "{\"stream\":\"s\",\"type\":\"T\",\"data\":1,\"time\":%s}", time);
    snprintf(due, sizeof due, "1 s -1 T 1 %lld 0 1 -\n", (long long)us);
    expect_event(all, line, due);
}

Test(jsonl, integer_times_by_their_unit)
{
    outcome all = begin();

    expect_time(&all, "1720612800123", 1720612800123000);
    expect_time(&all, "-2208988800000", -2208988800000000);
    expect_time(&all, "7289654399999", 7289654399999000);
    all.options.time_unit = RF_TIME_UNIT_S;
    expect_time(&all, "1720612800", 1720612800000000);
    all.options.time_unit = RF_TIME_UNIT_US;
    expect_time(&all, "1720612800123456", 1720612800123456);
    all.options.time_unit = RF_TIME_UNIT_NS;
    expect_time(&all, "1720612800123456789", 1720612800123456);
    expect_time(&all, "-1500", -2);
    all.options.time_unit = RF_TIME_UNIT_S;
    refuse_member(&all, "\"time\":9223372036854775807",
                  "time 9223372036854775807 is outside the years 1900 to 2200; is it in another "
                  "unit than --time-unit says?");
    end(&all);
}

Test(jsonl, times_without_offset_take_the_zone)
{
    outcome all = begin();

    all.options.time_zone = "+02:00";
    expect_time(&all, "\"2024-07-10T14:00:00\"", 1720612800000000);
    expect_time(&all, "\"2024-07-10T12:00:00Z\"", 1720612800000000);
    all.options.time_zone = "-05:30";
    expect_time(&all, "\"2024-07-10T06:30:00.000001\"", 1720612800000001);
    all.options.time_zone = "Z";
    expect_time(&all, "\"1960-07-10T12:00:00.9\"", -299073599100000);
    all.options.time_zone = "Mars/Phobos";
    run(&all, LEAST, strlen(LEAST));
    cr_assert_eq(all.status, RF_ERR_USAGE);
    cr_assert_str_eq(all.err.message,
                     "no time zone Mars/Phobos: Z, an offset like +02:00, or a name like "
                     "Europe/Berlin that the system knows (package tzdata)");
    end(&all);
}

static int64_t offset_at(const rf_zone *zone, const char *time)
{
    int64_t us = 0;

    cr_assert_eq(rf_parse_time(rf_slice_of(time), true, 0, &us), RF_VALUE_OK);
    return rf_zone_offset(zone, us / 1000000);
}

Test(jsonl, zones_follow_their_rules_to_2200)
{
    static const struct {
        const char *zone;
        const char *time;
        int64_t offset_s;
    } cases[] = {
        {"Europe/Berlin", "2024-01-10T12:00:00", 3600},
        {"Europe/Berlin", "2024-07-10T12:00:00", 7200},
        {"Europe/Berlin", "2024-03-31T01:59:59", 3600},
        {"Europe/Berlin", "2024-03-31T02:30:00", 3600}, /* skipped */
        {"Europe/Berlin", "2024-03-31T03:00:00", 7200},
        {"Europe/Berlin", "2024-10-27T01:59:59", 7200},
        {"Europe/Berlin", "2024-10-27T02:30:00", 7200}, /* twice: the first */
        {"Europe/Berlin", "2024-10-27T03:00:00", 3600},
        {"Europe/Berlin", "2100-07-10T12:00:00", 7200},
        {"Europe/Berlin", "2199-12-31T12:00:00", 3600},
        {"Europe/Berlin", "1910-07-10T12:00:00", 3600},
        {"America/New_York", "2150-11-07T12:00:00", -18000},
        {"America/New_York", "2150-07-07T12:00:00", -14400},
        {"Australia/Sydney", "2150-01-01T12:00:00", 39600},
        {"Australia/Sydney", "2150-07-01T12:00:00", 36000},
        {"Asia/Kolkata", "2150-07-01T12:00:00", 19800},
        {"Asia/Kathmandu", "2024-07-01T12:00:00", 20700},
    };

    if (access("/usr/share/zoneinfo/Europe/Berlin", R_OK) != 0)
        cr_skip_test("no zone files (package tzdata)");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rf_zone *zone;
        rf_err err;
        cr_assert_eq(rf_zone_new(cases[i].zone, &zone, &err), RF_OK, "%s", err.message);
        int64_t offset_s = offset_at(zone, cases[i].time);
        cr_assert_eq(offset_s, cases[i].offset_s, "%s %s gave %lld", cases[i].zone, cases[i].time,
                     (long long)offset_s);
        rf_zone_free(zone);
    }
}

Test(jsonl, zone_names_lead_nowhere_else)
{
    static const char *const names[] = {
        "",   "/etc/passwd", "../../../etc/passwd", "Europe",   "tzdata.zi", "leapseconds",
        "+2", "+25:00",      "europe/nowhere",      "right/UTC"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        rf_zone *zone = NULL;
        cr_assert_eq(rf_zone_new(names[i], &zone, NULL), RF_ERR_USAGE, "%s", names[i]);
        cr_assert_null(zone);
    }
}

/* Lines of many sizes, some blank, several blocks of them. */
static rf_buf many_lines(size_t size)
{
    rf_buf text;
    uint32_t state = 7;

    rf_buf_init(&text, size + 100000);
    for (unsigned i = 0; text.size < size; i++) {
        state = state * 1664525u + 1013904223u;
        int fill = (int)((state >> 20) % (i % 1000 == 0 ? 60000 : 300));
        rf_buf_append_format(
            &text,
            "{\"stream\":\"s-%u\",\"type\":\"T\",\"version\":%u,\"m%u\":1,\"data\":"
            "{\"fill\":\"%0*u\",\"q\":\"\\n%u\"}}%s",
            i % 97, i, i % 5, fill + 1, i, i, i % 50 == 0 ? "\r\n\n" : "\n");
    }
    cr_assert_not(text.failed);
    return text;
}

Test(jsonl, gives_the_same_for_any_number_of_workers)
{
    rf_buf text = many_lines(11 << 20);
    outcome all = begin();
    rf_buf due;

    rf_buf_init(&due, 64 << 20);
    for (all.workers = 0; all.workers < 4; all.workers++) {
        run(&all, text.data, text.size);
        cr_assert_eq(all.status, RF_OK, "%s", all.err.message);
        cr_assert_eq(all.stats.bytes, text.size);
        cr_assert_eq(all.stats.member_count, 5);
        cr_assert_str_eq(all.stats.members[0].name, "m0");
        if (all.workers == 0)
            rf_buf_append(&due, all.text.data, all.text.size);
        else
            cr_assert(rf_slice_equal(rf_buf_slice(&due), rf_buf_slice(&all.text)));
    }
    rf_buf_free(&due);
    rf_buf_free(&text);
    end(&all);
}

Test(jsonl, reports_the_first_of_several_bad_lines)
{
    rf_buf text = many_lines(11 << 20);
    outcome all = begin();
    char due[256];
    unsigned line = 1;
    size_t bad = 0;

    /* Two broken lines in different chunks of the second block. */
    for (size_t at = 0; at < 6u << 20; at++) {
        if (text.data[at] == '\n') {
            line++;
            bad = at + 1;
        }
    }
    text.data[bad] = '?';
    for (size_t at = bad + (1 << 20); at < text.size; at++) {
        if (text.data[at] == '{')
            text.data[at] = '!';
    }
    for (all.workers = 0; all.workers < 4; all.workers++) {
        run(&all, text.data, text.size);
        cr_assert_eq(all.status, RF_ERR_INPUT);
        snprintf(due, sizeof due, "%s:%u: ", all.path, line);
        cr_assert_eq(strncmp(all.err.message, due, strlen(due)), 0, "%s", all.err.message);
        cr_assert_lt(all.last_line, line);
    }
    rf_buf_free(&text);
    end(&all);
}

static rf_buf compress_zstd(rf_slice text)
{
    rf_buf out;
    size_t bound = ZSTD_compressBound(text.size);

    rf_buf_init(&out, bound + 1);
    cr_assert_not_null(rf_buf_reserve(&out, bound));
    size_t size = ZSTD_compress(out.data, bound, text.data, text.size, 1);
    cr_assert_not(ZSTD_isError(size));
    out.size = size;
    return out;
}

static rf_buf compress_gzip(rf_slice text)
{
    rf_buf out;
    z_stream stream = {0};

    cr_assert_eq(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t bound = deflateBound(&stream, text.size);
    rf_buf_init(&out, bound + 1);
    cr_assert_not_null(rf_buf_reserve(&out, bound));
    stream.next_in = (Bytef *)(uintptr_t)text.data;
    stream.avail_in = (uInt)text.size;
    stream.next_out = (Bytef *)out.data;
    stream.avail_out = (uInt)bound;
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out.size = bound - stream.avail_out;
    deflateEnd(&stream);
    return out;
}

Test(jsonl, reads_compressed_files_whole_and_in_parts)
{
    rf_buf text = many_lines(9 << 20);
    outcome all = begin();
    rf_buf due;
    /* Parts end in the middle of a line. */
    rf_slice first = {text.data, text.size / 2};
    rf_slice second = {text.data + text.size / 2, text.size - text.size / 2};

    rf_buf_init(&due, 64 << 20);
    run(&all, text.data, text.size);
    cr_assert_eq(all.status, RF_OK);
    rf_buf_append(&due, all.text.data, all.text.size);
    for (int format = 0; format < 2; format++) {
        rf_buf parts[2];
        rf_buf file;
        parts[0] = format == 0 ? compress_zstd(first) : compress_gzip(first);
        parts[1] = format == 0 ? compress_zstd(second) : compress_gzip(second);
        rf_buf_init(&file, 64 << 20);
        rf_buf_append(&file, parts[0].data, parts[0].size);
        rf_buf_append(&file, parts[1].data, parts[1].size);
        if (format == 1)
            rf_buf_append(&file, "\0\0\0", 3);
        run(&all, file.data, file.size);
        cr_assert_eq(all.status, RF_OK, "%s", all.err.message);
        cr_assert_eq(all.stats.bytes, text.size);
        cr_assert(rf_slice_equal(rf_buf_slice(&due), rf_buf_slice(&all.text)));

        /* Cut anywhere but at the border of the parts, the file is truncated. */
        size_t cuts[] = {5, parts[0].size - 1, parts[0].size + 5,
                         parts[0].size + parts[1].size - 1};
        for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
            char message[256];
            run(&all, file.data, cuts[i]);
            snprintf(message, sizeof message,
                     "%s ends in the middle of its compressed data: it is truncated", all.path);
            cr_assert_eq(all.status, RF_ERR_INPUT, "cut at %zu", cuts[i]);
            cr_assert_str_eq(all.err.message, message);
        }
        file.data[parts[0].size / 2] = (char)(file.data[parts[0].size / 2] ^ 0x55);
        memset(file.data + parts[0].size / 2 + 1, 0x3c, 2000);
        run(&all, file.data, file.size);
        cr_assert_eq(all.status, RF_ERR_INPUT);
        rf_buf_free(&file);
        rf_buf_free(&parts[0]);
        rf_buf_free(&parts[1]);
    }
    rf_buf_free(&due);
    rf_buf_free(&text);
    end(&all);
}

Test(jsonl, refuses_directories_and_files_that_are_not_there)
{
    outcome all = begin();
    char due[256];

    run_path(&all, all.directory);
    snprintf(due, sizeof due, "%s is a directory, not a file of events", all.directory);
    cr_assert_eq(all.status, RF_ERR_INPUT);
    cr_assert_str_eq(all.err.message, due);
    run_path(&all, all.path);
    snprintf(due, sizeof due, "%s cannot be opened: No such file or directory", all.path);
    cr_assert_eq(all.status, RF_ERR_IO);
    cr_assert_str_eq(all.err.message, due);
    end(&all);
}

Test(jsonl, refuses_a_line_of_17_mib_and_takes_one_of_16)
{
    size_t fill = 17 << 20;
    outcome all = begin();
    char due[256];
    char *text = malloc(fill + 200);
    const char *head = LEAST "\n" LEAST "\n{\"stream\":\"s\",\"type\":\"T\",\"data\":\"";

    cr_assert_not_null(text);
    memset(text, 'x', fill + 200);
    memcpy(text, head, strlen(head));
    for (all.workers = 0; all.workers < 2; all.workers++) {
        size_t size = strlen(head) + (17 << 20);
        memcpy(text + size, "\"}\n", 3);
        run(&all, text, size + 3);
        snprintf(due, sizeof due, "%s:3: a line of more than 16 MiB; an event has at most 16 MiB",
                 all.path);
        cr_assert_eq(all.status, RF_ERR_INPUT);
        cr_assert_str_eq(all.err.message, due);
        cr_assert_eq(all.stats.lines, 2);
        memset(text + size, 'x', 3);

        size = strlen(head) + (16 << 20) - 2;
        memcpy(text + size, "\"}\n" LEAST "\n", 4 + strlen(LEAST));
        run(&all, text, size + 4 + strlen(LEAST));
        cr_assert_eq(all.status, RF_OK, "%s", all.err.message);
        cr_assert_eq(all.stats.lines, 4);
        memset(text + size, 'x', 4 + strlen(LEAST));

        size = strlen(head) + (16 << 20) - 1;
        memcpy(text + size, "\"}\n", 3);
        run(&all, text, size + 3);
        snprintf(due, sizeof due,
                 "%s:3: data and metadata have 16777217 bytes; an event has at most 16 MiB",
                 all.path);
        cr_assert_eq(all.status, RF_ERR_INPUT);
        cr_assert_str_eq(all.err.message, due);
        memset(text + size, 'x', 3);
    }
    free(text);
    end(&all);
}

Test(jsonl, a_file_of_newlines_is_empty)
{
    outcome all = begin();
    size_t size = 9 << 20;
    char *text = malloc(size);

    cr_assert_not_null(text);
    memset(text, '\n', size);
    memcpy(text + size - strlen(LEAST), LEAST, strlen(LEAST));
    run(&all, text, size);
    cr_assert_eq(all.status, RF_OK, "%s", all.err.message);
    cr_assert_eq(all.stats.lines, 1);
    cr_assert_eq(all.last_line, size - strlen(LEAST) + 1);
    free(text);
    end(&all);
}

Test(jsonl, ends_between_blocks_when_cancelled)
{
    rf_buf text = many_lines(9 << 20);
    outcome all = begin();
    volatile int cancel = 1;

    all.options.run.cancel = &cancel;
    run(&all, text.data, text.size);
    cr_assert_eq(all.status, RF_ERR_INTERRUPTED);
    cr_assert_eq(all.text.size, 0);
    rf_buf_free(&text);
    end(&all);
}

/* A pipe on standard input, written slowly by another thread. */
static void *write_slowly(void *arg)
{
    int fd = *(int *)arg;

    for (int i = 0; i < 3; i++) {
        cr_assert_eq(write(fd, LEAST "\n", strlen(LEAST) + 1), (ssize_t)strlen(LEAST) + 1);
        usleep(300000);
    }
    close(fd);
    return NULL;
}

/* Blocks, and the times that it was told of waiting. */
struct slow_counts {
    int blocks;
    int waits;
};

static rf_status count_blocks(void *arg, const rf_event *events, const rf_event_note *notes,
                              size_t count, rf_slice cursor, rf_err *err)
{
    struct slow_counts *counts = arg;

    (void)notes;
    (void)cursor;
    (void)err;
    if (count == 0) {
        counts->waits++;
        return RF_OK;
    }
    cr_assert(rf_slice_equal(events[0].file, RF_SLICE("standard input")));
    cr_assert_eq(count, 1);
    counts->blocks++;
    return RF_OK;
}

Test(jsonl, hands_over_what_a_slow_pipe_has_brought)
{
    int ends[2];
    struct slow_counts counts = {0};
    pthread_t writer;
    rf_pool *pool;
    rf_err err;
    rf_import_options options = {0};
    rf_jsonl_stats stats = {0};

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(dup2(ends[0], 0), 0);
    cr_assert_eq(pthread_create(&writer, NULL, write_slowly, &ends[1]), 0);
    cr_assert_eq(rf_pool_new(1, &pool, &err), RF_OK);
    rf_event_shapes *shapes = rf_event_shapes_new();
    cr_assert_eq(read_path("-", &options, pool, shapes, count_blocks, &counts, &stats, &err),
                 RF_OK, "%s", err.message);
    rf_event_shapes_free(shapes);
    cr_assert_eq(counts.blocks, 3);
    cr_assert_geq(counts.waits, 3, "it may commit while nothing comes");
    cr_assert_eq(stats.lines, 3);
    pthread_join(writer, NULL);
    rf_pool_free(pool);
}

Test(jsonl, counts_newlines_as_one_would_byte_by_byte)
{
    enum { SIZE = 40000 };
    char *text = malloc(SIZE);
    uint64_t draw = 88172645463325252u;

    cr_assert_not_null(text);
    for (size_t i = 0; i < SIZE; i++) {
        draw ^= draw << 13;
        draw ^= draw >> 7;
        draw ^= draw << 17;
        text[i] = i > SIZE / 2 || draw % 5 == 0 ? '\n' : (char)(draw >> 8);
    }
    for (size_t size = 0; size < 600; size++) {
        rf_slice some = {text + size % 7, size};
        cr_assert_eq(rf_count_newlines(some), rf_count_newlines_plain(some), "%zu bytes", size);
    }
    rf_slice all = {text, SIZE}; /* 20,000 in a row: no sum overflows */
    cr_assert_eq(rf_count_newlines(all), rf_count_newlines_plain(all));
    free(text);
}

static rf_status refuse_all(void *arg, const rf_event *events, const rf_event_note *notes,
                            size_t count, rf_slice cursor, rf_err *err)
{
    (void)arg;
    (void)events;
    (void)notes;
    (void)count;
    (void)cursor;
    err->status = RF_ERR_REFUSED;
    return RF_ERR_REFUSED;
}

Test(jsonl, ends_when_the_taker_refuses)
{
    outcome all = begin();
    rf_pool *pool;

    write_file(all.path, LEAST, strlen(LEAST));
    cr_assert_eq(rf_pool_new(0, &pool, &all.err), RF_OK);
    rf_event_shapes *shapes = rf_event_shapes_new();
    cr_assert_eq(
        read_path(all.path, &all.options, pool, shapes, refuse_all, NULL, &all.stats, &all.err),
        RF_ERR_REFUSED);
    rf_event_shapes_free(shapes);
    rf_pool_free(pool);
    end(&all);
}

/* Blocks are parsed while the one before is taken, and read while the one before is parsed: what
 * was found of a later one must not come first. */
Test(jsonl, takes_all_blocks_before_the_one_with_the_fault_for_any_number_of_workers)
{
    enum { LINES = 40000, LINE_SIZE = 64, FAULT = 29000 };
    static const uint32_t workers[] = {0, 1, 2, 3};
    outcome all = begin();
    char *text = malloc((size_t)LINES * LINE_SIZE);
    uint64_t taken = 0;
    size_t size = 0;

    for (unsigned i = 1; i <= LINES; i++)
        size += (size_t)snprintf(text + size, LINE_SIZE,
                                 "{\"stream\":\"s-%u\",\"type\":\"T\",\"data\":{\"n\":%s%u}}\n", i,
                                 i == FAULT || i == FAULT + 9000 ? "0" : "", i);
    for (size_t i = 0; i < 4; i++) {
        all.workers = workers[i];
        run(&all, text, size);
        cr_assert_eq(all.status, RF_ERR_INPUT);
        cr_assert_not_null(strstr(all.err.message, ":29000: "), "%s", all.err.message);
        cr_assert_gt(all.shaped, 0);
        cr_assert(all.last_line > FAULT - 25000 && all.last_line < FAULT);
        cr_assert(taken == 0 || taken == all.last_line);
        taken = all.last_line;
    }
    free(text);
    end(&all);
}
