/* See plan.h.
 *
 * A bind goes: types of the segment -> bindings (remembered by name) -> envelope columns -> moves
 * of what stands in them -> per type: columns, one path at a time, and their moves; then payloads
 * if any field needs them.
 */
#include "rebuild/plan.h"

#include "rebuild/plan_state.h"

#include <stdlib.h>

#define SCRATCH_BYTES_MAX ((size_t)4 << 30) /* columns of a segment */
#define NO_FAULT                                                                                   \
    (rf_plan_fault)                                                                                \
    {                                                                                              \
        UINT32_MAX, 0                                                                              \
    }

enum { LISTED_SHARE = 4 }; /* where a smaller share of a segment is handled, only that is read */

static void note_sources(rf_plan *plan, const rf_definition_handler *handler)
{
    for (uint32_t f = 0; f < handler->field_count; f++) {
        rf_field_source source = handler->fields[f].field.source;
        plan->reads_stream = plan->reads_stream || source == RF_EVENT_STREAM;
        plan->reads_category = plan->reads_category || source == RF_EVENT_CATEGORY;
    }
}

static void note_definition(rf_plan *plan, const rf_definition *definition)
{
    uint32_t count;
    const rf_evolution_upcast *upcasts = rf_evolution_upcasts(definition->evolution, &count);

    for (uint32_t h = 0; h < definition->handler_count; h++)
        note_sources(plan, &definition->handlers[h]);
    for (uint32_t i = 0; i < count; i++)
        note_sources(plan, &upcasts[i].input);
}

rf_plan *rf_plan_new(const rf_definition *const *definitions, uint32_t count,
                     const rf_census_type *census, uint32_t census_count)
{
    rf_plan *plan = calloc(1, sizeof *plan);

    RF_ASSERT(definitions && count > 0);
    if (!plan)
        return NULL;
    rf_arena_init(&plan->scratch, SCRATCH_BYTES_MAX);
    plan->codec = rf_codec_new();
    plan->payloads = rf_payload_reader_new();
    plan->json = rf_json_parser_new();
    plan->event_types = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *plan->event_types);
    plan->event_streams = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *plan->event_streams);
    plan->listed = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *plan->listed);
    plan->scratch_ints = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *plan->scratch_ints);
    bool made = rf_binder_begin(&plan->binder, definitions, count, census, census_count);
    if (!made || !plan->codec || !plan->payloads || !plan->json || !plan->event_types ||
        !plan->event_streams || !plan->listed || !plan->scratch_ints) {
        rf_plan_free(plan);
        return NULL;
    }
    for (uint32_t d = 0; d < count; d++)
        note_definition(plan, definitions[d]);
    return plan;
}

void rf_plan_free(rf_plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < RF_ENVELOPE_COUNT; i++)
        free(plan->envelope[i]);
    rf_plan_close_upcasts(plan);
    rf_binder_end(&plan->binder);
    free(plan->event_types);
    free(plan->event_streams);
    free(plan->listed);
    free(plan->wanted);
    free(plan->scratch_ints);
    free(plan->event_lanes);
    free(plan->event_ordinals);
    free(plan->types);
    free(plan->lanes);
    rf_arena_free(&plan->scratch);
    rf_codec_free(plan->codec);
    rf_payload_reader_free(plan->payloads);
    rf_json_parser_free(plan->json);
    rf_plan_faults_free(&plan->faults);
    free(plan);
}

void rf_plan_be_lenient(rf_plan *plan)
{
    plan->faults.wanted = true;
}

void rf_plan_set_cancel(rf_plan *plan, const volatile int *cancel)
{
    plan->cancel = cancel;
}

bool rf_plan_reads_stream(const rf_plan *plan)
{
    return plan->reads_stream;
}

bool rf_plan_reads_category(const rf_plan *plan)
{
    return plan->reads_category;
}

uint64_t rf_plan_bytes_decoded(const rf_plan *plan)
{
    return plan->bytes_decoded;
}

/* ---- types ---- */

rf_status rf_plan_reserve_lanes(rf_plan *plan, uint32_t count, rf_err *err)
{
    if (count <= plan->lane_capacity)
        return RF_OK;
    uint32_t capacity = count > 2 * plan->lane_capacity ? count : 2 * plan->lane_capacity;
    rf_plan_type *types = realloc(plan->types, capacity * sizeof *types);
    if (types)
        plan->types = types;
    rf_plan_lane *lanes = types ? realloc(plan->lanes, capacity * sizeof *lanes) : NULL;
    if (!lanes)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u types of events", count);
    plan->lanes = lanes;
    uint8_t *wanted = realloc(plan->wanted, capacity);
    if (!wanted)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u types of events", count);
    plan->wanted = wanted;
    plan->lane_capacity = capacity;
    return RF_OK;
}

