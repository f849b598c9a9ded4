/* See keying.h. */
#include "rebuild/keying.h"

#include "rebuild/convert.h"

#include <stdlib.h>

#define ARENA_BYTES_MAX ((size_t)64 << 20)

/* A derived handler that is being put together. */
struct making {
    rf_keying *keying;
    rf_definition_field *fields;
    uint32_t field_count;
    rf_keying_carried *carried;
    uint32_t carried_count;
    uint32_t size; /* of the struct so far */
    uint64_t mark; /* of the fields that follow */
};

static rf_status no_memory(const rf_definition *definition, rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for its keys", definition->name);
}

/* The slot of a carry's name; its kind is that of all carries of the name. */
static uint32_t slot_of(const rf_definition *definition, rf_slice name)
{
    uint32_t slot = 0;

    for (uint32_t i = 0; i < definition->carry_count; i++) {
        bool repeated = false;
        if (rf_slice_equal(definition->carries[i].name, name))
            return slot;
        for (uint32_t k = 0; k < i; k++)
            repeated = repeated || rf_slice_equal(definition->carries[k].name,
                                                  definition->carries[i].name);
        slot += !repeated;
    }
    RF_ASSERT(false && "the definition was checked");
    return 0;
}

static void take_slots(rf_keying *keying, rf_carried_slot *slots)
{
    const rf_definition *definition = keying->definition;

    for (uint32_t i = 0; i < definition->carry_count; i++) {
        uint32_t slot = slot_of(definition, definition->carries[i].name);
        keying->slot_count = slot >= keying->slot_count ? slot + 1 : keying->slot_count;
        slots[slot] = (rf_carried_slot){definition->carries[i].field.field.kind, false};
    }
    keying->slots = slots;
}

static uint32_t reserve(struct making *making, uint32_t size)
{
    uint32_t offset = (making->size + 7u) & ~7u;

    making->size = offset + size;
    return offset;
}

/* A field whose place is `offset` bytes behind that of `field`: filled by the plan or, if it is
 * carried, afterwards. */
static void add_field(struct making *making, const rf_definition_field *field, uint32_t offset)
{
    rf_definition_field moved = *field;

    moved.marks = making->mark;
    moved.field.offset += offset;
    if (moved.field.present_offset != RF_NO_PRESENT)
        moved.field.present_offset += offset;
    if (moved.field.source != RF_CARRIED) {
        making->fields[making->field_count++] = moved;
        return;
    }
    making->carried[making->carried_count++] = (rf_keying_carried){
        .slot = slot_of(making->keying->definition, moved.path_text),
        .offset = moved.field.offset,
        .present_offset = moved.field.present_offset,
        .size = (uint32_t)rf_kind_size(moved.field.kind),
    };
}

/* Whether a value of the kind says itself that it is unset. */
static bool tells_unset(rf_kind kind)
{
    return kind == RF_TEXT || kind == RF_JSON || kind == RF_TIME || kind == RF_DATE;
}

/* Puts a field into the struct, at a place of its own. */
static rf_keying_part add_part(struct making *making, const rf_definition_field *field)
{
    rf_definition_field placed = *field;

    placed.field.offset = reserve(making, (uint32_t)rf_kind_size(field->field.kind));
    placed.field.present_offset =
        tells_unset(field->field.kind) ? RF_NO_PRESENT : reserve(making, sizeof(bool));
    add_field(making, &placed, 0);
    return (rf_keying_part){field->field.kind, field->field.scale, placed.field.offset,
                            placed.field.present_offset};
}

static rf_status begin_making(struct making *making, rf_keying *keying, uint32_t field_max,
                              rf_err *err)
{
    *making = (struct making){
        .keying = keying,
        .fields = rf_arena_alloc(&keying->arena, field_max * sizeof(rf_definition_field)),
        .carried = rf_arena_alloc(&keying->arena, field_max * sizeof(rf_keying_carried)),
    };
    return making->fields && making->carried ? RF_OK : no_memory(keying->definition, err);
}

