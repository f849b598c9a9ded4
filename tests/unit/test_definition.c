/* definition.h: names, paths, tables of plugins, and what a plugin file is. */
#include "base/file.h"
#include "log/census.h"
#include "projection/definition.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct row {
    int64_t count;
    rf_slice name;
    int64_t at;
    double share;
    bool done;
};

struct event {
    int64_t qty;
    rf_slice name;
    bool has_name;
};

static rf_fold_result fold_nothing(rf_fold *fold, void *row, const void *event)
{
    (void)fold, (void)row, (void)event;
    return RF_ROW_UNCHANGED;
}

/* Tables that hold; each test breaks one thing in its own copy. */
struct tables {
    rf_column columns[5];
    rf_field fields[2];
    rf_handler handlers[1];
    rf_projection projection;
};

static struct tables *tables_make(void)
{
    struct tables *tables = calloc(1, sizeof *tables);
    const struct tables good = {
        .columns = {RF_COLUMN(struct row, count, RF_INT), RF_COLUMN(struct row, name, RF_TEXT),
                    RF_COLUMN(struct row, at, RF_TIME), RF_COLUMN(struct row, share, RF_FLOAT),
                    RF_COLUMN(struct row, done, RF_BOOL)},
        .fields = {RF_FIELD(struct event, qty, RF_INT),
                   {RF_PAYLOAD, RF_TEXT, 0, 1, 0, offsetof(struct event, name),
                    offsetof(struct event, has_name), "metadata.\"user name\""}},
        .handlers = {{"ItemAdded", fold_nothing, NULL, 2, sizeof(struct event)}},
        .projection = {RF_PROJECTION_HEAD, .name = "sample", .version = 1, .key = "stream",
                       .row_size = sizeof(struct row), .column_count = 5, .handler_count = 1},
    };

    *tables = good;
    tables->handlers[0].fields = tables->fields;
    tables->projection.columns = tables->columns;
    tables->projection.handlers = tables->handlers;
    return tables;
}

static void refused(const struct tables *tables, const char *words)
{
    rf_definition *definition = NULL;
    rf_err err = {0};

    cr_assert_eq(rf_definition_of(&tables->projection, RF_SLICE("x"), &definition, &err),
                 RF_ERR_PLUGIN, "%s", words);
    cr_assert_null(definition);
    cr_assert_not_null(strstr(err.message, words), "`%s` in: %s", words, err.message);
}

Test(definition, takes_tables_that_hold)
{
    struct tables *tables = tables_make();
    rf_definition *definition;
    rf_err err = {0};
    int64_t at;

    cr_assert_eq(rf_definition_of(&tables->projection, RF_SLICE("x"), &definition, &err), RF_OK,
                 "%s", err.message);
    cr_assert_str_eq(definition->name, "sample");
    cr_assert_eq(definition->column_count, 5);
    const rf_definition_field *field = &definition->handlers[0].fields[1];
    cr_assert(rf_slice_equal(field->path_text, RF_SLICE("metadata.\"user name\"")));
    cr_assert(field->path.metadata && field->path.part_count == 1);
    memcpy(&at, definition->row_template + offsetof(struct row, at), sizeof at);
    cr_assert_eq(at, RF_TIME_NONE);
    rf_definition_free(definition);
    free(tables);
}

Test(definition, hashes_content_and_engine_apart)
{
    struct tables *tables = tables_make();
    rf_definition *a;
    rf_definition *b;
    rf_definition *again;

    cr_assert_eq(rf_definition_of(&tables->projection, RF_SLICE("x"), &a, NULL), RF_OK);
    cr_assert_eq(rf_definition_of(&tables->projection, RF_SLICE("y"), &b, NULL), RF_OK);
    cr_assert_eq(rf_definition_of(&tables->projection, RF_SLICE("x"), &again, NULL), RF_OK);
    cr_assert_neq(a->content_hash.low, b->content_hash.low);
    cr_assert_eq(a->content_hash.low, again->content_hash.low);
    cr_assert_eq(a->content_hash.high, again->content_hash.high);
    cr_assert_eq(a->content_hash.low, rf_hash128_of(RF_SLICE("x")).low);
    cr_assert_eq(a->engine_hash.low, b->engine_hash.low);
    rf_definition_hash_engine(b, true);
    cr_assert_neq(a->engine_hash.low, b->engine_hash.low);
    rf_definition_free(a);
    rf_definition_free(b);
    rf_definition_free(again);
    free(tables);
}

