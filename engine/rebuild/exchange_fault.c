/* Faults of an exchange: which one is reported, and where its event is; see exchange.h. */
#include "rebuild/exchange_job.h"

#include <stdio.h>
#include <stdlib.h>

static int compare_faults(const rf_exchange *job, uint64_t position, uint32_t handler, rf_slice key)
{
    if (job->fault == RF_OK || position != job->fault_position)
        return job->fault == RF_OK || position < job->fault_position ? -1 : 1;
    if (handler != job->fault_handler)
        return handler < job->fault_handler ? -1 : 1;
    return rf_slice_compare(key, rf_key_slice(&job->fault_key));
}

void rf_exchange_fault(rf_exchange *job, rf_status status, uint64_t position, uint32_t handler,
                       rf_slice key, const char *reason)
{
    RF_ASSERT(status != RF_OK && key.size <= RF_KEY_BYTES_MAX);
    (void)pthread_mutex_lock(&job->mutex);
    if (compare_faults(job, position, handler, key) < 0) {
        job->fault = status;
        job->fault_position = position;
        job->fault_handler = handler;
        job->fault_key.size = key.size;
        if (key.size > 0)
            memcpy(job->fault_key.data, key.data, key.size);
        (void)snprintf(job->fault_reason, sizeof job->fault_reason, "%s", reason);
        if (position < atomic_load(&job->limit))
            atomic_store(&job->limit, position);
    }
    (void)pthread_mutex_unlock(&job->mutex);
}

void rf_exchange_refuse_key(rf_exchange_worker *worker, rf_status status, uint64_t position,
                            uint32_t handler, const char *reason)
{
    if (worker->job->guard.on) {
        rf_exchange_note_call(worker, position, handler + 1, NULL, reason);
        worker->goes_on = true;
        return;
    }
    rf_exchange_fault(worker->job, status, position, handler, RF_SLICE(""), reason);
}

const char *rf_exchange_reason(const rf_exchange_worker *worker)
{
    return worker->context.reason[0] ? worker->context.reason
                                     : "a handler failed without giving a reason";
}

static bool is_fine(rf_fold_result result)
{
    return result == RF_ROW_WRITTEN || result == RF_ROW_UNCHANGED || result == RF_ROW_DELETED;
}

bool rf_exchange_refuse(rf_exchange_worker *worker, rf_fold_result result, uint64_t position,
                        uint32_t handler, rf_slice key)
{
    const char *reason = rf_exchange_reason(worker);
    rf_status status = RF_ERR_PLUGIN;

    if (is_fine(result) && !worker->out_of_memory)
        return false;
    if (worker->out_of_memory) {
        status = RF_ERR_MEMORY;
        reason = "out of memory for text that a handler makes (16 MiB a piece at most)";
    } else if (result != RF_FOLD_FAILED) {
        reason = "a handler returned what is no rf_fold_result";
    }
    rf_exchange_fault(worker->job, status, position, handler, key, reason);
    worker->out_of_memory = false;
    worker->context.reason[0] = '\0';
    return true;
}

/* ---- where ---- */

/* The event at a position: its stream and type, in `text`. False where it cannot be told. */
static bool find_event(rf_exchange_worker *worker, uint32_t partition, uint64_t position,
                       rf_buf *text, rf_slice *stream_out, rf_slice *type_out)
{
    rf_log_scan *scan = NULL;
    rf_log_step step;
    bool found = false;
    int64_t *values = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *values);

    bool told = values &&
                rf_log_scan_open(worker->job->log, partition, position, position, &scan, NULL) ==
                    RF_OK &&
                rf_log_scan_next(scan, &step, &found, NULL) == RF_OK && found &&
                step.begin < step.end;
    if (told && rf_segment_envelope(&step.segment, RF_ENVELOPE_TYPE, values, NULL, NULL) == RF_OK &&
        (uint64_t)values[step.begin] < step.segment.type_count) {
        rf_slice type = step.segment.types[values[step.begin]].name;
        rf_buf_append_slice(text, type);
        *type_out = (rf_slice){NULL, type.size};
    }
    if (told &&
        rf_segment_envelope(&step.segment, RF_ENVELOPE_STREAM, values, NULL, NULL) == RF_OK) {
        const rf_log_names_wanted wanted = {.first = (uint32_t)values[step.begin], .count = 1};
        const rf_stream_name *names;
        uint32_t count = 0;
        rf_log_names_restart(worker->names, partition);
        if (rf_log_names_next(worker->names, &wanted, &names, &count, NULL) == RF_OK && count > 0) {
            rf_buf_append_slice(text, names[0].name);
            *stream_out = (rf_slice){NULL, names[0].name.size};
        }
    }
    rf_log_scan_close(scan);
    free(values);
    return told;
}

rf_status rf_exchange_blame(rf_exchange *job, rf_err *err)
{
    rf_slice stream = RF_SLICE("?");
    rf_slice type = RF_SLICE("?");
    rf_buf text;

    RF_ASSERT(job->fault != RF_OK);
    if (job->fault == RF_ERR_INTERRUPTED)
        return rf_fail(err, job->fault, "%s", job->fault_reason);
    rf_buf_init(&text, 4096);
    for (uint32_t i = 0; i < job->partition_count; i++)
        if (find_event(&job->workers[0], i, job->fault_position, &text, &stream, &type))
            break;
    if (!type.data && !text.failed)
        type.data = rf_buf_slice(&text).data;
    if (!stream.data && !text.failed)
        stream.data = rf_buf_slice(&text).data + text.size - stream.size;
    rf_status status =
        rf_fail(err, job->fault, "%s: %s, at position %llu (stream %.*s, type %.*s)",
                job->keying.definition->name, job->fault_reason,
                (unsigned long long)job->fault_position, (int)stream.size,
                stream.data ? stream.data : "", (int)type.size, type.data ? type.data : "");
    if (err)
        err->position = job->fault_position;
    rf_buf_free(&text);
    return status;
}
