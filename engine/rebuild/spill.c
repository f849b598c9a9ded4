/* See spill.h. A record: size u32 of what follows, number u32, the row struct, the bytes of its
 * texts in the order of their columns. */
#include "rebuild/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    HEAD_SIZE = 8,
    WRITE_BYTES = 64 << 10,
    READ_BYTES_MIN = 16 << 10,
    READ_BYTES_MAX = 64 << 10,
    RECORD_BYTES_MAX = 1 << 30,
};

/* Where reading a run stands. */
typedef struct spill_run {
    uint64_t begin, end; /* in the file */
    uint64_t at;         /* next byte to be read into the buffer */
    rf_buf buffer;
    size_t used; /* bytes of the buffer that were given */
} spill_run;

struct rf_spill {
    const rf_definition *definition;
    const rf_column **texts;
    uint32_t text_count;
    int fd;
    uint64_t size; /* bytes in the file */
    rf_buf out;    /* records that are not in the file yet */
    spill_run *runs;
    uint32_t run_count;
    uint32_t run_capacity;
    size_t read_bytes;
    char *row; /* what find gives */
};

static rf_status no_memory(const rf_spill *spill, rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for rows on their way to the disk",
                   spill->definition->name);
}

static rf_status fail_errno(const rf_spill *spill, const char *what, rf_err *err)
{
    return rf_fail_errno(err, "%s: cannot %s rows for which memory is too small",
                         spill->definition->name, what);
}