Test(definition, refuses_a_head_that_does_not_hold)
{
    struct tables *tables = tables_make();
    const rf_projection good = tables->projection;
    rf_projection *head = &tables->projection;

    head->name = "Sample";
    refused(tables, "the projection's name `Sample`");
    *head = good;
    head->name = NULL;
    refused(tables, "the projection's name");
    *head = good;
    head->version = 0;
    refused(tables, "versions begin at 1");
    *head = good;
    head->key = "customer_id text";
    refused(tables, "the key is `customer_id text`");
    *head = good;
    head->row_size = 0;
    refused(tables, "row struct of 0 bytes");
    *head = good;
    head->column_count = RF_COLUMNS_MAX + 1;
    refused(tables, "1001 columns");
    *head = good;
    head->columns = NULL;
    refused(tables, "columns");
    *head = good;
    head->handler_count = 0;
    refused(tables, "0 handlers");
    free(tables);
}

Test(definition, refuses_columns_that_do_not_hold)
{
    struct tables *tables = tables_make();
    const rf_column good = tables->columns[0];
    rf_column *column = &tables->columns[0];
    const char *const reserved[] = {"key", "exists", "delete"};

    for (size_t i = 0; i < 3; i++) {
        char words[64];
        column->name = reserved[i];
        (void)snprintf(words, sizeof words, "cannot be called %s", reserved[i]);
        refused(tables, words);
    }
    column->name = "a-b";
    refused(tables, "column 1 has the name `a-b`");
    *column = good;
    column->name = "done";
    refused(tables, "two columns are called done");
    *column = good;
    column->kind = (rf_kind)9;
    refused(tables, "unknown kind 9");
    *column = good;
    column->scale = 2;
    refused(tables, "has the scale 2");
    column->kind = RF_DECIMAL;
    column->scale = 19;
    refused(tables, "has the scale 19");
    *column = good;
    column->offset = 4;
    refused(tables, "does not fit");
    column->offset = sizeof(struct row);
    refused(tables, "does not fit");
    column->offset = UINT32_MAX - 7;
    refused(tables, "does not fit");
    column->offset = offsetof(struct row, name) + 8;
    refused(tables, "overlap");
    free(tables);
}

Test(definition, takes_an_event_struct_of_a_single_bool)
{
    struct tables *tables = tables_make();
    rf_definition *definition;
    rf_err err = {0};

    tables->fields[0] = (rf_field){RF_PAYLOAD, RF_BOOL, 0, 0, 0, 0, RF_NO_PRESENT, "paid"};
    tables->handlers[0].field_count = 1;
    tables->handlers[0].event_size = sizeof(bool);
    cr_assert_eq(rf_definition_of(&tables->projection, RF_SLICE("x"), &definition, &err), RF_OK, "%s",
                 err.message);
    cr_assert_eq(definition->handlers[0].event_size, 8);
    rf_definition_free(definition);
    free(tables);
}

Test(definition, refuses_handlers_and_fields_that_do_not_hold)
{
    struct tables *tables = tables_make();
    const rf_handler good_handler = tables->handlers[0];
    const rf_field good_field = tables->fields[0];
    rf_handler *handler = &tables->handlers[0];
    rf_field *field = &tables->fields[0];

    handler->type = "";
    refused(tables, "handler 1 has no type");
    *handler = good_handler;
    handler->fold = NULL;
    refused(tables, "has no function");
    *handler = good_handler;
    handler->fields = NULL;
    refused(tables, "2 fields in an event");
    *handler = good_handler;
    handler->event_size = (1 << 20) + 1;
    refused(tables, "an event of 1048577 bytes");
    *handler = good_handler;
    field->path = NULL;
    refused(tables, "has no path");
    field->path = "a..b";
    refused(tables, "a part is empty");
    *field = good_field;
    field->offset = sizeof(struct event) - 4;
    refused(tables, "does not fit");
    *field = good_field;
    field->present_offset = sizeof(struct event);
    refused(tables, "does not fit");
    *field = good_field;
    field->source = RF_EVENT_TIME;
    refused(tables, "takes member 7 of the event as int");
    *field = good_field;
    field->source = (rf_field_source)99;
    refused(tables, "takes member 99");
    free(tables);
}

