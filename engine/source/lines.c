/* See lines.h.
 *
 * raw bytes -> (decompression) -> one of the buffers, in turn. What stands behind the last newline of
 * a buffer is the carry: it begins the next buffer at the next call.
 */
#include "source/lines.h"

#include "base/codec.h"
#include "base/inflate.h"
#include "event/json.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    INPUT_SIZE = 256 << 10, /* compressed bytes read at a time */
    POLL_MS = 200,          /* how soon a waiting read sees *cancel, or gives what it has */
    BUFFERS = 3,
    BUFFER_SIZE_MAX = RF_LINES_LINE_MAX + 1,
};

typedef enum lines_format { LINES_UNKNOWN, LINES_PLAIN, LINES_ZSTD, LINES_GZIP } lines_format;

typedef struct lines_buffer {
    char *data; /* owned; `capacity` bytes and the padding */
    size_t size;
    size_t capacity;
} lines_buffer;

typedef struct rf_lines {
    rf_feed feed;
    char *name;
    int fd; /* -1 until open; 0 is not ours */
    bool is_file;
    const volatile int *cancel;

    lines_format format;
    char *input_bytes; /* INPUT_SIZE */
    rf_slice input;    /* read and not yet consumed */
    bool input_ended;
    bool part_open; /* inside a frame or member: the input must not end here */
    bool more_out;  /* the decompressor may have more without more input */
    rf_zstd_stream *zstd;
    rf_inflate *gzip;

    lines_buffer buffers[BUFFERS];
    unsigned turn;  /* the buffer of the last block */
    rf_slice carry; /* in that buffer */
    bool begun;
    bool ended;
} rf_lines;

static void lines_close(rf_feed *feed)
{
    rf_lines *lines = (rf_lines *)feed;

    if (lines->fd > STDIN_FILENO)
        (void)close(lines->fd);
    rf_inflate_free(lines->gzip);
    rf_zstd_stream_free(lines->zstd);
    for (unsigned i = 0; i < BUFFERS; i++)
        free(lines->buffers[i].data);
    free(lines->input_bytes);
    free(lines->name);
    free(lines);
}

static rf_status lines_next(rf_feed *feed, uint64_t line, rf_feed_block *block_out, rf_err *err);

static const rf_feed_ops lines_ops = {.next = lines_next, .close = lines_close};

static rf_status lines_new(const char *name, const volatile int *cancel, rf_lines **lines_out,
                           rf_err *err)
{
    rf_lines *lines = calloc(1, sizeof *lines);

    if (!lines)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for reading %s", name);
    lines->feed.ops = &lines_ops;
    lines->fd = -1;
    lines->cancel = cancel;
    lines->carry = lines->input = RF_SLICE("");
    lines->name = strdup(name);
    lines->input_bytes = malloc(INPUT_SIZE);
    if (!lines->name || !lines->input_bytes) {
        lines_close(&lines->feed);
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for reading %s", name);
    }
    lines->feed.name = rf_slice_of(lines->name);
    *lines_out = lines;
    return RF_OK;
}

rf_status rf_lines_open(const char *path, const volatile int *cancel, rf_feed **feed_out,
                        rf_err *err)
{
    bool standard = strcmp(path, "-") == 0;
    struct stat info;
    rf_lines *lines = NULL;

    rf_status status = lines_new(standard ? "standard input" : path, cancel, &lines, err);
    if (status != RF_OK)
        return status;
    lines->fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (lines->fd < 0 && errno == EINTR && cancel && *cancel) {
        status = rf_fail(err, RF_ERR_INTERRUPTED, "interrupted while opening %s", path);
        goto fail;
    }
    if (lines->fd < 0 || fstat(lines->fd, &info) != 0) {
        status = rf_fail_errno(err, "%s cannot be opened", lines->name);
        goto fail;
    }
    if (S_ISDIR(info.st_mode)) {
        status = rf_fail(err, RF_ERR_INPUT, "%s is a directory, not a file of events", lines->name);
        goto fail;
    }
    lines->is_file = S_ISREG(info.st_mode);
    lines->feed.reads_ahead = lines->is_file;
    if (lines->is_file)
        (void)posix_fadvise(lines->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    *feed_out = &lines->feed;
    return RF_OK;

fail:
    lines_close(&lines->feed);
    return status;
}

rf_status rf_lines_open_fd(int fd, const char *name, const volatile int *cancel, rf_feed **feed_out,
                           rf_err *err)
{
    rf_lines *lines = NULL;

    RF_ASSERT(fd > STDIN_FILENO);
    rf_status status = lines_new(name, cancel, &lines, err);
    if (status != RF_OK)
        return status;
    lines->fd = fd;
    *feed_out = &lines->feed;
    return RF_OK;
}

/* Up to `size` bytes as they stand in the file. *idle_out: nothing has come for a while. */
static rf_status read_raw(rf_lines *lines, char *out, size_t size, size_t *got_out, bool *idle_out,
                          rf_err *err)
{
    RF_ASSERT(size > 0);
    *got_out = 0;
    for (;;) {
        if (lines->cancel && *lines->cancel)
            return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted while reading %s", lines->name);
        if (!lines->is_file) {
            struct pollfd wait = {.fd = lines->fd, .events = POLLIN};
            int ready = poll(&wait, 1, POLL_MS);
            if (ready < 0 && errno == EINTR)
                continue;
            if (ready == 0) {
                *idle_out = true;
                return lines->feed.waiting ? lines->feed.waiting(lines->feed.waiting_arg, err)
                                           : RF_OK;
            }
        }
        ssize_t got = read(lines->fd, out, size);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got < 0)
            return rf_fail_errno(err, "%s cannot be read", lines->name);
        lines->input_ended = got == 0;
        *got_out = (size_t)got;
        return RF_OK;
    }
}

