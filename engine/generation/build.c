/* See build.h. */
#include "generation/build_job.h"

#include "base/clock.h"
#include "event/key.h"
#include "projection/evolution_file.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ROW_OVERHEAD = 48, /* key and header of an average row, to guess the size of a table */
    COLUMN_BYTES = 8,
};

/* Writing is timed where it happens: most calls only take the next bytes of a buffer. */
static rf_status take_block(void *arg, rf_slice first_key, size_t size, char **room_out,
                            rf_err *err)
{
    rf_build_slot *slot = arg;
    double start = rf_clock_seconds();
    rf_status status = rf_base_part_room(slot->part, first_key, size, room_out, err);

    slot->write_s += rf_clock_seconds() - start;
    return status;
}

/* Begins a message about a row: "the row of KEY". */
static rf_status refuse_row(const rf_build *build, rf_status failure, rf_slice key, const char *what,
                            rf_err *err)
{
    const rf_definition *definition = build->definition;
    rf_buf buf;
    rf_slice shown = key;

    rf_buf_init(&buf, 8 * RF_KEY_BYTES_MAX);
    if (!rf_key_is_text(definition->key_parts, definition->key_part_count)) {
        rf_key_append_json(&buf, key, definition->key_parts, definition->key_part_count);
        shown = rf_buf_slice(&buf);
    }
    rf_status status = rf_fail(err, failure, "%s: the row of %.*s %s", definition->name,
                               (int)shown.size, shown.data, what);
    rf_buf_free(&buf);
    return status;
}

/* What handlers make is checked here: all that reads a row may rely on UTF-8. */
static rf_status check_text(const rf_build *build, rf_slice key, const void *row, rf_err *err)
{
    for (uint32_t i = 0; i < build->text_count; i++) {
        const rf_column *column = build->texts[i];
        rf_slice text;
        memcpy(&text, (const char *)row + column->offset, sizeof text);
        char what[128];
        if (!text.data || rf_utf8_valid(text))
            continue;
        (void)snprintf(what, sizeof what, "holds in column %s what is no UTF-8", column->name);
        return refuse_row(build, RF_ERR_PLUGIN, key, what, err);
    }
    return RF_OK;
}

static rf_status list_texts(rf_build *build, rf_err *err)
{
    const rf_definition *definition = build->definition;

    build->texts = calloc(definition->column_count, sizeof *build->texts);
    if (!build->texts)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", definition->name);
    for (uint32_t i = 0; i < definition->column_count; i++) {
        rf_kind kind = definition->columns[i].kind;
        if (kind == RF_TEXT || kind == RF_JSON)
            build->texts[build->text_count++] = &definition->columns[i];
    }
    return RF_OK;
}

/* A row that is out of order, or larger than most. */
static __attribute__((noinline)) rf_status take_large_row(rf_build_slot *slot, rf_slice key,
                                                          const void *row, rf_err *err)
{
    const rf_definition *definition = slot->build->definition;
    rf_buf *to = NULL;

    rf_status status = rf_block_builder_begin_row(slot->blocks, key, &to, err);
    if (status != RF_OK)
        return status;
    rf_row_encode(definition->columns, definition->column_count, row, to);
    if (to->failed)
        return refuse_row(slot->build, RF_ERR_INPUT, key, "is larger than 16777216 bytes", err);
    status = check_text(slot->build, key, row, err);
    return status == RF_OK ? rf_block_builder_end_row(slot->blocks, &slot->digest, err) : status;
}

static rf_status take_row(void *arg, uint32_t worker, uint32_t partition, rf_slice key,
                          const void *row, rf_err *err)
{
    rf_build *build = arg;
    rf_build_slot *slot = &build->slots[worker];
    const rf_definition *definition = build->definition;
    size_t room = rf_row_room(definition->column_count);
    rf_status status = RF_OK;

    RF_ASSERT(worker < build->slot_count);
    if (__builtin_expect(!slot->part, false))
        status = rf_base_part_begin(build->writer, partition, &slot->part, err);
    if (status != RF_OK)
        return status;
    bool is_ascii = false;
    char *at = rf_block_row_begin(slot->blocks, key, room);
    if (at)
        at = rf_row_encode_at(definition->columns, definition->column_count, row, at,
                              rf_block_row_limit(slot->blocks), &is_ascii);
    if (__builtin_expect(!at, false))
        status = take_large_row(slot, key, row, err);
    else if (!is_ascii)
        status = check_text(build, key, row, err);
    if (at && status == RF_OK)
        status = rf_block_row_end(slot->blocks, at, &slot->digest, err);
    return status == RF_OK && build->indexes
               ? rf_build_index_row(build->indexes, worker, key, row, err)
               : status;
}