void rf_plan_bind_lane(rf_plan *plan, uint32_t lane, rf_binding *binding, uint32_t count)
{
    for (uint32_t s = 0; s < binding->stage_count; s++)
        for (uint32_t c = 0; c < binding->stages[s].call_count; c++) {
            rf_plan_call *call = &binding->stages[s].calls[c];
            call->word_count = call->move_count = 0;
            call->numbers = NULL;
        }
    plan->lanes[lane].binding = binding;
    plan->types[lane] = (rf_plan_type){
        .name = binding->name,
        .calls = binding->calls,
        .call_count = binding->call_count,
        .count = count,
    };
}

/* *handled_out: events of the segment that a handler gets; *split_out: whether lanes may have to be
 * told apart. */
static rf_status bind_types(rf_plan *plan, const rf_plan_input *input, uint32_t *handled_out,
                            bool *split_out, rf_err *err)
{
    const rf_segment *segment = input->segment;
    bool ranged = input->stream_first > 0 || input->stream_end < input->stream_count;
    rf_status status = rf_plan_reserve_lanes(plan, segment->type_count, err);

    *handled_out = 0;
    *split_out = false;
    plan->lane_count = segment->type_count;
    for (uint32_t t = 0; status == RF_OK && t < segment->type_count; t++) {
        rf_binding *binding = rf_binder_find(&plan->binder, segment->types[t].name, 0);
        if (!binding)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for the types of events");
        plan->lanes[t] = (rf_plan_lane){.stored_type = t};
        rf_plan_bind_lane(plan, t, binding, segment->types[t].count);
        plan->wanted[t] = binding->handled;
        *handled_out += binding->handled ? segment->types[t].count : 0;
        *split_out = *split_out || binding->by_schema || (binding->traced && ranged);
    }
    return status;
}

/* ---- moves ---- */

static void add_word(rf_plan_call *call, const char *from, size_t stride, uint32_t offset,
                     rf_plan_by by)
{
    RF_ASSERT(call->word_count < rf_plan_words_max(call->handler->field_count));
    call->words[call->word_count++] = (rf_plan_word){
        .from = from,
        .by_event = by == RF_BY_EVENT ? (uint32_t)stride : 0,
        .by_ordinal = by == RF_BY_ORDINAL ? (uint32_t)stride : 0,
        .offset = offset,
    };
}

/* As one or two words, where that can be. */
void rf_plan_add_move(rf_plan_call *call, const rf_plan_move *move)
{
    if (move->size % 8 == 0 && !move->codes && move->by != RF_BY_STREAM) {
        for (uint32_t at = 0; at < move->size; at += 8)
            add_word(call, move->from + at, move->size, move->offset + at, (rf_plan_by)move->by);
        return;
    }
    RF_ASSERT(call->move_count < 2 * call->handler->field_count);
    call->moves[call->move_count++] = *move;
}

/* Words that fill nothing, up to the next multiple. */
void rf_plan_pad_words(rf_plan_call *call)
{
    static const char nothing[8];

    while (call->word_count == 0 || call->word_count % RF_PLAN_UNROLL != 0)
        add_word(call, nothing, 0, call->handler->event_size, RF_BY_EVENT);
}

void rf_plan_add_members(rf_plan_call *call, const rf_field *field, const rf_members *members)
{
    rf_plan_add_move(call, &(rf_plan_move){.from = members->values,
                                   .offset = field->offset,
                                   .size = (uint8_t)rf_kind_size(field->kind),
                                   .by = RF_BY_ORDINAL});
    if (members->present)
        rf_plan_add_move(call, &(rf_plan_move){.from = (const char *)members->present,
                                       .offset = field->present_offset,
                                       .size = sizeof(bool),
                                       .by = RF_BY_ORDINAL});
}

/* ---- envelope ---- */

static rf_status damaged(const rf_segment *segment, const char *what, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED, "segment of partition %u at position %llu: %s",
                   segment->partition, (unsigned long long)segment->first_position, what);
}

rf_status rf_plan_read_envelope(rf_plan *plan, const rf_segment *segment, rf_envelope column,
                                rf_err *err)
{
    if (plan->envelope_read[column])
        return RF_OK;
    if (!plan->envelope[column])
        plan->envelope[column] = malloc(RF_SEGMENT_EVENTS_MAX * sizeof(int64_t));
    if (!plan->envelope[column])
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a segment's events");
    rf_status status =
        rf_segment_envelope(segment, column, plan->envelope[column], &plan->bytes_decoded, err);
    plan->envelope_read[column] = status == RF_OK;
    return status;
}

