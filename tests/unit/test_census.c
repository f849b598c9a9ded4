/* census.h: counts against a plain list of paths; caps; the same whatever way events were split;
 * storing. */
#include "base/checksum.h"
#include "base/file.h"
#include "log/census.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed = 7;
static uint32_t random_below(uint32_t end)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % end);
}

static rf_json_parser *parser;

static void make_parser(void)
{
    parser = rf_json_parser_new();
    cr_assert_not_null(parser);
}

static void free_parser(void)
{
    rf_json_parser_free(parser);
}

TestSuite(census, .init = make_parser, .fini = free_parser);

static const rf_json_node *parse(const char *text, uint32_t *count_out)
{
    static char padded[2][1 << 20];
    static unsigned turn;
    char *copy = padded[turn++ % 2];
    const rf_json_node *nodes = NULL;
    rf_err err = {0};

    (void)snprintf(copy, (1 << 20) - RF_JSON_PADDING, "%s", text);
    cr_assert_eq(rf_json_parse(parser, rf_slice_of(copy), &nodes, count_out, &err), RF_OK, "%s",
                 err.message);
    return nodes;
}

static void count_full(rf_census *census, const char *type, int64_t schema, int64_t time,
                       uint64_t position, const char *data, const char *metadata)
{
    rf_err err = {0};
    rf_event event = {.type = rf_slice_of(type), .schema = schema, .time = time};

    rf_json_parser_reset(parser);
    event.data_nodes = parse(data, &event.data_node_count);
    if (metadata)
        event.metadata_nodes = parse(metadata, &event.metadata_node_count);
    cr_assert_eq(rf_census_count_event(census, &event, position, &err), RF_OK, "%s", err.message);
}

static void count(rf_census *census, const char *type, uint64_t position, const char *data)
{
    count_full(census, type, 1, RF_TIME_NONE, position, data, NULL);
}

/* All that a census says, as text. */
static void describe(rf_census *census, rf_buf *out)
{
    const rf_census_type *types = NULL;
    uint32_t type_count = 0;
    rf_err err = {0};

    rf_buf_clear(out);
    cr_assert_eq(rf_census_list(census, &types, &type_count, &err), RF_OK, "%s", err.message);
    for (uint32_t i = 0; i < type_count; i++) {
        const rf_census_type *type = &types[i];
        rf_buf_append_format(
            out, "%.*s/%lld %llu [%llu,%llu] [%lld,%lld]%s\n", (int)type->type.size,
            type->type.data, (long long)type->schema, (unsigned long long)type->events,
            (unsigned long long)type->first_position, (unsigned long long)type->last_position,
            (long long)type->time_min, (long long)type->time_max, type->capped ? " capped" : "");
        for (uint32_t k = 0; k < type->field_count; k++) {
            rf_buf_append_format(out, "  %.*s", (int)type->fields[k].path.size,
                                 type->fields[k].path.data);
            for (unsigned kind = 0; kind < RF_CENSUS_KIND_COUNT; kind++)
                rf_buf_append_format(out, " %llu",
                                     (unsigned long long)type->fields[k].counts[kind]);
            rf_buf_append_byte(out, '\n');
        }
    }
    rf_buf_append_byte(out, 0);
    cr_assert_not(out->failed);
}

static void expect_described(rf_census *census, const char *expected)
{
    rf_buf text;

    rf_buf_init(&text, 1 << 24);
    describe(census, &text);
    cr_assert_str_eq(text.data, expected);
    rf_buf_free(&text);
}

static void expect_equal(rf_census *a, rf_census *b)
{
    rf_buf text;
    rf_buf other;

    rf_buf_init(&text, 1 << 24);
    rf_buf_init(&other, 1 << 24);
    describe(a, &text);
    describe(b, &other);
    cr_assert_str_eq(text.data, other.data);
    rf_buf_free(&text);
    rf_buf_free(&other);
}