static rf_status make_key(struct making *making, const rf_definition_key *key,
                          rf_keying_handler *out, rf_err *err)
{
    static const rf_definition_field stream = {
        .field = {.source = RF_EVENT_STREAM, .kind = RF_TEXT, .present_offset = RF_NO_PRESENT}};
    uint32_t count = key ? key->part_count : 1;
    rf_keying_part *parts = rf_arena_alloc(&making->keying->arena, count * sizeof *parts);

    if (!parts)
        return no_memory(making->keying->definition, err);
    if (key && key->compute) {
        out->computed = key;
        out->computed_offset = reserve(making, (key->event_size + 7u) & ~7u);
        for (uint32_t i = 0; i < key->field_count; i++)
            add_field(making, &key->fields[i], out->computed_offset);
        for (uint32_t i = 0; i < count; i++)
            parts[i] = (rf_keying_part){key->parts[i].field.kind, key->parts[i].field.scale,
                                        key->parts[i].field.offset, RF_NO_PRESENT};
    } else {
        memset(parts, 0, count * sizeof *parts);
        /* for every row of a stream that is all the event has to tell */
        for (uint32_t i = 0; i < (out->every_row ? 1 : count); i++)
            parts[i] = add_part(making, key ? &key->parts[i] : &stream);
        out->is_text = count == 1 && parts[0].kind == RF_TEXT;
        if (out->is_text && making->field_count > 0) /* a handler's fields are before it */
            making->fields[making->field_count - 1].as_numbers =
                making->fields[making->field_count - 1].field.offset == parts[0].offset;
        if (out->is_text && key && key->parts[0].field.source == RF_CARRIED) {
            out->text_slot = slot_of(making->keying->definition, key->parts[0].path_text);
            making->carried_count--; /* it is taken from where it is carried */
        }
    }
    out->parts = parts;
    out->part_count = count;
    return RF_OK;
}

static rf_status make_handler(rf_keying *keying, const rf_definition_handler *handler,
                              rf_definition_handler *derived, rf_keying_handler *out, rf_err *err)
{
    const rf_definition_key *key = handler->key;
    uint32_t key_fields = !key ? 1 : key->compute ? key->field_count : key->part_count;
    struct making making;

    rf_status status = begin_making(&making, keying, handler->field_count + key_fields, err);
    if (status != RF_OK)
        return status;
    *out = (rf_keying_handler){
        .handler = handler,
        .event_size = handler->event_size,
        .text_slot = UINT32_MAX,
        .every_row = handler->every_row,
    };
    making.size = handler->event_size;
    for (uint32_t i = 0; i < handler->field_count; i++)
        add_field(&making, &handler->fields[i], 0);
    making.mark = rf_keying_mark((uint32_t)(out - keying->handlers));
    status = make_key(&making, key, out, err);
    out->carried = making.carried;
    out->carried_count = making.carried_count;
    *derived = *handler;
    derived->key = NULL;
    derived->event_size = (making.size + 7u) & ~7u;
    derived->fields = making.fields;
    derived->field_count = making.field_count;
    return status;
}

static rf_fold_result never_called(rf_fold *fold, void *row, const void *event)
{
    (void)row;
    (void)event;
    fold->fail(fold, "a carry is no handler");
    return RF_FOLD_FAILED;
}

static rf_status make_carry(rf_keying *keying, const rf_definition_carry *carry,
                            rf_definition_handler *derived, rf_keying_handler *out, rf_err *err)
{
    struct making making;

    rf_status status = begin_making(&making, keying, 1, err);
    if (status != RF_OK)
        return status;
    making.mark = UINT64_MAX;
    *out = (rf_keying_handler){
        .slot = slot_of(keying->definition, carry->name),
        .value = add_part(&making, &carry->field),
        .text_slot = UINT32_MAX,
    };
    if (making.field_count > 0)
        making.fields[0].as_numbers = keying->slots[out->slot].is_place;
    *derived = (rf_definition_handler){
        .type = carry->type,
        .every_type = rf_slice_equal(carry->type, RF_SLICE("*")),
        .fold = never_called,
        .event_size = (making.size + 7u) & ~7u,
        .field_count = making.field_count,
        .fields = making.fields,
    };
    return RF_OK;
}

