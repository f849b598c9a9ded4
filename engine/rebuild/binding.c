/* See binding.h. */
#include "rebuild/binding.h"

#include <stdlib.h>

#define NAMES_BYTES_MAX ((size_t)256 << 20)

enum { SLOT_COUNT_MIN = 64 };

bool rf_binder_begin(rf_binder *binder, const rf_definition *const *definitions, uint32_t count,
                     const rf_census_type *census, uint32_t census_count)
{
    *binder = (rf_binder){
        .definitions = definitions,
        .definition_count = count,
        .census = census,
        .census_count = census_count,
        .slots = calloc(SLOT_COUNT_MIN, sizeof(rf_binding *)),
        .slot_count = SLOT_COUNT_MIN,
    };
    rf_arena_init(&binder->names, NAMES_BYTES_MAX);
    return binder->slots != NULL;
}

void rf_binder_end(rf_binder *binder)
{
    free(binder->slots);
    rf_arena_free(&binder->names);
}

static bool handles(const rf_definition_handler *handler, rf_slice type)
{
    return handler->every_type || rf_slice_equal(handler->type, type);
}

static int compare_fills(const void *left, const void *right)
{
    const rf_fill *a = left;
    const rf_fill *b = right;
    int order = rf_slice_compare(a->field->path_text, b->field->path_text);

    return order ? order : (a->order > b->order) - (a->order < b->order);
}

/* Whether a value of the type at the path may be one that columns do not hold. */
static bool may_be_compound(const rf_binder *binder, const rf_binding *binding, rf_slice path)
{
    for (uint32_t i = 0; i < binder->census_count; i++) {
        const rf_census_type *entry = &binder->census[i];
        bool listed = false;
        if (!rf_slice_equal(entry->type, binding->name) ||
            (binding->schema != 0 && entry->schema != binding->schema))
            continue;
        for (uint32_t k = 0; k < entry->field_count && !listed; k++) {
            const rf_census_field *field = &entry->fields[k];
            listed = rf_slice_equal(field->path, path);
            if (listed && field->counts[RF_CENSUS_ARRAY] + field->counts[RF_CENSUS_OBJECT] > 0)
                return true;
        }
        if (!listed && entry->capped)
            return true;
    }
    return false;
}

static void put_constant(rf_plan_call *call, const rf_field *field, rf_slice type)
{
    int64_t schema = call->schema;

    if (field->source == RF_EVENT_TYPE)
        memcpy(call->event + field->offset, &type, sizeof type);
    if (field->source == RF_EVENT_SCHEMA && schema != 0)
        memcpy(call->event + field->offset, &schema, sizeof schema);
    if (field->source != RF_PAYLOAD && field->source != RF_EVENT_TIME &&
        field->present_offset != RF_NO_PRESENT)
        *(bool *)(call->event + field->present_offset) = true;
}

/* The call's event struct, zeroed but for what is the same for all events of the type. `schema`: that
 * its events have there, or 0: the stored one. */
static bool make_call(rf_binder *binder, const rf_definition_handler *handler, uint32_t definition,
                      rf_slice type, int64_t schema, rf_plan_call *call)
{
    size_t event_size = handler->event_size + 8; /* see rf_plan_call */
    uint32_t words_max = rf_plan_words_max(handler->field_count);

    *call = (rf_plan_call){
        .fold = handler->fold,
        .definition = definition,
        .handler = handler,
        .schema = schema,
        .event = rf_arena_alloc(&binder->names, event_size),
        .words = rf_arena_alloc(&binder->names, words_max * sizeof *call->words),
        /* a value and its presence a field */
        .moves = rf_arena_alloc(&binder->names, 2 * handler->field_count * sizeof *call->moves),
    };
    if (!call->event || !call->words || !call->moves)
        return false;
    memset(call->event, 0, event_size);
    for (uint32_t f = 0; f < handler->field_count; f++)
        put_constant(call, &handler->fields[f].field, type);
    return true;
}

