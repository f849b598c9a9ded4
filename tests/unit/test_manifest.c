/* manifest.h: one text, read back whole or refused. */
#include "catalog/manifest.h"

#include "base/file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[64], path[80];

static void make_dir(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/refold-manifest-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/MANIFEST", dir);
}

static void remove_dir(void)
{
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

TestSuite(manifest, .init = make_dir, .fini = remove_dir);

static rf_manifest_column columns[] = {{"customer", RF_TEXT, 0}, {"total", RF_DECIMAL, 2}};

static rf_manifest_schema schemas[] = {{"Item \"Added\"\x02", 2}, {"OrderPlaced", 1}};

static rf_manifest sample(void)
{
    return (rf_manifest){
        .name = "order_summary",
        .number = 7,
        .version = 3,
        .content_hash = {0x1234, 0xfedcba9876543210},
        .engine_hash = {7, 0x8000000000000001},
        .definition_file = "order \"sum\"\\mary\x01.so",
        .evolution_file = "evolution.lua",
        .key = {{"stream", RF_TEXT, 0}}, .key_part_count = 1,
        .partitions = 4,
        .position = UINT64_MAX,
        .rows = 2,
        .events = 11,
        .digest = {5, 6, 2},
        .time_last = -1,
        .sealed_at = 1720612800000000,
        .file_count = 2,
        .files = {{"base-00.mdb", 0, 1, 8192}, {"base-01.mdb", 2, 3, 12288}},
        .column_count = 2,
        .columns = columns,
        .schema_count = 2,
        .schemas = schemas,
    };
}

static rf_buf text_of_file(void)
{
    rf_buf text;

    rf_buf_init(&text, 1 << 20);
    cr_assert_eq(rf_file_read(path, &text, NULL), RF_OK);
    return text;
}

static rf_status read_text(rf_slice text, rf_err *err)
{
    rf_manifest manifest;

    (void)unlink(path); /* or ext4 flushes the file that replaces it, and there are thousands */
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(text.data, 1, text.size, file), text.size);
    cr_assert_eq(fclose(file), 0);
    rf_status status = rf_manifest_read(dir, &manifest, err);
    if (status == RF_OK)
        rf_manifest_free(&manifest);
    return status;
}

/* `body` under a checksum that holds. */
static rf_status read_body(const char *body, rf_err *err)
{
    rf_buf text;

    rf_buf_init(&text, 1 << 20);
    rf_buf_append_format(&text, "refold-manifest 2 %016llx\n%s",
                         (unsigned long long)rf_checksum(rf_slice_of(body)), body);
    rf_status status = read_text(rf_buf_slice(&text), err);
    rf_buf_free(&text);
    return status;
}

