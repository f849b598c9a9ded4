/* See plan.h.
 *
 * A bind goes: types of the segment -> bindings (remembered by name) -> envelope columns -> moves
 * of what stands in them -> per type: columns, one path at a time, and their moves; then payloads
 * if any field needs them.
 */
#include "rebuild/plan.h"

#include "rebuild/binding.h"
#include "rebuild/convert.h"
#include "rebuild/payload.h"
#include "rebuild/plan_faults.h"

#include <stdlib.h>

#define SCRATCH_BYTES_MAX ((size_t)4 << 30) /* columns of a segment */
#define NO_FAULT                                                                                   \
    (rf_plan_fault)                                                                                \
    {                                                                                              \
        UINT32_MAX, 0                                                                              \
    }

struct rf_plan {
    /* fixed after new */
    bool reads_stream;
    bool reads_category;
    rf_binder binder;
    /* of the segment at hand; buffers grow and stay */
    uint32_t *event_types;
    uint32_t *event_streams;
    int64_t *scratch_ints;                   /* as many as a segment has events */
    int64_t *envelope[RF_ENVELOPE_COUNT];    /* those that event structs have; NULL until needed */
    bool envelope_read[RF_ENVELOPE_COUNT];
    rf_plan_type *types;
    rf_binding **bindings;  /* by type */
    uint32_t *type_end;     /* by type: its events before `end` */
    uint32_t type_capacity;
    rf_arena scratch;
    rf_codec *codec;
    rf_payload_reader *payloads;
    rf_json_parser *json;
    uint64_t bytes_decoded;
    rf_plan_faults faults;
};

static void note_sources(rf_plan *plan, const rf_definition *definition)
{
    for (uint32_t h = 0; h < definition->handler_count; h++)
        for (uint32_t f = 0; f < definition->handlers[h].field_count; f++) {
            rf_field_source source = definition->handlers[h].fields[f].field.source;
            plan->reads_stream = plan->reads_stream || source == RF_EVENT_STREAM;
            plan->reads_category = plan->reads_category || source == RF_EVENT_CATEGORY;
        }
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
    plan->scratch_ints = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *plan->scratch_ints);
    bool made = rf_binder_begin(&plan->binder, definitions, count, census, census_count);
    if (!made || !plan->codec || !plan->payloads || !plan->json || !plan->event_types ||
        !plan->event_streams || !plan->scratch_ints) {
        rf_plan_free(plan);
        return NULL;
    }
    for (uint32_t d = 0; d < count; d++)
        note_sources(plan, definitions[d]);
    return plan;
}

void rf_plan_free(rf_plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < RF_ENVELOPE_COUNT; i++)
        free(plan->envelope[i]);
    rf_binder_end(&plan->binder);
    free(plan->event_types);
    free(plan->event_streams);
    free(plan->scratch_ints);
    free(plan->types);
    free(plan->bindings);
    free(plan->type_end);
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

static rf_status reserve_types(rf_plan *plan, uint32_t count, rf_err *err)
{
    if (count <= plan->type_capacity)
        return RF_OK;
    free(plan->types);
    free(plan->bindings);
    free(plan->type_end);
    plan->types = malloc(count * sizeof *plan->types);
    plan->bindings = malloc(count * sizeof(rf_binding *));
    plan->type_end = malloc(count * sizeof *plan->type_end);
    plan->type_capacity = plan->types && plan->bindings && plan->type_end ? count : 0;
    return plan->type_capacity
               ? RF_OK
               : rf_fail(err, RF_ERR_MEMORY, "out of memory for %u types of events", count);
}

