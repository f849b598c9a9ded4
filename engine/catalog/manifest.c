/* See manifest.h.
 *
 * The JSON object is always written in one form, and reading demands this very form: after it is
 * parsed it is written again, and the two texts have to be equal. So the parser may be small, and
 * what was read is all that the file says.
 */
#include "catalog/manifest.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>

#define MANIFEST_WORD "refold-manifest "
enum {
    FORMAT_VERSION = 2,
    TEXT_SIZE_MAX = 16 << 20,
    COLUMNS_MAX = 1000,
    SCHEMAS_MAX = 1 << 16,
    PARTITIONS_MAX = 1024,
    SCALE_MAX = 18,
    CHECKSUM_DIGITS = 16,
    FILE_ENTRIES_MAX = RF_BASE_FILES_MAX,
};

static void append_json_text(rf_buf *out, const char *text)
{
    rf_buf_append_byte(out, '"');
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\')
            rf_buf_append_byte(out, '\\');
        if (byte < 0x20)
            rf_buf_append_format(out, "\\u%04x", byte);
        else
            rf_buf_append_byte(out, byte);
    }
    rf_buf_append_byte(out, '"');
}

static void append_hash(rf_buf *out, uint64_t low, uint64_t high)
{
    char text[33];

    rf_hash128_format((rf_hash128){low, high}, text);
    rf_buf_append_format(out, "\"%s\"", text);
}

static void append_body(rf_buf *out, const rf_manifest *manifest)
{
    char digest[33];

    rf_digest_format(&manifest->digest, digest);
    rf_buf_append_format(out,
                         "{\"name\":\"%s\",\"generation\":%llu,\"version\":%u,\"content_hash\":",
                         manifest->name, (unsigned long long)manifest->number, manifest->version);
    append_hash(out, manifest->content_hash.low, manifest->content_hash.high);
    rf_buf_append_format(out, ",\"engine_hash\":");
    append_hash(out, manifest->engine_hash.low, manifest->engine_hash.high);
    rf_buf_append_format(out, ",\"definition\":");
    append_json_text(out, manifest->definition_file);
    rf_buf_append_format(out, ",\"evolution\":");
    append_json_text(out, manifest->evolution_file);
    rf_buf_append_format(out, ",\"key\":[");
    for (uint32_t i = 0; i < manifest->key_part_count; i++) {
        rf_buf_append_format(out, "%s{\"name\":", i > 0 ? "," : "");
        append_json_text(out, manifest->key[i].name);
        rf_buf_append_format(out, ",\"kind\":%d,\"scale\":%u}", (int)manifest->key[i].kind,
                             manifest->key[i].scale);
    }
    rf_buf_append_format(out,
                         "],\"partitions\":%u,\"position\":%llu,\"rows\":%llu,\"events\":%llu,"
                         "\"digest\":\"%s\"",
                         manifest->partitions, (unsigned long long)manifest->position,
                         (unsigned long long)manifest->rows, (unsigned long long)manifest->events,
                         digest);
    rf_buf_append_format(out, ",\"digest_sum\":");
    append_hash(out, manifest->digest.low, manifest->digest.high);
    if (manifest->time_last == RF_TIME_NONE)
        rf_buf_append_format(out, ",\"time_last\":null");
    else
        rf_buf_append_format(out, ",\"time_last\":%lld", (long long)manifest->time_last);
    rf_buf_append_format(out,
                         ",\"sealed_at\":%lld,\"on_error\":%u,\"left_out\":%u,"
                         "\"left_out_checksum\":\"%016llx\",\"files\":[",
                         (long long)manifest->sealed_at, (unsigned)manifest->on_error,
                         manifest->left_out, (unsigned long long)manifest->left_out_checksum);
    for (uint32_t i = 0; i < manifest->file_count; i++) {
        const rf_base_file *file = &manifest->files[i];
        rf_buf_append_format(out,
                             "%s{\"name\":\"%s\",\"first_partition\":%u,\"last_partition\":%u,"
                             "\"size\":%llu}",
                             i > 0 ? "," : "", file->name, file->first_partition,
                             file->last_partition, (unsigned long long)file->size);
    }
    rf_buf_append_format(out, "],\"columns\":[");
    for (uint32_t i = 0; i < manifest->column_count; i++) {
        const rf_manifest_column *column = &manifest->columns[i];
        rf_buf_append_format(out, "%s{\"name\":\"%s\",\"kind\":%d,\"scale\":%u}", i > 0 ? "," : "",
                             column->name, (int)column->kind, column->scale);
    }
    rf_buf_append_format(out, "],\"schemas\":[");
    for (uint32_t i = 0; i < manifest->schema_count; i++) {
        rf_buf_append_format(out, "%s{\"type\":", i > 0 ? "," : "");
        append_json_text(out, manifest->schemas[i].type);
        rf_buf_append_format(out, ",\"schema\":%lld}", (long long)manifest->schemas[i].schema);
    }
    rf_buf_append_format(out, "],\"indexes\":[");
    for (uint32_t i = 0; i < manifest->index_count; i++) {
        const rf_manifest_index *index = &manifest->indexes[i];
        rf_buf_append_format(out, "%s{\"columns\":[", i > 0 ? "," : "");
        for (uint32_t k = 0; k < index->column_count; k++)
            rf_buf_append_format(out, "%s\"%s\"", k > 0 ? "," : "",
                                 manifest->columns[index->columns[k]].name);
        rf_buf_append_format(out, "],\"size\":%llu}", (unsigned long long)index->file.size);
    }
    rf_buf_append_format(out, "]}\n");
}