Test(census, counts_each_path_by_kind)
{
    rf_census *census = rf_census_new();

    count_full(census, "Placed", 2, 100, 5,
               "{\"a\":1,\"b\":{\"c\":\"x\",\"d\":null},\"e\":[{\"not\":1}],\"f\":true}",
               "{\"user\":\"u\"}");
    count_full(census, "Placed", 2, -50, 9,
               "{\"b\":{\"d\":1.5,\"c\":\"y\"},\"a\":12345678901234567890,\"f\":false}", NULL);
    count_full(census, "Placed", 1, RF_TIME_NONE, 7, "{\"a\":9223372036854775807}", "{}");
    count_full(census, "Broken", 1, RF_TIME_NONE, 6, "[1,2]", NULL);
    expect_described(census, "Broken/1 1 [6,6] [-9223372036854775808,-9223372036854775808]\n"
                             "Placed/1 1 [7,7] [-9223372036854775808,-9223372036854775808]\n"
                             "  a 0 0 1 0 0 0 0\n"
                             "Placed/2 2 [5,9] [-50,100]\n"
                             "  a 0 0 1 1 0 0 0\n"
                             "  b 0 0 0 0 0 0 2\n"
                             "  b.c 0 0 0 0 2 0 0\n"
                             "  b.d 1 0 0 1 0 0 0\n"
                             "  e 0 0 0 0 0 1 0\n"
                             "  f 0 2 0 0 0 0 0\n"
                             "  metadata.user 0 0 0 0 1 0 0\n");
    rf_census_free(census);
}

Test(census, counts_a_member_that_an_object_has_twice_once)
{
    rf_census *census = rf_census_new();

    count(census, "T", 1, "{\"a\":1,\"a\":2,\"b\":{\"c\":1},\"b\":{\"c\":1}}");
    expect_described(census, "T/1 1 [1,1] [-9223372036854775808,-9223372036854775808]\n"
                             "  a 0 0 1 0 0 0 0\n"
                             "  b 0 0 0 0 0 0 1\n"
                             "  b.c 0 0 1 0 0 0 0\n");
    rf_census_free(census);
}

/* An object of `members` names k0, k1, … from `first` on. */
static void object_of(rf_buf *out, uint32_t first, uint32_t members)
{
    rf_buf_append_byte(out, '{');
    for (uint32_t i = 0; i < members; i++)
        rf_buf_append_format(out, "%s\"k%u\":{\"v\":1}", i ? "," : "", first + i);
    rf_buf_append_byte(out, '}');
}

static void count_map(rf_census *census, uint32_t first, uint32_t members, uint64_t position)
{
    rf_buf text;

    rf_buf_init(&text, 1 << 19);
    rf_buf_append_slice(&text, RF_SLICE("{\"map\":"));
    object_of(&text, first, members);
    rf_buf_append_slice(&text, RF_SLICE(",\"after\":1}\0"));
    cr_assert_not(text.failed);
    count(census, "T", position, text.data);
    rf_buf_free(&text);
}

static const rf_census_type *only_type(rf_census *census)
{
    const rf_census_type *types = NULL;
    uint32_t type_count = 0;

    cr_assert_eq(rf_census_list(census, &types, &type_count, NULL), RF_OK);
    cr_assert_eq(type_count, 1);
    return types;
}

Test(census, lists_an_object_with_64_names_and_no_member_of_one_with_65)
{
    rf_census *census = rf_census_new();

    count_map(census, 0, 40, 1);
    count_map(census, 24, 40, 2);
    cr_assert_eq(only_type(census)->field_count, 2 + 2 * 64);
    cr_assert_not(only_type(census)->capped);
    count_map(census, 64, 1, 3);
    expect_described(census, "T/1 3 [1,3] [-9223372036854775808,-9223372036854775808] capped\n"
                             "  after 0 0 3 0 0 0 0\n"
                             "  map 0 0 0 0 0 0 3\n");
    count_map(census, 0, 1, 4);
    cr_assert_eq(only_type(census)->field_count, 2);
    rf_census_free(census);
}

Test(census, caps_an_object_whose_names_are_too_many_only_in_all_parts_together)
{
    rf_census *whole = rf_census_new();
    rf_census *parts[2] = {rf_census_new(), rf_census_new()};

    for (uint32_t i = 0; i < 2; i++) {
        count_map(parts[i], 40 * i, 40, i + 1);
        count_map(whole, 40 * i, 40, i + 1);
    }
    cr_assert_not(only_type(parts[1])->capped);
    cr_assert_eq(rf_census_add(parts[0], parts[1], NULL), RF_OK);
    cr_assert(only_type(parts[0])->capped);
    expect_equal(whole, parts[0]);
    rf_census_free(whole);
    rf_census_free(parts[0]);
    rf_census_free(parts[1]);
}

Test(census, leaves_out_what_is_deeper_than_eight)
{
    rf_census *census = rf_census_new();

    count(census, "T", 1, "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}}}}");
    cr_assert_eq(only_type(census)->field_count, 8);
    cr_assert_not(only_type(census)->capped);
    count(census, "T", 2,
          "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}}");
    cr_assert_eq(only_type(census)->field_count, 8);
    cr_assert(only_type(census)->capped);
    rf_census_free(census);
}

