/* Names of the range's streams by number, for handlers that read them; see fold.h. */
#include "rebuild/fold_job.h"

static rf_status no_memory(const rf_fold_worker *worker, rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "out of memory for the names of %u streams",
                   worker->range.count);
}

static rf_status make_room(rf_fold_worker *worker, rf_err *err)
{
    size_t size = (size_t)worker->range.count * sizeof(rf_slice);
    rf_slice *by_number = rf_arena_alloc(&worker->names_arena, size);

    if (!by_number)
        return no_memory(worker, err);
    memset(by_number, 0, size);
    worker->names_by_number = by_number;
    return RF_OK;
}

/* The part of a name before the first '-', for each stream of the range that has its name there. */
static rf_status index_categories(rf_fold_worker *worker, rf_err *err)
{
    uint32_t count = worker->range.count;

    if (!rf_ahead_reads_category(worker->job->ahead))
        return RF_OK;
    rf_slice *categories =
        rf_arena_alloc(&worker->names_arena, (size_t)count * sizeof *categories);
    if (!categories)
        return no_memory(worker, err);
    for (uint32_t i = 0; i < count; i++) {
        rf_slice name = worker->names_by_number[i];
        const char *end = name.data ? memchr(name.data, '-', name.size) : NULL;
        categories[i] = (rf_slice){name.data, end ? (size_t)(end - name.data) : name.size};
    }
    worker->categories_by_number = categories;
    return RF_OK;
}

rf_status rf_fold_read_names(rf_fold_worker *worker, rf_err *err)
{
    const rf_log_names_wanted wanted = {worker->range.first, worker->range.count, NULL, 0};
    const rf_stream_name *names;
    uint32_t count = 1;

    rf_status status = make_room(worker, err);
    rf_log_names_restart(worker->names, worker->partition);
    while (status == RF_OK && count > 0) {
        status = rf_log_names_next(worker->names, &wanted, &names, &count, err);
        for (uint32_t i = 0; status == RF_OK && i < count; i++) {
            rf_slice *name = &worker->names_by_number[names[i].number - wanted.first];
            *name = rf_arena_copy(&worker->names_arena, names[i].name);
            if (!name->data)
                return no_memory(worker, err);
        }
    }
    for (uint32_t i = 0; status == RF_OK && i < wanted.count; i++)
        if (!worker->names_by_number[i].data)
            return rf_fail(err, RF_ERR_DAMAGED, "partition %u: stream number %u has no name",
                           worker->partition, wanted.first + i);
    return status == RF_OK ? index_categories(worker, err) : status;
}

rf_status rf_fold_index_names(rf_fold_worker *worker, const rf_stream_name *names, uint32_t count,
                              rf_err *err)
{
    rf_status status = make_room(worker, err);

    for (uint32_t i = 0; status == RF_OK && i < count; i++)
        worker->names_by_number[names[i].number - worker->range.first] = names[i].name;
    return status == RF_OK ? index_categories(worker, err) : status;
}
