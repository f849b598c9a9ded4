/* See estimate.h. */
#include "pipeline/estimate.h"

#include "base/clock.h"
#include "base/pool.h"
#include "rebuild/keying.h"
#include "rebuild/plan.h"

#include <stdlib.h>

enum { SAMPLES = 64, SAMPLED_STREAMS_MAX = 1 << 22 };
#define TEXT_BYTES_MAX ((size_t)4 << 30)
/* Seconds a worker takes, measured with the order log (docs/PERFORMANCE.md): a call of a handler in
 * C and in Lua, a row of another key for the exchange, and a row that is emitted and written. */
#define CALL_S 25e-9
#define LUA_CALL_S 120e-9
#define EXCHANGE_S 60e-9
#define ROW_S 230e-9

/* One pass over the sample for the definitions that share it. */
struct sampling {
    rf_store *store;
    const rf_definition *const *definitions;
    uint32_t definition_count;
    const rf_left_out_list *skips; /* by definition */
    uint64_t position;
    rf_plan *plan;
    rf_log_scan *scan;
    rf_arena text;
    int64_t *positions;
    uint64_t events; /* of the segments that were looked at */
    uint64_t bytes;
    double seconds;
    /* by definition: events that could not be taken, and the first of them */
    uint64_t *faults;
    uint64_t *first_position;
    rf_slice *first_reason;
    rf_arena *reasons;
};

static bool is_put_aside(const rf_left_out_list *skips, uint64_t position)
{
    for (uint32_t i = 0; i < skips->count; i++)
        if (skips->items[i].position == position)
            return true;
    return false;
}

static rf_status note_faults(struct sampling *sampling, const rf_log_step *step,
                             const rf_plan_segment *bound, rf_err *err)
{
    rf_status status = RF_OK;

    if (bound->fault_count > 0)
        status = rf_segment_envelope(&step->segment, RF_ENVELOPE_POSITION, sampling->positions,
                                     NULL, err);
    for (uint32_t i = 0; status == RF_OK && i < bound->fault_count; i++) {
        uint32_t definition = bound->faults[i].definition;
        uint64_t position = (uint64_t)sampling->positions[bound->faults[i].event];
        if (is_put_aside(&sampling->skips[definition], position))
            continue;
        if (sampling->faults[definition]++ == 0 ||
            position < sampling->first_position[definition]) {
            sampling->first_position[definition] = position;
            sampling->first_reason[definition] =
                rf_arena_copy(sampling->reasons, bound->faults[i].reason);
            if (!sampling->first_reason[definition].data)
                return rf_fail(err, RF_ERR_MEMORY, "out of memory for a finding");
        }
    }
    return status;
}

/* Binds a segment as the fold would; names are not read, only room for them is given. */
static rf_status look_at(struct sampling *sampling, const rf_log_step *step, rf_err *err)
{
    const rf_segment *segment = &step->segment;
    uint32_t span = segment->stream_max - segment->stream_min + 1;
    bool names =
        rf_plan_reads_stream(sampling->plan) || rf_plan_reads_category(sampling->plan);
    rf_plan_segment bound;
    rf_plan_fault fault;

    if (names && span > SAMPLED_STREAMS_MAX)
        return RF_OK;
    rf_slice *empty = names ? calloc(span, sizeof *empty) : NULL;
    if (names && !empty)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the names of %u streams", span);
    for (uint32_t i = 0; names && i < span; i++)
        empty[i] = RF_SLICE("");
    const rf_plan_input input = {
        .segment = segment,
        .begin = 0, /* all of a segment is decoded, wherever it was entered */
        .end = step->end,
        .stream_count = segment->stream_max + 1,
        .stream_first = segment->stream_min,
        .stream_end = segment->stream_max + 1,
        .streams = empty,
        .categories = empty,
        .text = &sampling->text,
    };
    uint64_t bytes = rf_plan_bytes_decoded(sampling->plan);
    double start = rf_clock_seconds();
    rf_arena_rewind(&sampling->text);
    rf_status status = rf_plan_bind(sampling->plan, &input, &bound, &fault, err);
    sampling->seconds += rf_clock_seconds() - start;
    sampling->bytes += rf_plan_bytes_decoded(sampling->plan) - bytes;
    sampling->events += step->end;
    if (status == RF_OK)
        status = note_faults(sampling, step, &bound, err);
    free(empty);
    return status;
}