rf_status rf_build_end_partition(void *arg, uint32_t worker, uint32_t partition, rf_err *err)
{
    rf_build *build = arg;
    rf_build_slot *slot = &build->slots[worker];

    if (!slot->part)
        return RF_OK;
    rf_status status = rf_block_builder_flush(slot->blocks, err);
    if (status != RF_OK)
        return status;
    double start = rf_clock_seconds();
    rf_base_part *part = slot->part;
    slot->part = NULL;
    status = rf_base_part_end(part, err);
    if (status == RF_OK)
        status = rf_build_index_end(build->indexes, worker, partition, err);
    slot->write_s += rf_clock_seconds() - start;
    return status;
}

static rf_status make_slots(rf_build *build, uint32_t count, rf_err *err)
{
    build->slots = calloc(count, sizeof *build->slots);
    if (!build->slots)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for %u workers",
                       build->definition->name, count);
    build->slot_count = count;
    for (uint32_t i = 0; i < count; i++) {
        rf_build_slot *slot = &build->slots[i];
        slot->build = build;
        slot->blocks = rf_block_builder_new(take_block, slot);
        if (!slot->blocks)
            return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for %u workers",
                           build->definition->name, count);
    }
    return RF_OK;
}

/* Keeps the very bytes that are loaded: catch-up, rollback and verify run this copy and nothing
 * else. */
static rf_status keep_definition(rf_build *build, rf_err *err)
{
    char path[RF_PATH_SIZE];
    char source[RF_PATH_SIZE];

    rf_status status = rf_path_format(source, "%s", err, build->definition->path);
    if (status != RF_OK)
        return status;
    const char *file = basename(source);
    if (strlen(file) >= sizeof build->definition_file)
        return rf_fail(err, RF_ERR_INPUT, "%s: the file name is too long", build->definition->path);
    memcpy(build->definition_file, file, strlen(file) + 1);
    status = rf_path_format(path, "%s/definition/%s", err, build->dir, file);
    if (status == RF_OK)
        status = rf_definition_save(build->definition, path, err);
    if (status == RF_OK)
        status = rf_path_format(path, "%s/definition", err, build->dir);
    return status == RF_OK && rf_evolution_file_name(build->definition)
               ? rf_evolution_file_save(build->definition, path, err)
               : status;
}

rf_status rf_build_begin(rf_store *store, const rf_definition *definition,
                         const rf_build_options *options, rf_build **build_out, rf_err *err)
{
    rf_log_info info;
    char spare[RF_PATH_SIZE];
    rf_build *build = calloc(1, sizeof *build);

    if (!build)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", definition->name);
    build->store = store;
    build->definition = definition;
    build->scratch = options->scratch;
    build->number = 1; /* in the MANIFEST of a scratch */
    rf_status status = rf_log_get_info(store->log, &info, err);
    if (status == RF_OK && build->scratch)
        status = rf_catalog_new_scratch(store->catalog, definition->name, build->dir, err);
    else if (status == RF_OK)
        status = rf_catalog_new_generation(store->catalog, definition->name, &build->number,
                                           build->dir, err);
    if (status == RF_OK)
        status = rf_catalog_spare_path(store->catalog, definition->name, spare, err);
    if (status == RF_OK)
        status = keep_definition(build, err);
    if (status == RF_OK)
        status = list_texts(build, err);
    if (status == RF_OK)
        status = make_slots(build, options->worker_slots, err);
    if (status == RF_OK) {
        uint64_t expected =
            info.streams * (ROW_OVERHEAD + (uint64_t)definition->column_count * COLUMN_BYTES);
        status = rf_base_writer_new(build->dir, build->scratch ? NULL : spare, store->partitions,
                                    expected, &build->writer, err);
    }
    if (status == RF_OK)
        status = rf_build_index_new(definition, build->dir, store->partitions,
                                    options->worker_slots, &build->indexes, err);
    if (status != RF_OK) {
        rf_build_free(build);
        return status;
    }
    *build_out = build;
    return RF_OK;
}

const char *rf_build_dir(const rf_build *build)
{
    return build->dir;
}

void rf_build_target(rf_build *build, rf_fold_target *target_out)
{
    *target_out = (rf_fold_target){
        .definition = build->definition,
        .row = take_row,
        .partition_end = rf_build_end_partition,
        .sink_arg = build,
    };
}

static int compare_schemas(const void *left, const void *right)
{
    return strcmp(((const rf_manifest_schema *)left)->type,
                  ((const rf_manifest_schema *)right)->type);
}

