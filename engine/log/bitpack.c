/* See bitpack.h. */
#include "log/bitpack.h"

#include "log/bitpack_wide.h"

/* Bytes past the packed ones that a 64-bit store or load may touch. */
enum { SLACK = 8 };

void rf_bitpack(const int64_t *values, size_t count, uint64_t base, unsigned width, rf_buf *out)
{
    size_t size = rf_bitpack_size(count, width);
    char *at = rf_buf_reserve(out, size + SLACK);
    uint64_t bits = 0;
    unsigned fill = 0;

    RF_ASSERT(width <= RF_BITPACK_WIDTH_MAX);
    if (!at || width == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        bits |= ((uint64_t)values[i] - base) << fill;
        fill += width;
        rf_store_u64(at, bits);
        at += fill >> 3;
        bits >>= fill & ~7u;
        fill &= 7;
    }
    rf_store_u64(at, bits);
    out->size += size;
}

void rf_bitpack_u32(const uint32_t *values, size_t count, unsigned width, rf_buf *out)
{
    size_t size = rf_bitpack_size(count, width);
    char *at = rf_buf_reserve(out, size + SLACK);
    uint64_t bits = 0;
    unsigned fill = 0;

    RF_ASSERT(width <= RF_BITPACK_CODE_WIDTH_MAX);
    if (!at || width == 0)
        return;
    for (size_t i = 0; i < count; i++) {
        bits |= (uint64_t)values[i] << fill;
        fill += width;
        rf_store_u64(at, bits);
        at += fill >> 3;
        bits >>= fill & ~7u;
        fill &= 7;
    }
    rf_store_u64(at, bits);
    out->size += size;
}

static inline uint64_t mask_of(unsigned width)
{
    return (UINT64_C(1) << width) - 1;
}

/* How many groups of eight values can be read by 64-bit loads without leaving `size` bytes. */
static size_t safe_groups(size_t size, size_t count, unsigned width)
{
    size_t reach = (7 * width) / 8 + SLACK;
    size_t groups = size < reach ? 0 : (size - reach) / width + 1;

    return groups < count / 8 ? groups : count / 8;
}

static inline __attribute__((always_inline)) void
unpack_groups(const char *at, size_t groups, uint64_t base, unsigned width, int64_t *out)
{
    for (size_t group = 0; group < groups; group++, at += width, out += 8) {
#pragma GCC unroll 8
        for (unsigned i = 0; i < 8; i++) {
            uint64_t bits = rf_load_u64(at + (i * width >> 3)) >> (i * width & 7);
            out[i] = (int64_t)((bits & mask_of(width)) + base);
        }
    }
}

static inline __attribute__((always_inline)) void
unpack_groups_u32(const char *at, size_t groups, uint32_t base, unsigned width, uint32_t *out)
{
    for (size_t group = 0; group < groups; group++, at += width, out += 8) {
#pragma GCC unroll 8
        for (unsigned i = 0; i < 8; i++)
            out[i] = ((rf_load_u32(at + (i * width >> 3)) >> (i * width & 7)) &
                      (uint32_t)mask_of(width)) +
                     base;
    }
}

#define WIDTHS_1_TO_16(CASE)                                                                       \
    CASE(1)                                                                                        \
    CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)     \
        CASE(13) CASE(14) CASE(15) CASE(16)
#define WIDTHS_17_TO_25(CASE)                                                                      \
    CASE(17) CASE(18) CASE(19) CASE(20) CASE(21) CASE(22) CASE(23) CASE(24) CASE(25)
#define WIDTHS_26_TO_56(CASE)                                                                      \
    CASE(26)                                                                                       \
    CASE(27) CASE(28) CASE(29) CASE(30) CASE(31) CASE(32) CASE(33) CASE(34) CASE(35) CASE(36)      \
        CASE(37) CASE(38) CASE(39) CASE(40) CASE(41) CASE(42) CASE(43) CASE(44) CASE(45) CASE(46)  \
            CASE(47) CASE(48) CASE(49) CASE(50) CASE(51) CASE(52) CASE(53) CASE(54) CASE(55)       \
                CASE(56)

/* What is left after the safe groups, with zeros behind it, for loads of any of its values. */
typedef struct packed_tail {
    char bytes[192];
} packed_tail;

