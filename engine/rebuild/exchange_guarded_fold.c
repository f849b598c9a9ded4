/* Folding a partition's records where events that fail are left out; see exchange_guard.h.
 *
 * Each row is saved before the event at hand changes it (its frame), and put back where a call of the
 * event fails with it, or where the event is known to fail. Handlers that a runner runs are gathered
 * all the same: their rows are saved as they are gathered, and where a batch fails they are put back
 * and its calls are made one by one. Without a policy that serves to tell which event it was that
 * spoilt a row whose faults show late (rf_definition.faults_late). */
#include "rebuild/exchange_job.h"

#include <stdlib.h>

struct rf_exchange_frame {
    uint64_t position;  /* of the event at hand; 0: none */
    const char *spoilt; /* why its values are not of their kinds; NULL: they are */
    uint32_t known_at, spoilt_at; /* next of the guard's lists */
    uint32_t calls_max; /* that an event may have here; UINT32_MAX: nothing is gathered */
    /* the rows of the event at hand, as they were before it */
    rf_keyed_row **rows;
    uint8_t *flags;
    char *bytes;
    size_t count, capacity;
    /* of the calls that were gathered, before any of them */
    uint8_t *gathered_flags;
    char *gathered_bytes;
    uint32_t gathered;
};

void rf_exchange_frame_free(struct rf_exchange_frame *frame)
{
    if (!frame)
        return;
    free(frame->rows);
    free(frame->flags);
    free(frame->bytes);
    free(frame->gathered_flags);
    free(frame->gathered_bytes);
    free(frame);
}

static size_t row_size(const rf_exchange_worker *worker)
{
    return worker->job->keying.definition->row_size;
}

static struct rf_exchange_frame *make_frame(const rf_exchange_worker *worker)
{
    const rf_keying *keying = &worker->job->keying;
    struct rf_exchange_frame *frame = calloc(1, sizeof *frame);

    if (!frame)
        return NULL;
    frame->calls_max = keying->definition->handler_count;
    if (!worker->batch || keying->has_every_row || frame->calls_max >= RF_EXCHANGE_BATCH / 2)
        frame->calls_max = UINT32_MAX;
    if (frame->calls_max == UINT32_MAX)
        return frame;
    frame->gathered_flags = malloc(RF_EXCHANGE_BATCH);
    frame->gathered_bytes = malloc(RF_EXCHANGE_BATCH * row_size(worker));
    if (frame->gathered_flags && frame->gathered_bytes)
        return frame;
    rf_exchange_frame_free(frame);
    return NULL;
}

static bool no_memory(rf_exchange_worker *worker)
{
    rf_exchange_fault(worker->job, RF_ERR_MEMORY, worker->frame->position, 0, RF_SLICE(""),
                      "out of memory for the rows of an event");
    return false;
}

/* ---- the event at hand ---- */

static bool save_row(rf_exchange_worker *worker, rf_keyed_row *row)
{
    struct rf_exchange_frame *frame = worker->frame;
    size_t size = row_size(worker);

    if (row->marks & RF_EXCHANGE_FRAMED)
        return true;
    if (frame->count == frame->capacity) {
        size_t capacity = frame->capacity ? 2 * frame->capacity : 16;
        rf_keyed_row **rows = realloc(frame->rows, capacity * sizeof(rf_keyed_row *));
        if (rows)
            frame->rows = rows;
        uint8_t *flags = realloc(frame->flags, capacity);
        if (flags)
            frame->flags = flags;
        char *bytes = realloc(frame->bytes, capacity * size);
        if (bytes)
            frame->bytes = bytes;
        if (!rows || !flags || !bytes)
            return no_memory(worker);
        frame->capacity = capacity;
    }
    if (worker->job->row_texts && !rf_exchange_mark_dirty(worker, row))
        return no_memory(worker);
    frame->rows[frame->count] = row;
    frame->flags[frame->count] = row->flags;
    if (row->flags & RF_STATE_TOUCHED)
        memcpy(frame->bytes + frame->count * size, rf_keyed_row_data(row), size);
    frame->count++;
    row->marks |= RF_EXCHANGE_FRAMED;
    return true;
}

static void put_back(rf_exchange_worker *worker, size_t index)
{
    struct rf_exchange_frame *frame = worker->frame;
    rf_keyed_row *row = frame->rows[index];
    size_t size = row_size(worker);

    if (frame->flags[index] & RF_STATE_TOUCHED)
        memcpy(rf_keyed_row_data(row), frame->bytes + index * size, size);
    row->flags = frame->flags[index];
}