rf_status rf_build_keep_schemas(rf_build *build, const rf_check_schema *schemas, uint32_t count,
                                rf_err *err)
{
    rf_manifest *manifest = &build->manifest;

    RF_ASSERT(!build->sealed && !manifest->schemas);
    manifest->schemas = calloc(count ? count : 1, sizeof *manifest->schemas);
    if (!manifest->schemas)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", build->definition->name);
    for (uint32_t i = 0; i < count; i++) {
        rf_manifest_schema *kept = &manifest->schemas[manifest->schema_count];
        if (schemas[i].definition != build->definition)
            continue;
        RF_ASSERT(schemas[i].type.size < sizeof kept->type);
        memcpy(kept->type, schemas[i].type.data, schemas[i].type.size);
        kept->schema = schemas[i].schema;
        manifest->schema_count++;
    }
    if (manifest->schema_count > 1)
        qsort(manifest->schemas, manifest->schema_count, sizeof *manifest->schemas,
              compare_schemas);
    return RF_OK;
}

static rf_status fill_manifest(rf_build *build, const rf_build_fold *fold, rf_err *err)
{
    rf_manifest *manifest = &build->manifest;
    const rf_definition *definition = build->definition;

    memcpy(manifest->name, definition->name, sizeof manifest->name);
    memcpy(manifest->definition_file, build->definition_file, sizeof manifest->definition_file);
    const char *evolution = rf_evolution_file_name(definition);
    if (evolution)
        memcpy(manifest->evolution_file, evolution, strlen(evolution) + 1);
    for (uint32_t i = 0; i < definition->key_part_count; i++) {
        const rf_reader_column *part = &definition->key_parts[i];
        (void)snprintf(manifest->key[i].name, sizeof manifest->key[i].name, "%s", part->name);
        manifest->key[i].kind = part->kind;
        manifest->key[i].scale = part->scale;
    }
    manifest->key_part_count = definition->key_part_count;
    manifest->number = build->number;
    manifest->version = definition->version;
    manifest->content_hash = definition->content_hash;
    manifest->engine_hash = definition->engine_hash;
    manifest->partitions = build->store->partitions;
    manifest->position = fold->position;
    manifest->time_last = fold->time_last;
    manifest->events = fold->events;
    manifest->on_error = fold->on_error;
    manifest->left_out = fold->left_out_count;
    manifest->sealed_at = rf_clock_wall_us();
    for (uint32_t i = 0; !fold->digest && i < build->slot_count; i++)
        rf_digest_add(&manifest->digest, &build->slots[i].digest);
    if (fold->digest)
        manifest->digest = *fold->digest;
    manifest->rows = manifest->digest.rows;
    manifest->columns = calloc(definition->column_count, sizeof *manifest->columns);
    if (!manifest->columns)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", definition->name);
    manifest->column_count = definition->column_count;
    for (uint32_t i = 0; i < definition->column_count; i++) {
        const rf_column *column = &definition->columns[i];
        size_t size = strlen(column->name) + 1;
        RF_ASSERT(size <= sizeof manifest->columns[i].name);
        memcpy(manifest->columns[i].name, column->name, size);
        manifest->columns[i].kind = column->kind;
        manifest->columns[i].scale = column->scale;
    }
    return RF_OK;
}

/* After a commit that failed: whether the catalog has the generation all the same, or does not
 * tell. Then its directory stays; if nobody knows it, it is a leftover. */
static bool may_be_known(const rf_build *build)
{
    rf_catalog_generation generation;
    bool found = true;

    return rf_catalog_get_generation(build->store->catalog, build->manifest.name, build->number,
                                     &generation, &found, NULL) != RF_OK ||
           found;
}

rf_status rf_build_end_rows(rf_build *build, const rf_build_fold *fold, rf_err *err)
{
    RF_ASSERT(!build->sealed);
    rf_status status = fill_manifest(build, fold, err);
    if (status == RF_OK)
        status = rf_quarantine_write(build->dir, fold->left_out, fold->left_out_count,
                                     &build->manifest.left_out_checksum, err);
    build->manifest.file_count = rf_base_writer_file_count(build->writer);
    build->manifest.index_count = rf_build_index_count(build->indexes);
    return status;
}

uint32_t rf_build_sync_count(const rf_build *build)
{
    return 1 + rf_base_writer_file_count(build->writer) + rf_build_index_count(build->indexes);
}