/* ---- evolution ---- */

/* One definition's view of a type's events. */
struct view {
    uint32_t definition;
    rf_slice type; /* today's name */
    rf_evolution_chain chain;
    rf_producer *producers; /* by step of the chain */
};

/* The schema of all events of the type; 0 where there are several, or none is known. */
static int64_t only_schema(const rf_binder *binder, rf_slice name)
{
    int64_t schema = 0;

    for (uint32_t i = 0; i < binder->census_count; i++) {
        if (!rf_slice_equal(binder->census[i].type, name))
            continue;
        if (schema != 0)
            return 0;
        schema = binder->census[i].schema;
    }
    return schema;
}

static bool view_begin(rf_binder *binder, const rf_binding *binding, uint32_t definition,
                       struct view *view)
{
    const rf_evolution *evolution = binder->definitions[definition]->evolution;

    *view = (struct view){.definition = definition,
                          .type = rf_evolution_type(evolution, binding->name)};
    view->type = rf_arena_copy(&binder->names, view->type);
    if (binding->schema != 0)
        view->chain = rf_evolution_chain_of(evolution, view->type, binding->schema);
    view->producers =
        rf_arena_alloc(&binder->names, view->chain.count * sizeof *view->producers);
    if (!view->producers || !view->type.data)
        return false;
    memset(view->producers, 0, view->chain.count * sizeof *view->producers);
    return true;
}

/* What the upcasters before `step` make of a field. */
static bool trace_fill(rf_binder *binder, const struct view *view, uint32_t step, rf_fill *fill)
{
    rf_definition_field *field = rf_arena_alloc(&binder->names, sizeof *field);
    rf_trace trace;

    /* the definition was checked: only memory can fail */
    if (!field || rf_trace_field(&view->chain, step, fill->field, &binder->names, &trace, NULL) !=
                      RF_OK)
        return false;
    *field = *fill->field;
    field->path = trace.path;
    field->path_text = trace.path_text;
    fill->field = field;
    fill->traced = !trace.stored || trace.layer_count > 0 ||
                   trace.fallback.value.kind != RF_ASSIGNED_NOT;
    fill->layers = trace.layers;
    fill->layer_count = trace.layer_count;
    fill->fallback = trace.fallback;
    fill->producers = view->producers;
    for (uint32_t i = 0; i < trace.layer_count; i++) {
        uint32_t needed = trace.layers[i].step;
        view->producers[needed].upcast = &view->chain.steps[needed];
        view->producers[needed].definition = view->definition;
    }
    return true;
}

/* The payload fields of a call, as events have them after `step` upcasters; `upcast` NULL: those of a
 * handler. */
static bool add_fills(rf_binder *binder, rf_binding *binding, const struct view *view,
                      uint32_t step, const rf_evolution_upcast *upcast, rf_plan_call *call,
                      rf_stage *stage)
{
    const rf_definition_handler *handler = call->handler;

    for (uint32_t f = 0; f < handler->field_count; f++) {
        rf_fill fill = {
            .call = call,
            .order = stage->fill_count,
            .field = &handler->fields[f],
            .origin = &handler->fields[f],
            .upcast = upcast,
        };
        if (handler->fields[f].field.source != RF_PAYLOAD)
            continue;
        if (step > 0 && !trace_fill(binder, view, step, &fill))
            return false;
        fill.compound = fill.field->path_text.data != NULL &&
                        may_be_compound(binder, binding, fill.field->path_text);
        binding->traced = binding->traced || fill.traced;
        stage->fills[stage->fill_count++] = fill;
    }
    return true;
}

static bool stage_begin(rf_binder *binder, uint32_t call_count, uint32_t field_count,
                        rf_stage *stage)
{
    *stage = (rf_stage){
        .calls = rf_arena_alloc(&binder->names, call_count * sizeof *stage->calls),
        .fills = rf_arena_alloc(&binder->names, field_count * sizeof *stage->fills),
    };
    return stage->calls && stage->fills;
}