/* A file that is gone when it is closed; not every file system makes one without a name. */
static int open_nameless(const char *dir)
{
    char path[4096];
    int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    if (snprintf(path, sizeof path, "%s/spill-XXXXXX", dir) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        (void)unlink(path);
    return fd;
}

rf_status rf_spill_new(const rf_definition *definition, const char *dir, rf_spill **spill_out,
                       rf_err *err)
{
    rf_spill *spill = calloc(1, sizeof *spill);

    if (!spill)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", definition->name);
    spill->definition = definition;
    spill->fd = -1;
    spill->texts = calloc(definition->column_count, sizeof *spill->texts);
    spill->row = malloc(definition->row_size);
    rf_buf_init(&spill->out, RECORD_BYTES_MAX);
    rf_status status = RF_OK;
    if (!spill->texts || !spill->row)
        status = no_memory(spill, err);
    for (uint32_t i = 0; status == RF_OK && i < definition->column_count; i++) {
        rf_kind kind = definition->columns[i].kind;
        if (kind == RF_TEXT || kind == RF_JSON)
            spill->texts[spill->text_count++] = &definition->columns[i];
    }
    if (status == RF_OK && (spill->fd = open_nameless(dir)) < 0)
        status = rf_fail_errno(err, "%s: cannot make a file for rows in %s", definition->name, dir);
    if (status != RF_OK) {
        rf_spill_free(spill);
        return status;
    }
    *spill_out = spill;
    return RF_OK;
}

static void free_runs(rf_spill *spill)
{
    for (uint32_t i = 0; i < spill->run_count; i++)
        rf_buf_free(&spill->runs[i].buffer);
    spill->run_count = 0;
}

void rf_spill_free(rf_spill *spill)
{
    if (!spill)
        return;
    free_runs(spill);
    free(spill->runs);
    rf_buf_free(&spill->out);
    if (spill->fd >= 0)
        (void)close(spill->fd);
    free(spill->texts);
    free(spill->row);
    free(spill);
}

static rf_status write_out(rf_spill *spill, rf_err *err)
{
    for (size_t done = 0; done < spill->out.size;) {
        ssize_t written = pwrite(spill->fd, spill->out.data + done, spill->out.size - done,
                                 (off_t)spill->size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return fail_errno(spill, "write", err);
        done += (size_t)written;
        spill->size += (uint64_t)written;
    }
    rf_buf_clear(&spill->out);
    return RF_OK;
}

rf_status rf_spill_run_begin(rf_spill *spill, rf_err *err)
{
    if (spill->run_count == spill->run_capacity) {
        uint32_t capacity = spill->run_capacity ? 2 * spill->run_capacity : 16;
        spill_run *runs = realloc(spill->runs, capacity * sizeof *runs);
        if (!runs)
            return no_memory(spill, err);
        spill->runs = runs;
        spill->run_capacity = capacity;
    }
    spill->runs[spill->run_count] = (spill_run){.begin = spill->size, .end = spill->size};
    rf_buf_init(&spill->runs[spill->run_count++].buffer, RECORD_BYTES_MAX);
    return RF_OK;
}

rf_status rf_spill_add(rf_spill *spill, uint32_t number, const void *row, rf_err *err)
{
    size_t row_size = spill->definition->row_size;
    size_t size = HEAD_SIZE - 4 + row_size;
    rf_slice text;

    for (uint32_t i = 0; i < spill->text_count; i++) {
        memcpy(&text, (const char *)row + spill->texts[i]->offset, sizeof text);
        size += text.data ? text.size : 0;
    }
    char *at = size < RECORD_BYTES_MAX ? rf_buf_reserve(&spill->out, 4 + size) : NULL;
    if (!at)
        return no_memory(spill, err);
    rf_store_u32(at, (uint32_t)size);
    rf_store_u32(at + 4, number);
    memcpy(at + HEAD_SIZE, row, row_size);
    spill->out.size += HEAD_SIZE + row_size;
    for (uint32_t i = 0; i < spill->text_count; i++) {
        memcpy(&text, (const char *)row + spill->texts[i]->offset, sizeof text);
        if (text.data && text.size > 0)
            rf_buf_append_slice(&spill->out, text);
    }
    return spill->out.size >= WRITE_BYTES ? write_out(spill, err) : RF_OK;
}

rf_status rf_spill_run_end(rf_spill *spill, rf_err *err)
{
    RF_ASSERT(spill->run_count > 0);
    rf_status status = write_out(spill, err);

    spill->runs[spill->run_count - 1].end = spill->size;
    return status;
}

void rf_spill_read_begin(rf_spill *spill, size_t memory_bytes)
{
    size_t share = memory_bytes / (spill->run_count ? spill->run_count : 1);

    spill->read_bytes = share < READ_BYTES_MIN   ? READ_BYTES_MIN
                        : share > READ_BYTES_MAX ? READ_BYTES_MAX
                                                 : share;
    for (uint32_t i = 0; i < spill->run_count; i++) {
        spill->runs[i].at = spill->runs[i].begin;
        spill->runs[i].used = 0;
        rf_buf_clear(&spill->runs[i].buffer);
    }
}

/* At least `wanted` bytes that were not given, or all that are left. */
static rf_status fill(rf_spill *spill, spill_run *run, size_t wanted, rf_err *err)
{
    rf_buf *buffer = &run->buffer;
    size_t left = buffer->size - run->used;

    if (left >= wanted || run->at == run->end)
        return RF_OK;
    memmove(buffer->data ? buffer->data : "", buffer->data ? buffer->data + run->used : "", left);
    buffer->size = left;
    run->used = 0;
    size_t room = wanted > spill->read_bytes ? wanted - left : spill->read_bytes - left;
    room = room < run->end - run->at ? room : (size_t)(run->end - run->at);
    char *at = rf_buf_reserve(buffer, room);
    if (!at)
        return no_memory(spill, err);
    while (room > 0) {
        ssize_t got = pread(spill->fd, at, room, (off_t)run->at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fail_errno(spill, "read back", err);
        at += got;
        room -= (size_t)got;
        run->at += (uint64_t)got;
        buffer->size += (size_t)got;
    }
    return RF_OK;
}

rf_status rf_spill_find(rf_spill *spill, uint32_t run_index, uint32_t number, const void **row_out,
                        rf_err *err)
{
    size_t row_size = spill->definition->row_size;

    RF_ASSERT(run_index < spill->run_count);
    spill_run *run = &spill->runs[run_index];
    *row_out = NULL;
    rf_status status = fill(spill, run, HEAD_SIZE, err);
    if (status != RF_OK || run->buffer.size - run->used < HEAD_SIZE ||
        rf_load_u32(run->buffer.data + run->used + 4) != number)
        return status;
    size_t size = 4 + (size_t)rf_load_u32(run->buffer.data + run->used);
    status = fill(spill, run, size, err);
    if (status != RF_OK)
        return status;
    RF_ASSERT(run->buffer.size - run->used >= size && size >= HEAD_SIZE + row_size);
    const char *record = run->buffer.data + run->used;
    const char *bytes = record + HEAD_SIZE + row_size;
    memcpy(spill->row, record + HEAD_SIZE, row_size);
    for (uint32_t i = 0; i < spill->text_count; i++) {
        rf_slice text;
        memcpy(&text, spill->row + spill->texts[i]->offset, sizeof text);
        if (!text.data)
            continue;
        text.data = bytes;
        bytes += text.size;
        memcpy(spill->row + spill->texts[i]->offset, &text, sizeof text);
    }
    run->used += size;
    *row_out = spill->row;
    return RF_OK;
}

rf_status rf_spill_clear(rf_spill *spill, rf_err *err)
{
    (void)err;
    free_runs(spill);
    spill->size = 0; /* what comes next is written over it: to free a file's pages costs as much as to fill them */
    return RF_OK;
}
