/* See exchange_guard.h. */
#include "rebuild/exchange_guard.h"

#include "rebuild/exchange_job.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT_BYTES_MAX ((size_t)4 << 30)
enum { NOTES_BEYOND = 64 };

void rf_exchange_guard_begin(rf_exchange *job)
{
    const rf_fault_policy *policy = &job->target->policy;
    rf_exchange_guard *guard = &job->guard;

    guard->on = policy->on_error != RF_ON_ERROR_STOP;
    guard->shuts = policy->on_error == RF_ON_ERROR_QUARANTINE;
    guard->keep = policy->errors_max < UINT64_MAX ? policy->errors_max + 1 : UINT64_MAX;
    atomic_init(&guard->several, false);
    rf_arena_init(&guard->text, TEXT_BYTES_MAX);
}

void rf_exchange_guard_end(rf_exchange *job)
{
    free(job->guard.known);
    free(job->guard.notes);
    free(job->guard.spoilt.items);
    rf_arena_free(&job->guard.text);
}

/* ---- what is known ---- */

uint32_t rf_exchange_guard_seek(const rf_exchange_guard *guard, uint64_t position)
{
    const rf_fault_policy known = {.skips = guard->known, .skip_count = guard->known_count};

    return rf_fault_policy_seek(&known, position);
}

bool rf_exchange_guard_knows_any(const rf_exchange_guard *guard, uint64_t first, uint64_t last)
{
    uint32_t at = rf_exchange_guard_seek(guard, first);

    return at < guard->known_count && guard->known[at] <= last;
}

/* ---- notes ---- */

static int compare_notes(const void *left, const void *right)
{
    const rf_exchange_note *a = left;
    const rf_exchange_note *b = right;

    if (a->position != b->position)
        return a->position < b->position ? -1 : 1;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    int keys = rf_slice_compare(a->key, b->key);
    return keys ? keys : rf_slice_compare(a->reason, b->reason);
}

/* Each event's first note, in position order, up to the limit. */
static void tidy_notes(rf_exchange *job)
{
    rf_exchange_guard *guard = &job->guard;
    uint64_t limit = atomic_load(&job->limit);
    uint32_t kept = 0;

    if (guard->note_count > 1)
        qsort(guard->notes, guard->note_count, sizeof *guard->notes, compare_notes);
    for (uint32_t i = 0; i < guard->note_count; i++) {
        const rf_exchange_note *note = &guard->notes[i];
        if (note->position <= limit &&
            (kept == 0 || guard->notes[kept - 1].position != note->position))
            guard->notes[kept++] = *note;
    }
    if (kept > guard->keep) {
        kept = (uint32_t)guard->keep;
        atomic_store(&job->limit, guard->notes[kept - 1].position);
    }
    guard->note_count = kept;
    guard->notes_settled = kept;
}

static bool add_note(rf_exchange_guard *guard, const rf_exchange_note *note)
{
    rf_exchange_note copy = *note;

    if (guard->note_count == guard->note_capacity) {
        uint32_t capacity = guard->note_capacity ? 2 * guard->note_capacity : 64;
        rf_exchange_note *notes = realloc(guard->notes, capacity * sizeof *notes);
        if (!notes)
            return false;
        guard->notes = notes;
        guard->note_capacity = capacity;
    }
    if (note->key.data)
        copy.key = rf_arena_copy(&guard->text, note->key);
    copy.reason = rf_arena_copy(&guard->text, note->reason);
    if ((note->key.data && !copy.key.data) || !copy.reason.data)
        return false;
    guard->notes[guard->note_count++] = copy;
    return true;
}

void rf_exchange_note_call(rf_exchange_worker *worker, uint64_t position, uint32_t rank,
                           const rf_slice *key, const char *reason)
{
    rf_exchange *job = worker->job;
    rf_exchange_guard *guard = &job->guard;
    const rf_exchange_note note = {
        .position = position,
        .rank = rank,
        .counted = !worker->tried,
        .key = key ? *key : (rf_slice){NULL, 0},
        .reason = rf_slice_of(reason),
    };
    bool added = true;

    RF_ASSERT(guard->on);
    (void)pthread_mutex_lock(&job->mutex);
    if (position <= atomic_load(&job->limit)) {
        added = add_note(guard, &note);
        /* of a quarantine of combined rows it is told only after the pass which notes count */
        bool cuts = !guard->shuts || !job->keying.definition->combines;
        if (cuts && guard->note_count / 2 > guard->keep &&
            guard->note_count / 2 - guard->keep > NOTES_BEYOND)
            tidy_notes(job);
    }
    (void)pthread_mutex_unlock(&job->mutex);
    if (!added)
        rf_exchange_fault(job, RF_ERR_MEMORY, position, 0, RF_SLICE(""),
                          "out of memory for events that failed");
}

bool rf_exchange_spoilt_add(rf_exchange_spoilt_list *list, uint64_t position, rf_slice reason)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity ? 2 * list->capacity : 16;
        rf_exchange_spoilt *items = realloc(list->items, capacity * sizeof *items);
        if (!items)
            return false;
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = (rf_exchange_spoilt){position, reason};
    return true;
}