/* The definition, and that directories have the names that they were given. */
static rf_status sync_names(const rf_build *build, rf_err *err)
{
    const char *name = build->definition->name;
    rf_catalog *catalog = build->store->catalog;
    char path[RF_PATH_SIZE];

    rf_status status = rf_path_format(path, "%s/definition", err, build->dir);
    if (status == RF_OK)
        status = rf_dir_sync_all(path, err);
    if (status == RF_OK)
        status = rf_dir_sync(build->dir, err);
    if (status == RF_OK && rf_base_writer_took_spares(build->writer))
        status = rf_catalog_spare_path(catalog, name, path, err);
    if (status == RF_OK && rf_base_writer_took_spares(build->writer))
        status = rf_dir_sync(path, err);
    return status == RF_OK && !build->scratch ? rf_catalog_sync_directories(catalog, name, err)
                                              : status;
}

rf_status rf_build_sync(rf_build *build, uint32_t index, rf_err *err)
{
    uint32_t file_count = rf_base_writer_file_count(build->writer);

    RF_ASSERT(index < rf_build_sync_count(build));
    if (index == 0)
        return sync_names(build, err);
    index--;
    if (index < file_count)
        return rf_base_writer_seal_file(build->writer, index, &build->manifest.files[index], err);
    return rf_build_index_seal_file(build->indexes, index - file_count, &build->manifest, err);
}

/* Step `seal` of tests/model/swap.pml. */
rf_status rf_build_seal(rf_build *build, rf_err *err)
{
    rf_status status = rf_manifest_write(build->dir, &build->manifest, err);

    build->sealed = status == RF_OK;
    return status;
}

rf_status rf_build_record(rf_build *const *builds, uint32_t count, uint64_t *set, rf_err *err)
{
    const rf_manifest **manifests = calloc(count, sizeof *manifests);

    if (!manifests)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u generations", count);
    for (uint32_t i = 0; i < count; i++) {
        RF_ASSERT(builds[i]->sealed && !builds[i]->scratch);
        manifests[i] = &builds[i]->manifest;
    }
    rf_status status =
        rf_catalog_add_generations(builds[0]->store->catalog, manifests, count, set, err);
    for (uint32_t i = 0; i < count; i++)
        builds[i]->kept = status == RF_OK || may_be_known(builds[i]);
    free(manifests);
    return status;
}

rf_status rf_build_record_replacing(rf_build *build, rf_err *err)
{
    RF_ASSERT(build->sealed && !build->scratch);
    rf_status status = rf_catalog_add_replacing(build->store->catalog, &build->manifest, err);
    build->kept = status == RF_OK || may_be_known(build);
    return status;
}

const rf_manifest *rf_build_manifest(const rf_build *build)
{
    RF_ASSERT(build->sealed);
    return &build->manifest;
}

double rf_build_write_seconds(const rf_build *build)
{
    double seconds = 0;

    for (uint32_t i = 0; i < build->slot_count; i++)
        seconds += build->slots[i].write_s;
    return seconds;
}

void rf_build_free(rf_build *build)
{
    if (!build)
        return;
    rf_base_writer_free(build->writer);
    rf_build_index_free(build->indexes);
    /* What cannot be removed now is a leftover: nobody serves it, and gc removes it later. */
    if (!build->kept && build->dir[0])
        (void)rf_dir_remove(build->dir, NULL);
    for (uint32_t i = 0; i < build->slot_count; i++) {
        rf_block_builder_free(build->slots[i].blocks);
    }
    free(build->slots);
    free(build->texts);
    rf_manifest_free(&build->manifest);
    free(build);
}

struct rf_digest_sink {
    const rf_definition *definition;
    rf_buf row;
    rf_digest digest;
};

static rf_status digest_row(void *arg, uint32_t worker, uint32_t partition, rf_slice key,
                            const void *row, rf_err *err)
{
    rf_digest_sink *sink = arg;

    RF_ASSERT(worker == 0);
    (void)partition;
    rf_buf_clear(&sink->row);
    rf_row_encode(sink->definition->columns, sink->definition->column_count, row, &sink->row);
    rf_digest_add_row(&sink->digest, key, rf_buf_slice(&sink->row));
    return rf_buf_check(&sink->row, sink->definition->name, err);
}

rf_digest_sink *rf_digest_sink_new(const rf_definition *definition)
{
    rf_digest_sink *sink = calloc(1, sizeof *sink);

    if (!sink)
        return NULL;
    sink->definition = definition;
    rf_buf_init(&sink->row, RF_ROW_SIZE_MAX);
    return sink;
}

void rf_digest_sink_target(rf_digest_sink *sink, rf_fold_target *target_out)
{
    *target_out = (rf_fold_target){
        .definition = sink->definition,
        .row = digest_row,
        .sink_arg = sink,
    };
}

const rf_digest *rf_digest_sink_digest(const rf_digest_sink *sink)
{
    return &sink->digest;
}

void rf_digest_sink_free(rf_digest_sink *sink)
{
    if (!sink)
        return;
    rf_buf_free(&sink->row);
    free(sink);
}
