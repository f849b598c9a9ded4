/* Writing base files; see base.h.
 *
 * Each file has a mutex and, under it, one write transaction that stays open over several puts
 * until it holds 2 MiB: whoever comes next continues it, so a put costs little more than its copy.
 * That is sound because a file that is being built has no lock of LMDB's, only this mutex.
 */
#include "catalog/base.h"

#include "base/file.h"
#include "catalog/row.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TXN_BYTES_MAX = 2 << 20, WRITE_PARTITIONS_MAX = 1024 };

typedef struct writer_file {
    /* fixed after start */
    char path[RF_PATH_SIZE];
    pthread_mutex_t mutex;
    bool has_mutex;
    /* guarded by mutex */
    int fd; /* of its own, to start the disk early */
    rf_kv *kv;
    rf_kv_txn *txn;
    size_t txn_bytes;
    bool failed; /* a transaction was lost: what was put is no longer whole */
} writer_file;

struct rf_base_writer {
    uint32_t partitions;
    uint32_t file_count;
    uint32_t group; /* partitions of a file */
    writer_file files[];
};

static uint32_t count_files(uint32_t partitions, uint64_t expected_bytes)
{
    uint32_t most = partitions < RF_BASE_FILES_MAX ? partitions : RF_BASE_FILES_MAX;
    uint32_t count = 1;

    while (count < most && (uint64_t)count * RF_BASE_FILE_BYTES < expected_bytes)
        count *= 2;
    return count;
}

static void name_file(char name_out[32], uint32_t index)
{
    (void)snprintf(name_out, 32, "base-%02u.mdb", index);
}

rf_status rf_base_writer_new(const char *dir, uint32_t partitions, uint64_t expected_bytes,
                             rf_base_writer **writer_out, rf_err *err)
{
    rf_kv_options options = {.create = true, .file = true, .building = true};

    RF_ASSERT(partitions > 0 && partitions <= WRITE_PARTITIONS_MAX);
    RF_ASSERT((partitions & (partitions - 1)) == 0);
    uint32_t count = count_files(partitions, expected_bytes);
    rf_base_writer *writer = calloc(1, sizeof *writer + count * sizeof writer->files[0]);
    if (!writer)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", dir);
    writer->partitions = partitions;
    writer->group = partitions / count;
    for (uint32_t i = 0; i < count; i++) {
        writer_file *file = &writer->files[i];
        char name[32];
        writer->file_count = i + 1;
        file->fd = -1;
        name_file(name, i);
        rf_status status = rf_path_format(file->path, "%s/%s", err, dir, name);
        if (status == RF_OK && pthread_mutex_init(&file->mutex, NULL) != 0)
            status = rf_fail(err, RF_ERR_MEMORY, "%s: cannot make a mutex", file->path);
        else
            file->has_mutex = status == RF_OK;
        if (status == RF_OK)
            status = rf_kv_open(file->path, &options, &file->kv, err);
        if (status == RF_OK && (file->fd = open(file->path, O_RDONLY | O_CLOEXEC)) < 0)
            status = rf_fail_errno(err, "%s: cannot open", file->path);
        if (status != RF_OK) {
            rf_base_writer_free(writer);
            return status;
        }
    }
    *writer_out = writer;
    return RF_OK;
}

void rf_base_writer_free(rf_base_writer *writer)
{
    if (!writer)
        return;
    for (uint32_t i = 0; i < writer->file_count; i++) {
        rf_kv_abort(writer->files[i].txn);
        rf_kv_close(writer->files[i].kv);
        if (writer->files[i].fd >= 0)
            (void)close(writer->files[i].fd);
        if (writer->files[i].has_mutex)
            (void)pthread_mutex_destroy(&writer->files[i].mutex);
    }
    free(writer);
}

