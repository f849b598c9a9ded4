/* Bytes: helpers for borrowed slices, and rf_buf, bytes that grow and are owned.
 *
 * An rf_buf has a maximum chosen at start. Appending past it, or without memory, sets `failed` and
 * appends nothing from then on, so that an encoder appends freely and asks once, at the end
 * (rf_buf_check). Confined to one thread.
 */
#ifndef RF_BASE_BYTES_H
#define RF_BASE_BYTES_H

#include "base/error.h"

#include <string.h>

static inline bool rf_slice_equal(rf_slice a, rf_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* The same, faster where both are short, as the names of members are: at most 16 bytes are compared
 * without a call. */
static inline bool rf_short_equal(rf_slice a, rf_slice b)
{
    uint64_t a_first, b_first, a_last, b_last;
    uint32_t a_half, b_half;

    if (a.size != b.size)
        return false;
    if (a.size >= 8 && a.size <= 16) {
        memcpy(&a_first, a.data, 8);
        memcpy(&b_first, b.data, 8);
        memcpy(&a_last, a.data + a.size - 8, 8);
        memcpy(&b_last, b.data + a.size - 8, 8);
        return ((a_first ^ b_first) | (a_last ^ b_last)) == 0;
    }
    if (a.size < 4 || a.size > 16)
        return rf_slice_equal(a, b);
    memcpy(&a_half, a.data, 4);
    memcpy(&b_half, b.data, 4);
    bool same = a_half == b_half;
    memcpy(&a_half, a.data + a.size - 4, 4);
    memcpy(&b_half, b.data + a.size - 4, 4);
    return same && a_half == b_half;
}

/* By bytes, the shorter first: the order of text keys. */
static inline int rf_slice_compare(rf_slice a, rf_slice b)
{
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared ? memcmp(a.data, b.data, shared) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

static inline rf_slice rf_slice_of(const char *text)
{
    return (rf_slice){text, strlen(text)};
}

static inline bool rf_slice_starts_with(rf_slice text, rf_slice prefix)
{
    return prefix.size == 0 ||
           (text.size >= prefix.size && memcmp(text.data, prefix.data, prefix.size) == 0);
}

/* Many of them, in the order of rf_slice_compare; and whether one of them is `wanted`. */
void rf_slices_sort(rf_slice *slices, size_t count);
bool rf_slices_have(const rf_slice *sorted, size_t count, rf_slice wanted);

/* Bytes of the character that `text` begins with: 1 to 4, or 0 where it is not valid UTF-8. */
size_t rf_utf8_width(rf_slice text);
bool rf_utf8_valid(rf_slice text);

typedef struct rf_buf {
    char *data; /* owned; NULL while empty */
    size_t size;
    size_t capacity;
    size_t size_max;
    bool failed;
} rf_buf;

void rf_buf_init(rf_buf *buf, size_t size_max);
void rf_buf_free(rf_buf *buf);
static inline void rf_buf_clear(rf_buf *buf)
{
    buf->size = 0;
    buf->failed = false;
}
/* What reserve does where there is no room yet. */
char *rf_buf_grow(rf_buf *buf, size_t size);
/* Room for `size` more bytes at the end, not yet counted in `size`; NULL on failure. */
static inline char *rf_buf_reserve(rf_buf *buf, size_t size)
{
    bool fits = !buf->failed && buf->data && size <= buf->capacity - buf->size &&
                size <= buf->size_max - buf->size;

    return fits ? buf->data + buf->size : rf_buf_grow(buf, size);
}
void rf_buf_append(rf_buf *buf, const void *data, size_t size);
static inline void rf_buf_append_slice(rf_buf *buf, rf_slice slice)
{
    rf_buf_append(buf, slice.data, slice.size);
}
void rf_buf_append_byte(rf_buf *buf, uint8_t byte);
void rf_buf_append_u16(rf_buf *buf, uint16_t value); /* little-endian, as the next two */
void rf_buf_append_u32(rf_buf *buf, uint32_t value);
void rf_buf_append_u64(rf_buf *buf, uint64_t value);
void rf_buf_append_varint(rf_buf *buf, uint64_t value); /* LEB128 */
__attribute__((format(printf, 2, 3))) void rf_buf_append_format(rf_buf *buf, const char *format,
                                                                ...);
/* RF_OK, or RF_ERR_MEMORY with `what` in the message when an append failed. */
rf_status rf_buf_check(const rf_buf *buf, const char *what, rf_err *err);
static inline rf_slice rf_buf_slice(const rf_buf *buf)
{
    return (rf_slice){buf->data ? buf->data : "", buf->size};
}

/* Little-endian loads and stores at any alignment. */
static inline uint16_t rf_load_u16(const void *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}
static inline uint32_t rf_load_u32(const void *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}
static inline uint64_t rf_load_u64(const void *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}
static inline void rf_store_u16(void *at, uint16_t value)
{
    memcpy(at, &value, sizeof value);
}
static inline void rf_store_u32(void *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
}
static inline void rf_store_u64(void *at, uint64_t value)
{
    memcpy(at, &value, sizeof value);
}
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "refold's files are little-endian, and so is this code"
#endif

/* Big-endian, for keys that must sort. */
static inline void rf_store_u16_be(void *at, uint16_t value)
{
    rf_store_u16(at, __builtin_bswap16(value));
}
static inline uint16_t rf_load_u16_be(const void *at)
{
    return __builtin_bswap16(rf_load_u16(at));
}
static inline void rf_store_u64_be(void *at, uint64_t value)
{
    rf_store_u64(at, __builtin_bswap64(value));
}
static inline uint64_t rf_load_u64_be(const void *at)
{
    return __builtin_bswap64(rf_load_u64(at));
}

/* As memcpy, for keys and texts, most of which are shorter than a call is worth. Returns the bits that
 * any of the bytes has, spread over eight: with none of RF_HIGH_BITS the text is ASCII. */
#define RF_HIGH_BITS UINT64_C(0x8080808080808080)
static inline uint64_t rf_copy_short(char *to, const char *from, size_t size)
{
    typedef struct step {
        char bytes[16];
    } step;
    step a, b;
    uint64_t bits = 0;

    if (size >= sizeof a) {
        for (size_t i = 0; i + sizeof a < size; i += sizeof a) {
            memcpy(&a, from + i, sizeof a);
            memcpy(to + i, &a, sizeof a);
            bits |= rf_load_u64(a.bytes) | rf_load_u64(a.bytes + 8);
        }
        memcpy(&b, from + size - sizeof b, sizeof b);
        memcpy(to + size - sizeof b, &b, sizeof b);
        bits |= rf_load_u64(b.bytes) | rf_load_u64(b.bytes + 8);
    } else if (size >= 8) {
        uint64_t first = rf_load_u64(from);
        uint64_t last = rf_load_u64(from + size - 8);
        rf_store_u64(to + size - 8, last);
        rf_store_u64(to, first);
        bits = first | last;
    } else if (size >= 4) {
        uint32_t first = rf_load_u32(from);
        uint32_t last = rf_load_u32(from + size - 4);
        rf_store_u32(to + size - 4, last);
        rf_store_u32(to, first);
        bits = first | last;
    } else {
        for (size_t i = 0; i < size; i++) {
            to[i] = from[i];
            bits |= (uint8_t)from[i];
        }
    }
    return bits;
}

/* Whether `a` is below `b`. Keys of a table share their first bytes, eight of which are compared at
 * a time, without a call. */
static inline bool rf_key_rises(rf_slice a, rf_slice b)
{
    size_t shared = a.size < b.size ? a.size : b.size;

    for (size_t i = 0; i + 8 <= shared; i += 8) {
        uint64_t left = rf_load_u64_be(a.data + i);
        uint64_t right = rf_load_u64_be(b.data + i);
        if (left != right)
            return left < right;
    }
    return rf_slice_compare(a, b) < 0;
}

/* Reads stored bytes from front to back; a read past the end sets `failed` and gives zeros, so that
 * a decoder reads freely and asks once. The slices that it returns borrow from the input. */
typedef struct rf_bytes_reader {
    const char *at;
    const char *end;
    bool failed;
} rf_bytes_reader;

static inline rf_bytes_reader rf_bytes_reader_of(rf_slice slice)
{
    return (rf_bytes_reader){slice.data, slice.data + slice.size, false};
}
static inline size_t rf_bytes_left(const rf_bytes_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}
rf_slice rf_read_slice(rf_bytes_reader *reader, size_t size);
static inline uint8_t rf_read_byte(rf_bytes_reader *reader)
{
    if (reader->failed || reader->at == reader->end) {
        reader->failed = true;
        return 0;
    }
    return (uint8_t)*reader->at++;
}
uint16_t rf_read_u16(rf_bytes_reader *reader);
uint32_t rf_read_u32(rf_bytes_reader *reader);
uint64_t rf_read_u64(rf_bytes_reader *reader);
uint64_t rf_read_varint(rf_bytes_reader *reader);

static inline uint64_t rf_zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}
static inline int64_t rf_unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

#endif
