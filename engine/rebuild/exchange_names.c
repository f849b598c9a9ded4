/* Names of the streams of a window, for handlers that read them; see exchange.h. */
#include "rebuild/exchange_job.h"

/* The streams that have events in the window, as a range of numbers. */
static rf_status find_span(rf_exchange_worker *worker, uint32_t partition, rf_err *err)
{
    const rf_exchange *job = worker->job;
    uint32_t last = 0;
    rf_log_step step;
    bool found = true;

    worker->first_stream = UINT32_MAX;
    worker->stream_span = 0;
    rf_status status = worker->scan ? rf_log_scan_restart(worker->scan, partition, job->from,
                                                          job->until, err)
                                    : rf_log_scan_open(job->log, partition, job->from, job->until,
                                                       &worker->scan, err);
    while (status == RF_OK && found) {
        status = rf_log_scan_next(worker->scan, &step, &found, err);
        if (status != RF_OK || !found)
            break;
        if (step.segment.stream_min < worker->first_stream)
            worker->first_stream = step.segment.stream_min;
        last = step.segment.stream_max > last ? step.segment.stream_max : last;
    }
    if (status == RF_OK) /* no read transaction outlives what it was for */
        status = rf_log_scan_restart(worker->scan, partition, 0, 0, err);
    uint32_t count = job->sources[partition].stream_count;
    last = last < count ? last : count - 1; /* what is out of range may be newer */
    if (worker->first_stream <= last && count > 0)
        worker->stream_span = last - worker->first_stream + 1;
    return status;
}

static rf_status no_memory(const rf_exchange_worker *worker, rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "out of memory for the names of %u streams",
                   worker->stream_span);
}

/* For the names of the range, none of which is known, and for their first parts. */
static bool make_room(rf_exchange_worker *worker)
{
    size_t size = (size_t)worker->stream_span * sizeof(rf_slice);

    worker->names_by_number = rf_arena_alloc(&worker->text, size);
    worker->categories_by_number = rf_arena_alloc(&worker->text, size);
    if (!worker->names_by_number || !worker->categories_by_number)
        return false;
    memset(worker->names_by_number, 0, size);
    memset(worker->categories_by_number, 0, size);
    return true;
}

/* `name` stays as long as the worker's text. */
static void put_name(rf_exchange_worker *worker, const rf_stream_name *of, rf_slice name)
{
    uint32_t index = of->number - worker->first_stream;
    const char *end = memchr(name.data, '-', name.size);

    worker->names_by_number[index] = name;
    worker->categories_by_number[index] =
        (rf_slice){name.data, end ? (size_t)(end - name.data) : name.size};
}

rf_status rf_exchange_read_names(rf_exchange_worker *worker, uint32_t partition, rf_err *err)
{
    const rf_log_names_wanted wanted = {worker->first_stream, worker->stream_span, NULL, 0};
    const rf_stream_name *names;
    uint32_t count = 1;
    rf_status status = RF_OK;

    if (!make_room(worker))
        return no_memory(worker, err);
    rf_log_names_restart(worker->names, partition);
    while (status == RF_OK && count > 0 && wanted.count > 0) {
        status = rf_log_names_next(worker->names, &wanted, &names, &count, err);
        for (uint32_t i = 0; status == RF_OK && i < count; i++) {
            rf_slice name = rf_arena_copy(&worker->text, names[i].name);
            if (!name.data)
                return no_memory(worker, err);
            put_name(worker, &names[i], name);
        }
    }
    for (uint32_t i = 0; status == RF_OK && i < wanted.count; i++)
        if (!worker->names_by_number[i].data)
            return rf_fail(err, RF_ERR_DAMAGED, "partition %u: stream number %u has no name",
                           partition, wanted.first + i);
    return status;
}

rf_status rf_exchange_know_name(rf_exchange_worker *worker, rf_slice name, rf_err *err)
{
    const rf_stream_name only = {.name = name, .number = worker->first_stream};

    RF_ASSERT(worker->stream_span == 1);
    if (!make_room(worker))
        return no_memory(worker, err);
    put_name(worker, &only, name);
    return RF_OK;
}

/* Of a fold that goes on: only of the streams that have events in the window, which are few. */
static rf_status find_names(rf_exchange_worker *worker, uint32_t partition, rf_err *err)
{
    const rf_exchange *job = worker->job;
    uint32_t stream_count = job->sources[partition].stream_count;

    worker->stream_span = 0;
    rf_status status = rf_exchange_mark_streams(worker, partition, job->from, job->until, err);
    uint32_t count = worker->touched_count;
    if (status != RF_OK || count == 0)
        return status;
    rf_exchange_span_touched(worker, stream_count);
    rf_stream_name *names = rf_arena_alloc(&worker->text, count * sizeof *names);
    if (!names || !make_room(worker))
        return no_memory(worker, err);
    status = rf_log_names_find(worker->names, partition, worker->touched, stream_count, count,
                               &worker->text, names, err);
    for (uint32_t i = 0; status == RF_OK && i < count; i++)
        put_name(worker, &names[i], names[i].name);
    return status;
}

rf_status rf_exchange_begin_names(rf_exchange_worker *worker, uint32_t partition, rf_err *err)
{
    rf_status status = RF_OK;

    worker->first_stream = 0;
    worker->stream_span = worker->job->sources[partition].stream_count;
    worker->names_by_number = worker->categories_by_number = NULL;
    if (worker->job->options->chosen_count > 0)
        return rf_exchange_begin_chosen(worker, partition, err);
    if (!worker->job->reads_names)
        return RF_OK;
    if (rf_exchange_goes_on(worker->job))
        return find_names(worker, partition, err);
    status = find_span(worker, partition, err);
    return status == RF_OK && worker->stream_span > 0 ? rf_exchange_read_names(worker, partition, err)
                                                      : status;
}