static int compare_spoilt(const void *left, const void *right)
{
    const rf_exchange_spoilt *a = left;
    const rf_exchange_spoilt *b = right;

    return (a->position > b->position) - (a->position < b->position);
}

bool rf_exchange_guard_gather(rf_exchange *job)
{
    rf_exchange_spoilt_list *all = &job->guard.spoilt;
    bool added = true;

    all->count = 0;
    for (uint32_t w = 0; w < job->worker_count; w++) {
        rf_exchange_spoilt_list *list = &job->workers[w].spoilt_events;
        for (uint32_t i = 0; added && i < list->count; i++)
            added = rf_exchange_spoilt_add(all, list->items[i].position, list->items[i].reason);
        list->count = 0;
    }
    if (all->count > 1)
        qsort(all->items, all->count, sizeof *all->items, compare_spoilt);
    return added;
}

/* ---- rows of combined columns ---- */

static char *shut_place(const rf_exchange *job, rf_keyed_row *row)
{
    return rf_keyed_row_data(row) + job->combiner.size;
}

uint64_t rf_exchange_shut_at(const rf_exchange *job, rf_keyed_row *row)
{
    uint64_t position;

    if (!(row->marks & RF_EXCHANGE_SHUT))
        return UINT64_MAX;
    memcpy(&position, shut_place(job, row), sizeof position);
    return position;
}

void rf_exchange_shut(const rf_exchange *job, rf_keyed_row *row, uint64_t position)
{
    RF_ASSERT(job->guard.shuts && job->keying.definition->combines);
    if (position < rf_exchange_shut_at(job, row))
        memcpy(shut_place(job, row), &position, sizeof position);
    row->marks |= RF_EXCHANGE_SHUT;
}

/* Whether the row of the note's key, of any worker, was not shut before. One of a partition that is
 * left to another pass is noted there. */
static bool note_counts(rf_exchange *job, const rf_exchange_note *note)
{
    uint64_t shut = UINT64_MAX;
    bool nul;

    if (!note->key.data)
        return true;
    uint32_t hash = rf_key_hash(note->key, &nul);
    uint32_t partition = hash & (job->partition_count - 1);
    if (!job->active[partition])
        return false;
    for (uint32_t w = 0; w < job->worker_count; w++) {
        rf_exchange_worker *worker = &job->workers[w];
        rf_keyed_row *row = rf_key_table_take(&worker->own[partition].table, &worker->room, hash,
                                              note->key);
        uint64_t at = row ? rf_exchange_shut_at(job, row) : UINT64_MAX;
        shut = at < shut ? at : shut;
    }
    return shut >= note->position;
}

static void settle_notes(rf_exchange *job)
{
    rf_exchange_guard *guard = &job->guard;
    uint32_t kept = guard->notes_settled;

    if (guard->shuts && job->keying.definition->combines) {
        for (uint32_t i = kept; i < guard->note_count; i++)
            if (note_counts(job, &guard->notes[i]))
                guard->notes[kept++] = guard->notes[i];
        guard->note_count = kept;
    }
    guard->notes_settled = guard->note_count;
}

/* ---- rounds ---- */

void rf_exchange_round_begin(rf_exchange *job)
{
    rf_exchange_guard *guard = &job->guard;

    guard->note_count = guard->notes_settled = 0;
    guard->decided = guard->emits = false;
    rf_arena_reset(&guard->text);
    job->fault = RF_OK;
    atomic_store(&job->limit, UINT64_MAX);
    for (uint32_t i = 0; i < job->worker_count; i++)
        job->workers[i].events = job->workers[i].keyless = 0;
}

/* Whether what was noted, once it is tidy, is what was known, up to the limit. */
static bool confirms(const rf_exchange *job)
{
    const rf_exchange_guard *guard = &job->guard;
    uint64_t limit = atomic_load(&job->limit);
    uint32_t known = 0;

    while (known < guard->known_count && guard->known[known] <= limit)
        known++;
    bool same = known == guard->note_count;
    for (uint32_t i = 0; same && i < known; i++)
        same = guard->known[i] == guard->notes[i].position;
    return same;
}

bool rf_exchange_round_emits(rf_exchange *job, bool whole)
{
    rf_exchange_guard *guard = &job->guard;

    settle_notes(job);
    if (guard->decided)
        return guard->emits && job->fault == RF_OK;
    guard->decided = true;
    if (whole)
        tidy_notes(job);
    if (job->fault != RF_OK || atomic_load(&job->limit) != UINT64_MAX)
        return false;
    guard->emits = guard->confirmed || !atomic_load(&guard->several) || (whole && confirms(job));
    return guard->emits;
}

