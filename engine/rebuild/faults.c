/* See faults.h. */
#include "rebuild/faults.h"

#include <stdlib.h>

#define TEXT_BYTES_MAX ((size_t)4 << 30)

uint32_t rf_fault_policy_seek(const rf_fault_policy *policy, uint64_t position)
{
    uint32_t low = 0;
    uint32_t high = policy->skip_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (policy->skips[middle] < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool rf_fault_policy_skips_any(const rf_fault_policy *policy, uint64_t first, uint64_t last)
{
    uint32_t at = rf_fault_policy_seek(policy, first);

    return at < policy->skip_count && policy->skips[at] <= last;
}

void rf_faults_init(rf_faults *faults)
{
    *faults = (rf_faults){0};
    rf_arena_init(&faults->text, TEXT_BYTES_MAX);
}

void rf_faults_free(rf_faults *faults)
{
    free(faults->items);
    rf_arena_free(&faults->text);
    *faults = (rf_faults){0};
}

static rf_status no_memory(const rf_faults *faults, rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u events that failed", faults->count);
}

/* A reason comes from a handler and may hold anything: one line of UTF-8 is made of it. */
static rf_slice reason_copy(rf_faults *faults, rf_slice reason)
{
    char text[RF_FAULT_REASON_SIZE_MAX];
    size_t size = 0;

    for (size_t at = 0; at < reason.size;) {
        size_t width = rf_utf8_width((rf_slice){reason.data + at, reason.size - at});
        unsigned char byte = (unsigned char)reason.data[at];
        bool printable = width > 1 || (width == 1 && byte >= 0x20 && byte != 0x7f);
        size_t taken = printable ? width : 1;
        if (size + taken > sizeof text)
            break;
        memcpy(text + size, printable ? reason.data + at : "?", taken);
        size += taken;
        at += width ? width : 1;
    }
    return rf_arena_copy(&faults->text, (rf_slice){text, size});
}

static bool grow(rf_faults *faults, size_t more)
{
    size_t wanted = (size_t)faults->count + more;

    if (wanted <= faults->capacity)
        return true;
    size_t capacity = faults->capacity ? 2 * (size_t)faults->capacity : 16;
    capacity = capacity < wanted ? wanted : capacity;
    rf_fault *items =
        capacity <= UINT32_MAX ? realloc(faults->items, capacity * sizeof *items) : NULL;
    if (!items)
        return false;
    faults->items = items;
    faults->capacity = (uint32_t)capacity;
    return true;
}

rf_status rf_faults_add(rf_faults *faults, const rf_fault *fault, rf_err *err)
{
    rf_fault copy = *fault;

    copy.type = rf_arena_copy(&faults->text, fault->type);
    copy.reason = reason_copy(faults, fault->reason);
    if (fault->stream.data)
        copy.stream = rf_arena_copy(&faults->text, fault->stream);
    if (!copy.type.data || !copy.reason.data || (fault->stream.data && !copy.stream.data) ||
        !grow(faults, 1))
        return no_memory(faults, err);
    faults->items[faults->count++] = copy;
    return RF_OK;
}

void rf_faults_cut(rf_faults *faults, uint32_t count)
{
    RF_ASSERT(count <= faults->count);
    faults->count = count;
}

static int compare_streams(const void *left, const void *right)
{
    const rf_fault *a = left;
    const rf_fault *b = right;

    return (a->stream_number > b->stream_number) - (a->stream_number < b->stream_number);
}

static int compare_positions(const void *left, const void *right)
{
    const rf_fault *a = left;
    const rf_fault *b = right;

    return (a->position > b->position) - (a->position < b->position);
}

/* Index of the first of `count` faults, by stream number, that is of `number` or a later one. */
static uint32_t seek_stream(const rf_fault *items, uint32_t count, uint32_t number)
{
    uint32_t low = 0;

    while (low < count) {
        uint32_t middle = low + (count - low) / 2;
        if (items[middle].stream_number < number)
            low = middle + 1;
        else
            count = middle;
    }
    return low;
}

rf_status rf_faults_name(rf_faults *faults, uint32_t first, rf_log_names_cursor *names,
                         uint32_t partition, rf_err *err)
{
    rf_fault *items = faults->items + first;
    uint32_t count = faults->count - first;
    const rf_stream_name *found;
    uint32_t found_count = 1;
    rf_status status = RF_OK;

    if (count == 0)
        return RF_OK;
    qsort(items, count, sizeof *items, compare_streams);
    const rf_log_names_wanted wanted = {
        .first = items[0].stream_number,
        .count = items[count - 1].stream_number - items[0].stream_number + 1,
    };
    rf_log_names_restart(names, partition);
    while (status == RF_OK && found_count > 0) {
        status = rf_log_names_next(names, &wanted, &found, &found_count, err);
        for (uint32_t i = 0; status == RF_OK && i < found_count; i++) {
            uint32_t at = seek_stream(items, count, found[i].number);
            for (; at < count && items[at].stream_number == found[i].number; at++) {
                items[at].stream = rf_arena_copy(&faults->text, found[i].name);
                if (!items[at].stream.data)
                    return no_memory(faults, err);
            }
        }
    }
    for (uint32_t i = 0; status == RF_OK && i < count; i++)
        if (!items[i].stream.data)
            status = rf_fail(err, RF_ERR_DAMAGED, "partition %u: stream number %u has no name",
                             partition, items[i].stream_number);
    return status;
}

rf_status rf_faults_take(rf_faults *faults, rf_faults *from, rf_err *err)
{
    if (!grow(faults, from->count))
        return no_memory(faults, err);
    if (from->count > 0)
        memcpy(faults->items + faults->count, from->items, from->count * sizeof *from->items);
    faults->count += from->count;
    from->count = 0;
    rf_arena_adopt(&faults->text, &from->text);
    return RF_OK;
}

void rf_faults_sort(rf_faults *faults)
{
    if (faults->count > 1)
        qsort(faults->items, faults->count, sizeof *faults->items, compare_positions);
}