static void end_event(rf_exchange_worker *worker)
{
    struct rf_exchange_frame *frame = worker->frame;
    bool left_out = worker->tried || frame->spoilt;

    for (size_t i = 0; i < frame->count; i++) {
        rf_keyed_row *row = frame->rows[i];
        bool failed = row->marks & RF_EXCHANGE_FAILED;
        if (left_out || failed)
            put_back(worker, i);
        if (worker->job->guard.shuts && (left_out || failed))
            row->flags = RF_STATE_QUARANTINED;
        row->marks &= (uint8_t) ~(RF_EXCHANGE_FRAMED | RF_EXCHANGE_FAILED);
    }
    frame->count = 0;
    frame->position = 0;
    frame->spoilt = NULL;
    worker->tried = false;
}

/* Calls the handler with the row. *reason_out: why it failed, else NULL. False at a fault that no
 * policy forgives. */
static bool call(rf_exchange_worker *worker, const rf_exchange_record *record, rf_keyed_row *row,
                 const char **reason_out)
{
    const rf_exchange *job = worker->job;
    const rf_definition *definition = job->keying.definition;
    char *data = rf_keyed_row_data(row);
    bool failed = false;

    *reason_out = NULL;
    if (worker->batch) {
        rf_exchange_run_gather(worker, record, row);
        bool fine = rf_exchange_run_try(worker, &failed);
        if (failed) {
            const rf_exchange_record *const *records;
            rf_keyed_row *const *rows;
            *reason_out = rf_exchange_run_reason(worker);
            (void)rf_exchange_run_take(worker, &records, &rows); /* the one call, which was tried */
        }
        return fine;
    }
    if (!(row->flags & RF_STATE_TOUCHED))
        memcpy(data, definition->row_template, definition->row_size);
    row->flags |= RF_STATE_TOUCHED;
    worker->context.reason[0] = '\0';
    rf_fold_result result = job->keying.handlers[rf_exchange_record_handler(record)].handler->fold(
        &worker->context.fold, data, record + 1);
    if (result == RF_FOLD_FAILED && !worker->out_of_memory) {
        *reason_out = rf_exchange_reason(worker);
        return true;
    }
    if (result == RF_ROW_WRITTEN)
        row->flags = RF_STATE_TOUCHED | RF_STATE_EXISTS;
    else if (result == RF_ROW_DELETED)
        row->flags = 0;
    return !rf_exchange_refuse(worker, result, record->position, rf_exchange_record_handler(record),
                               rf_keyed_row_key(row));
}

static bool take_call(rf_exchange_worker *worker, const rf_exchange_record *record,
                      rf_keyed_row *row)
{
    const struct rf_exchange_frame *frame = worker->frame;
    const rf_slice key = rf_keyed_row_key(row);
    const char *reason;

    if (!save_row(worker, row))
        return false;
    if (frame->spoilt) {
        rf_exchange_note_call(worker, record->position, 0, &key, frame->spoilt);
        return true;
    }
    if (row->marks & RF_EXCHANGE_FAILED)
        return true;
    if (!call(worker, record, row, &reason))
        return false;
    if (!reason)
        return true;
    uint32_t handler = rf_exchange_record_handler(record);
    if (!worker->job->guard.on) {
        rf_exchange_fault(worker->job, RF_ERR_PLUGIN, record->position, handler, key, reason);
        return false;
    }
    rf_exchange_note_call(worker, record->position, handler + 1, &key, reason);
    row->marks |= RF_EXCHANGE_FAILED;
    for (size_t i = 0; i < frame->count; i++)
        if (frame->rows[i] == row)
            put_back(worker, i);
    return true;
}

/* ---- calls that were gathered ---- */

static bool gather(rf_exchange_worker *worker, const rf_exchange_record *record, rf_keyed_row *row)
{
    struct rf_exchange_frame *frame = worker->frame;
    size_t size = row_size(worker);

    if (worker->job->row_texts && !rf_exchange_mark_dirty(worker, row))
        return no_memory(worker);
    frame->gathered_flags[frame->gathered] = row->flags;
    if (row->flags & RF_STATE_TOUCHED)
        memcpy(frame->gathered_bytes + frame->gathered * size, rf_keyed_row_data(row), size);
    frame->gathered++;
    rf_exchange_run_gather(worker, record, row);
    return true;
}