/* Slots whose texts no handler reads: as keys they lead to places, which are kept instead. */
static void find_places(rf_keying *keying, rf_carried_slot *slots, rf_keying_handler *handlers,
                        uint32_t count)
{
    for (uint32_t slot = 0; slot < keying->slot_count; slot++)
        slots[slot].is_place = slots[slot].kind == RF_TEXT;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t c = 0; c < handlers[i].carried_count; c++)
            slots[handlers[i].carried[c].slot].is_place = false;
    for (uint32_t i = 0; i < count; i++)
        handlers[i].from_place =
            handlers[i].text_slot != UINT32_MAX && slots[handlers[i].text_slot].is_place;
}

rf_status rf_keying_begin(rf_keying *keying, const rf_definition *definition, rf_err *err)
{
    uint32_t carries = definition->carry_count;
    uint32_t count = carries + definition->handler_count;

    *keying = (rf_keying){.definition = definition, .derived = *definition};
    rf_arena_init(&keying->arena, ARENA_BYTES_MAX);
    rf_definition_handler *derived = rf_arena_alloc(&keying->arena, count * sizeof *derived);
    rf_keying_handler *handlers = rf_arena_alloc(&keying->arena, (count + 1) * sizeof *handlers);
    rf_carried_slot *slots =
        rf_arena_alloc(&keying->arena, definition->carry_count * sizeof *slots);
    if (!derived || !handlers || !slots)
        return no_memory(definition, err);
    handlers[count] = (rf_keying_handler){.text_slot = UINT32_MAX};
    keying->handlers = handlers;
    take_slots(keying, slots);
    rf_status status = RF_OK;
    for (uint32_t i = carries; status == RF_OK && i < count; i++) {
        status = make_handler(keying, &definition->handlers[i - carries], &derived[i],
                              &handlers[i], err);
        keying->has_every_row = keying->has_every_row || handlers[i].every_row;
    }
    if (status == RF_OK)
        find_places(keying, slots, handlers + carries, definition->handler_count);
    for (uint32_t i = 0; status == RF_OK && i < carries; i++)
        status = make_carry(keying, &definition->carries[i], &derived[i], &handlers[i], err);
    keying->derived.handlers = derived;
    keying->derived.handler_count = count;
    return status;
}

void rf_keying_end(rf_keying *keying)
{
    rf_arena_free(&keying->arena);
}

void rf_keying_put_carried(const rf_keying_handler *handler, const rf_carried *carried,
                           uint32_t stream, char *event)
{
    const int64_t none = RF_TIME_NONE;

    for (uint32_t i = 0; i < handler->carried_count; i++) {
        const rf_keying_carried *field = &handler->carried[i];
        rf_kind kind = carried->slots[field->slot].kind;
        bool present = rf_carried_get(carried, field->slot, stream, event + field->offset);
        if (!present)
            memset(event + field->offset, 0, field->size);
        if (!present && (kind == RF_TIME || kind == RF_DATE))
            memcpy(event + field->offset, &none, sizeof none);
        if (field->present_offset != RF_NO_PRESENT)
            *(bool *)(event + field->present_offset) = present;
    }
}

rf_value rf_keying_value(const rf_keying_part *part, const char *event)
{
    rf_value value = {.kind = part->kind, .scale = part->scale};
    const char *at = event + part->offset;

    if (part->present_offset != RF_NO_PRESENT && !*(const bool *)(event + part->present_offset)) {
        value.is_null = true;
    } else if (part->kind == RF_TEXT || part->kind == RF_JSON) {
        memcpy(&value.text, at, sizeof value.text);
        value.is_null = !value.text.data;
    } else if (part->kind == RF_BOOL) {
        value.boolean = *(const bool *)at;
    } else {
        memcpy(&value.integer, at, sizeof value.integer);
        value.is_null = (part->kind == RF_TIME || part->kind == RF_DATE) &&
                        value.integer == RF_TIME_NONE;
    }
    return value;
}

bool rf_keying_carry(const rf_keying_handler *handler, rf_carried *carried, uint32_t stream,
                     const char *event)
{
    rf_value value = rf_keying_value(&handler->value, event);

    return value.is_null ||
           rf_carried_put(carried, handler->slot, stream, event + handler->value.offset);
}