static rf_status bind_types(rf_plan *plan, const rf_segment *segment, bool *handled_out,
                            rf_err *err)
{
    rf_status status = reserve_types(plan, segment->type_count, err);

    *handled_out = false;
    for (uint32_t t = 0; status == RF_OK && t < segment->type_count; t++) {
        rf_binding *binding = rf_binder_find(&plan->binder, segment->types[t].name);
        if (!binding)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for the types of events");
        for (uint32_t c = 0; c < binding->call_count; c++)
            binding->calls[c].word_count = binding->calls[c].move_count = 0;
        plan->bindings[t] = binding;
        plan->types[t] = (rf_plan_type){
            .name = binding->name,
            .calls = binding->calls,
            .call_count = binding->call_count,
        };
        *handled_out = *handled_out || binding->call_count > 0;
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
static void add_move(rf_plan_call *call, const rf_plan_move *move)
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
static void pad_words(rf_plan_call *call)
{
    static const char nothing[8];

    while (call->word_count == 0 || call->word_count % RF_PLAN_UNROLL != 0)
        add_word(call, nothing, 0, call->handler->event_size, RF_BY_EVENT);
}

static void add_members(rf_plan_call *call, const rf_field *field, const rf_members *members)
{
    add_move(call, &(rf_plan_move){.from = members->values,
                                   .offset = field->offset,
                                   .size = (uint8_t)rf_kind_size(field->kind),
                                   .by = RF_BY_ORDINAL});
    if (members->present)
        add_move(call, &(rf_plan_move){.from = (const char *)members->present,
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

static rf_status read_envelope(rf_plan *plan, const rf_segment *segment, rf_envelope column,
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

/* Types and streams of the events, and how many of each type are in range. */
static rf_status read_events(rf_plan *plan, const rf_plan_input *input, rf_err *err)
{
    const rf_segment *segment = input->segment;
    bool whole = input->begin == 0 && input->end == segment->count;
    bool given = true;

    memset(plan->envelope_read, 0, sizeof plan->envelope_read);
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
        plan->type_end[t] = whole ? segment->types[t].count : 0;
    for (uint32_t i = 0; !whole && i < input->end; i++) {
        plan->type_end[plan->event_types[i]]++;
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
    add_move(call, &(rf_plan_move){.from = (const char *)present,
                                   .offset = field->present_offset,
                                   .size = sizeof(bool),
                                   .by = RF_BY_EVENT});
    return RF_OK;
}

/* A field that is a member of the event itself; its type is in the struct since the binding. */
static rf_status move_member(rf_plan *plan, const rf_plan_input *input, rf_plan_call *call,
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
        add_move(call, &move);
        return RF_OK;
    }
    if (field->source < RF_EVENT_VERSION || field->source > RF_EVENT_TIME)
        return RF_OK;
    rf_envelope column = columns[field->source];
    rf_status status = read_envelope(plan, input->segment, column, err);
    if (status != RF_OK)
        return status;
    move.from = (const char *)plan->envelope[column];
    move.size = sizeof(int64_t);
    move.by = RF_BY_EVENT;
    add_move(call, &move);
    if (field->source == RF_EVENT_TIME && field->present_offset != RF_NO_PRESENT)
        status = move_time_presence(plan, input->segment, call, field, err);
    return status;
}

/* ---- payload fields ---- */

static rf_status refuse(const rf_plan *plan, const rf_segment *segment, uint32_t type,
                        const rf_fill *fill, const rf_convert_fault *found,
                        rf_plan_fault *fault_out, rf_err *err)
{
    if (plan->faults.wanted)
        return RF_OK;
    fault_out->event = event_of(plan, segment, type, found->ordinal);
    fault_out->definition = plan->bindings[type]->calls[fill->call].definition;
    return rf_convert_refuse(fill->field, found, err);
}

/* The columns of a path, or that it has to be read from the payload. */
typedef struct path_columns {
    rf_field_column columns[5];
    uint32_t count;
    bool capped;
} path_columns;

/* One field: from the column as it is, where one column has all values; else through an array. */
static rf_status fill_field(rf_plan *plan, const rf_plan_input *input, uint32_t type, rf_fill *fill,
                            const path_columns *path, rf_plan_fault *fault_out, rf_err *err)
{
    const rf_field *field = &fill->field->field;
    rf_plan_call *call = &plan->bindings[type]->calls[fill->call];
    rf_plan_faults_of of = {&plan->faults, fill->field, type, call->definition};
    rf_convert_fault found = rf_plan_faults_note(&of);
    rf_converted from;
    rf_status status = RF_OK;

    fill->payload = field->kind == RF_JSON || fill->compound || path->capped;
    if (!fill->payload && path->count == 1 && !path->columns[0].present &&
        field->present_offset == RF_NO_PRESENT) {
        status = rf_convert_column(field, &path->columns[0], &plan->scratch, &from, err);
        if (status == RF_OK && !from.faults) {
            add_move(call, &(rf_plan_move){.from = from.values,
                                           .codes = from.codes,
                                           .offset = field->offset,
                                           .size = (uint8_t)from.size,
                                           .by = RF_BY_ORDINAL});
            return RF_OK;
        }
    }
    fill->members = (rf_members){
        .count = input->segment->types[type].count,
        .begin = plan->types[type].events_before,
        .end = plan->type_end[type],
    };
    if (status == RF_OK)
        status = rf_convert_unset(field, &fill->members, &plan->scratch, err);
    for (uint32_t i = 0; status == RF_OK && !fill->payload && i < path->count; i++) {
        status = rf_convert_column(field, &path->columns[i], &plan->scratch, &from, err);
        if (status == RF_OK)
            rf_convert_scatter(field, &path->columns[i], &from, &fill->members, &found);
    }
    if (status == RF_OK && found.ordinal != UINT32_MAX)
        status = refuse(plan, input->segment, type, fill, &found, fault_out, err);
    if (status == RF_OK)
        add_members(call, field, &fill->members);
    return status;
}

/* One path of one type, for all fields that read it: fills [begin, end). */
static rf_status fill_path(rf_plan *plan, const rf_plan_input *input, uint32_t type, rf_fill *begin,
                           rf_fill *end, rf_plan_fault *fault_out, rf_err *err)
{
    path_columns path = {.count = 0};
    bool keeps_text = false;
    bool wants_columns = false;
    rf_status status = RF_OK;

    for (const rf_fill *fill = begin; fill < end; fill++) {
        wants_columns =
            wants_columns || !(fill->field->field.kind == RF_JSON || fill->compound);
        keeps_text = keeps_text || fill->field->field.kind == RF_TEXT;
    }
    if (wants_columns)
        status = rf_segment_field(input->segment, type, &begin->field->path, plan->codec,
                                  &plan->scratch, keeps_text ? input->text : &plan->scratch,
                                  path.columns, &path.count, &path.capped, &plan->bytes_decoded,
                                  err);
    for (rf_fill *fill = begin; status == RF_OK && fill < end; fill++)
        status = fill_field(plan, input, type, fill, &path, fault_out, err);
    return status;
}

/* Whether any field of the type reads data or metadata itself. */
static bool needs_payload(const rf_binding *binding, bool metadata)
{
    for (uint32_t i = 0; i < binding->fill_count; i++)
        if (binding->fills[i].payload && binding->fills[i].field->path.metadata == metadata)
            return true;
    return false;
}

static rf_status fill_from_payload(rf_plan *plan, const rf_plan_input *input, uint32_t type,
                                   uint32_t ordinal, const rf_json_node *const nodes[2],
                                   rf_plan_fault *fault_out, rf_err *err)
{
    const rf_binding *binding = plan->bindings[type];
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < binding->fill_count; i++) {
        const rf_fill *fill = &binding->fills[i];
        const rf_json_node *root = nodes[fill->field->path.metadata];
        if (!fill->payload || !root)
            continue;
        const rf_json_node *node = rf_payload_find(root, &fill->field->path);
        if (!node)
            continue;
        rf_plan_faults_of of = {&plan->faults, fill->field, type,
                                binding->calls[fill->call].definition};
        rf_convert_fault found = rf_plan_faults_note(&of);
        status = rf_payload_take(&fill->field->field, node, &fill->members, ordinal, input->text,
                                 &found, err);
        if (status == RF_OK && found.ordinal != UINT32_MAX)
            status = refuse(plan, input->segment, type, fill, &found, fault_out, err);
    }
    return status;
}

/* The fields of one type that no column gives, event by event. */
static rf_status fill_payloads(rf_plan *plan, const rf_plan_input *input, uint32_t type,
                               rf_plan_fault *fault_out, rf_err *err)
{
    bool wanted[2] = {needs_payload(plan->bindings[type], false),
                      needs_payload(plan->bindings[type], true)};
    uint32_t ordinal = plan->types[type].events_before;
    rf_status status = RF_OK;

    if (!wanted[0] && !wanted[1])
        return RF_OK;
    for (uint32_t i = input->begin; status == RF_OK && i < input->end; i++) {
        rf_slice raw[2];
        const rf_json_node *nodes[2] = {NULL, NULL};
        if (plan->event_types[i] != type)
            continue;
        rf_json_parser_reset(plan->json);
        status = rf_payload_read(plan->payloads, input->segment, i, &raw[0], &raw[1],
                                 &plan->bytes_decoded, err);
        for (int part = 0; status == RF_OK && part < 2; part++) {
            uint32_t node_count;
            if (wanted[part] && raw[part].data)
                status = rf_json_parse(plan->json, raw[part], &nodes[part], &node_count, err);
        }
        if (status == RF_OK)
            status = fill_from_payload(plan, input, type, ordinal++, nodes, fault_out, err);
    }
    return status;
}

static rf_status fill_type(rf_plan *plan, const rf_plan_input *input, uint32_t type,
                           rf_plan_fault *fault_out, rf_err *err)
{
    rf_binding *binding = plan->bindings[type];
    rf_status status = RF_OK;

    for (uint32_t c = 0; c < binding->call_count; c++) {
        const rf_definition_handler *handler = binding->calls[c].handler;
        for (uint32_t f = 0; status == RF_OK && f < handler->field_count; f++)
            status = move_member(plan, input, &binding->calls[c], &handler->fields[f].field, err);
    }
    for (uint32_t begin = 0, end; status == RF_OK && begin < binding->fill_count; begin = end) {
        rf_slice path = binding->fills[begin].field->path_text;
        for (end = begin + 1; end < binding->fill_count; end++)
            if (!rf_slice_equal(binding->fills[end].field->path_text, path))
                break;
        status = fill_path(plan, input, type, &binding->fills[begin], &binding->fills[end],
                           fault_out, err);
    }
    for (uint32_t c = 0; c < binding->call_count; c++)
        pad_words(&binding->calls[c]);
    return status == RF_OK ? fill_payloads(plan, input, type, fault_out, err) : status;
}

rf_status rf_plan_bind(rf_plan *plan, const rf_plan_input *input, rf_plan_segment *segment_out,
                       rf_plan_fault *fault_out, rf_err *err)
{
    const rf_segment *segment = input->segment;
    bool handled;

    RF_ASSERT(input->begin <= input->end && input->end <= segment->count);
    *fault_out = NO_FAULT;
    if (segment->count > RF_SEGMENT_EVENTS_MAX)
        return damaged(segment, "more events than a segment holds", err);
    rf_status status = bind_types(plan, segment, &handled, err);
    if (status != RF_OK)
        return status;
    if (!handled) {
        *segment_out = (rf_plan_segment){.types = plan->types};
        return RF_OK;
    }
    rf_arena_rewind(&plan->scratch);
    rf_plan_faults_begin(&plan->faults);
    status = read_events(plan, input, err);
    for (uint32_t t = 0; status == RF_OK && t < segment->type_count; t++)
        if (plan->bindings[t]->call_count > 0)
            status = fill_type(plan, input, t, fault_out, err);
    if (status == RF_OK)
        status = rf_plan_faults_settle(&plan->faults, plan->event_types, segment->count,
                                       segment->type_count, err);
    if (status != RF_OK)
        return status;
    *segment_out = (rf_plan_segment){
        .types = plan->types,
        .event_types = plan->event_types,
        .event_streams = plan->event_streams,
        .faults = plan->faults.list,
        .fault_count = plan->faults.count,
    };
    return RF_OK;
}