/* Both run over text of the one form; `failed` is sticky, so that a reader asks once at the end. */
static void expect(rf_bytes_reader *in, const char *literal)
{
    rf_slice wanted = rf_slice_of(literal);
    rf_slice got = rf_read_slice(in, wanted.size);

    if (!rf_slice_equal(got, wanted))
        in->failed = true;
}

static bool next_is(const rf_bytes_reader *in, char byte)
{
    return !in->failed && rf_bytes_left(in) > 0 && *in->at == byte;
}

static uint64_t parse_u64(rf_bytes_reader *in)
{
    uint64_t value = 0;
    bool any = false;

    while (!in->failed && rf_bytes_left(in) > 0 && *in->at >= '0' && *in->at <= '9') {
        any = true;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*in->at++ - '0'), &value))
            in->failed = true;
    }
    in->failed |= !any;
    return in->failed ? 0 : value;
}

static uint32_t parse_u32(rf_bytes_reader *in, uint32_t max)
{
    uint64_t value = parse_u64(in);

    in->failed |= value > max;
    return in->failed ? 0 : (uint32_t)value;
}

static int64_t parse_i64(rf_bytes_reader *in)
{
    bool negative = next_is(in, '-');

    if (negative)
        in->at++;
    uint64_t value = parse_u64(in);
    in->failed |= value > (uint64_t)INT64_MAX;
    return negative ? -(int64_t)value : (int64_t)value;
}

static uint64_t parse_hex(rf_bytes_reader *in)
{
    rf_slice digits = rf_read_slice(in, CHECKSUM_DIGITS);
    uint64_t value = 0;

    for (size_t i = 0; i < digits.size; i++) {
        char c = digits.data[i];
        bool letter = c >= 'a' && c <= 'f';
        if (!letter && !(c >= '0' && c <= '9'))
            in->failed = true;
        value = value << 4 | (uint64_t)((letter ? c - 'a' + 10 : c - '0') & 15);
    }
    return value;
}

static void parse_hash(rf_bytes_reader *in, uint64_t *low_out, uint64_t *high_out)
{
    expect(in, "\"");
    *high_out = parse_hex(in);
    *low_out = parse_hex(in);
    expect(in, "\"");
}

/* A JSON string without NUL into `size` bytes with a NUL. */
static void parse_text(rf_bytes_reader *in, char *text_out, size_t size)
{
    size_t used = 0;

    expect(in, "\"");
    while (!in->failed && !next_is(in, '"')) {
        uint8_t byte = rf_read_byte(in);
        if (byte == '\\' && next_is(in, 'u')) {
            expect(in, "u00");
            rf_slice digits = rf_read_slice(in, 2);
            unsigned code = 0;
            for (size_t i = 0; i < digits.size; i++) {
                char c = digits.data[i];
                code = code << 4 | (unsigned)((c >= 'a' ? c - 'a' + 10 : c - '0') & 15);
            }
            byte = (uint8_t)code;
        } else if (byte == '\\') {
            byte = rf_read_byte(in);
        }
        in->failed |= byte == 0 || used + 1 >= size;
        if (!in->failed)
            text_out[used++] = (char)byte;
    }
    text_out[used] = '\0';
    expect(in, "\"");
}