static void stage_end(rf_stage *stage)
{
    if (stage->fill_count > 1)
        qsort(stage->fills, stage->fill_count, sizeof *stage->fills, compare_fills);
}

/* The stages of the upcasters whose values are needed, from the last to the first, in front of
 * *first. */
static bool add_producers(rf_binder *binder, rf_binding *binding, const struct view *view,
                          rf_stage **first)
{
    for (uint32_t step = view->chain.count; step > 0; step--) {
        rf_producer *producer = &view->producers[step - 1];
        const rf_evolution_upcast *upcast = producer->upcast;
        if (!upcast)
            continue;
        rf_stage *stage = --*first;
        producer->assigned = rf_arena_alloc(
            &binder->names, upcast->assigned_count * sizeof(rf_assigned *));
        if (!producer->assigned ||
            !stage_begin(binder, 1, upcast->input.field_count, stage) ||
            !make_call(binder, &upcast->input, view->definition, view->type, upcast->schema,
                       &stage->calls[stage->call_count++]) ||
            !add_fills(binder, binding, view, step - 1, upcast, &stage->calls[0], stage))
            return false;
        stage->producer = producer;
        stage_end(stage);
    }
    return true;
}

/* Notes that events of this schema cannot be taken, if a handler reads their payload. */
static bool note_refusal(rf_binder *binder, rf_binding *binding, const struct view *view)
{
    const rf_definition *definition = binder->definitions[view->definition];
    int64_t current = rf_evolution_current(definition->evolution, view->type);
    bool reads = false;
    rf_buf text;

    for (uint32_t h = 0; h < definition->handler_count; h++)
        reads = reads || (handles(&definition->handlers[h], view->type) &&
                          rf_definition_reads_payload(&definition->handlers[h]));
    if (!view->chain.broken || !reads || binding->refusal)
        return true;
    rf_buf_init(&text, 1024);
    if (view->chain.schema > current)
        rf_buf_append_format(&text, "its schema %lld is above %lld, the current one of %.*s",
                             (long long)binding->schema, (long long)current, (int)view->type.size,
                             view->type.data);
    else
        rf_buf_append_format(&text, "schema %lld of %.*s has no upcaster",
                             (long long)view->chain.schema, (int)view->type.size, view->type.data);
    binding->refusal =
        text.failed ? NULL : rf_arena_copy(&binder->names, rf_buf_slice(&text)).data;
    binding->refusal_definition = view->definition;
    rf_buf_free(&text);
    return binding->refusal != NULL;
}

/* ---- bindings ---- */

/* What the handlers of the type have, of all definitions; and whether schemas matter. */
static void measure(const rf_binder *binder, rf_binding *binding, uint32_t *call_count,
                    uint32_t *field_count)
{
    bool matters = false;

    *call_count = *field_count = 0;
    for (uint32_t d = 0; d < binder->definition_count; d++) {
        const rf_definition *definition = binder->definitions[d];
        rf_slice type = rf_evolution_type(definition->evolution, binding->name);
        uint32_t calls_before = *call_count;
        for (uint32_t h = 0; h < definition->handler_count; h++) {
            if (!handles(&definition->handlers[h], type))
                continue;
            ++*call_count;
            *field_count += definition->handlers[h].field_count;
        }
        matters = matters || (*call_count > calls_before &&
                              rf_evolution_current(definition->evolution, type) != 0);
    }
    binding->handled = *call_count > 0;
    if (matters && binding->schema == 0)
        binding->schema = only_schema(binder, binding->name);
    binding->by_schema = matters && binding->schema == 0;
    binding->evolved = matters;
}