/* {"k0":{"v":{"k0":…}}}: 60 times 60 paths on the third level. */
static void count_wide(rf_census *census, uint32_t index, uint64_t position)
{
    char text[128];

    (void)snprintf(text, sizeof text, "{\"o%u\":{\"p%u\":{\"q%u\":{\"r\":1}}}}", index % 20,
                   index / 20 % 20, index / 400);
    count(census, "T", position, text);
}

Test(census, lists_at_most_256_paths_the_shallow_ones_first)
{
    rf_census *census = rf_census_new();

    for (uint32_t i = 0; i < 400; i++)
        count_wide(census, i, i + 1);
    const rf_census_type *type = only_type(census);
    cr_assert(type->capped);
    cr_assert_eq(type->field_count, 256);
    uint32_t shallow = 0;
    for (uint32_t i = 0; i < type->field_count; i++)
        shallow += memchr(type->fields[i].path.data, '.', type->fields[i].path.size) == NULL;
    cr_assert_eq(shallow, 20);
    rf_census_free(census);
}

Test(census, loses_the_deepest_levels_of_a_type_with_very_many_paths)
{
    rf_census *forward = rf_census_new();
    rf_census *backward = rf_census_new();

    for (uint32_t i = 0; i < 4000; i++) {
        count_wide(forward, i, 1);
        count_wide(backward, 3999 - i, 1);
    }
    cr_assert(only_type(forward)->capped);
    expect_equal(forward, backward);
    rf_census_free(forward);
    rf_census_free(backward);
}

/* Random events, their paths written down in a plain list beside. */
typedef struct path_count {
    char path[128];
    uint64_t counts[RF_CENSUS_KIND_COUNT];
} path_count;

typedef struct path_list {
    path_count entries[512];
    uint32_t count;
} path_list;

static void note(path_list *list, const char *path, unsigned kind)
{
    uint32_t i = 0;

    while (i < list->count && strcmp(list->entries[i].path, path) != 0)
        i++;
    cr_assert_lt(i, 512);
    if (i == list->count) {
        memset(&list->entries[i], 0, sizeof list->entries[i]);
        (void)snprintf(list->entries[i].path, sizeof list->entries[i].path, "%s", path);
        list->count++;
    }
    list->entries[i].counts[kind]++;
}

static void random_object(rf_buf *out, path_list *list, const char *path, unsigned depth)
{
    static const char *const values[] = {"null", "true", "7", "1e3", "\"t\"", "[{\"a\":1}]"};
    uint32_t start = random_below(6);
    bool first = true;

    rf_buf_append_byte(out, '{');
    for (uint32_t k = 0; k < 6; k++) {
        char below[128];
        uint32_t name = (start + k) % 6;
        if (random_below(2))
            continue;
        (void)snprintf(below, sizeof below, "%.100s%sn%u", path, *path ? "." : "", name);
        rf_buf_append_format(out, "%s\"n%u\":", first ? "" : ",", name);
        first = false;
        unsigned kind = random_below(depth < 3 ? 8 : 6);
        if (list)
            note(list, below, kind < 6 ? kind : RF_CENSUS_OBJECT);
        if (kind < 6)
            rf_buf_append_slice(out, rf_slice_of(values[kind]));
        else
            random_object(out, list, below, depth + 1);
    }
    rf_buf_append_byte(out, '}');
}

Test(census, agrees_with_a_plain_list_of_paths)
{
    static path_list list;
    rf_census *census = rf_census_new();
    rf_buf text;

    rf_buf_init(&text, 1 << 19);
    for (uint32_t i = 0; i < 3000; i++) {
        rf_buf_clear(&text);
        random_object(&text, &list, "", 1);
        rf_buf_append_byte(&text, 0);
        count(census, "T", i + 1, text.data);
    }
    const rf_census_type *type = only_type(census);
    cr_assert(list.count > 200 && list.count <= 258, "%u", list.count);
    cr_assert_eq(type->field_count, list.count < 256 ? list.count : 256);
    for (uint32_t i = 0; i < type->field_count; i++) {
        uint32_t k = 0;
        while (k < list.count &&
               !rf_slice_equal(type->fields[i].path, rf_slice_of(list.entries[k].path)))
            k++;
        cr_assert_lt(k, list.count);
        cr_assert_arr_eq(type->fields[i].counts, list.entries[k].counts,
                         sizeof list.entries[k].counts);
    }
    rf_buf_free(&text);
    rf_census_free(census);
}

static char dir[64];
static rf_kv *kv;