static void parse_files(rf_bytes_reader *in, rf_manifest *manifest)
{
    while (!in->failed && !next_is(in, ']') && manifest->file_count < FILE_ENTRIES_MAX) {
        rf_base_file *file = &manifest->files[manifest->file_count++];
        expect(in, manifest->file_count > 1 ? ",{\"name\":" : "{\"name\":");
        parse_text(in, file->name, sizeof file->name);
        expect(in, ",\"first_partition\":");
        file->first_partition = parse_u32(in, PARTITIONS_MAX);
        expect(in, ",\"last_partition\":");
        file->last_partition = parse_u32(in, PARTITIONS_MAX);
        expect(in, ",\"size\":");
        file->size = parse_u64(in);
        expect(in, "}");
    }
    expect(in, "]");
}

static void parse_columns(rf_bytes_reader *in, rf_manifest *manifest)
{
    while (!in->failed && !next_is(in, ']') && manifest->column_count < COLUMNS_MAX) {
        rf_manifest_column *column = &manifest->columns[manifest->column_count++];
        expect(in, manifest->column_count > 1 ? ",{\"name\":" : "{\"name\":");
        parse_text(in, column->name, sizeof column->name);
        expect(in, ",\"kind\":");
        column->kind = (rf_kind)parse_u32(in, RF_JSON);
        in->failed |= column->kind < RF_INT;
        expect(in, ",\"scale\":");
        column->scale = (uint8_t)parse_u32(in, SCALE_MAX);
        expect(in, "}");
    }
    expect(in, "]");
}

static bool reserve_schema(rf_manifest *manifest)
{
    uint32_t count = manifest->schema_count;

    if (count == SCHEMAS_MAX)
        return false;
    if ((count & (count - 1)) != 0) /* room up to the next power of two */
        return true;
    rf_manifest_schema *schemas =
        realloc(manifest->schemas, (count ? 2 * count : 1) * sizeof *schemas);
    if (schemas)
        manifest->schemas = schemas;
    return schemas != NULL;
}

static void parse_schemas(rf_bytes_reader *in, rf_manifest *manifest)
{
    while (!in->failed && !next_is(in, ']')) {
        if (!reserve_schema(manifest)) {
            in->failed = true;
            return;
        }
        rf_manifest_schema *schema = &manifest->schemas[manifest->schema_count++];
        expect(in, manifest->schema_count > 1 ? ",{\"type\":" : "{\"type\":");
        parse_text(in, schema->type, sizeof schema->type);
        expect(in, ",\"schema\":");
        schema->schema = parse_i64(in);
        expect(in, "}");
        in->failed |= schema->type[0] == '\0' || schema->schema < 1 ||
                      (manifest->schema_count > 1 && strcmp(schema[-1].type, schema->type) >= 0);
    }
    expect(in, "]");
}

static void parse_key(rf_bytes_reader *in, rf_manifest *manifest)
{
    while (!in->failed && !next_is(in, ']') && manifest->key_part_count < RF_KEY_PARTS_MAX) {
        rf_manifest_part *part = &manifest->key[manifest->key_part_count++];
        expect(in, manifest->key_part_count > 1 ? ",{\"name\":" : "{\"name\":");
        parse_text(in, part->name, sizeof part->name);
        expect(in, ",\"kind\":");
        part->kind = (rf_kind)parse_u32(in, RF_JSON);
        in->failed |= part->kind < RF_INT || part->kind == RF_FLOAT || part->kind == RF_JSON;
        expect(in, ",\"scale\":");
        part->scale = (uint8_t)parse_u32(in, SCALE_MAX);
        expect(in, "}");
    }
    in->failed |= manifest->key_part_count == 0;
    expect(in, "]");
}

static uint32_t parse_column_name(rf_bytes_reader *in, const rf_manifest *manifest)
{
    char name[sizeof manifest->columns[0].name];
    uint32_t column = 0;

    parse_text(in, name, sizeof name);
    while (column < manifest->column_count && strcmp(manifest->columns[column].name, name) != 0)
        column++;
    in->failed |= column == manifest->column_count || manifest->columns[column].kind == RF_JSON;
    return in->failed ? 0 : column;
}

static void parse_indexes(rf_bytes_reader *in, rf_manifest *manifest)
{
    while (!in->failed && !next_is(in, ']') && manifest->index_count < RF_MANIFEST_INDEXES_MAX) {
        uint32_t number = manifest->index_count++;
        rf_manifest_index *index = &manifest->indexes[number];
        expect(in, number > 0 ? ",{\"columns\":[" : "{\"columns\":[");
        while (!in->failed && !next_is(in, ']') && index->column_count < RF_KEY_PARTS_MAX) {
            if (index->column_count > 0)
                expect(in, ",");
            index->columns[index->column_count++] = parse_column_name(in, manifest);
        }
        in->failed |= index->column_count == 0;
        expect(in, "],\"size\":");
        index->file.size = parse_u64(in);
        index->file.last_partition = manifest->partitions - 1;
        (void)snprintf(index->file.name, sizeof index->file.name, "index-%02u.mdb", number);
        expect(in, "}");
    }
    expect(in, "]");
}