/* The partition's segments from the one that holds `from`, at most `count` of them. */
static rf_status look_from(struct sampling *sampling, uint32_t partition, uint64_t from,
                           uint32_t count, rf_err *err)
{
    rf_log *log = sampling->store->log;
    rf_log_step step;
    bool found = true;
    rf_status status = sampling->scan
                           ? rf_log_scan_restart(sampling->scan, partition, from,
                                                 sampling->position, err)
                           : rf_log_scan_open(log, partition, from, sampling->position,
                                              &sampling->scan, err);

    while (status == RF_OK && found && count-- > 0) {
        status = rf_log_scan_next(sampling->scan, &step, &found, err);
        if (status == RF_OK && found)
            status = look_at(sampling, &step, err);
    }
    return status;
}

static rf_status look(struct sampling *sampling, const rf_log_info *info, rf_err *err)
{
    uint32_t partitions = rf_log_partitions(sampling->store->log);
    rf_status status = RF_OK;

    if (info->segments <= SAMPLES) {
        for (uint32_t i = 0; status == RF_OK && i < partitions; i++)
            status = look_from(sampling, i, 1, SAMPLES, err);
        return status;
    }
    for (uint32_t i = 0; status == RF_OK && i < SAMPLES; i++) {
        uint32_t partition = (uint32_t)((uint64_t)i * 37 % SAMPLES * partitions / SAMPLES);
        uint64_t from = 1 + sampling->position / SAMPLES * i;
        status = look_from(sampling, partition, from, 1, err);
    }
    return status;
}

static rf_status add_findings(const struct sampling *sampling, rf_preflight *preflight,
                              rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < sampling->definition_count; i++) {
        rf_err line;
        if (sampling->faults[i] == 0)
            continue;
        (void)rf_fail(&line, RF_ERR_REFUSED,
                      "%s: %llu of %llu events that were looked at cannot be folded, the first at "
                      "position %llu: %s",
                      sampling->definitions[i]->name, (unsigned long long)sampling->faults[i],
                      (unsigned long long)sampling->events,
                      (unsigned long long)sampling->first_position[i],
                      sampling->first_reason[i].data);
        status = rf_preflight_note(preflight, line.message, err);
    }
    return status;
}

/* Takes the sample for definitions that share a pass; adds what it says of all the log. */
static rf_status sample(rf_store *store, const rf_definition *const *definitions, uint32_t count,
                        const rf_left_out_list *skips, const rf_log_info *info,
                        const rf_census_type *census, uint32_t census_count,
                        rf_preflight *preflight, rf_estimate *estimate, rf_err *err)
{
    struct sampling sampling = {
        .store = store,
        .definitions = definitions,
        .definition_count = count,
        .skips = skips,
        .position = info->position,
        .plan = rf_plan_new(definitions, count, census, census_count),
        .positions = malloc(RF_SEGMENT_EVENTS_MAX * sizeof(int64_t)),
        .faults = calloc(count, sizeof(uint64_t)),
        .first_position = calloc(count, sizeof(uint64_t)),
        .first_reason = calloc(count, sizeof(rf_slice)),
        .reasons = &preflight->arena,
    };
    rf_status status = RF_OK;

    rf_arena_init(&sampling.text, TEXT_BYTES_MAX);
    if (!sampling.plan || !sampling.positions || !sampling.faults || !sampling.first_position ||
        !sampling.first_reason)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for a look at the log");
    if (status == RF_OK) {
        rf_plan_be_lenient(sampling.plan);
        status = look(&sampling, info, err);
    }
    if (status == RF_OK && sampling.events > 0) {
        double share = (double)info->events / (double)sampling.events;
        estimate->bytes += (uint64_t)((double)sampling.bytes * share);
        estimate->seconds += sampling.seconds * share;
        status = add_findings(&sampling, preflight, err);
    }
    rf_log_scan_close(sampling.scan);
    rf_plan_free(sampling.plan);
    rf_arena_free(&sampling.text);
    free(sampling.positions);
    free(sampling.faults);
    free(sampling.first_position);
    free(sampling.first_reason);
    return status;
}

