/* Fields of events in a projection's tables: where they come from, of what kind they are and where
 * they go; see definition.h. */
#include "log/census.h"
#include "projection/definition_tables.h"

#include <stdlib.h>

/* The one kind that a member of the event itself can have; 0 for others: any. */
static rf_kind source_kind(rf_field_source source)
{
    switch (source) {
    case RF_EVENT_STREAM:
    case RF_EVENT_CATEGORY:
    case RF_EVENT_TYPE:
        return RF_TEXT;
    case RF_EVENT_VERSION:
    case RF_EVENT_SCHEMA:
    case RF_EVENT_POSITION:
        return RF_INT;
    case RF_EVENT_TIME:
        return RF_TIME;
    case RF_PAYLOAD:
    case RF_CARRIED:
        return (rf_kind)0;
    }
    return (rf_kind)-1;
}

rf_status rf_definition_take_path(rf_arena *arena, const char *name, const char *text,
                                  rf_path *path_out, rf_slice *text_out, rf_err *err)
{
    rf_path path;
    void *memory;
    rf_buf canonical;

    rf_status status = rf_path_parse(text, &path, &memory, err);
    if (status != RF_OK)
        return rf_err_context(err, "%s", name);
    rf_slice *parts = rf_arena_alloc(arena, path.part_count * sizeof *parts);
    bool taken = parts != NULL;
    for (uint8_t i = 0; taken && i < path.part_count; i++) {
        parts[i] = rf_arena_copy(arena, path.parts[i]);
        taken = parts[i].data != NULL;
    }
    free(memory);
    rf_buf_init(&canonical, 4 * RF_TABLE_TEXT_MAX);
    if (taken) {
        path.parts = parts;
        rf_path_append(&canonical, &path);
        *text_out = rf_arena_copy(arena, rf_buf_slice(&canonical));
        *path_out = path;
    }
    taken = taken && !canonical.failed && text_out->data;
    rf_buf_free(&canonical);
    return taken ? RF_OK : rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", name);
}

/* The carry that a field names; NULL if there is none of its kind. */
static const rf_carry *find_carry(const rf_projection *tables, const rf_field *field)
{
    rf_slice name = rf_table_text(field->path);

    for (uint32_t i = 0; name.data && tables && tables->carries && i < tables->carry_count; i++) {
        const rf_carry *carry = &tables->carries[i];
        if (rf_slice_equal(rf_table_text(carry->name), name) && carry->field.kind == field->kind &&
            carry->field.scale == field->scale)
            return carry;
    }
    return NULL;
}

static rf_status check_source(const rf_table_build *build, const rf_table_struct *place,
                              const rf_field *field, rf_slice shown, rf_err *err)
{
    if (field->source == RF_CARRIED && !find_carry(build->tables, field))
        return rf_fail(err, RF_ERR_PLUGIN,
                       "%s: a field of %s names the carry %.*s, and there is none of kind %s",
                       build->name, place->whose, (int)shown.size, shown.data,
                       rf_kind_name(field->kind));
    rf_kind expected = source_kind(field->source);
    if (expected != (rf_kind)0 && expected != field->kind)
        return rf_fail(err, RF_ERR_PLUGIN,
                       "%s: a field of %s takes member %d of the event as %s, which it is not",
                       build->name, place->whose, (int)field->source, rf_kind_name(field->kind));
    if (field->rounding > (field->kind == RF_DECIMAL ? RF_ROUND_UP : RF_ROUND_NONE))
        return rf_fail(err, RF_ERR_PLUGIN, "%s: field %.*s of %s has the unknown rounding %u",
                       build->name, (int)shown.size, shown.data, place->whose, field->rounding);
    return RF_OK;
}

rf_status rf_table_take_field(rf_table_build *build, const rf_table_struct *place,
                              const rf_field *field, rf_definition_field *out, rf_err *err)
{
    rf_slice path = rf_table_text(field->path);
    rf_slice shown = path.data ? path : RF_SLICE("of the event");

    rf_status status =
        rf_table_check_kind(field->kind, field->scale, build->name, "field", shown, err);
    if (status == RF_OK)
        status = check_source(build, place, field, shown, err);
    if (status != RF_OK)
        return status;
    if (field->source == RF_PAYLOAD && !path.data)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: a field of %s has no path", build->name,
                       place->whose);
    bool has_presence = field->present_offset != RF_NO_PRESENT;
    if (place->size != RF_TABLE_NOWHERE &&
        (!rf_table_place_valid(field->kind, field->offset, place->size) ||
         (has_presence && field->present_offset >= place->size)))
        return rf_fail(
            err, RF_ERR_PLUGIN,
            "%s: field %.*s of %s (%s at offset %u) does not fit into the event of %u bytes",
            build->name, (int)shown.size, shown.data, place->whose, rf_kind_name(field->kind),
            field->offset, place->size);
    out->field = *field;
    out->field.optional = field->optional != 0;
    if (field->source == RF_PAYLOAD)
        return rf_definition_take_path(build->arena, build->name, field->path, &out->path,
                                       &out->path_text, err);
    out->path_text = path.data ? rf_arena_copy(build->arena, path) : RF_SLICE("");
    return out->path_text.data ? RF_OK
                               : rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", build->name);
}

rf_status rf_table_take_fields(rf_table_build *build, const rf_table_struct *place,
                               const rf_field *fields, uint32_t count,
                               const rf_definition_field **out, rf_err *err)
{
    rf_definition_field *taken = rf_arena_alloc(build->arena, count * sizeof *taken);
    rf_status status = RF_OK;

    if (!taken)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", build->name);
    memset(taken, 0, count * sizeof *taken);
    for (uint32_t i = 0; status == RF_OK && i < count; i++)
        status = rf_table_take_field(build, place, &fields[i], &taken[i], err);
    *out = taken;
    return status;
}

rf_status rf_definition_take_fields(rf_arena *arena, const char *name, const rf_handler *of,
                                    const rf_definition_field **fields_out, rf_err *err)
{
    rf_table_build build = {.arena = arena, .name = name};
    const rf_table_struct place = {of->type, of->event_size};

    return rf_table_take_fields(&build, &place, of->fields, of->field_count, fields_out, err);
}