static void path_is(const char *text, bool metadata, uint8_t count, const char *last,
                    const char *canonical)
{
    rf_path path;
    void *memory;
    rf_buf buf;
    rf_err err = {0};

    cr_assert_eq(rf_path_parse(text, &path, &memory, &err), RF_OK, "%s", err.message);
    cr_assert_eq(path.metadata, metadata, "%s", text);
    cr_assert_eq(path.part_count, count, "%s", text);
    cr_assert(rf_slice_equal(path.parts[count - 1], rf_slice_of(last)), "%s", text);
    rf_buf_init(&buf, 1000);
    rf_path_append(&buf, &path);
    cr_assert(rf_slice_equal(rf_buf_slice(&buf), rf_slice_of(canonical)), "%s", text);
    rf_buf_free(&buf);
    free(memory);
}

Test(definition, parses_paths)
{
    path_is("qty", false, 1, "qty", "qty");
    path_is("customer.address.city", false, 3, "city", "customer.address.city");
    path_is("metadata.user_id", true, 1, "user_id", "metadata.user_id");
    path_is("metadata", false, 1, "metadata", "\"metadata\"");
    path_is("\"metadata\".x", false, 2, "x", "\"metadata\".x");
    path_is("metadata.metadata.x", true, 2, "x", "metadata.metadata.x");
    path_is("\"org.group\"", false, 1, "org.group", "\"org.group\"");
    path_is("\"qty\"", false, 1, "qty", "qty");
    path_is("\"a \\\" b\".c", false, 2, "c", "\"a \\\" b\".c");
    path_is("\"\"", false, 1, "", "\"\"");
    path_is("org:group", false, 1, "org:group", "org:group");
}

Test(definition, refuses_broken_paths)
{
    const char *const broken[] = {
        "",    ".",      "a.",          ".a",        "a b",  "a\"b",
        "\"a", "\"a\"b", "items[].sku", "metadata.", "\xff", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q"};

    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        rf_path path;
        void *memory = NULL;
        rf_err err = {0};
        cr_assert_eq(rf_path_parse(broken[i], &path, &memory, &err), RF_ERR_PLUGIN, "%s",
                     broken[i]);
        cr_assert_null(memory);
    }
}

Test(definition, knows_valid_names)
{
    char longest[65];

    memset(longest, 'a', sizeof longest);
    cr_assert(rf_name_valid(RF_SLICE("order_summary2")));
    cr_assert(rf_name_valid((rf_slice){longest, 63}));
    cr_assert_not(rf_name_valid((rf_slice){longest, 64}));
    cr_assert_not(rf_name_valid(RF_SLICE("")));
    cr_assert_not(rf_name_valid(RF_SLICE("_a")));
    cr_assert_not(rf_name_valid(RF_SLICE("2a")));
    cr_assert_not(rf_name_valid(RF_SLICE("aB")));
}

/* ---- files ---- */

static char dir[64];
static char file[128];

static void make_dir(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/refold-definition-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(file, sizeof file, "%s/sample.so", dir);
}

