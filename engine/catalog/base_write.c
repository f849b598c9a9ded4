/* Writing base files; see base.h.
 *
 * A file is a bulk of LMDB (base/kv_bulk.h) with a run a partition: workers lay out pages side by
 * side and share nothing but the file's next page.
 */
#include "catalog/base.h"

#include "base/file.h"
#include "base/kv_bulk.h"
#include "catalog/row.h"

#include <stdio.h>
#include <stdlib.h>

enum { WRITE_PARTITIONS_MAX = 1024 };

struct rf_base_part {
    rf_kv_bulk_run *run;
    uint32_t partition;
};

struct rf_base_writer {
    /* fixed after new */
    uint32_t partitions;
    uint32_t file_count;
    uint32_t group; /* partitions of a file */
    bool is_index;
    uint32_t first_number; /* of the files' names */
    bool took_spares;
    rf_kv_bulk *files[RF_BASE_FILES_MAX];
    /* each confined to its thread while it is open */
    rf_base_part parts[];
};

static uint32_t count_files(uint32_t partitions, uint64_t expected_bytes)
{
    uint32_t most = partitions < RF_BASE_FILES_MAX ? partitions : RF_BASE_FILES_MAX;
    uint32_t count = 1;

    while (count < most && (uint64_t)count * RF_BASE_FILE_BYTES < expected_bytes)
        count *= 2;
    return count;
}

static void name_file(const rf_base_writer *writer, char name_out[RF_BASE_FILE_NAME_SIZE],
                      uint32_t index)
{
    (void)snprintf(name_out, RF_BASE_FILE_NAME_SIZE, "%s-%02u.mdb",
                   writer->is_index ? "index" : "base", writer->first_number + index);
}

/* *over_out: whether it was a spare one. */
static rf_status open_file(rf_base_writer *writer, const char *dir, const char *spare_dir,
                           uint32_t index, bool *over_out, rf_err *err)
{
    char name[RF_BASE_FILE_NAME_SIZE];
    char path[RF_PATH_SIZE], spare[RF_PATH_SIZE];

    name_file(writer, name, index);
    rf_status status = rf_path_format(path, "%s/%s", err, dir, name);
    if (status == RF_OK && spare_dir)
        status = rf_path_format(spare, "%s/%s", err, spare_dir, name);
    if (status != RF_OK)
        return status;
    *over_out = spare_dir && rename(spare, path) == 0;
    return rf_kv_bulk_new(path, *over_out, writer->group, &writer->files[index], err);
}

static rf_status new_writer(const char *dir, const char *spare_dir, uint32_t partitions,
                            uint32_t count, const uint32_t *index_number,
                            rf_base_writer **writer_out, rf_err *err)
{
    RF_ASSERT(partitions > 0 && partitions <= WRITE_PARTITIONS_MAX);
    RF_ASSERT((partitions & (partitions - 1)) == 0);
    rf_base_writer *writer = calloc(1, sizeof *writer + partitions * sizeof writer->parts[0]);
    if (!writer)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", dir);
    writer->partitions = partitions;
    writer->is_index = index_number != NULL;
    writer->first_number = index_number ? *index_number : 0;
    writer->group = partitions / count;
    rf_status status = RF_OK;
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        bool over = false;
        writer->file_count = i + 1;
        status = open_file(writer, dir, spare_dir, i, &over, err);
        writer->took_spares = writer->took_spares || over;
    }
    if (status != RF_OK) {
        rf_base_writer_free(writer);
        return status;
    }
    *writer_out = writer;
    return RF_OK;
}

rf_status rf_base_writer_new(const char *dir, const char *spare_dir, uint32_t partitions,
                             uint64_t expected_bytes, rf_base_writer **writer_out, rf_err *err)
{
    return new_writer(dir, spare_dir, partitions, count_files(partitions, expected_bytes), NULL,
                      writer_out, err);
}

rf_status rf_base_writer_new_index(const char *dir, uint32_t partitions, uint32_t number,
                                   rf_base_writer **writer_out, rf_err *err)
{
    return new_writer(dir, NULL, partitions, 1, &number, writer_out, err);
}

void rf_base_writer_free(rf_base_writer *writer)
{
    if (!writer)
        return;
    for (uint32_t i = 0; i < writer->file_count; i++)
        rf_kv_bulk_free(writer->files[i]);
    free(writer);
}

rf_status rf_base_part_begin(rf_base_writer *writer, uint32_t partition, rf_base_part **part_out,
                             rf_err *err)
{
    RF_ASSERT(partition < writer->partitions);
    rf_base_part *part = &writer->parts[partition];
    part->partition = partition;
    rf_status status = rf_kv_bulk_run_new(writer->files[partition / writer->group],
                                          partition % writer->group, &part->run, err);
    if (status == RF_OK)
        *part_out = part;
    return status;
}

rf_status rf_base_part_room(rf_base_part *part, rf_slice first_key, size_t size, char **room_out,
                            rf_err *err)
{
    char key[2 + RF_KEY_SIZE_MAX];

    if (first_key.size > RF_KEY_SIZE_MAX)
        return rf_fail(err, RF_ERR_INPUT, "a row's key of %zu bytes is over the limit of %d",
                       first_key.size, RF_KEY_SIZE_MAX);
    rf_store_u16_be(key, (uint16_t)part->partition);
    if (first_key.size > 0)
        memcpy(key + 2, first_key.data, first_key.size);
    return rf_kv_bulk_room(part->run, (rf_slice){key, 2 + first_key.size}, size, room_out, err);
}

rf_status rf_base_part_end(rf_base_part *part, rf_err *err)
{
    rf_kv_bulk_run *run = part->run;

    part->run = NULL;
    return rf_kv_bulk_run_end(run, err);
}

bool rf_base_writer_took_spares(const rf_base_writer *writer)
{
    return writer->took_spares;
}

uint32_t rf_base_writer_file_count(const rf_base_writer *writer)
{
    return writer->file_count;
}

rf_status rf_base_writer_seal_file(rf_base_writer *writer, uint32_t index, rf_base_file *file_out,
                                   rf_err *err)
{
    RF_ASSERT(index < writer->file_count);
    *file_out = (rf_base_file){
        .first_partition = index * writer->group,
        .last_partition = (index + 1) * writer->group - 1,
    };
    name_file(writer, file_out->name, index);
    return rf_kv_bulk_finish(writer->files[index], &file_out->size, err);
}
