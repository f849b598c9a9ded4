/* Building segments of the events that were decided to be new. See append.h and append_state.h. */
#include "log/append_state.h"

#include <stdlib.h>

enum { SEGMENT_BYTES_MAX = 64 << 20, CENSUS_CHUNK = 256 };

static rf_status segments_room(rf_append_part *part, rf_err *err)
{
    rf_append_batch *batch = &part->batch;

    if (batch->segment_count < batch->segment_room)
        return RF_OK;
    uint32_t room = batch->segment_room ? 2 * batch->segment_room : 4;
    rf_append_segment *grown = realloc(batch->segments, room * sizeof *grown);
    if (!grown)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory for %u segments", room);
    batch->segments = grown;
    batch->segment_room = room;
    return RF_OK;
}

/* The builder works in the worker's workspace. */
static rf_status workspace_use(rf_appender *appender, rf_append_part *part, uint32_t worker,
                               rf_err *err)
{
    rf_segment_workspace **workspace = &appender->workspaces[worker];

    if (!*workspace)
        *workspace = rf_segment_workspace_new();
    if (!*workspace)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory for a segment");
    rf_segment_builder_use(part->builder, *workspace);
    return RF_OK;
}

rf_status rf_append_finish_builder(rf_appender *appender, rf_append_part *part, uint32_t worker,
                                   rf_err *err)
{
    if (part->builder_events == 0)
        return RF_OK;
    rf_status status = workspace_use(appender, part, worker, err);
    if (!status)
        status = segments_room(part, err);
    if (status)
        return status;
    rf_append_segment *segment = &part->batch.segments[part->batch.segment_count];
    *segment = (rf_append_segment){
        .raw_bytes = part->builder_raw,
        .events = part->builder_events,
    };
    rf_buf_init(&segment->bytes, SEGMENT_BYTES_MAX);
    status = rf_segment_builder_finish(part->builder, &segment->bytes, err);
    if (!status)
        status = rf_buf_check(&segment->bytes, "a segment", err);
    if (status) {
        rf_buf_free(&segment->bytes);
        return status;
    }
    segment->span = rf_segment_builder_span(part->builder);
    char *shrunk = realloc(segment->bytes.data, segment->bytes.size);
    if (shrunk) {
        segment->bytes.data = shrunk;
        segment->bytes.capacity = segment->bytes.size;
    }
    part->batch.segment_count++;
    part->builder_events = 0;
    part->builder_raw = 0;
    rf_recent_built_done(&part->recent);
    if (part->identity)
        status = rf_identity_add_pending(part->identity, rf_buf_slice(&segment->bytes), err);
    return status;
}

static rf_status build_event(rf_appender *appender, rf_append_part *part, uint32_t worker,
                             const rf_append_place *place, rf_err *err)
{
    const rf_event *event = &appender->events[place->index];
    rf_placement placement = {
        .position = appender->positions[place->index],
        .stream_number = place->stream_number,
        .source = appender->source.number,
        .version = place->version,
        .fingerprint = place->fingerprint,
    };
    rf_status status = RF_OK;

    if (part->builder_events > 0 && !rf_segment_builder_fits(part->builder, event)) {
        status = rf_append_finish_builder(appender, part, worker, err);
        if (status)
            return status;
    }
    status = rf_segment_builder_add(part->builder, event, &placement, err);
    if (status)
        return status;
    uint64_t raw = event->data.size + event->metadata.size;
    part->builder_events++;
    part->builder_raw += raw;
    part->batch.events++;
    part->batch.raw_bytes += raw;
    part->batch.last_position = placement.position;
    return RF_OK;
}

static rf_status census_task(rf_appender *appender, uint32_t worker, size_t index, rf_err *err)
{
    rf_census **census = &appender->censuses[worker];
    size_t at = index * CENSUS_CHUNK;
    size_t end = at + CENSUS_CHUNK;
    rf_status status = RF_OK;

    if (!*census)
        *census = rf_census_new();
    if (!*census)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory for the census");
    if (end > appender->event_count)
        end = appender->event_count;
    for (; at < end && !status; at++)
        if (appender->positions[at])
            status = rf_census_count_event(*census, &appender->events[at], appender->positions[at],
                                           err);
    return status;
}

