/* See bytes.h. */
#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static int compare_slices(const void *left, const void *right)
{
    return rf_slice_compare(*(const rf_slice *)left, *(const rf_slice *)right);
}

void rf_slices_sort(rf_slice *slices, size_t count)
{
    qsort(slices, count, sizeof *slices, compare_slices);
}

bool rf_slices_have(const rf_slice *sorted, size_t count, rf_slice wanted)
{
    return bsearch(&wanted, sorted, count, sizeof *sorted, compare_slices) != NULL;
}

size_t rf_utf8_width(rf_slice text)
{
    const unsigned char *at = (const unsigned char *)text.data;

    if (text.size == 0)
        return 0;
    if (at[0] < 0x80)
        return 1;
    if (text.size < 2 || (at[1] & 0xc0) != 0x80)
        return 0;
    if (at[0] >= 0xc2 && at[0] <= 0xdf)
        return 2;
    if (text.size < 3 || (at[2] & 0xc0) != 0x80)
        return 0;
    if ((at[0] & 0xf0) == 0xe0) {
        bool overlong = at[0] == 0xe0 && at[1] < 0xa0;
        bool surrogate = at[0] == 0xed && at[1] > 0x9f;
        return overlong || surrogate ? 0 : 3;
    }
    if (text.size < 4 || (at[3] & 0xc0) != 0x80 || at[0] < 0xf0 || at[0] > 0xf4)
        return 0;
    if ((at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return 4;
}

/* Most text is short and ASCII. */
static bool is_short_ascii(rf_slice text)
{
    const char *at = text.data;
    uint64_t bits = 0;

    if (text.size >= 8 && text.size <= 16)
        bits = rf_load_u64(at) | rf_load_u64(at + text.size - 8);
    else if (text.size >= 4 && text.size < 8)
        bits = rf_load_u32(at) | rf_load_u32(at + text.size - 4);
    else
        return text.size == 0;
    return (bits & UINT64_C(0x8080808080808080)) == 0;
}

bool rf_utf8_valid(rf_slice text)
{
    if (is_short_ascii(text))
        return true;
    for (size_t i = 0; i < text.size;) {
        if (text.size - i >= sizeof(uint64_t) &&
            (rf_load_u64(text.data + i) & UINT64_C(0x8080808080808080)) == 0) {
            i += sizeof(uint64_t);
            continue;
        }
        size_t width = rf_utf8_width((rf_slice){text.data + i, text.size - i});
        if (width == 0)
            return false;
        i += width;
    }
    return true;
}

void rf_buf_init(rf_buf *buf, size_t size_max)
{
    *buf = (rf_buf){.size_max = size_max};
}

void rf_buf_free(rf_buf *buf)
{
    free(buf->data);
    rf_buf_init(buf, buf->size_max);
}

char *rf_buf_grow(rf_buf *buf, size_t size)
{
    if (buf->failed)
        return NULL;
    RF_ASSERT(buf->size <= buf->capacity);
    if (size > buf->size_max - buf->size) {
        buf->failed = true;
        return NULL;
    }
    if (size > buf->capacity - buf->size || !buf->data) {
        size_t wanted = buf->capacity + buf->capacity / 2;
        if (wanted < buf->size + size)
            wanted = buf->size + size;
        if (wanted < 64)
            wanted = 64;
        if (wanted > buf->size_max && buf->size + size <= buf->size_max)
            wanted = buf->size_max > 0 ? buf->size_max : 1;
        char *data = realloc(buf->data, wanted);
        if (!data) {
            buf->failed = true;
            return NULL;
        }
        buf->data = data;
        buf->capacity = wanted;
    }
    return buf->data + buf->size;
}

void rf_buf_append(rf_buf *buf, const void *data, size_t size)
{
    if (size == 0)
        return;
    char *at = rf_buf_reserve(buf, size);
    if (at) {
        memcpy(at, data, size);
        buf->size += size;
    }
}

void rf_buf_append_byte(rf_buf *buf, uint8_t byte)
{
    rf_buf_append(buf, &byte, 1);
}

void rf_buf_append_u16(rf_buf *buf, uint16_t value)
{
    rf_buf_append(buf, &value, sizeof value);
}

void rf_buf_append_u32(rf_buf *buf, uint32_t value)
{
    rf_buf_append(buf, &value, sizeof value);
}

void rf_buf_append_u64(rf_buf *buf, uint64_t value)
{
    rf_buf_append(buf, &value, sizeof value);
}

void rf_buf_append_varint(rf_buf *buf, uint64_t value)
{
    uint8_t bytes[10];
    size_t size = 0;

    for (; value >= 0x80; value >>= 7)
        bytes[size++] = (uint8_t)(value | 0x80);
    bytes[size++] = (uint8_t)value;
    rf_buf_append(buf, bytes, size);
}

void rf_buf_append_format(rf_buf *buf, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int size = vsnprintf(NULL, 0, format, args);
    va_end(args);
    RF_ASSERT(size >= 0);
    char *at = rf_buf_reserve(buf, (size_t)size + 1);
    if (!at)
        return;
    va_start(args, format);
    (void)vsnprintf(at, (size_t)size + 1, format, args);
    va_end(args);
    buf->size += (size_t)size;
}

rf_status rf_buf_check(const rf_buf *buf, const char *what, rf_err *err)
{
    if (!buf->failed)
        return RF_OK;
    return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory, or over its limit of %zu bytes", what,
                   buf->size_max);
}

rf_slice rf_read_slice(rf_bytes_reader *reader, size_t size)
{
    if (reader->failed || size > rf_bytes_left(reader)) {
        reader->failed = true;
        return (rf_slice){"", 0};
    }
    rf_slice slice = {reader->at, size};
    reader->at += size;
    return slice;
}

uint16_t rf_read_u16(rf_bytes_reader *reader)
{
    rf_slice bytes = rf_read_slice(reader, 2);
    return bytes.size ? rf_load_u16(bytes.data) : 0;
}

uint32_t rf_read_u32(rf_bytes_reader *reader)
{
    rf_slice bytes = rf_read_slice(reader, 4);
    return bytes.size ? rf_load_u32(bytes.data) : 0;
}

uint64_t rf_read_u64(rf_bytes_reader *reader)
{
    rf_slice bytes = rf_read_slice(reader, 8);
    return bytes.size ? rf_load_u64(bytes.data) : 0;
}

uint64_t rf_read_varint(rf_bytes_reader *reader)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = rf_read_byte(reader);
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    reader->failed = true;
    return 0;
}