static void make_store(void)
{
    static const rf_kv_options options = {.tables = {"census"}, .create = true};

    make_parser();
    (void)snprintf(dir, sizeof dir, "/tmp/refold-census-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(rf_kv_open(dir, &options, &kv, NULL), RF_OK);
}

static void remove_store(void)
{
    free_parser();
    rf_kv_close(kv);
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

TestSuite(census_store, .init = make_store, .fini = remove_store);

static void store(const rf_census *changes)
{
    rf_kv_txn *txn = NULL;
    rf_err err = {0};

    cr_assert_eq(rf_kv_begin(kv, true, &txn, &err), RF_OK);
    cr_assert_eq(rf_census_store(txn, 0, changes, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_kv_commit(txn, &err), RF_OK);
}

static rf_status load(rf_census *census, rf_err *err)
{
    rf_kv_txn *txn = NULL;

    cr_assert_eq(rf_kv_begin(kv, false, &txn, NULL), RF_OK);
    rf_status status = rf_census_load(txn, 0, census, err);
    rf_kv_abort(txn);
    return status;
}

Test(census_store, is_the_same_for_one_import_and_for_many)
{
    rf_census *whole = rf_census_new();
    rf_census *part = rf_census_new();
    rf_census *loaded = rf_census_new();
    rf_buf text;

    rf_buf_init(&text, 1 << 19);
    for (uint32_t i = 0; i < 2000; i++) {
        char type[32];
        uint64_t position = i + 1;
        int64_t schema = random_below(2) ? 1 : -3;
        int64_t time = random_below(3) ? (int64_t)random_below(1000) - 500 : RF_TIME_NONE;
        (void)snprintf(type, sizeof type, "Type%u", random_below(12));
        rf_buf_clear(&text);
        if (random_below(2)) {
            random_object(&text, NULL, "", 1);
        } else {
            rf_buf_append_format(&text, "{\"map\":{\"id-%u\":{\"v\":1}},\"x\":", random_below(200));
            object_of(&text, random_below(12), 1);
            rf_buf_append_byte(&text, '}');
        }
        rf_buf_append_byte(&text, 0);
        count_full(whole, type, schema, time, position, text.data, "{\"user\":1}");
        count_full(part, type, schema, time, position, text.data, "{\"user\":1}");
        if (random_below(10) == 0) {
            store(part);
            rf_census_clear(part);
        }
    }
    store(part);
    cr_assert_eq(load(loaded, NULL), RF_OK);
    expect_equal(whole, loaded);
    rf_buf_free(&text);
    rf_census_free(whole);
    rf_census_free(part);
    rf_census_free(loaded);
}

Test(census_store, takes_types_of_255_bytes)
{
    rf_census *census = rf_census_new();
    rf_census *loaded = rf_census_new();
    char type[256];

    memset(type, 't', 255);
    type[255] = '\0';
    count(census, type, 1, "{\"a\":1}");
    store(census);
    cr_assert_eq(load(loaded, NULL), RF_OK);
    expect_equal(census, loaded);
    rf_census_free(census);
    rf_census_free(loaded);
}

/* The record of the only type, with one byte changed, stored. */
static void store_flipped(size_t at, char with)
{
    rf_kv_txn *txn = NULL;
    rf_kv_cursor *cursor = NULL;
    rf_slice key = {"", 0};
    rf_slice value;
    bool found = false;
    char copy[1024];
    char key_copy[64];

    cr_assert_eq(rf_kv_begin(kv, true, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_cursor_open(txn, 0, &cursor, NULL), RF_OK);
    cr_assert_eq(rf_kv_cursor_seek(cursor, RF_KV_FIRST, key, &key, &value, &found, NULL), RF_OK);
    cr_assert(found && value.size <= sizeof copy && key.size <= sizeof key_copy);
    memcpy(copy, value.data, value.size);
    memcpy(key_copy, key.data, key.size);
    copy[at % value.size] = (char)(copy[at % value.size] ^ with);
    rf_kv_cursor_close(cursor);
    cr_assert_eq(
        rf_kv_put(txn, 0, (rf_slice){key_copy, key.size}, (rf_slice){copy, value.size}, NULL),
        RF_OK);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
}

Test(census_store, tells_of_every_changed_byte)
{
    rf_census *census = rf_census_new();
    rf_census *loaded = rf_census_new();
    const rf_census_type *types = NULL;
    uint32_t type_count = 9;

    count(census, "T", 1, "{\"a\":1,\"b\":{\"c\":\"x\"}}");
    store(census);
    for (size_t i = 0; i < 60; i++) {
        store_flipped(i, 0x10);
        cr_assert_eq(load(loaded, NULL), RF_ERR_DAMAGED);
        cr_assert_eq(rf_census_list(loaded, &types, &type_count, NULL), RF_OK);
        cr_assert_eq(type_count, 0);
        store_flipped(i, 0x10);
    }
    cr_assert_eq(load(loaded, NULL), RF_OK);
    rf_census_free(census);
    rf_census_free(loaded);
}

Test(census_store, refuses_to_add_to_a_damaged_record)
{
    rf_census *census = rf_census_new();
    rf_kv_txn *txn = NULL;

    count(census, "T", 1, "{\"a\":1}");
    store(census);
    store_flipped(3, 1);
    cr_assert_eq(rf_kv_begin(kv, true, &txn, NULL), RF_OK);
    cr_assert_eq(rf_census_store(txn, 0, census, NULL), RF_ERR_DAMAGED);
    rf_kv_abort(txn);
    rf_census_free(census);
}

static void expect_path(bool metadata, const rf_slice *parts, uint8_t part_count,
                        const char *expected)
{
    rf_path path = {.metadata = metadata, .part_count = part_count, .parts = parts};
    rf_buf text;

    rf_buf_init(&text, 1024);
    rf_path_append(&text, &path);
    cr_assert(rf_slice_equal(rf_buf_slice(&text), rf_slice_of(expected)), "%.*s", (int)text.size,
              text.data);
    rf_buf_free(&text);
}

Test(census, writes_paths_with_quotes_where_they_are_needed)
{
    expect_path(false, (rf_slice[]){RF_SLICE("customer"), RF_SLICE("city")}, 2, "customer.city");
    expect_path(true, (rf_slice[]){RF_SLICE("user_id")}, 1, "metadata.user_id");
    expect_path(false, (rf_slice[]){RF_SLICE("org:group")}, 1, "org:group");
    expect_path(false, (rf_slice[]){RF_SLICE("a.b"), RF_SLICE("c d"), RF_SLICE("e?")}, 3,
                "\"a.b\".\"c d\".\"e?\"");
    expect_path(false, (rf_slice[]){RF_SLICE("say \"\\\""), RF_SLICE("")}, 2,
                "\"say \\\"\\\\\\\"\".\"\"");
    expect_path(false, (rf_slice[]){RF_SLICE("metadata"), RF_SLICE("metadata")}, 2,
                "\"metadata\".metadata");
    expect_path(true, (rf_slice[]){RF_SLICE("metadata")}, 1, "metadata.metadata");
    expect_path(false, (rf_slice[]){RF_SLICE("items[]")}, 1, "\"items[]\"");
    expect_path(false, (rf_slice[]){RF_SLICE("a\tb")}, 1, "\"a\tb\"");
    expect_path(false, (rf_slice[]){RF_SLICE("\xc3\xa4")}, 1, "\xc3\xa4");
}

static rf_status load_made_record(rf_slice body)
{
    char value[64];
    rf_slice key = RF_SLICE("T\0\x80\0\0\0\0\0\0\1");
    rf_kv_txn *txn = NULL;
    rf_census *loaded = rf_census_new();

    memcpy(value, body.data, body.size);
    rf_store_u64(value + body.size, rf_checksum_seeded(body, rf_checksum(key)));
    cr_assert_eq(rf_kv_begin(kv, true, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_put(txn, 0, key, (rf_slice){value, body.size + 8}, NULL), RF_OK);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    rf_status status = load(loaded, NULL);
    rf_census_free(loaded);
    return status;
}

Test(census_store, refuses_a_record_of_a_newer_format)
{
    cr_assert_eq(load_made_record(RF_SLICE("\2\0\10\1\1\1"
                                           "0123456701234567"
                                           "\0\0\0\0\0\0")),
                 RF_ERR_FORMAT);
}

Test(census_store, refuses_a_record_that_cannot_be)
{
    cr_assert_eq(load_made_record(RF_SLICE("\1\0\10\1\1\1"
                                           "0123456701234567"
                                           "\0\0\0\0\0\0")),
                 RF_OK);
    cr_assert_eq(load_made_record(RF_SLICE("\1\0\10\1\1\1"
                                           "0123456701234567"
                                           "\0\0\0\0\0\3")),
                 RF_ERR_DAMAGED, "three children, none there");
    cr_assert_eq(load_made_record(RF_SLICE("\1\0\11\1\1\1"
                                           "0123456701234567"
                                           "\0\0\0\0\0\0")),
                 RF_ERR_DAMAGED, "a depth of nine");
    cr_assert_eq(load_made_record(RF_SLICE("\1\0\10\1\1\1"
                                           "0123456701234567"
                                           "\0\0\0\0\0\0more")),
                 RF_ERR_DAMAGED, "bytes behind the end");
}
