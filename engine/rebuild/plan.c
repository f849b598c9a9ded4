/* See plan.h.
 *
 * A bind goes: types of the segment -> bindings (remembered by name) -> envelope columns -> order
 * of events by type -> event structs, zeroed -> members of the event itself -> per type: columns,
 * one path at a time, then payloads if any field needs them.
 */
#include "rebuild/plan.h"

#include "rebuild/binding.h"
#include "rebuild/convert.h"
#include "rebuild/payload.h"

#include <stdlib.h>

#define SCRATCH_BYTES_MAX ((size_t)4 << 30) /* columns of one path */
#define NO_FAULT                                                                                   \
    (rf_plan_fault)                                                                                \
    {                                                                                              \
        UINT32_MAX, 0                                                                              \
    }

struct rf_plan {
    /* fixed after new */
    bool reads_stream;
    rf_binder binder;
    /* of the segment at hand; buffers grow and stay */
    int64_t *envelope[RF_ENVELOPE_COUNT];
    bool envelope_read[RF_ENVELOPE_COUNT];
    uint32_t *event_types;
    uint32_t *events_by_type; /* indexes of events, type after type */
    rf_plan_type *types;
    rf_binding **bindings; /* by type */
    uint32_t *type_first;  /* into events_by_type; one more than types */
    uint32_t type_capacity;
    char *structs;
    size_t structs_capacity;
    rf_arena scratch;
    rf_codec *codec;
    rf_payload_reader *payloads;
    rf_json_parser *json;
    uint64_t bytes_decoded;
};

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
    plan->events_by_type = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *plan->events_by_type);
    bool made = rf_binder_begin(&plan->binder, definitions, count, census, census_count);
    made = made && plan->codec && plan->payloads && plan->json && plan->event_types &&
           plan->events_by_type;
    for (int i = 0; made && i < RF_ENVELOPE_COUNT; i++) {
        plan->envelope[i] = malloc(RF_SEGMENT_EVENTS_MAX * sizeof(int64_t));
        made = plan->envelope[i] != NULL;
    }
    if (!made) {
        rf_plan_free(plan);
        return NULL;
    }
    for (uint32_t d = 0; d < count; d++)
        for (uint32_t h = 0; h < definitions[d]->handler_count; h++)
            for (uint32_t f = 0; f < definitions[d]->handlers[h].field_count; f++) {
                rf_field_source source = definitions[d]->handlers[h].fields[f].field.source;
                plan->reads_stream =
                    plan->reads_stream || source == RF_EVENT_STREAM || source == RF_EVENT_CATEGORY;
            }
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
    free(plan->events_by_type);
    free(plan->types);
    free(plan->bindings);
    free(plan->type_first);
    free(plan->structs);
    rf_arena_free(&plan->scratch);
    rf_codec_free(plan->codec);
    rf_payload_reader_free(plan->payloads);
    rf_json_parser_free(plan->json);
    free(plan);
}

bool rf_plan_reads_stream(const rf_plan *plan)
{
    return plan->reads_stream;
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
    free(plan->type_first);
    plan->types = malloc(count * sizeof *plan->types);
    plan->bindings = malloc(count * sizeof(rf_binding *));
    plan->type_first = malloc((count + 1) * sizeof *plan->type_first);
    plan->type_capacity = plan->types && plan->bindings && plan->type_first ? count : 0;
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

/* ---- envelope ---- */

static rf_status read_envelope(rf_plan *plan, const rf_segment *segment, rf_envelope column,
                               rf_err *err)
{
    if (plan->envelope_read[column])
        return RF_OK;
    rf_status status =
        rf_segment_envelope(segment, column, plan->envelope[column], &plan->bytes_decoded, err);
    plan->envelope_read[column] = status == RF_OK;
    return status;
}

static rf_status damaged(const rf_segment *segment, const char *what, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED, "segment of partition %u at position %llu: %s",
                   segment->partition, (unsigned long long)segment->first_position, what);
}

