/* Folding chosen streams; see fold.h.
 *
 * Streams whose numbers are near each other are folded together, as a range of numbers: it reads the
 * segments that have any of it, once. One that is far from the others is a range of its own.
 */
#include "rebuild/fold_job.h"

#include "base/clock.h"

/* Numbers between two streams up to which folding those in between costs less than another walk. */
enum { GAP_MAX = 1024 };

/* The first chosen stream that is not before the partition. */
static size_t find_partition(const rf_fold_options *options, uint32_t partition)
{
    size_t low = 0;
    size_t high = options->chosen_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (options->chosen[middle].partition < partition)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

size_t rf_fold_chosen_of(const rf_fold_options *options, uint32_t partition,
                         const rf_fold_stream **streams_out)
{
    size_t first = find_partition(options, partition);
    size_t end = first;

    while (end < options->chosen_count && options->chosen[end].partition == partition)
        end++;
    *streams_out = options->chosen + first;
    return end - first;
}

/* How many of `streams` are folded with the first: in a range of at most `span_max` numbers. */
static size_t take_near(const rf_fold_stream *streams, size_t count, uint32_t span_max)
{
    size_t taken = 1;

    while (taken < count && streams[taken].number - streams[taken - 1].number <= GAP_MAX &&
           streams[taken].number - streams[0].number < span_max)
        taken++;
    return taken;
}

static rf_status emit_stream(rf_fold_worker *worker, const rf_fold_stream *stream, rf_err *err)
{
    uint32_t at = stream->number - worker->range.first;
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < worker->job->target_count; i++) {
        const rf_fold_target *target = &worker->job->targets[i];
        const rf_state *state = &worker->states[i];
        status = state->flags[at] & RF_STATE_EXISTS
                     ? target->row(target->sink_arg, worker->index, worker->partition, stream->name,
                                   state->rows + at * state->stride, err)
                     : target->gone(target->sink_arg, worker->index, stream->name, err);
    }
    return status;
}

/* Of a range that is one stream, its name is known. */
static rf_status index_names(rf_fold_worker *worker, const rf_fold_stream *streams, size_t count,
                             rf_err *err)
{
    const rf_stream_name only = {.name = streams[0].name, .number = streams[0].number};

    return count == 1 ? rf_fold_index_names(worker, &only, 1, err) : rf_fold_read_names(worker, err);
}

/* The streams of one range; *fits_out is false where their text is beyond the budget. */
static rf_status fold_range(rf_fold_worker *worker, const rf_fold_stream *streams, size_t count,
                            bool *fits_out, rf_err *err)
{
    const rf_fold_range range = {streams[0].number, streams[count - 1].number - streams[0].number + 1};

    rf_fold_range_mark(worker);
    rf_status status = rf_fold_range_begin(worker, range, err);
    if (status == RF_OK && rf_ahead_reads_names(worker->job->ahead))
        status = index_names(worker, streams, count, err);
    if (status == RF_OK)
        status = rf_fold_range_fold(worker, fits_out, err);
    if (status != RF_OK || !*fits_out) {
        rf_fold_range_forget(worker);
        return status;
    }
    double start = rf_clock_seconds();
    for (size_t i = 0; status == RF_OK && i < count; i++)
        status = emit_stream(worker, &streams[i], err);
    worker->emit_s += rf_clock_seconds() - start;
    return status;
}

rf_status rf_fold_chosen(rf_fold_worker *worker, rf_err *err)
{
    const rf_fold_stream *chosen;
    uint32_t span_max = worker->job->streams_budget;
    size_t end = rf_fold_chosen_of(worker->job->options, worker->partition, &chosen);
    size_t at = 0;
    rf_status status = RF_OK;

    while (status == RF_OK && at < end) {
        size_t count = take_near(chosen + at, end - at, span_max);
        bool fits = true;
        RF_ASSERT(chosen[at + count - 1].number < worker->stream_count);
        status = fold_range(worker, chosen + at, count, &fits, err);
        if (fits)
            at += count;
        else
            span_max = (chosen[at + count - 1].number - chosen[at].number) / 2 + 1;
    }
    return status;
}