static void parse_body(rf_bytes_reader *in, rf_manifest *manifest)
{
    char digest[33];

    expect(in, "{\"name\":");
    parse_text(in, manifest->name, sizeof manifest->name);
    expect(in, ",\"generation\":");
    manifest->number = parse_u64(in);
    expect(in, ",\"version\":");
    manifest->version = parse_u32(in, UINT32_MAX);
    expect(in, ",\"content_hash\":");
    parse_hash(in, &manifest->content_hash.low, &manifest->content_hash.high);
    expect(in, ",\"engine_hash\":");
    parse_hash(in, &manifest->engine_hash.low, &manifest->engine_hash.high);
    expect(in, ",\"definition\":");
    parse_text(in, manifest->definition_file, sizeof manifest->definition_file);
    expect(in, ",\"evolution\":");
    parse_text(in, manifest->evolution_file, sizeof manifest->evolution_file);
    expect(in, ",\"key\":[");
    parse_key(in, manifest);
    expect(in, ",\"partitions\":");
    manifest->partitions = parse_u32(in, PARTITIONS_MAX);
    expect(in, ",\"position\":");
    manifest->position = parse_u64(in);
    expect(in, ",\"rows\":");
    manifest->rows = parse_u64(in);
    manifest->digest.rows = manifest->rows;
    expect(in, ",\"events\":");
    manifest->events = parse_u64(in);
    expect(in, ",\"digest\":");
    parse_text(in, digest, sizeof digest); /* compared when the text is written again */
    expect(in, ",\"digest_sum\":");
    parse_hash(in, &manifest->digest.low, &manifest->digest.high);
    expect(in, ",\"time_last\":");
    manifest->time_last = RF_TIME_NONE;
    if (next_is(in, 'n'))
        expect(in, "null");
    else
        manifest->time_last = parse_i64(in);
    expect(in, ",\"sealed_at\":");
    manifest->sealed_at = parse_i64(in);
    expect(in, ",\"on_error\":");
    manifest->on_error = (rf_on_error)parse_u32(in, RF_ON_ERROR_QUARANTINE);
    expect(in, ",\"left_out\":");
    manifest->left_out = parse_u32(in, UINT32_MAX);
    expect(in, ",\"left_out_checksum\":\"");
    manifest->left_out_checksum = parse_hex(in);
    expect(in, "\"");
    expect(in, ",\"files\":[");
    parse_files(in, manifest);
    expect(in, ",\"columns\":[");
    parse_columns(in, manifest);
    expect(in, ",\"schemas\":[");
    parse_schemas(in, manifest);
    expect(in, ",\"indexes\":[");
    parse_indexes(in, manifest);
    expect(in, "}\n");
}

static bool name_is_plain(const char *name)
{
    if (*name < 'a' || *name > 'z')
        return false;
    for (; *name; name++)
        if (!(*name >= 'a' && *name <= 'z') && !(*name >= '0' && *name <= '9') && *name != '_')
            return false;
    return true;
}

static bool stays_inside(const char *file)
{
    return !strchr(file, '/') && strcmp(file, ".") != 0 && strcmp(file, "..") != 0;
}

/* What would lead a reader outside of the directory, or break the sums that it makes. */
static bool holds(const rf_manifest *manifest)
{
    uint32_t next = 0;

    if (!name_is_plain(manifest->name) || manifest->number == 0 || manifest->partitions == 0 ||
        (manifest->partitions & (manifest->partitions - 1)) != 0 || manifest->file_count == 0)
        return false;
    if (*manifest->definition_file == '\0' || !stays_inside(manifest->definition_file) ||
        !stays_inside(manifest->evolution_file))
        return false;
    for (uint32_t i = 0; i < manifest->file_count; i++) {
        const rf_base_file *file = &manifest->files[i];
        char name[sizeof file->name];
        (void)snprintf(name, sizeof name, "base-%02u.mdb", i);
        if (strcmp(name, file->name) != 0 || file->first_partition != next ||
            file->last_partition < next)
            return false;
        next = file->last_partition + 1;
    }
    if (next != manifest->partitions)
        return false;
    for (uint32_t i = 0; i < manifest->column_count; i++)
        if (!name_is_plain(manifest->columns[i].name))
            return false;
    return true;
}

static rf_status manifest_path(char path_out[RF_PATH_SIZE], const char *dir, rf_err *err)
{
    return rf_path_format(path_out, "%s/MANIFEST", err, dir);
}