/* Checks types and stream numbers, and sorts the events by type. */
static rf_status order_events(rf_plan *plan, const rf_plan_input *input, rf_err *err)
{
    const rf_segment *segment = input->segment;
    const int64_t *types = plan->envelope[RF_ENVELOPE_TYPE];
    const int64_t *streams = plan->envelope[RF_ENVELOPE_STREAM];
    uint32_t *first = plan->type_first;
    uint64_t stream_max = 0;

    first[0] = 0;
    for (uint32_t t = 0; t < segment->type_count; t++)
        first[t + 1] = first[t] + segment->types[t].count;
    if (first[segment->type_count] != segment->count)
        return damaged(segment, "the counts of its types do not add up", err);
    for (uint32_t i = input->begin; i < input->end; i++)
        stream_max = (uint64_t)streams[i] > stream_max ? (uint64_t)streams[i] : stream_max;
    if (input->begin < input->end && stream_max >= input->stream_count)
        return damaged(segment, "a stream number that the partition has not given", err);
    for (uint32_t i = 0; i < segment->count; i++) {
        if ((uint64_t)types[i] >= segment->type_count)
            return damaged(segment, "a type that it does not list", err);
        uint32_t type = (uint32_t)types[i];
        plan->event_types[i] = type;
        /* `first` runs through its type's events here, and is put back below */
        if (first[type] >= segment->count)
            return damaged(segment, "the counts of its types do not hold", err);
        plan->events_by_type[first[type]++] = i;
        plan->types[type].events_before += i < input->begin;
    }
    for (uint32_t t = segment->type_count; t > 0; t--)
        first[t] = first[t - 1];
    first[0] = 0;
    for (uint32_t t = 0; t < segment->type_count; t++)
        if (first[t + 1] - first[t] != segment->types[t].count)
            return damaged(segment, "the counts of its types do not hold", err);
    return RF_OK;
}

static rf_status read_envelopes(rf_plan *plan, const rf_plan_input *input, rf_err *err)
{
    static const rf_envelope columns[] = {
        [RF_EVENT_VERSION] = RF_ENVELOPE_VERSION,
        [RF_EVENT_SCHEMA] = RF_ENVELOPE_SCHEMA,
        [RF_EVENT_POSITION] = RF_ENVELOPE_POSITION,
        [RF_EVENT_TIME] = RF_ENVELOPE_TIME,
    };
    const rf_segment *segment = input->segment;

    memset(plan->envelope_read, 0, sizeof plan->envelope_read);
    rf_status status = read_envelope(plan, segment, RF_ENVELOPE_TYPE, err);
    if (status == RF_OK)
        status = read_envelope(plan, segment, RF_ENVELOPE_STREAM, err);
    for (uint32_t t = 0; status == RF_OK && t < segment->type_count; t++)
        for (uint32_t c = 0; c < plan->types[t].call_count; c++) {
            const rf_definition_handler *handler = plan->types[t].calls[c].handler;
            for (uint32_t f = 0; status == RF_OK && f < handler->field_count; f++) {
                rf_field_source source = handler->fields[f].field.source;
                if (source >= RF_EVENT_VERSION && source <= RF_EVENT_TIME)
                    status = read_envelope(plan, segment, columns[source], err);
            }
        }
    return status;
}

static rf_slice category_of(rf_slice stream)
{
    const char *end = memchr(stream.data, '-', stream.size);
    return end ? (rf_slice){stream.data, (size_t)(end - stream.data)} : stream;
}

static rf_event_array event_array(const rf_plan *plan, const rf_plan_input *input, uint32_t type,
                                  uint32_t call)
{
    const uint32_t *events = plan->events_by_type + plan->type_first[type];
    const rf_plan_call *bound = &plan->bindings[type]->calls[call];
    uint32_t count = plan->type_first[type + 1] - plan->type_first[type];
    uint32_t begin = plan->types[type].events_before;
    uint32_t end = count;

    while (end > begin && events[end - 1] >= input->end)
        end--;
    return (rf_event_array){
        .structs = plan->structs + (bound->structs - plan->structs),
        .stride = bound->event_size,
        .count = count,
        .begin = begin,
        .end = end,
    };
}

static void fill_ints(const int64_t *values, const uint32_t *order, const rf_event_array *events,
                      uint32_t offset)
{
    char *to = events->structs + offset;

    for (uint32_t i = 0; i < events->count; i++, to += events->stride)
        memcpy(to, &values[order[i]], sizeof *values);
}

/* Names of streams, or categories, of the events in range. */
static void fill_names(const rf_plan *plan, const rf_plan_input *input, const uint32_t *order,
                       const rf_event_array *events, const rf_field *field)
{
    RF_ASSERT(input->streams);
    for (uint32_t i = events->begin; i < events->end; i++) {
        rf_slice name = input->streams[plan->envelope[RF_ENVELOPE_STREAM][order[i]]];
        if (field->source == RF_EVENT_CATEGORY)
            name = category_of(name);
        memcpy(rf_event_member(events, i, field->offset), &name, sizeof name);
    }
}