static void remove_dir(void)
{
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

TestSuite(plugin, .init = make_dir, .fini = remove_dir);

static void read_plugin(const char *name, rf_buf *buf)
{
    char path[256];

    (void)snprintf(path, sizeof path, "%s/%s.so", REFOLD_PROJECTIONS, name);
    rf_buf_init(buf, 16 << 20);
    cr_assert_eq(rf_file_read(path, buf, NULL), RF_OK);
}

static void write_file(rf_slice bytes)
{
    cr_assert_eq(rf_file_replace(file, bytes, NULL), RF_OK);
}

static void load_refused(const char *words)
{
    rf_definition *definition = NULL;
    rf_err err = {0};

    cr_assert_eq(rf_definition_load(file, &definition, &err), RF_ERR_PLUGIN);
    cr_assert_not_null(strstr(err.message, words), "`%s` in: %s", words, err.message);
    cr_assert_not_null(strstr(err.message, "sample.so"), "%s", err.message);
    cr_assert_null(strstr(err.message, "/proc/"), "%s", err.message);
}

/* Where `wanted` stands in the plugin's bytes. */
static char *find_bytes(rf_buf *buf, const void *wanted, size_t size)
{
    char *found = memmem(buf->data, buf->size, wanted, size);

    cr_assert_not_null(found);
    return found;
}

Test(plugin, what_was_read_is_what_runs_and_is_kept)
{
    rf_definition *files;
    rf_definition *cases;
    rf_buf first;
    rf_buf second;
    rf_buf saved;
    char copy[160];
    rf_err err = {0};

    read_plugin("file_tree", &first);
    read_plugin("case_summary", &second);
    write_file(rf_buf_slice(&first));
    cr_assert_eq(rf_definition_load(file, &files, &err), RF_OK, "%s", err.message);
    write_file(rf_buf_slice(&second));
    cr_assert_eq(rf_definition_load(file, &cases, &err), RF_OK, "%s", err.message);
    cr_assert_str_eq(files->name, "file_tree");
    cr_assert_str_eq(cases->name, "case_summary");
    cr_assert_eq(files->handlers[0].field_count, 6);

    (void)snprintf(copy, sizeof copy, "%s/kept.so", dir);
    cr_assert_eq(rf_definition_save(files, copy, NULL), RF_OK);
    rf_buf_init(&saved, 16 << 20);
    cr_assert_eq(rf_file_read(copy, &saved, NULL), RF_OK);
    cr_assert(rf_slice_equal(rf_buf_slice(&saved), rf_buf_slice(&first)));
    cr_assert_eq(rf_definition_save(files, copy, NULL), RF_ERR_IO);
    rf_definition_free(files);
    cr_assert_str_eq(cases->handlers[0].type.data, "*");
    rf_definition_free(cases);
    rf_buf_free(&first);
    rf_buf_free(&second);
    rf_buf_free(&saved);
}

Test(plugin, loads_and_frees_again_and_again)
{
    rf_buf buf;

    read_plugin("file_tree", &buf);
    write_file(rf_buf_slice(&buf));
    for (int i = 0; i < 50; i++) {
        rf_definition *definition;
        cr_assert_eq(rf_definition_load(file, &definition, NULL), RF_OK);
        cr_assert_str_eq(definition->name, "file_tree");
        rf_definition_free(definition);
    }
    rf_buf_free(&buf);
}

Test(plugin, refuses_what_is_no_shared_object)
{
    write_file(RF_SLICE("name \"sample\"\n"));
    load_refused("not a shared object");
    write_file(RF_SLICE(""));
    load_refused("not a shared object");
}

Test(plugin, refuses_a_shared_object_that_was_cut_off_or_is_of_another_machine)
{
    rf_buf buf;

    read_plugin("case_summary", &buf);
    for (size_t size = 64; size < buf.size; size += 97) {
        write_file((rf_slice){buf.data, size});
        load_refused("cut off");
    }
    rf_store_u16(buf.data + offsetof(Elf64_Ehdr, e_machine), EM_MIPS);
    write_file(rf_buf_slice(&buf));
    load_refused("cannot be loaded");
    rf_buf_free(&buf);
}

Test(plugin, says_absent_for_no_file_and_refuses_a_directory)
{
    rf_definition *definition;
    rf_err err = {0};

    cr_assert_eq(rf_definition_load(file, &definition, &err), RF_ERR_ABSENT);
    cr_assert_eq(rf_definition_load(dir, &definition, &err), RF_ERR_INPUT);
}

Test(plugin, refuses_another_abi)
{
    rf_buf buf;
    const uint64_t magic = RF_PROJECTION_MAGIC;

    read_plugin("case_summary", &buf);
    char *tables = find_bytes(&buf, &magic, sizeof magic);
    rf_store_u32(tables + offsetof(rf_projection, abi), RF_PROJECTION_ABI + 1);
    write_file(rf_buf_slice(&buf));
    load_refused("a plugin of ABI 3, and this refold has ABI 2");
    rf_buf_free(&buf);
}

Test(plugin, refuses_tables_of_another_size_or_magic)
{
    rf_buf buf;
    const uint64_t magic = RF_PROJECTION_MAGIC;

    read_plugin("case_summary", &buf);
    char *tables = find_bytes(&buf, &magic, sizeof magic);
    rf_store_u32(tables + offsetof(rf_projection, struct_size), 8);
    write_file(rf_buf_slice(&buf));
    load_refused("its tables have 8 bytes");
    rf_store_u64(tables, magic + 1);
    write_file(rf_buf_slice(&buf));
    load_refused("is not what refold/projection.h declares");
    rf_buf_free(&buf);
}

Test(plugin, refuses_a_shared_object_without_projection)
{
    rf_buf buf;
    Dl_info library;
    void *handle = dlopen("libz.so.1", RTLD_NOW);

    cr_assert_not_null(handle);
    cr_assert(dladdr(dlsym(handle, "zlibVersion"), &library));
    rf_buf_init(&buf, 16 << 20);
    cr_assert_eq(rf_file_read(library.dli_fname, &buf, NULL), RF_OK);
    write_file(rf_buf_slice(&buf));
    load_refused("without the symbol `refold_projection`");
    rf_buf_free(&buf);
    (void)dlclose(handle);
}