Test(manifest, gives_back_what_was_written)
{
    rf_manifest written = sample(), read;
    rf_err err = {0};

    cr_assert_eq(rf_manifest_write(dir, &written, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_manifest_read(dir, &read, &err), RF_OK, "%s", err.message);
    cr_assert_str_eq(read.name, written.name);
    cr_assert_eq(read.number, 7);
    cr_assert_eq(read.events, 11);
    cr_assert_eq(read.version, 3);
    cr_assert_eq(read.content_hash.low, 0x1234);
    cr_assert_eq(read.content_hash.high, 0xfedcba9876543210);
    cr_assert_eq(read.engine_hash.low, 7);
    cr_assert_eq(read.engine_hash.high, 0x8000000000000001);
    cr_assert_str_eq(read.definition_file, written.definition_file);
    cr_assert_str_eq(read.evolution_file, "evolution.lua");
    cr_assert_str_eq(read.key[0].name, "stream");
    cr_assert_eq(read.partitions, 4);
    cr_assert_eq(read.position, UINT64_MAX);
    cr_assert_eq(read.rows, 2);
    cr_assert_eq(read.digest.low, 5);
    cr_assert_eq(read.digest.high, 6);
    cr_assert_eq(read.digest.rows, 2);
    cr_assert_eq(read.time_last, -1);
    cr_assert_eq(read.sealed_at, 1720612800000000);
    cr_assert_eq(read.file_count, 2);
    cr_assert_str_eq(read.files[1].name, "base-01.mdb");
    cr_assert_eq(read.files[1].size, 12288);
    cr_assert_eq(read.column_count, 2);
    cr_assert_eq(read.columns[1].kind, RF_DECIMAL);
    cr_assert_eq(read.columns[1].scale, 2);
    cr_assert_eq(read.schema_count, 2);
    cr_assert_str_eq(read.schemas[0].type, schemas[0].type);
    cr_assert_eq(read.schemas[0].schema, 2);
    cr_assert_str_eq(read.schemas[1].type, "OrderPlaced");
    cr_assert_eq(rf_manifest_checksum(&read), rf_manifest_checksum(&written));
    rf_manifest_free(&read);
}

Test(manifest, refuses_schemas_that_are_none_or_out_of_order)
{
    rf_manifest_schema none[] = {{"A", 0}};
    rf_manifest_schema unordered[] = {{"B", 1}, {"A", 1}};
    rf_manifest_schema twice[] = {{"A", 1}, {"A", 2}};
    rf_manifest_schema *const bad[] = {none, unordered, twice};

    for (size_t i = 0; i < 3; i++) {
        rf_manifest manifest = sample(), read;
        rf_err err = {0};
        manifest.schemas = bad[i];
        manifest.schema_count = i == 0 ? 1 : 2;
        cr_assert_eq(rf_manifest_write(dir, &manifest, NULL), RF_OK);
        cr_assert_eq(rf_manifest_read(dir, &read, &err), RF_ERR_DAMAGED, "%zu", i);
        (void)unlink(path);
    }
}

Test(manifest, keeps_an_unknown_time_and_no_columns)
{
    rf_manifest written = sample(), read;

    written.time_last = RF_TIME_NONE;
    written.column_count = 0;
    cr_assert_eq(rf_manifest_write(dir, &written, NULL), RF_OK);
    cr_assert_eq(rf_manifest_read(dir, &read, NULL), RF_OK);
    cr_assert_eq(read.time_last, RF_TIME_NONE);
    cr_assert_eq(read.column_count, 0);
    rf_manifest_free(&read);
}

Test(manifest, is_absent_without_its_file_and_is_never_written_over)
{
    rf_manifest written = sample(), read;

    cr_assert_eq(rf_manifest_read(dir, &read, NULL), RF_ERR_ABSENT);
    cr_assert_eq(rf_manifest_write(dir, &written, NULL), RF_OK);
    cr_assert_eq(rf_manifest_write(dir, &written, NULL), RF_ERR_IO);
}

Test(manifest, refuses_every_flipped_bit_and_every_cut)
{
    rf_manifest written = sample();
    rf_err err;

    cr_assert_eq(rf_manifest_write(dir, &written, NULL), RF_OK);
    rf_buf text = text_of_file();
    for (size_t bit = 0; bit < 8 * text.size; bit++) {
        text.data[bit / 8] ^= (char)(1 << bit % 8);
        rf_status status = read_text(rf_buf_slice(&text), &err);
        cr_assert(status == RF_ERR_DAMAGED ||
                      (status == RF_ERR_FORMAT && (bit / 8 == 16 || bit / 8 == 17)),
                  "bit %zu", bit);
        text.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t size = 0; size < text.size; size++)
        cr_assert_neq(read_text((rf_slice){text.data, size}, &err), RF_OK);
    cr_assert_eq(read_text(rf_buf_slice(&text), &err), RF_OK);
    rf_buf_free(&text);
}

Test(manifest, refuses_a_newer_format)
{
    rf_err err;

    cr_assert_eq(read_text(RF_SLICE("refold-manifest 3 0123456789abcdef\n{}\n"), &err), RF_ERR_FORMAT);
    cr_assert_not_null(strstr(err.message, "format 2"));
}

static void swap_in(char *body, const char *from, const char *to)
{
    char *at = strstr(body, from);
    char rest[4096];

    cr_assert_not_null(at, "%s", from);
    (void)snprintf(rest, sizeof rest, "%s", at + strlen(from));
    (void)sprintf(at, "%s%s", to, rest);
}

/* Each has a checksum that holds: what is refused is what it says. */
Test(manifest, refuses_text_that_holds_and_says_what_cannot_be)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"\"base-00.mdb\"", "\"../../x.mdb\""},
        {"\"name\":\"order_summary\"", "\"name\":\"../order\""},
        {"\"generation\":7", "\"generation\":0"},
        {"\"generation\":7", "\"generation\":07"},
        {"\"generation\":7", "\"generation\":99999999999999999999999"},
        {"\"version\":3", "\"version\":4294967296"},
        {"\"partitions\":4", "\"partitions\":5"},
        {"\"partitions\":4", "\"partitions\":8"},
        {"\"partitions\":4", "\"partitions\":2048"},
        {"\"first_partition\":2", "\"first_partition\":1"},
        {"\"last_partition\":1", "\"last_partition\":0"},
        {"\"kind\":5", "\"kind\":0"},
        {"\"kind\":5", "\"kind\":9"},
        {"\"scale\":2", "\"scale\":19"},
        {"\"customer\"", "\"Customer\""},
        {"\"definition\":\"order", "\"definition\":\"/order"},
        {"\"rows\":2", "\"rows\":3"}, /* the digest says two */
        {"]}\n", "]} \n"},
        {"{\"name\"", "{ \"name\""},
        {"\"key\":[{\"name\":\"stream\",\"kind\":5,\"scale\":0}]", "\"key\":\"strea\\u006d\""},
        {"\"time_last\":-1", "\"time_last\":nil"},
    };
    rf_manifest written = sample();
    char body[4096];
    rf_err err;

    cr_assert_eq(rf_manifest_write(dir, &written, NULL), RF_OK);
    rf_buf text = text_of_file();
    rf_buf_append_byte(&text, 0);
    const char *body_at = strchr(text.data, '\n') + 1;
    cr_assert_eq(read_body(body_at, &err), RF_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)snprintf(body, sizeof body, "%s", body_at);
        swap_in(body, cases[i].from, cases[i].to);
        cr_assert_eq(read_body(body, &err), RF_ERR_DAMAGED, "%s", cases[i].to);
    }
    rf_buf_free(&text);
}

Test(manifest, refuses_to_write_a_definition_file_that_is_no_text)
{
    rf_manifest written = sample();
    rf_err err;

    (void)snprintf(written.definition_file, sizeof written.definition_file, "\xff.so");
    cr_assert_eq(rf_manifest_write(dir, &written, &err), RF_ERR_INPUT);
    (void)snprintf(written.definition_file, sizeof written.definition_file, "a/b.so");
    cr_assert_eq(rf_manifest_write(dir, &written, &err), RF_ERR_INPUT);
}