/* As read_events, of a whole segment, for the events alone that are handled. */
static rf_status read_listed(rf_plan *plan, const rf_segment *segment, uint32_t *listed_out,
                             rf_err *err)
{
    rf_segment_listed listed = {
        .events = plan->listed, .types = plan->event_types, .streams = plan->event_streams};
    rf_status status = rf_segment_list_events(segment, plan->wanted, &listed, plan->scratch_ints,
                                              &plan->bytes_decoded, err);

    *listed_out = listed.event_count;
    for (uint32_t t = 0; t < segment->type_count; t++)
        plan->lanes[t].end = segment->types[t].count;
    return status;
}

/* Types and streams of the events, and how many of each type are in range. */
static rf_status read_events(rf_plan *plan, const rf_plan_input *input, rf_err *err)
{
    const rf_segment *segment = input->segment;
    bool whole = input->begin == 0 && input->end == segment->count;
    bool given = true;

    rf_status status = rf_segment_envelope_u32(segment, RF_ENVELOPE_TYPE, plan->event_types,
                                               plan->scratch_ints, &plan->bytes_decoded, err);
    if (status == RF_OK)
        status = rf_segment_envelope_u32(segment, RF_ENVELOPE_STREAM, plan->event_streams,
                                         plan->scratch_ints, &plan->bytes_decoded, err);
    if (status != RF_OK)
        return status;
    if (segment->stream_max >= input->stream_count) /* what is out of range may be newer */
        for (uint32_t i = input->begin; i < input->end; i++)
            given = given && plan->event_streams[i] < input->stream_count;
    if (!given)
        return damaged(segment, "a stream number that the partition has not given", err);
    for (uint32_t t = 0; t < segment->type_count; t++)
        plan->lanes[t].end = whole ? segment->types[t].count : 0;
    for (uint32_t i = 0; !whole && i < input->end; i++) {
        plan->lanes[plan->event_types[i]].end++;
        plan->types[plan->event_types[i]].events_before += i < input->begin;
    }
    return RF_OK;
}

/* Index of the event that is the type's `ordinal`-th. */
static uint32_t event_of(const rf_plan *plan, const rf_segment *segment, uint32_t type,
                         uint32_t ordinal)
{
    uint32_t event = 0;

    for (; event < segment->count; event++)
        if (plan->event_types[event] == type && ordinal-- == 0)
            break;
    RF_ASSERT(event < segment->count);
    return event;
}

void rf_plan_blame(const rf_plan *plan, const rf_segment *segment, uint32_t lane, uint32_t ordinal,
                   uint32_t definition, rf_plan_fault *fault_out)
{
    fault_out->event = event_of(plan, segment, plan->lanes[lane].stored_type, ordinal);
    fault_out->definition = definition;
}

/* Whether events have a time, for fields that ask. */
static rf_status move_time_presence(rf_plan *plan, const rf_segment *segment, rf_plan_call *call,
                                    const rf_field *field, rf_err *err)
{
    const int64_t *times = plan->envelope[RF_ENVELOPE_TIME];
    bool *present = rf_arena_alloc(&plan->scratch, segment->count * sizeof *present);

    if (!present)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a segment's events");
    for (uint32_t i = 0; i < segment->count; i++)
        present[i] = times[i] != RF_TIME_NONE;
    rf_plan_add_move(call, &(rf_plan_move){.from = (const char *)present,
                                   .offset = field->present_offset,
                                   .size = sizeof(bool),
                                   .by = RF_BY_EVENT});
    return RF_OK;
}

/* A field that is a member of the event itself; its type, and its schema if upcasters change it, are in the struct
 * since the binding. */