size_t rf_append_build_tasks(const rf_appender *appender)
{
    return appender->active_count + (appender->event_count + CENSUS_CHUNK - 1) / CENSUS_CHUNK;
}

bool rf_append_build_fits(const rf_append_part *part)
{
    return part->builder_events + part->block_new <= RF_SEGMENT_EVENTS_MAX &&
           part->builder_raw + part->block_raw <= RF_SEGMENT_RAW_MAX;
}

/* The values of events lie scattered over the block, as do their texts. */
enum { VALUES_AHEAD = 4 };

static inline void prefetch_values(const rf_appender *appender, const rf_append_part *part,
                                   uint32_t at)
{
    if (at >= part->block_end)
        return;
    const rf_event *event = &appender->events[appender->places[at].index];
    const char *values = (const char *)(event->shape ? (const void *)event->values
                                                     : (const void *)event->data.data);
    for (unsigned line = 0; line < 4; line++)
        __builtin_prefetch(values + line * 64);
}

void rf_append_build_part(rf_appender *appender, uint32_t partition, uint32_t worker)
{
    rf_append_part *part = &appender->parts[partition];

    RF_ASSERT(part->block_new > 0);
    if (!part->builder)
        part->builder = rf_segment_builder_new(partition);
    part->failure_index = appender->places[part->block_begin].index;
    if (!part->builder)
        part->failure = rf_fail(&part->failure_err, RF_ERR_MEMORY, "log: no memory for a segment");
    else
        part->failure = workspace_use(appender, part, worker, &part->failure_err);
    if (part->failure)
        return;
    rf_segment_builder_prefetch(part->builder, true);
    for (uint32_t i = 0; i < VALUES_AHEAD; i++)
        prefetch_values(appender, part, part->block_begin + i);
    RF_ASSERT(part->recent.count >= part->block_new);
    uint32_t recent = part->recent.count - part->block_new; /* entry of the next event to build */
    for (uint32_t i = part->block_begin; i < part->block_end && !part->failure; i++) {
        const rf_append_place *place = &appender->places[i];
        prefetch_values(appender, part, i + VALUES_AHEAD);
        if (!appender->positions[place->index])
            continue;
        uint32_t before = part->batch.segment_count;
        part->failure = build_event(appender, part, worker, place, &part->failure_err);
        part->failure_index = place->index;
        if (part->batch.segment_count > before)
            recent = 0; /* finishing the builder forgot what stood before */
        if (!part->failure)
            part->recent.events[recent++].block_index = RF_RECENT_BUILT;
    }
    part->recent.source_position_max = 0;
}

/* Positions of what was built when those of the block were not certain: they are the builder's last. */
static void positions_right(rf_appender *appender, rf_append_part *part)
{
    uint32_t at = part->builder_events - part->block_new;

    RF_ASSERT(part->block_duplicates == 0 && part->block_new <= part->builder_events);
    for (uint32_t i = part->block_begin; i < part->block_end; i++, at++) {
        uint64_t position = appender->positions[appender->places[i].index];
        rf_segment_builder_move(part->builder, at, position);
        part->batch.last_position = position;
    }
}

rf_status rf_append_build_task(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    rf_appender *appender = arg;

    if (index >= appender->active_count)
        return census_task(appender, worker, index - appender->active_count, err);
    rf_append_part *part = &appender->parts[appender->active[index]];
    if (part->block_is_built)
        positions_right(appender, part);
    else
        rf_append_build_part(appender, appender->active[index], worker);
    return RF_OK;
}

void rf_append_part_forget(rf_append_part *part)
{
    rf_streams_free(part->streams);
    part->streams = NULL;
    rf_identity_free(part->identity);
    part->identity = NULL;
    rf_known_ids_free(part->ids);
    part->ids = NULL;
}

static void batch_free(rf_append_batch *batch)
{
    for (uint32_t i = 0; i < batch->segment_count; i++)
        rf_buf_free(&batch->segments[i].bytes);
    free(batch->segments);
    rf_buf_free(&batch->run);
    rf_buf_free(&batch->merged);
}

void rf_append_part_free(rf_append_part *part)
{
    rf_append_part_forget(part);
    rf_segment_builder_free(part->builder);
    rf_recent_free(&part->recent);
    batch_free(&part->batch);
    batch_free(&part->leaving);
    free(part->compares);
}