/* A definition whose rows have another key goes over the log by itself. */
static rf_status sample_keyed(rf_store *store, const rf_definition *definition,
                              const rf_left_out_list *skips, const rf_log_info *info,
                              const rf_census_type *census, uint32_t census_count,
                              rf_preflight *preflight, rf_estimate *estimate, rf_err *err)
{
    rf_keying keying;
    rf_status status = rf_keying_begin(&keying, definition, err);

    if (status != RF_OK)
        return status;
    const rf_definition *derived = &keying.derived;
    status = sample(store, &derived, 1, skips, info, census, census_count, preflight, estimate,
                    err);
    rf_keying_end(&keying);
    return status;
}

static rf_status sample_all(rf_store *store, const rf_resolved *resolved,
                            const rf_left_out_list *skips, const rf_log_info *info,
                            const rf_census_type *census, uint32_t census_count,
                            rf_preflight *preflight, rf_estimate *estimate, rf_err *err)
{
    const rf_definition **together = calloc(resolved->count, sizeof *together);
    rf_left_out_list *their_skips = calloc(resolved->count, sizeof *their_skips);
    uint32_t count = 0;
    rf_status status = RF_OK;

    if (!together || !their_skips)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for %u projections", resolved->count);
    for (uint32_t i = 0; status == RF_OK && i < resolved->count; i++) {
        if (!resolved->definitions[i]->by_stream)
            continue;
        their_skips[count] = skips[i];
        together[count++] = resolved->definitions[i];
    }
    if (status == RF_OK && count > 0)
        status = sample(store, together, count, their_skips, info, census, census_count, preflight,
                        estimate, err);
    for (uint32_t i = 0; status == RF_OK && i < resolved->count; i++)
        if (!resolved->definitions[i]->by_stream)
            status = sample_keyed(store, resolved->definitions[i], &skips[i], info, census,
                                  census_count, preflight, estimate, err);
    free(together);
    free(their_skips);
    return status;
}

/* What follows decoding: calls and rows. A read model by stream has a row a stream at most. */
static double reckon(const rf_resolved *resolved, const rf_log_info *info, uint64_t handled)
{
    double seconds = 0;

    for (uint32_t i = 0; i < resolved->count; i++) {
        const rf_definition *definition = resolved->definitions[i];
        double calls = (double)handled / resolved->count;
        seconds += calls * (definition->lua ? LUA_CALL_S : CALL_S);
        seconds += definition->by_stream ? 0 : calls * EXCHANGE_S;
        seconds += (double)info->streams * ROW_S;
    }
    return seconds;
}

rf_status rf_estimate_run(rf_store *store, const rf_resolved *resolved, uint64_t position,
                          rf_preflight *preflight, rf_estimate *estimate_out, rf_err *err)
{
    rf_estimate estimate = {.workers = rf_processor_count()};
    rf_left_out_list *skips = calloc(resolved->count, sizeof *skips);
    rf_census *census = rf_census_new();
    const rf_census_type *types = NULL;
    uint32_t type_count = 0;
    rf_log_info info;
    rf_status status = RF_OK;

    if (!skips || !census)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for the census");
    for (uint32_t i = 0; status == RF_OK && i < resolved->count; i++)
        status = rf_catalog_skips(store->catalog, resolved->definitions[i]->name, &skips[i], err);
    if (status == RF_OK)
        status = rf_log_get_info(store->log, &info, err);
    if (status == RF_OK)
        status = rf_log_census(store->log, census, err);
    if (status == RF_OK)
        status = rf_census_list(census, &types, &type_count, err);
    if (status == RF_OK) {
        info.position = position;
        status = sample_all(store, resolved, skips, &info, types, type_count, preflight, &estimate,
                            err);
    }
    if (status == RF_OK) {
        estimate.seconds += reckon(resolved, &info, preflight->list.events_handled);
        estimate.seconds /= estimate.workers;
        *estimate_out = estimate;
    }
    for (uint32_t i = 0; skips && i < resolved->count; i++)
        rf_left_out_list_free(&skips[i]);
    free(skips);
    rf_census_free(census);
    return status;
}