static void tail_fill(packed_tail *tail, rf_slice packed, size_t begin)
{
    size_t size = packed.size - begin;

    RF_ASSERT(begin <= packed.size && size + SLACK <= sizeof tail->bytes);
    memset(tail->bytes, 0, sizeof tail->bytes);
    memcpy(tail->bytes, packed.data + begin, size);
}

static uint64_t tail_value(const packed_tail *tail, size_t index, unsigned width)
{
    size_t bit = index * width;
    return (rf_load_u64(tail->bytes + (bit >> 3)) >> (bit & 7)) & mask_of(width);
}

/* What the wide form leaves: `done` values are a multiple of eight, so the rest begins at a byte. */
static rf_slice rest_of(rf_slice packed, size_t done, unsigned width)
{
    size_t begin = done / 8 * width;

    return (rf_slice){packed.data + begin, packed.size - begin};
}

void rf_bitunpack(rf_slice packed, size_t count, uint64_t base, unsigned width, int64_t *values_out)
{
    RF_ASSERT(width <= RF_BITPACK_WIDTH_MAX);
    RF_ASSERT(packed.size == rf_bitpack_size(count, width));
#if RF_WIDE
    if (width > 0 && rf_wide_works()) {
        size_t done = rf_bitunpack_wide(packed, count, base, width, values_out);
        rf_bitunpack_plain(rest_of(packed, done, width), count - done, base, width,
                           values_out + done);
        return;
    }
#endif
    rf_bitunpack_plain(packed, count, base, width, values_out);
}

void rf_bitunpack_plain(rf_slice packed, size_t count, uint64_t base, unsigned width,
                        int64_t *values_out)
{
    if (width == 0) {
        for (size_t i = 0; i < count; i++)
            values_out[i] = (int64_t)base;
        return;
    }
    if (count == 0)
        return;
    size_t groups = safe_groups(packed.size, count, width);
    switch (width) {
#define CASE(w)                                                                                    \
    case w:                                                                                        \
        unpack_groups(packed.data, groups, base, w, values_out);                                   \
        break;
        WIDTHS_1_TO_16(CASE)
        WIDTHS_17_TO_25(CASE)
        WIDTHS_26_TO_56(CASE)
#undef CASE
    default:
        RF_ASSERT(false);
    }
    packed_tail tail;
    tail_fill(&tail, packed, groups * width);
    for (size_t i = groups * 8; i < count; i++)
        values_out[i] = (int64_t)(tail_value(&tail, i - groups * 8, width) + base);
}

void rf_bitunpack_u32(rf_slice packed, size_t count, uint32_t base, unsigned width,
                      uint32_t *values_out)
{
    RF_ASSERT(width <= RF_BITPACK_U32_WIDTH_MAX);
    RF_ASSERT(packed.size == rf_bitpack_size(count, width));
#if RF_WIDE
    if (width > 0 && rf_wide_works()) {
        size_t done = rf_bitunpack_u32_wide(packed, count, base, width, values_out);
        rf_bitunpack_u32_plain(rest_of(packed, done, width), count - done, base, width,
                               values_out + done);
        return;
    }
#endif
    rf_bitunpack_u32_plain(packed, count, base, width, values_out);
}

void rf_bitunpack_u32_plain(rf_slice packed, size_t count, uint32_t base, unsigned width,
                            uint32_t *values_out)
{
    if (width == 0) {
        for (size_t i = 0; i < count; i++)
            values_out[i] = base;
        return;
    }
    if (count == 0)
        return;
    size_t groups = safe_groups(packed.size, count, width);
    switch (width) {
#define CASE(w)                                                                                    \
    case w:                                                                                        \
        unpack_groups_u32(packed.data, groups, base, w, values_out);                               \
        break;
        WIDTHS_1_TO_16(CASE)
        WIDTHS_17_TO_25(CASE)
#undef CASE
    default:
        RF_ASSERT(false);
    }
    packed_tail tail;
    tail_fill(&tail, packed, groups * width);
    for (size_t i = groups * 8; i < count; i++)
        values_out[i] = (uint32_t)tail_value(&tail, i - groups * 8, width) + base;
}