/* The calls of the batch one by one, after their rows were put back. */
static bool repeat(rf_exchange_worker *worker)
{
    struct rf_exchange_frame *frame = worker->frame;
    const rf_exchange_record *const *records;
    rf_keyed_row *const *rows;
    size_t size = row_size(worker);
    bool fine = true;

    uint32_t count = rf_exchange_run_take(worker, &records, &rows);
    RF_ASSERT(count == frame->gathered);
    rf_exchange_run_forget(worker);
    for (uint32_t i = count; i-- > 0;) { /* what was gathered first is the oldest */
        if (frame->gathered_flags[i] & RF_STATE_TOUCHED)
            memcpy(rf_keyed_row_data(rows[i]), frame->gathered_bytes + i * size, size);
        rows[i]->flags = frame->gathered_flags[i];
    }
    const rf_exchange_record *record_of[RF_EXCHANGE_BATCH];
    rf_keyed_row *row_of[RF_EXCHANGE_BATCH];
    memcpy(record_of, records, count * sizeof record_of[0]); /* single calls use the batch too */
    memcpy(row_of, rows, count * sizeof row_of[0]);
    for (uint32_t i = 0; fine && i < count; i++) {
        if (record_of[i]->position != frame->position)
            end_event(worker);
        frame->position = record_of[i]->position;
        fine = (row_of[i]->flags & RF_STATE_QUARANTINED) ||
               take_call(worker, record_of[i], row_of[i]);
    }
    end_event(worker);
    return fine;
}

static bool run_gathered(rf_exchange_worker *worker)
{
    bool failed = false;
    bool fine = true;

    if (worker->frame->gathered > 0)
        fine = rf_exchange_run_try(worker, &failed);
    if (fine && failed)
        fine = repeat(worker);
    worker->frame->gathered = 0;
    return fine;
}

/* ---- records ---- */

static bool begin_event(rf_exchange_worker *worker, uint64_t position)
{
    const rf_exchange_guard *guard = &worker->job->guard;
    struct rf_exchange_frame *frame = worker->frame;

    end_event(worker);
    while (frame->known_at < guard->known_count && guard->known[frame->known_at] < position)
        frame->known_at++;
    while (frame->spoilt_at < guard->spoilt.count &&
           guard->spoilt.items[frame->spoilt_at].position < position)
        frame->spoilt_at++;
    bool known =
        frame->known_at < guard->known_count && guard->known[frame->known_at] == position;
    bool spoilt = frame->spoilt_at < guard->spoilt.count &&
                  guard->spoilt.items[frame->spoilt_at].position == position;
    bool runs = known || spoilt || !rf_exchange_run_has_room(worker, frame->calls_max);
    if (frame->calls_max != UINT32_MAX && runs && !run_gathered(worker))
        return false;
    frame->position = position;
    frame->spoilt = spoilt ? guard->spoilt.items[frame->spoilt_at].reason.data : NULL;
    worker->tried = known || spoilt;
    return true;
}

static bool take_row(rf_exchange_worker *worker, const rf_exchange_record *record,
                     rf_keyed_row *row)
{
    if (row->flags & RF_STATE_QUARANTINED)
        return true;
    return worker->frame->calls_max == UINT32_MAX || worker->tried
               ? take_call(worker, record, row)
               : gather(worker, record, row);
}

static bool take_record(rf_exchange_worker *worker, rf_exchange_rows *rows,
                        const rf_exchange_record *record, rf_status *status_out, rf_err *err)
{
    const rf_exchange *job = worker->job;
    bool fine = true;

    if (record->position != worker->frame->position && !begin_event(worker, record->position))
        return false;
    if (job->keying.handlers[rf_exchange_record_handler(record)].every_row) {
        size_t count = 0;
        rf_keyed_row **found = rf_exchange_rows_of_stream(rows, record, &count);
        if (!found)
            *status_out = rf_fail(err, RF_ERR_MEMORY, "out of memory for the rows of a stream");
        for (size_t i = 0; found && fine && i < count; i++)
            fine = take_row(worker, record, found[i]);
        free(found);
        return fine && *status_out == RF_OK;
    }
    rf_keyed_row *row = NULL;
    *status_out = rf_exchange_take_row(worker, rows, record, &row, err);
    return *status_out == RF_OK &&
           (rf_exchange_only_lists(job, record) || take_row(worker, record, row));
}

rf_status rf_exchange_fold_guarded(rf_exchange_worker *worker, rf_exchange_rows *rows,
                                   const rf_exchange_entry *entries, size_t count, rf_err *err)
{
    const rf_exchange *job = worker->job;
    rf_status status = RF_OK;
    bool fine = true;

    if (!worker->frame)
        worker->frame = make_frame(worker);
    if (!worker->frame)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the rows of events");
    worker->frame->known_at = rf_exchange_guard_seek(&job->guard, job->from);
    worker->frame->spoilt_at = 0;
    for (size_t i = 0; fine && i < count; i++) {
        if (entries[i].record->position > atomic_load(&worker->job->limit))
            break;
        fine = take_record(worker, rows, entries[i].record, &status, err);
    }
    end_event(worker);
    if (fine && worker->frame->calls_max != UINT32_MAX)
        (void)run_gathered(worker);
    worker->frame->gathered = 0;
    return status;
}
