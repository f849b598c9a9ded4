/* See streams_sort.h. */
#include "log/streams_sort.h"

enum { FEW = 24, KEY_BYTES = 8 };

static rf_slice name_of(const rf_streams_item *item)
{
    return (rf_slice){item->name, item->name_size};
}

static void insertion_sort(rf_streams_item *items, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        rf_streams_item item = items[i];
        size_t at = i;
        while (at > 0 && rf_slice_compare(name_of(&item), name_of(&items[at - 1])) < 0) {
            items[at] = items[at - 1];
            at--;
        }
        items[at] = item;
    }
}

/* How many bytes all names share, of which `known` are known. */
static size_t shared_size(const rf_streams_item *items, size_t count, size_t known)
{
    const char *first = items[0].name;
    size_t shared = items[0].name_size;

    for (size_t i = 1; i < count && shared > known; i++) {
        size_t most = items[i].name_size < shared ? items[i].name_size : shared;
        size_t same = known;
        while (same < most && items[i].name[same] == first[same])
            same++;
        shared = same;
    }
    return shared > known ? shared : known;
}

/* The eight bytes behind `offset`, zeros behind the name's end, as a number that orders like them.
 */
static uint64_t key_at(const rf_streams_item *item, size_t offset)
{
    uint8_t bytes[KEY_BYTES] = {0};
    uint64_t key;

    if (item->name_size >= offset + KEY_BYTES) {
        memcpy(&key, item->name + offset, sizeof key);
        return __builtin_bswap64(key);
    }
    if (item->name_size > offset)
        memcpy(bytes, item->name + offset, item->name_size - offset);
    memcpy(&key, bytes, sizeof key);
    return __builtin_bswap64(key);
}

static void radix_sort(rf_streams_item *items, rf_streams_item *scratch, size_t count)
{
    size_t counts[KEY_BYTES][256] = {0};
    rf_streams_item *from = items;
    rf_streams_item *to = scratch;

    for (size_t i = 0; i < count; i++) {
        for (unsigned byte = 0; byte < KEY_BYTES; byte++)
            counts[byte][(items[i].key >> (8 * byte)) & 0xff]++;
    }
    for (unsigned byte = 0; byte < KEY_BYTES; byte++) {
        size_t *starts = counts[byte];
        if (starts[(from[0].key >> (8 * byte)) & 0xff] == count)
            continue;
        size_t sum = 0;
        for (unsigned value = 0; value < 256; value++) {
            size_t here = starts[value];
            starts[value] = sum;
            sum += here;
        }
        for (size_t i = 0; i < count; i++)
            to[starts[(from[i].key >> (8 * byte)) & 0xff]++] = from[i];
        rf_streams_item *swapped = from;
        from = to;
        to = swapped;
    }
    if (from != items)
        memcpy(items, from, count * sizeof *items);
}

/* Sorts names that share `known` bytes. A round resolves at least eight more, so it calls itself at
 * most an eighth of a name's size deep. */
static void sort_behind(rf_streams_item *items, rf_streams_item *scratch, size_t count,
                        size_t known)
{
    if (count <= FEW) {
        insertion_sort(items, count);
        return;
    }
    size_t offset = shared_size(items, count, known);
    for (size_t i = 0; i < count; i++)
        items[i].key = key_at(&items[i], offset);
    radix_sort(items, scratch, count);
    for (size_t start = 0; start < count;) {
        size_t end = start + 1;
        bool longer = items[start].name_size > offset + KEY_BYTES;
        while (end < count && items[end].key == items[start].key) {
            longer |= items[end].name_size > offset + KEY_BYTES;
            end++;
        }
        if (end - start > 1 && longer)
            sort_behind(items + start, scratch, end - start, offset + KEY_BYTES);
        else if (end - start > 1)
            insertion_sort(items + start, end - start);
        start = end;
    }
}

void rf_streams_sort(rf_streams_item *items, rf_streams_item *scratch, size_t count)
{
    sort_behind(items, scratch, count, 0);
}
