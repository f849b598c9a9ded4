/* Generations made without a rebuild, for tests: rows r-000000 and on, one column `stamp` that is the generation's
 * number. Included by test programs only; works without Criterion, so that stress programs can use it. */
#ifndef RF_TESTS_GENERATIONS_FIXTURE_H
#define RF_TESTS_GENERATIONS_FIXTURE_H

#include "base/clock.h"
#include "catalog/catalog.h"
#include "catalog/delta_changes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIXTURE_CHECK(condition)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);    \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static rf_status fixture_put(void *arg, rf_slice first_key, size_t size, char **room_out, rf_err *err)
{
    rf_base_part **part = arg;
    return rf_base_part_room(*part, first_key, size, room_out, err);
}

static void fixture_rows(rf_base_writer *writer, rf_manifest *manifest, int rows)
{
    static const rf_column column[] = {{.name = "stamp", .kind = RF_INT}};
    int64_t stamp = (int64_t)manifest->number;
    rf_base_part *part = NULL;
    char key[32];
    rf_buf row;

    rf_buf_init(&row, 100);
    rf_row_encode(column, 1, &stamp, &row);
    rf_block_builder *builder = rf_block_builder_new(fixture_put, &part);
    for (uint32_t p = 0; p < manifest->partitions; p++) {
        FIXTURE_CHECK(rf_base_part_begin(writer, p, &part, NULL) == RF_OK);
        for (int i = 0; i < rows; i++) {
            (void)snprintf(key, sizeof key, "r-%06d", i);
            if (rf_partition_of(rf_slice_of(key), manifest->partitions) != p)
                continue;
            FIXTURE_CHECK(rf_block_builder_add(builder, rf_slice_of(key), rf_buf_slice(&row), NULL) == RF_OK);
            rf_digest_add_row(&manifest->digest, rf_slice_of(key), rf_buf_slice(&row));
        }
        FIXTURE_CHECK(rf_block_builder_flush(builder, NULL) == RF_OK);
        FIXTURE_CHECK(rf_base_part_end(part, NULL) == RF_OK);
    }
    rf_block_builder_free(builder);
    rf_buf_free(&row);
}

/* A sealed generation of `name` and a version, whose content hash is `content`. */
static uint64_t fixture_version(rf_catalog *catalog, const char *name, uint32_t version,
                                uint64_t content, uint32_t partitions, int rows, uint64_t position)
{
    char dir[RF_PATH_SIZE];
    rf_base_writer *writer;
    rf_manifest_column column = {"stamp", RF_INT, 0};
    rf_manifest manifest = {
        .version = version,
        .content_hash = {content, content},
        .definition_file = "stamps.so",
        .key = {{"stream", RF_TEXT, 0}}, .key_part_count = 1,
        .partitions = partitions,
        .position = position,
        .time_last = RF_TIME_NONE,
        .sealed_at = rf_clock_wall_us(),
        .column_count = 1,
        .columns = &column,
    };

    (void)snprintf(manifest.name, sizeof manifest.name, "%s", name);
    FIXTURE_CHECK(rf_catalog_new_generation(catalog, name, &manifest.number, dir, NULL) == RF_OK);
    FIXTURE_CHECK(rf_base_writer_new(dir, NULL, partitions, 0, &writer, NULL) == RF_OK);
    fixture_rows(writer, &manifest, rows);
    manifest.rows = manifest.digest.rows;
    manifest.file_count = rf_base_writer_file_count(writer);
    for (uint32_t i = 0; i < manifest.file_count; i++)
        FIXTURE_CHECK(rf_base_writer_seal_file(writer, i, &manifest.files[i], NULL) == RF_OK);
    rf_base_writer_free(writer);
    FIXTURE_CHECK(rf_manifest_write(dir, &manifest, NULL) == RF_OK);
    FIXTURE_CHECK(rf_catalog_sync_directories(catalog, name, NULL) == RF_OK);
    const rf_manifest *added = &manifest;
    FIXTURE_CHECK(rf_catalog_add_generations(catalog, &added, 1, &(uint64_t){0}, NULL) == RF_OK);
    return manifest.number;
}

static inline uint64_t fixture_generation(rf_catalog *catalog, const char *name, uint64_t content,
                                   uint32_t partitions, int rows, uint64_t position)
{
    return fixture_version(catalog, name, 1, content, partitions, rows, position);
}

/* One row of a delta. */
static inline void fixture_delta_put(rf_kv_txn *txn, uint32_t delta, const rf_delta_entry *entry)
{
    rf_delta_changes changes;
    const rf_delta_changes *all = &changes;

    rf_delta_changes_init(&changes);
    rf_delta_changes_put(&changes, RF_DELTA_ROWS, entry);
    rf_delta_changes_sort(&changes);
    FIXTURE_CHECK(rf_delta_apply(txn, delta, &all, 1, NULL) == RF_OK);
    rf_delta_changes_free(&changes);
}

#endif