static rf_status refuse_many(rf_exchange *job, rf_err *err)
{
    const rf_exchange_guard *guard = &job->guard;
    const rf_exchange_note *last = &guard->notes[guard->note_count - 1];
    char reason[sizeof job->fault_reason];

    (void)snprintf(reason, sizeof reason, "more than %llu events failed (--max-errors); one: %.*s",
                   (unsigned long long)job->target->policy.errors_max, (int)last->reason.size,
                   last->reason.data);
    rf_exchange_fault(job, RF_ERR_PLUGIN, last->position, 0, RF_SLICE(""), reason);
    rf_status status = rf_exchange_blame(job, err);
    if (err)
        err->position = 0; /* putting this one aside would not help */
    return status;
}

static rf_status learn(rf_exchange_guard *guard, rf_err *err)
{
    uint64_t *known = malloc((guard->note_count + 1) * sizeof *known);

    if (!known)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u events that failed",
                       guard->note_count);
    for (uint32_t i = 0; i < guard->note_count; i++)
        known[i] = guard->notes[i].position;
    free(guard->known);
    guard->known = known;
    guard->known_count = guard->note_count;
    return RF_OK;
}

bool rf_exchange_round_ends(rf_exchange *job, rf_status *status_out, rf_err *err)
{
    rf_exchange_guard *guard = &job->guard;

    tidy_notes(job);
    bool same = confirms(job);
    bool exact = same || !atomic_load(&guard->several);
    *status_out = RF_OK;
    if (job->fault != RF_OK && (exact || job->fault == RF_ERR_MEMORY ||
                                job->fault == RF_ERR_INTERRUPTED)) {
        *status_out = rf_exchange_blame(job, err);
        return true;
    }
    if (guard->note_count >= guard->keep && exact) {
        *status_out = refuse_many(job, err);
        return true;
    }
    if (guard->emits)
        return true;
    guard->confirmed = same;
    if (!same)
        *status_out = learn(guard, err);
    return *status_out != RF_OK;
}

/* ---- what was left out ---- */

/* Those of the notes that are events of the step. */
static rf_status tell_step(const rf_exchange *job, const rf_log_step *step, int64_t *values[3],
                           rf_faults *faults, rf_err *err)
{
    static const rf_envelope columns[] = {RF_ENVELOPE_POSITION, RF_ENVELOPE_TYPE,
                                          RF_ENVELOPE_STREAM};
    const rf_exchange_guard *guard = &job->guard;
    rf_status status = RF_OK;
    uint32_t next = 0;

    for (int c = 0; status == RF_OK && c < 3; c++)
        status = rf_segment_envelope(&step->segment, columns[c], values[c], NULL, err);
    for (uint32_t i = step->begin; status == RF_OK && i < step->end; i++) {
        uint64_t position = (uint64_t)values[0][i];
        while (next < guard->note_count && guard->notes[next].position < position)
            next++;
        if (next == guard->note_count)
            break;
        if (guard->notes[next].position != position)
            continue;
        if ((uint64_t)values[1][i] >= step->segment.type_count)
            return rf_fail(err, RF_ERR_DAMAGED, "position %llu: the event's type is none",
                           (unsigned long long)position);
        const rf_fault fault = {
            .position = position,
            .stream_number = (uint32_t)values[2][i],
            .type = step->segment.types[values[1][i]].name,
            .reason = guard->notes[next].reason,
        };
        status = rf_faults_add(faults, &fault, err);
    }
    return status;
}

static bool has_notes(const rf_exchange_guard *guard, const rf_segment *segment)
{
    uint32_t low = 0;
    uint32_t high = guard->note_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (guard->notes[middle].position < segment->first_position)
            low = middle + 1;
        else
            high = middle;
    }
    return low < guard->note_count && guard->notes[low].position <= segment->last_position;
}

static rf_status tell_partition(rf_exchange *job, uint32_t partition, int64_t *values[3],
                                rf_err *err)
{
    const rf_exchange_guard *guard = &job->guard;
    rf_faults *faults = &job->target->faults;
    uint32_t first = faults->count;
    rf_log_scan *scan = NULL;
    rf_log_step step;
    bool found = true;

    rf_status status =
        rf_log_scan_open(job->log, partition, guard->notes[0].position,
                         guard->notes[guard->note_count - 1].position, &scan, err);
    while (status == RF_OK && found) {
        status = rf_log_scan_next(scan, &step, &found, err);
        if (status == RF_OK && found && has_notes(guard, &step.segment))
            status = tell_step(job, &step, values, faults, err);
    }
    rf_log_scan_close(scan);
    return status == RF_OK ? rf_faults_name(faults, first, job->workers[0].names, partition, err)
                           : status;
}

rf_status rf_exchange_guard_tell(rf_exchange *job, rf_err *err)
{
    const rf_exchange_guard *guard = &job->guard;
    const size_t each = RF_SEGMENT_EVENTS_MAX;
    rf_status status = RF_OK;

    if (guard->note_count == 0)
        return RF_OK;
    int64_t *values = malloc(3 * each * sizeof *values);
    if (!values)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a segment's events");
    int64_t *columns[3] = {values, values + each, values + 2 * each};
    for (uint32_t i = 0; status == RF_OK && i < job->partition_count; i++)
        status = tell_partition(job, i, columns, err);
    free(values);
    rf_faults_sort(&job->target->faults);
    return status;
}