/* More compressed (or first) bytes behind those that are left. */
static rf_status input_fill(rf_lines *lines, bool *idle_out, rf_err *err)
{
    size_t got;

    if (lines->input.size > 0 && lines->input.data != lines->input_bytes)
        memmove(lines->input_bytes, lines->input.data, lines->input.size);
    RF_ASSERT(lines->input.size < INPUT_SIZE);
    rf_status status = read_raw(lines, lines->input_bytes + lines->input.size,
                                INPUT_SIZE - lines->input.size, &got, idle_out, err);
    if (status == RF_OK)
        lines->input = (rf_slice){lines->input_bytes, lines->input.size + got};
    return status;
}

/* Looks at the first four bytes. */
static rf_status format_choose(rf_lines *lines, bool *idle_out, rf_err *err)
{
    while (lines->input.size < 4 && !lines->input_ended) {
        rf_status status = input_fill(lines, idle_out, err);
        if (status != RF_OK || *idle_out)
            return status;
    }
    uint32_t magic = lines->input.size >= 4 ? rf_load_u32(lines->input.data) : 0;
    if (magic == 0xfd2fb528u || (magic & 0xfffffff0u) == 0x184d2a50u) {
        lines->zstd = rf_zstd_stream_new();
        if (!lines->zstd)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for decompressing %s", lines->name);
        lines->format = LINES_ZSTD;
    } else if (lines->input.size >= 4 && rf_is_gzip(lines->input)) {
        lines->gzip = rf_inflate_new();
        if (!lines->gzip)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for decompressing %s", lines->name);
        lines->part_open = true;
        lines->format = LINES_GZIP;
    } else {
        lines->format = LINES_PLAIN;
    }
    return RF_OK;
}

static rf_status zstd_step(rf_lines *lines, char *out, size_t size, size_t *got_out, rf_err *err)
{
    rf_status status =
        rf_zstd_stream_read(lines->zstd, &lines->input, out, size, got_out, &lines->part_open, err);

    lines->more_out = lines->part_open && *got_out == size;
    return status == RF_OK ? RF_OK : rf_err_context(err, "%s", lines->name);
}

static rf_status gzip_step(rf_lines *lines, char *out, size_t size, size_t *got_out, rf_err *err)
{
    bool ended;

    *got_out = 0;
    if (!lines->part_open && lines->input.size > 0) {
        /* Behind a member stands another one, or padding of zeros as tapes have it. */
        if (lines->input.data[0] == 0) {
            lines->input.data++;
            lines->input.size--;
            return RF_OK;
        }
        rf_inflate_reset(lines->gzip);
        lines->part_open = true;
    }
    rf_status status =
        rf_inflate_step(lines->gzip, &lines->input, out, size, got_out, &ended, err);
    if (status != RF_OK)
        return rf_err_context(err, "%s: not valid gzip data", lines->name);
    if (ended)
        lines->part_open = false;
    lines->more_out = lines->part_open && *got_out == size;
    return RF_OK;
}

static rf_status plain_step(rf_lines *lines, char *out, size_t size, size_t *got_out)
{
    *got_out = lines->input.size < size ? lines->input.size : size;
    memcpy(out, lines->input.data, *got_out);
    lines->input.data += *got_out;
    lines->input.size -= *got_out;
    return RF_OK;
}

