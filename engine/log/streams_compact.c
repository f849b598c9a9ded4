/* See streams.h: the end of an import. The newest runs become one, down to a run that has more than
 * COMPACT_FACTOR times as many entries as all newer ones, which would cost too much beside what was
 * added: a rebuild reads the names of one run without merging. */
#include "log/streams.h"
#include "log/streams_merge.h"

#include <stdlib.h>

enum { COMPACT_FACTOR = 4 };

/* The oldest run to compact with all newer ones; `count` where there are not two. */
static uint32_t compact_first(const rf_streams_run *runs, uint32_t count)
{
    uint64_t newer = 0;
    uint32_t first = count;

    while (first > 0 && (first == count || runs[first - 1].entries <= COMPACT_FACTOR * newer))
        newer += runs[--first].entries;
    return count - first > 1 ? first : count;
}

static rf_status compact_write(rf_streams_merge_state *merge, rf_streams_writer *writer,
                               rf_buf *out, rf_err *err)
{
    bool found = false;
    rf_status status = rf_streams_merge_next(merge, &found, NULL, err);

    while (status == RF_OK && found) {
        const rf_streams_reader *reader = &merge->readers[merge->current];
        rf_slice name = {reader->name, reader->entry.name_size};
        if (rf_streams_writer_full(writer))
            status = rf_streams_writer_finish(writer, false, out, err);
        rf_streams_writer_add(writer, name, rf_streams_hash(name), reader->entry.number,
                              reader->entry.last_version);
        if (status == RF_OK)
            status = rf_streams_merge_next(merge, &found, NULL, err);
    }
    return status == RF_OK ? rf_streams_writer_finish(writer, true, out, err) : status;
}

rf_status rf_streams_compact(rf_kv_txn *txn, uint32_t table, uint32_t partition, rf_buf *out,
                             uint32_t *count_out, rf_err *err)
{
    rf_streams_run *runs = NULL;
    uint32_t count = 0;
    rf_streams_merge_state merge = {0};
    rf_streams_writer writer;

    rf_status status = rf_streams_runs(txn, table, partition, &runs, &count, err);
    if (status != RF_OK)
        return status;
    uint32_t first = compact_first(runs, count);
    *count_out = count - first;
    rf_streams_writer_init(&writer, partition);
    if (first < count) {
        status = rf_streams_merge_open(&merge, txn, table, partition, runs + first, count - first,
                                       err);
        if (status == RF_OK)
            status = compact_write(&merge, &writer, out, err);
        if (status == RF_OK)
            status = rf_buf_check(out, "a run of stream names", err);
        rf_streams_merge_free(&merge);
    }
    rf_streams_writer_free(&writer);
    free(runs);
    return status;
}

rf_status rf_streams_compact_put(rf_kv_txn *txn, uint32_t table, uint32_t partition, rf_slice run,
                                 uint32_t count, rf_err *err)
{
    rf_streams_run *runs = NULL;
    uint32_t run_count = 0;

    rf_status status = rf_streams_runs(txn, table, partition, &runs, &run_count, err);
    if (status != RF_OK)
        return status;
    RF_ASSERT(count <= run_count);
    status = rf_streams_put_run(txn, table, partition, run, err);
    if (status == RF_OK)
        status = rf_streams_delete_runs(txn, table, partition, runs + (run_count - count), count,
                                        err);
    free(runs);
    return status;
}