/* A field that is a member of the event itself. */
static void fill_member(const rf_plan *plan, const rf_plan_input *input, uint32_t type,
                        const rf_event_array *events, const rf_field *field)
{
    const uint32_t *order = plan->events_by_type + plan->type_first[type];
    rf_slice name = plan->types[type].name;
    char *to = events->structs + field->offset;

    switch (field->source) {
    case RF_EVENT_STREAM:
    case RF_EVENT_CATEGORY:
        fill_names(plan, input, order, events, field);
        break;
    case RF_EVENT_TYPE:
        for (uint32_t i = 0; i < events->count; i++, to += events->stride)
            memcpy(to, &name, sizeof name);
        break;
    case RF_EVENT_VERSION:
        fill_ints(plan->envelope[RF_ENVELOPE_VERSION], order, events, field->offset);
        break;
    case RF_EVENT_SCHEMA:
        fill_ints(plan->envelope[RF_ENVELOPE_SCHEMA], order, events, field->offset);
        break;
    case RF_EVENT_POSITION:
        fill_ints(plan->envelope[RF_ENVELOPE_POSITION], order, events, field->offset);
        break;
    case RF_EVENT_TIME:
        fill_ints(plan->envelope[RF_ENVELOPE_TIME], order, events, field->offset);
        break;
    case RF_PAYLOAD:
        return;
    }
    if (field->present_offset == RF_NO_PRESENT)
        return;
    for (uint32_t i = 0; i < events->count; i++)
        *(bool *)rf_event_member(events, i, field->present_offset) =
            field->source != RF_EVENT_TIME ||
            plan->envelope[RF_ENVELOPE_TIME][order[i]] != RF_TIME_NONE;
}

/* ---- structs ---- */

/* Zeroed structs for all calls of all types. */
static rf_status place_structs(rf_plan *plan, const rf_segment *segment, rf_err *err)
{
    size_t size = 16; /* so that there is a place even for handlers without fields */

    for (uint32_t t = 0; t < segment->type_count; t++)
        for (uint32_t c = 0; c < plan->bindings[t]->call_count; c++)
            size += (size_t)segment->types[t].count * plan->bindings[t]->calls[c].event_size + 16;
    if (size > plan->structs_capacity) {
        free(plan->structs);
        plan->structs = malloc(size);
        plan->structs_capacity = plan->structs ? size : 0;
        if (!plan->structs)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for the fields of events: %zu bytes",
                           size);
    }
    memset(plan->structs, 0, size);
    char *at = plan->structs;
    for (uint32_t t = 0; t < segment->type_count; t++)
        for (uint32_t c = 0; c < plan->bindings[t]->call_count; c++) {
            rf_plan_call *call = &plan->bindings[t]->calls[c];
            call->structs = at;
            at += ((size_t)segment->types[t].count * call->event_size + 15) & ~(size_t)15;
        }
    RF_ASSERT(at <= plan->structs + size);
    return RF_OK;
}

static rf_status refuse(const rf_plan *plan, uint32_t type, const rf_fill *fill,
                        const rf_convert_fault *found, rf_plan_fault *fault_out, rf_err *err)
{
    fault_out->event = plan->events_by_type[plan->type_first[type] + found->ordinal];
    fault_out->definition = plan->bindings[type]->calls[fill->call].definition;
    return rf_convert_refuse(fill->field, found, err);
}