/* Up to `size` bytes of text; none at the end, or with *idle_out. */
static rf_status read_text(rf_lines *lines, char *out, size_t size, size_t *got_out, bool *idle_out,
                           rf_err *err)
{
    rf_status status = RF_OK;

    *got_out = 0;
    if (lines->format == LINES_UNKNOWN)
        status = format_choose(lines, idle_out, err);
    while (status == RF_OK && !*idle_out && *got_out == 0) {
        if (lines->input.size > 0 || lines->more_out) {
            if (lines->format == LINES_PLAIN)
                status = plain_step(lines, out, size, got_out);
            else if (lines->format == LINES_ZSTD)
                status = zstd_step(lines, out, size, got_out, err);
            else
                status = gzip_step(lines, out, size, got_out, err);
        } else if (lines->input_ended) {
            if (lines->part_open)
                status = rf_fail(err, RF_ERR_INPUT,
                                 "%s ends in the middle of its compressed data: it is truncated",
                                 lines->name);
            break;
        } else if (lines->format == LINES_PLAIN) {
            status = read_raw(lines, out, size, got_out, idle_out, err);
        } else {
            status = input_fill(lines, idle_out, err);
        }
    }
    return status;
}

/* Room for more than `size` bytes. */
static rf_status buffer_grow(rf_lines *lines, lines_buffer *buffer, rf_err *err)
{
    size_t wanted = buffer->capacity == 0 ? RF_LINES_BLOCK_SIZE : BUFFER_SIZE_MAX;
    char *data = realloc(buffer->data, wanted + RF_JSON_PADDING);

    if (!data)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a block of %s", lines->name);
    buffer->data = data;
    buffer->capacity = wanted;
    return RF_OK;
}

static void skip_byte_order_mark(lines_buffer *buffer)
{
    if (buffer->size >= 3 && memcmp(buffer->data, "\xef\xbb\xbf", 3) == 0) {
        buffer->size -= 3;
        memmove(buffer->data, buffer->data + 3, buffer->size);
    }
}

/* Whether a block can end in, or behind, these bytes. */
static bool may_end(const rf_lines *lines, const char *at, size_t size)
{
    return lines->feed.in_pieces ? size > 0 : memchr(at, '\n', size) != NULL;
}

/* Fills the buffer up to a block; further only while it has no end. */
static rf_status buffer_fill(rf_lines *lines, lines_buffer *buffer, uint64_t line, rf_err *err)
{
    bool has_end = false; /* the carry has none */

    for (;;) {
        bool idle = false;
        size_t got;
        if (has_end &&
            (buffer->size == buffer->capacity || buffer->size >= RF_LINES_BLOCK_SIZE))
            return RF_OK;
        if (buffer->size == buffer->capacity) {
            if (buffer->size > RF_LINES_LINE_MAX)
                return rf_fail(err, RF_ERR_INPUT,
                               "%s:%llu: a line of more than 16 MiB; an event has at most 16 MiB",
                               lines->name, (unsigned long long)line);
            rf_status status = buffer_grow(lines, buffer, err);
            if (status != RF_OK)
                return status;
        }
        char *at = buffer->data + buffer->size;
        rf_status status = read_text(lines, at, buffer->capacity - buffer->size, &got, &idle, err);
        if (status != RF_OK)
            return status;
        buffer->size += got;
        has_end = has_end || may_end(lines, at, got);
        if (got == 0 && !idle) {
            lines->ended = true;
            return RF_OK;
        }
        if (idle && has_end)
            return RF_OK;
    }
}

static rf_status lines_next(rf_feed *feed, uint64_t line, rf_feed_block *block_out, rf_err *err)
{
    rf_lines *lines = (rf_lines *)feed;
    unsigned turn = (lines->turn + 1) % BUFFERS;
    lines_buffer *buffer = &lines->buffers[turn];
    size_t carried = lines->carry.size;

    if (lines->ended) {
        *block_out = (rf_feed_block){RF_SLICE(""), RF_SLICE("")};
        return RF_OK;
    }
    while (buffer->capacity <= carried) {
        rf_status status = buffer_grow(lines, buffer, err);
        if (status != RF_OK)
            return status;
    }
    memcpy(buffer->data, lines->carry.data, carried);
    buffer->size = carried;
    rf_status status = buffer_fill(lines, buffer, line, err);
    if (status != RF_OK)
        return status;
    if (!lines->begun)
        skip_byte_order_mark(buffer);
    lines->begun = true;
    lines->turn = turn;
    memset(buffer->data + buffer->size, 0, RF_JSON_PADDING);
    size_t whole = buffer->size;
    if (!lines->ended && !feed->in_pieces) {
        const char *newline = memrchr(buffer->data, '\n', buffer->size);
        RF_ASSERT(newline != NULL);
        whole = (size_t)(newline + 1 - buffer->data);
    }
    lines->carry = (rf_slice){buffer->data + whole, buffer->size - whole};
    *block_out = (rf_feed_block){{buffer->data, whole}, RF_SLICE("")};
    return RF_OK;
}