rf_status rf_manifest_write(const char *dir, const rf_manifest *manifest, rf_err *err)
{
    char path[RF_PATH_SIZE];
    rf_buf body, text;

    RF_ASSERT(manifest->digest.rows == manifest->rows);
    RF_ASSERT(manifest->column_count <= COLUMNS_MAX);
    if (manifest->schema_count > SCHEMAS_MAX)
        return rf_fail(err, RF_ERR_INPUT, "%s: handlers for more than %d types of events", dir,
                       SCHEMAS_MAX);
    if (!holds(manifest) || !rf_utf8_valid(rf_slice_of(manifest->definition_file)) ||
        !rf_utf8_valid(rf_slice_of(manifest->evolution_file)))
        return rf_fail(err, RF_ERR_INPUT,
                       "%s: generation %llu of %s cannot be described (definition file %s)", dir,
                       (unsigned long long)manifest->number, manifest->name,
                       manifest->definition_file);
    rf_buf_init(&body, TEXT_SIZE_MAX);
    rf_buf_init(&text, TEXT_SIZE_MAX);
    append_body(&body, manifest);
    rf_buf_append_format(&text, MANIFEST_WORD "%d %016llx\n", FORMAT_VERSION,
                         (unsigned long long)rf_checksum(rf_buf_slice(&body)));
    rf_buf_append_slice(&text, rf_buf_slice(&body));
    text.failed |= body.failed;
    rf_status status = rf_buf_check(&text, "MANIFEST", err);
    if (status == RF_OK)
        status = manifest_path(path, dir, err);
    if (status == RF_OK)
        status = rf_file_create(path, rf_buf_slice(&text), err);
    rf_buf_free(&body);
    rf_buf_free(&text);
    return status;
}

uint64_t rf_manifest_checksum(const rf_manifest *manifest)
{
    rf_buf body;

    rf_buf_init(&body, TEXT_SIZE_MAX);
    append_body(&body, manifest);
    uint64_t checksum = body.failed ? 0 : rf_checksum(rf_buf_slice(&body));
    rf_buf_free(&body);
    return checksum;
}

static rf_status parse(const char *path, rf_slice text, rf_manifest *manifest, rf_err *err)
{
    rf_bytes_reader in = rf_bytes_reader_of(text);

    expect(&in, MANIFEST_WORD);
    uint64_t version = parse_u64(&in);
    if (!in.failed && version != FORMAT_VERSION)
        return rf_fail(err, RF_ERR_FORMAT, "%s: format %llu, but this refold reads format %d", path,
                       (unsigned long long)version, FORMAT_VERSION);
    expect(&in, " ");
    uint64_t checksum = parse_hex(&in);
    expect(&in, "\n");
    if (in.failed)
        return rf_fail(err, RF_ERR_DAMAGED, "%s: damaged: this is no manifest", path);
    if (rf_checksum((rf_slice){in.at, rf_bytes_left(&in)}) != checksum)
        return rf_fail(err, RF_ERR_DAMAGED, "%s: damaged: its checksum does not hold", path);
    manifest->columns = calloc(COLUMNS_MAX, sizeof *manifest->columns);
    if (!manifest->columns)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", path);
    parse_body(&in, manifest);
    if (in.failed || rf_bytes_left(&in) > 0 || !holds(manifest) ||
        rf_manifest_checksum(manifest) != checksum)
        return rf_fail(err, RF_ERR_DAMAGED, "%s: damaged: its text is not what refold writes",
                       path);
    return RF_OK;
}

rf_status rf_manifest_read(const char *dir, rf_manifest *manifest_out, rf_err *err)
{
    char path[RF_PATH_SIZE];
    rf_manifest manifest = {0};
    rf_buf text;

    rf_status status = manifest_path(path, dir, err);
    if (status != RF_OK)
        return status;
    if (!rf_path_exists(path))
        return rf_fail(err, RF_ERR_ABSENT, "%s: no such file", path);
    rf_buf_init(&text, TEXT_SIZE_MAX);
    status = rf_file_read(path, &text, err);
    if (status == RF_OK)
        status = parse(path, rf_buf_slice(&text), &manifest, err);
    rf_buf_free(&text);
    if (status != RF_OK) {
        rf_manifest_free(&manifest);
        return status;
    }
    *manifest_out = manifest;
    return RF_OK;
}

void rf_manifest_free(rf_manifest *manifest)
{
    free(manifest->columns);
    free(manifest->schemas);
    manifest->columns = NULL;
    manifest->column_count = 0;
    manifest->schemas = NULL;
    manifest->schema_count = 0;
}