static bool add_handlers(rf_binder *binder, rf_binding *binding, const struct view *view,
                         rf_stage *stage)
{
    const rf_definition *definition = binder->definitions[view->definition];
    int64_t schema = view->chain.count > 0 ? view->chain.schema : 0;

    for (uint32_t h = 0; h < definition->handler_count; h++) {
        if (!handles(&definition->handlers[h], view->type))
            continue;
        rf_plan_call *call = &stage->calls[stage->call_count++];
        if (!make_call(binder, &definition->handlers[h], view->definition, view->type, schema,
                       call) ||
            !add_fills(binder, binding, view, view->chain.count, NULL, call, stage))
            return false;
    }
    return true;
}

static bool fill_stages(rf_binder *binder, rf_binding *binding, uint32_t call_count,
                        uint32_t field_count)
{
    uint32_t count = 1;
    struct view *views =
        rf_arena_alloc(&binder->names, binder->definition_count * sizeof *views);

    if (!views)
        return false;
    for (uint32_t d = 0; d < binder->definition_count; d++) {
        if (!view_begin(binder, binding, d, &views[d]) ||
            !note_refusal(binder, binding, &views[d]))
            return false;
        count += views[d].chain.count;
    }
    rf_stage *stages = rf_arena_alloc(&binder->names, count * sizeof *stages);
    rf_stage *last = stages ? &stages[count - 1] : NULL;
    if (!last || !stage_begin(binder, call_count, field_count, last))
        return false;
    for (uint32_t d = 0; d < binder->definition_count; d++)
        if (!add_handlers(binder, binding, &views[d], last))
            return false;
    stage_end(last);
    rf_stage *first = last;
    for (uint32_t d = 0; d < binder->definition_count; d++)
        if (!add_producers(binder, binding, &views[d], &first))
            return false;
    binding->stages = first;
    binding->stage_count = (uint32_t)(last + 1 - first);
    binding->calls = last->calls;
    binding->call_count = last->call_count;
    return true;
}

static rf_binding *binding_make(rf_binder *binder, rf_slice name, int64_t schema)
{
    rf_binding *binding = rf_arena_alloc(&binder->names, sizeof *binding);
    uint32_t call_count, field_count;

    if (!binding)
        return NULL;
    *binding = (rf_binding){.name = rf_arena_copy(&binder->names, name), .schema = schema};
    if (!binding->name.data)
        return NULL;
    measure(binder, binding, &call_count, &field_count);
    if (binding->handled && !binding->by_schema &&
        !fill_stages(binder, binding, call_count, field_count))
        return NULL;
    binding->asked = schema;
    return binding;
}

static rf_binding **slot_of(rf_binding **slots, size_t slot_count, rf_slice name, int64_t asked)
{
    size_t at = (rf_checksum(name) + (uint64_t)asked) & (slot_count - 1);

    while (slots[at] && (slots[at]->asked != asked || !rf_slice_equal(slots[at]->name, name)))
        at = (at + 1) & (slot_count - 1);
    return &slots[at];
}

static bool slots_grow(rf_binder *binder)
{
    size_t slot_count = binder->slot_count * 2;
    rf_binding **slots = calloc(slot_count, sizeof *slots);

    if (!slots)
        return false;
    for (size_t i = 0; i < binder->slot_count; i++)
        if (binder->slots[i])
            *slot_of(slots, slot_count, binder->slots[i]->name, binder->slots[i]->asked) =
                binder->slots[i];
    free(binder->slots);
    binder->slots = slots;
    binder->slot_count = slot_count;
    return true;
}

rf_binding *rf_binder_find(rf_binder *binder, rf_slice name, int64_t schema)
{
    rf_binding **slot = slot_of(binder->slots, binder->slot_count, name, schema);

    if (*slot)
        return *slot;
    if (2 * (binder->binding_count + 1) > binder->slot_count) {
        if (!slots_grow(binder))
            return NULL;
        slot = slot_of(binder->slots, binder->slot_count, name, schema);
    }
    *slot = binding_make(binder, name, schema);
    binder->binding_count += *slot != NULL;
    return *slot;
}
