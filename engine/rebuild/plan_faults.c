/* See plan_faults.h. */
#include "rebuild/plan_faults.h"

#include <stdlib.h>

#define REASONS_BYTES_MAX ((size_t)1 << 30)

void rf_plan_faults_free(rf_plan_faults *faults)
{
    free(faults->list);
    free(faults->types);
    rf_arena_free(&faults->reasons);
}

void rf_plan_faults_begin(rf_plan_faults *faults)
{
    faults->count = 0;
    faults->failed = false;
    if (faults->reasons.bytes_max == 0)
        rf_arena_init(&faults->reasons, REASONS_BYTES_MAX);
    else
        rf_arena_reset(&faults->reasons);
}

static bool grow(rf_plan_faults *faults)
{
    uint32_t capacity = faults->capacity ? 2 * faults->capacity : 64;

    if (faults->count < faults->capacity)
        return true;
    rf_plan_faulty *list = realloc(faults->list, capacity * sizeof *list);
    if (list)
        faults->list = list;
    uint32_t *types = realloc(faults->types, capacity * sizeof *types);
    if (types)
        faults->types = types;
    if (!list || !types)
        return false;
    faults->capacity = capacity;
    return true;
}

void rf_plan_faults_add(rf_plan_faults *faults, uint32_t type, uint32_t ordinal,
                        uint32_t definition, rf_plan_rank rank, uint64_t marks,
                        const char *reason)
{
    rf_slice kept = rf_arena_copy(&faults->reasons, rf_slice_of(reason));

    RF_ASSERT(faults->wanted);
    if (!kept.data || !grow(faults)) {
        faults->failed = true;
        return;
    }
    faults->types[faults->count] = type;
    faults->list[faults->count++] = (rf_plan_faulty){ordinal, definition, kept, rank, marks};
}

rf_status rf_plan_fault_line(const rf_fill *fill, const rf_convert_fault *fault, rf_err *err)
{
    const rf_evolution_upcast *upcast = fill->upcast;
    rf_slice today = fill->origin->path_text;
    rf_status status = rf_convert_refuse(fill->field, fault, err);

    if (!rf_slice_equal(today, fill->field->path_text))
        (void)rf_err_context(err, "%.*s, before it was upcast", (int)today.size, today.data);
    if (upcast)
        (void)rf_err_context(err, "upcast of %.*s %lld", (int)upcast->type.size, upcast->type.data,
                             (long long)upcast->schema);
    return status;
}

static void keep(void *arg, const rf_convert_fault *fault)
{
    const rf_plan_faults_of *of = arg;
    rf_err line;

    (void)rf_plan_fault_line(of->fill, fault, &line);
    rf_plan_faults_add(of->faults, of->type, fault->ordinal, of->fill->call->definition,
                       RF_RANK_VALUE,
                       of->fill->upcast ? UINT64_MAX : of->fill->field->marks, line.message);
}

rf_convert_fault rf_plan_faults_note(rf_plan_faults_of *of)
{
    rf_convert_fault note = {.ordinal = UINT32_MAX};

    if (of->faults->wanted) {
        note.keep = keep;
        note.keep_arg = of;
    }
    return note;
}

static int compare_faulty(const void *left, const void *right)
{
    const rf_plan_faulty *a = left;
    const rf_plan_faulty *b = right;

    if (a->event != b->event)
        return a->event < b->event ? -1 : 1;
    if (a->definition != b->definition)
        return a->definition < b->definition ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return rf_slice_compare(a->reason, b->reason);
}

/* Events of one type, in their order; NULL without memory. */
static uint32_t *events_of(const uint32_t *event_types, uint32_t event_count, uint32_t type)
{
    uint32_t *events = malloc((event_count ? event_count : 1) * sizeof *events);
    uint32_t count = 0;

    for (uint32_t i = 0; events && i < event_count; i++)
        if (event_types[i] == type)
            events[count++] = i;
    return events;
}

rf_status rf_plan_faults_settle(rf_plan_faults *faults, const uint32_t *event_types,
                                uint32_t event_count, uint32_t type_count, rf_err *err)
{
    uint32_t kept = 0;

    for (uint32_t type = 0; faults->count > 0 && !faults->failed && type < type_count; type++) {
        uint32_t *events = NULL;
        for (uint32_t i = 0; i < faults->count; i++) {
            if (faults->types[i] != type)
                continue;
            if (!events)
                events = events_of(event_types, event_count, type);
            faults->failed = faults->failed || !events;
            if (events)
                faults->list[i].event = events[faults->list[i].event];
        }
        free(events);
    }
    if (faults->failed)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u values of a wrong kind",
                       faults->count);
    if (faults->count > 1)
        qsort(faults->list, faults->count, sizeof *faults->list, compare_faulty);
    for (uint32_t i = 0; i < faults->count; i++) {
        rf_plan_faulty *last = kept > 0 ? &faults->list[kept - 1] : NULL;
        if (last && last->event == faults->list[i].event &&
            last->definition == faults->list[i].definition) {
            last->marks |= faults->list[i].marks;
            continue;
        }
        faults->list[kept++] = faults->list[i];
    }
    faults->count = kept;
    return RF_OK;
}
