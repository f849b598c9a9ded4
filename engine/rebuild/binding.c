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

    return order ? order : (a->call > b->call) - (a->call < b->call);
}

/* Whether a value of the type at the path may be one that columns do not hold. */
static bool may_be_compound(const rf_binder *binder, rf_slice type, rf_slice path)
{
    for (uint32_t i = 0; i < binder->census_count; i++) {
        const rf_census_type *entry = &binder->census[i];
        bool listed = false;
        if (!rf_slice_equal(entry->type, type))
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
    if (field->source == RF_EVENT_TYPE)
        memcpy(call->event + field->offset, &type, sizeof type);
    if (field->source != RF_PAYLOAD && field->source != RF_EVENT_TIME &&
        field->present_offset != RF_NO_PRESENT)
        *(bool *)(call->event + field->present_offset) = true;
}

/* The call's event struct, zeroed but for what is the same for all events of the type. */
static bool make_call(rf_binder *binder, const rf_definition_handler *handler, uint32_t definition,
                      rf_slice type, rf_plan_call *call)
{
    size_t event_size = handler->event_size + 8; /* see rf_plan_call */
    uint32_t words_max = rf_plan_words_max(handler->field_count);

    *call = (rf_plan_call){
        .fold = handler->fold,
        .definition = definition,
        .handler = handler,
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

static rf_binding *binding_make(rf_binder *binder, rf_slice name)
{
    rf_binding *binding = rf_arena_alloc(&binder->names, sizeof *binding);
    uint32_t call_count = 0;
    uint32_t fill_count = 0;

    if (!binding)
        return NULL;
    for (uint32_t d = 0; d < binder->definition_count; d++)
        for (uint32_t h = 0; h < binder->definitions[d]->handler_count; h++) {
            const rf_definition_handler *handler = &binder->definitions[d]->handlers[h];
            call_count += handles(handler, name);
            fill_count += handles(handler, name) ? handler->field_count : 0;
        }
    *binding = (rf_binding){.name = rf_arena_copy(&binder->names, name)};
    binding->calls = rf_arena_alloc(&binder->names, call_count * sizeof *binding->calls);
    binding->fills = rf_arena_alloc(&binder->names, fill_count * sizeof *binding->fills);
    if (!binding->name.data || !binding->calls || !binding->fills)
        return NULL;
    for (uint32_t d = 0; d < binder->definition_count; d++)
        for (uint32_t h = 0; h < binder->definitions[d]->handler_count; h++) {
            const rf_definition_handler *handler = &binder->definitions[d]->handlers[h];
            if (!handles(handler, name))
                continue;
            for (uint32_t f = 0; f < handler->field_count; f++)
                if (handler->fields[f].field.source == RF_PAYLOAD)
                    binding->fills[binding->fill_count++] = (rf_fill){
                        .call = binding->call_count,
                        .field = &handler->fields[f],
                        .compound = may_be_compound(binder, name, handler->fields[f].path_text),
                    };
            if (!make_call(binder, handler, d, binding->name, &binding->calls[binding->call_count]))
                return NULL;
            binding->call_count++;
        }
    if (binding->fill_count > 1)
        qsort(binding->fills, binding->fill_count, sizeof *binding->fills, compare_fills);
    return binding;
}

static rf_binding **slot_of(rf_binding **slots, size_t slot_count, rf_slice name)
{
    size_t at = rf_checksum(name) & (slot_count - 1);

    while (slots[at] && !rf_slice_equal(slots[at]->name, name))
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
            *slot_of(slots, slot_count, binder->slots[i]->name) = binder->slots[i];
    free(binder->slots);
    binder->slots = slots;
    binder->slot_count = slot_count;
    return true;
}

rf_binding *rf_binder_find(rf_binder *binder, rf_slice name)
{
    rf_binding **slot = slot_of(binder->slots, binder->slot_count, name);

    if (*slot)
        return *slot;
    if (2 * (binder->binding_count + 1) > binder->slot_count) {
        if (!slots_grow(binder))
            return NULL;
        slot = slot_of(binder->slots, binder->slot_count, name);
    }
    *slot = binding_make(binder, name);
    binder->binding_count += *slot != NULL;
    return *slot;
}