rf_status rf_plan_move_member(rf_plan *plan, const rf_plan_input *input, rf_plan_call *call,
                              const rf_field *field, rf_err *err)
{
    static const rf_envelope columns[] = {
        [RF_EVENT_VERSION] = RF_ENVELOPE_VERSION,
        [RF_EVENT_SCHEMA] = RF_ENVELOPE_SCHEMA,
        [RF_EVENT_POSITION] = RF_ENVELOPE_POSITION,
        [RF_EVENT_TIME] = RF_ENVELOPE_TIME,
    };
    rf_plan_move move = {.offset = field->offset};

    if (field->source == RF_EVENT_STREAM || field->source == RF_EVENT_CATEGORY) {
        const rf_slice *names =
            field->source == RF_EVENT_STREAM ? input->streams : input->categories;
        RF_ASSERT(names);
        move.from = (const char *)names;
        move.size = sizeof *names;
        move.by = RF_BY_STREAM;
        rf_plan_add_move(call, &move);
        return RF_OK;
    }
    if (field->source < RF_EVENT_VERSION || field->source > RF_EVENT_TIME ||
        (field->source == RF_EVENT_SCHEMA && call->schema != 0))
        return RF_OK;
    rf_envelope column = columns[field->source];
    rf_status status = rf_plan_read_envelope(plan, input->segment, column, err);
    if (status != RF_OK)
        return status;
    move.from = (const char *)plan->envelope[column];
    move.size = sizeof(int64_t);
    move.by = RF_BY_EVENT;
    rf_plan_add_move(call, &move);
    if (field->source == RF_EVENT_TIME && field->present_offset != RF_NO_PRESENT)
        status = move_time_presence(plan, input->segment, call, field, err);
    return status;
}

/* ---- binding ---- */

/* Whether any of the events that were read is handled, and of a stream that is wanted. */
static bool has_wanted(const rf_plan *plan, const rf_plan_input *input, bool listed,
                       uint32_t listed_count)
{
    uint32_t end = listed ? listed_count : input->end;
    bool has = !input->wanted;

    for (uint32_t at = listed ? 0 : input->begin; !has && at < end; at++) {
        uint32_t i = listed ? plan->listed[at] : at;
        has = plan->wanted[plan->event_types[i]] && input->wanted[plan->event_streams[i]];
    }
    return has;
}

/* The types alone. */
static rf_plan_segment nothing_handled(const rf_plan *plan)
{
    return (rf_plan_segment){.types = plan->types, .type_count = plan->lane_count};
}

rf_status rf_plan_bind(rf_plan *plan, const rf_plan_input *input, rf_plan_segment *segment_out,
                       rf_plan_fault *fault_out, rf_err *err)
{
    const rf_segment *segment = input->segment;
    uint32_t handled;
    uint32_t listed_count = 0;
    bool split;

    RF_ASSERT(input->begin <= input->end && input->end <= segment->count);
    *fault_out = NO_FAULT;
    if (segment->count > RF_SEGMENT_EVENTS_MAX)
        return damaged(segment, "more events than a segment holds", err);
    plan->split = false;
    plan->decoded = NULL;
    rf_status status = bind_types(plan, input, &handled, &split, err);
    if (status != RF_OK)
        return status;
    if (handled == 0) {
        *segment_out = nothing_handled(plan);
        return RF_OK;
    }
    rf_arena_rewind(&plan->scratch);
    memset(plan->envelope_read, 0, sizeof plan->envelope_read);
    plan->payloads_read = false;
    rf_plan_faults_begin(&plan->faults);
    bool whole = input->begin == 0 && input->end == segment->count;
    bool listed = whole && !split && !plan->faults.wanted &&
                  handled <= segment->count / LISTED_SHARE &&
                  segment->stream_max < input->stream_count;
    status = listed ? read_listed(plan, segment, &listed_count, err)
                    : read_events(plan, input, err);
    if (status == RF_OK && !has_wanted(plan, input, listed, listed_count)) {
        *segment_out = nothing_handled(plan);
        return RF_OK;
    }
    if (status == RF_OK && split)
        status = rf_plan_split(plan, input, err);
    if (status == RF_OK)
        status = rf_plan_check_lanes(plan, input, fault_out, err);
    for (uint32_t lane = 0; status == RF_OK && lane < plan->lane_count; lane++)
        if (plan->types[lane].call_count > 0)
            status = rf_plan_fill_lane(plan, input, lane, fault_out, err);
    if (status == RF_OK)
        status = rf_plan_faults_settle(&plan->faults, plan->event_types, segment->count,
                                       segment->type_count, err);
    if (status != RF_OK)
        return status;
    for (uint32_t lane = 0; lane < plan->lane_count; lane++)
        plan->types[lane].ordinal_count = segment->types[plan->lanes[lane].stored_type].count;
    *segment_out = (rf_plan_segment){
        .types = plan->types,
        .type_count = plan->lane_count,
        .event_types = plan->split ? plan->event_lanes : plan->event_types,
        .event_streams = plan->event_streams,
        .listed = listed ? plan->listed : NULL,
        .listed_count = listed_count,
        .payloads_read = plan->payloads_read,
        .event_ordinals = plan->split ? plan->event_ordinals : NULL,
        .faults = plan->faults.list,
        .fault_count = plan->faults.count,
    };
    return RF_OK;
}