static rf_status commit_file(writer_file *file, rf_err *err)
{
    rf_kv_txn *txn = file->txn;

    if (!txn)
        return RF_OK;
    file->txn = NULL;
    file->txn_bytes = 0;
    rf_status status = rf_kv_commit(txn, err);
    /* The disk starts on it now, so that little is left for the fsync of seal; that one tells of
     * failures. */
    if (status == RF_OK)
        (void)sync_file_range(file->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    return status;
}

static rf_status put_block(writer_file *file, uint32_t partition, rf_slice first_key,
                           rf_slice block, rf_err *err)
{
    char key[2 + RF_KEY_SIZE_MAX];
    char *room;
    rf_status status = RF_OK;

    if (first_key.size > RF_KEY_SIZE_MAX)
        return rf_fail(err, RF_ERR_INPUT, "a row's key of %zu bytes is over the limit of %d",
                       first_key.size, RF_KEY_SIZE_MAX);
    if (file->txn_bytes > 0 && file->txn_bytes + block.size > TXN_BYTES_MAX)
        status = commit_file(file, err);
    if (status == RF_OK && !file->txn)
        status = rf_kv_begin(file->kv, true, &file->txn, err);
    rf_store_u16_be(key, (uint16_t)partition);
    if (first_key.size > 0)
        memcpy(key + 2, first_key.data, first_key.size);
    if (status == RF_OK)
        status = rf_kv_put_room(file->txn, 0, (rf_slice){key, 2 + first_key.size}, block.size,
                                &room, err);
    if (status != RF_OK)
        return status;
    memcpy(room, block.data, block.size);
    file->txn_bytes += block.size;
    return RF_OK;
}

rf_status rf_base_writer_put(rf_base_writer *writer, uint32_t partition, const rf_slice *first_keys,
                             const rf_slice *blocks, size_t count, rf_err *err)
{
    rf_status status = RF_OK;

    RF_ASSERT(partition < writer->partitions);
    writer_file *file = &writer->files[partition / writer->group];
    (void)pthread_mutex_lock(&file->mutex);
    if (file->failed || !file->kv)
        status = rf_fail(err, RF_ERR_IO, "%s: an earlier write failed", file->path);
    for (size_t i = 0; status == RF_OK && i < count; i++)
        status = put_block(file, partition, first_keys[i], blocks[i], err);
    if (status != RF_OK)
        file->failed = true;
    (void)pthread_mutex_unlock(&file->mutex);
    return status;
}

/* A file may end before its last page, one that LMDB took and freed again; readers refuse such
 * files. */
static rf_status lengthen(const writer_file *file, rf_err *err)
{
    rf_kv_info info;
    struct stat now;

    rf_kv_get_info(file->kv, &info);
    if (stat(file->path, &now) != 0)
        return rf_fail_errno(err, "%s: cannot look at", file->path);
    if ((uint64_t)now.st_size < info.bytes_used &&
        truncate(file->path, (off_t)info.bytes_used) != 0)
        return rf_fail_errno(err, "%s: cannot lengthen", file->path);
    return RF_OK;
}

static rf_status seal_file(writer_file *file, rf_base_file *out, rf_err *err)
{
    struct stat info;
    rf_status status = RF_OK;

    (void)pthread_mutex_lock(&file->mutex);
    if (file->failed || !file->kv)
        status = rf_fail(err, RF_ERR_IO, "%s: an earlier write failed", file->path);
    if (status == RF_OK)
        status = commit_file(file, err);
    if (status == RF_OK)
        status = lengthen(file, err);
    if (status == RF_OK)
        status = rf_kv_sync(file->kv, err);
    if (status == RF_OK) {
        rf_kv_close(file->kv);
        file->kv = NULL;
        if (stat(file->path, &info) != 0)
            status = rf_fail_errno(err, "%s: cannot look at", file->path);
    }
    if (status == RF_OK)
        out->size = (uint64_t)info.st_size;
    else
        file->failed = true;
    (void)pthread_mutex_unlock(&file->mutex);
    return status;
}

rf_status rf_base_writer_seal(rf_base_writer *writer, rf_base_file files_out[RF_BASE_FILES_MAX],
                              uint32_t *count_out, rf_err *err)
{
    for (uint32_t i = 0; i < writer->file_count; i++) {
        rf_base_file *out = &files_out[i];
        *out = (rf_base_file){
            .first_partition = i * writer->group,
            .last_partition = (i + 1) * writer->group - 1,
        };
        name_file(out->name, i);
        rf_status status = seal_file(&writer->files[i], out, err);
        if (status != RF_OK)
            return status;
    }
    *count_out = writer->file_count;
    return RF_OK;
}