/* One path of one type, for all fields that read it: fills [begin, end). */
static rf_status fill_path(rf_plan *plan, const rf_plan_input *input, uint32_t type, rf_fill *begin,
                           rf_fill *end, rf_plan_fault *fault_out, rf_err *err)
{
    rf_field_column columns[5];
    uint32_t column_count = 0;
    bool capped = false;
    bool keeps_text = false;
    bool wants_columns = false;

    for (rf_fill *fill = begin; fill < end; fill++) {
        fill->payload = fill->field->field.kind == RF_JSON || fill->compound;
        wants_columns = wants_columns || !fill->payload;
        keeps_text = keeps_text || fill->field->field.kind == RF_TEXT;
    }
    if (!wants_columns) {
        for (rf_fill *fill = begin; fill < end; fill++) {
            rf_event_array events = event_array(plan, input, type, fill->call);
            rf_convert_unset(&fill->field->field, &events);
        }
        return RF_OK;
    }
    rf_arena_rewind(&plan->scratch);
    rf_status status = rf_segment_field(input->segment, type, &begin->field->path, plan->codec,
                                        keeps_text ? input->text : &plan->scratch, columns,
                                        &column_count, &capped, &plan->bytes_decoded, err);
    for (rf_fill *fill = begin; status == RF_OK && fill < end; fill++) {
        rf_event_array events = event_array(plan, input, type, fill->call);
        rf_convert_fault found = {.ordinal = UINT32_MAX};
        uint32_t present = 0;
        for (uint32_t i = 0; i < column_count; i++)
            present += columns[i].present_count;
        fill->payload = fill->payload || capped;
        if (present < events.count || fill->payload)
            rf_convert_unset(&fill->field->field, &events);
        if (fill->payload)
            continue;
        for (uint32_t i = 0; status == RF_OK && i < column_count; i++)
            status = rf_convert_column(&fill->field->field, &columns[i], &events, &plan->scratch,
                                       &found, err);
        if (status == RF_OK && found.ordinal != UINT32_MAX)
            status = refuse(plan, type, fill, &found, fault_out, err);
    }
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
        rf_event_array events = event_array(plan, input, type, fill->call);
        rf_convert_fault found = {.ordinal = UINT32_MAX};
        status =
            rf_payload_take(&fill->field->field, node, &events, ordinal, input->text, &found, err);
        if (status == RF_OK && found.ordinal != UINT32_MAX)
            status = refuse(plan, type, fill, &found, fault_out, err);
    }
    return status;
}

/* The fields of one type that no column gives, event by event. */
static rf_status fill_payloads(rf_plan *plan, const rf_plan_input *input, uint32_t type,
                               rf_plan_fault *fault_out, rf_err *err)
{
    const uint32_t *order = plan->events_by_type + plan->type_first[type];
    bool wanted[2] = {needs_payload(plan->bindings[type], false),
                      needs_payload(plan->bindings[type], true)};
    rf_status status = RF_OK;

    if (!wanted[0] && !wanted[1])
        return RF_OK;
    rf_event_array range = event_array(plan, input, type, 0);
    for (uint32_t i = range.begin; status == RF_OK && i < range.end; i++) {
        rf_slice raw[2];
        const rf_json_node *nodes[2] = {NULL, NULL};
        rf_json_parser_reset(plan->json);
        status = rf_payload_read(plan->payloads, input->segment, order[i], &raw[0], &raw[1],
                                 &plan->bytes_decoded, err);
        for (int part = 0; status == RF_OK && part < 2; part++) {
            uint32_t node_count;
            if (wanted[part] && raw[part].data)
                status = rf_json_parse(plan->json, raw[part], &nodes[part], &node_count, err);
        }
        if (status == RF_OK)
            status = fill_from_payload(plan, input, type, i, nodes, fault_out, err);
    }
    return status;
}

static rf_status fill_type(rf_plan *plan, const rf_plan_input *input, uint32_t type,
                           rf_plan_fault *fault_out, rf_err *err)
{
    rf_binding *binding = plan->bindings[type];
    rf_status status = RF_OK;

    for (uint32_t c = 0; c < binding->call_count; c++) {
        rf_event_array events = event_array(plan, input, type, c);
        const rf_definition_handler *handler = binding->calls[c].handler;
        for (uint32_t f = 0; f < handler->field_count; f++)
            fill_member(plan, input, type, &events, &handler->fields[f].field);
    }
    for (uint32_t begin = 0, end; status == RF_OK && begin < binding->fill_count; begin = end) {
        rf_slice path = binding->fills[begin].field->path_text;
        for (end = begin + 1; end < binding->fill_count; end++)
            if (!rf_slice_equal(binding->fills[end].field->path_text, path))
                break;
        status = fill_path(plan, input, type, &binding->fills[begin], &binding->fills[end],
                           fault_out, err);
    }
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
    status = read_envelopes(plan, input, err);
    if (status == RF_OK)
        status = order_events(plan, input, err);
    if (status == RF_OK)
        status = place_structs(plan, segment, err);
    for (uint32_t t = 0; status == RF_OK && t < segment->type_count; t++)
        if (plan->bindings[t]->call_count > 0)
            status = fill_type(plan, input, t, fault_out, err);
    if (status != RF_OK)
        return status;
    *segment_out = (rf_plan_segment){
        .types = plan->types,
        .event_types = plan->event_types,
        .event_streams = plan->envelope[RF_ENVELOPE_STREAM],
    };
    return RF_OK;
}
