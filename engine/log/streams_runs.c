/* See streams.h: runs of a partition become one.
 *
 * At a commit: a run's class is the logarithm of its entries to the base 2^CLASS_FACTOR_BITS. The newest runs
 * of class c or less, down to the first greater one, are merged when RUNS_A_CLASS of them are of
 * class c. So each entry is written again about once a class. A partition whose runs came in an
 * unlucky order of sizes is merged when it has more than RUNS_MAX runs. Runs of all partitions grow
 * alike, so those of large classes are merged in turns, which bounds what one commit writes.
 *
 * At the end of an import: the newest runs become one, down to the oldest that has at most
 * COMPACT_FACTOR times as many entries as all newer ones; what is older would cost too much beside
 * what was added. A rebuild reads the names of one run without merging. Of a partition with many names no
 * more than half is written again so; the few runs that stay apart are merged as they are read. */
#include "log/streams.h"
#include "log/streams_merge.h"

#include <stdlib.h>

enum {
    CLASS_FACTOR_BITS = 3,
    RUNS_A_CLASS = 8,
    RUNS_MAX = 24,
    CLASS_SMALL = 3, /* merged at once: 8 runs of 64 partitions are 50 MB at most */
    COMPACT_FACTOR = 4,
    COMPACT_SMALL = 1 << 16, /* names of a partition that are merged whole: 1.5 MB */
};

static uint32_t class_of(const rf_streams_run *run)
{
    RF_ASSERT(run->entries > 0);
    return (63 - (uint32_t)__builtin_clzll(run->entries)) / CLASS_FACTOR_BITS;
}

/* The oldest of the newest runs of a class up to `class`. */
static uint32_t suffix_of(const rf_streams_run *runs, uint32_t count, uint32_t class)
{
    while (count > 0 && class_of(&runs[count - 1]) <= class)
        count--;
    return count;
}

/* Of larger classes fewer partitions merge in one turn, so that they write about as much. */
static bool is_turn(uint32_t class, uint64_t turn)
{
    uint32_t bits = class > CLASS_SMALL ? (class - CLASS_SMALL) * 2 : 0;
    return (turn & (((uint64_t)1 << (bits < 6 ? bits : 6)) - 1)) == 0;
}

/* The oldest run to merge with all newer ones; `count` for none. */
static uint32_t merge_first(const rf_streams_run *runs, uint32_t count, uint64_t turn)
{
    for (uint32_t class = 0; class <= 64 / CLASS_FACTOR_BITS; class ++) {
        uint32_t first = suffix_of(runs, count, class);
        uint32_t full = 0;
        for (uint32_t i = first; i < count; i++)
            full += class_of(&runs[i]) == class;
        if (full >= RUNS_A_CLASS && is_turn(class, turn))
            return first;
    }
    for (uint32_t class = 0; count > RUNS_MAX && class <= 64 / CLASS_FACTOR_BITS; class ++) {
        uint32_t first = suffix_of(runs, count, class);
        if (count - first >= RUNS_MAX / 2)
            return first;
    }
    return count;
}

/* The same at the end of an import; `count` also where there are not two. A small newest run does not
 * keep those before it apart. */
static uint32_t compact_first(const rf_streams_run *runs, uint32_t count)
{
    uint64_t newer = 0;
    uint64_t all = 0;
    uint32_t first = count;

    for (uint32_t i = 0; i < count; i++)
        all += runs[i].entries;
    uint64_t most = all / 2 > COMPACT_SMALL ? all / 2 : COMPACT_SMALL;
    for (uint32_t i = count; i-- > 0 && newer + runs[i].entries <= most;) {
        if (newer > 0 && runs[i].entries <= COMPACT_FACTOR * newer)
            first = i;
        newer += runs[i].entries;
    }
    return first;
}

static rf_status merge_write(rf_streams_merge_state *merge, rf_streams_writer *writer,
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

/* The runs from `first` on as one, appended to `out`. */
static rf_status merge_runs(rf_kv_txn *txn, uint32_t table, uint32_t partition,
                            const rf_streams_run *runs, uint32_t count, rf_buf *out, rf_err *err)
{
    rf_streams_merge_state merge = {0};
    rf_streams_writer writer;

    rf_streams_writer_init(&writer, partition);
    rf_status status = rf_streams_merge_open(&merge, txn, table, partition, runs, count, err);
    if (status == RF_OK)
        status = merge_write(&merge, &writer, out, err);
    if (status == RF_OK)
        status = rf_buf_check(out, "a run of stream names", err);
    rf_streams_merge_free(&merge);
    rf_streams_writer_free(&writer);
    return status;
}

rf_status rf_streams_merge(rf_kv_txn *txn, uint32_t table, uint32_t partition, uint64_t turn,
                           rf_buf *out, uint32_t *count_out, rf_err *err)
{
    rf_streams_run *runs = NULL;
    uint32_t count = 0;

    rf_status status = rf_streams_runs(txn, table, partition, &runs, &count, err);
    if (status != RF_OK)
        return status;
    uint32_t first = turn == RF_STREAMS_TURN_LAST ? compact_first(runs, count)
                                                  : merge_first(runs, count, turn);
    *count_out = count - first;
    if (first < count)
        status = merge_runs(txn, table, partition, runs + first, count - first, out, err);
    free(runs);
    return status;
}

rf_status rf_streams_put_merged(rf_kv_txn *txn, uint32_t table, uint32_t partition, rf_slice run,
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
