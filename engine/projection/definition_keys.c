/* Keys, carried fields and combined columns in a projection's tables; see definition.h.
 *
 * All rows of a read model have keys of the same parts: what a handler's own key is made of may
 * differ, but not its kinds. The names of the parts are those of the projection's key.
 */
#include "projection/definition_tables.h"

static rf_status check_part(const rf_table_build *build, const rf_field *part, rf_err *err)
{
    if (part->kind == RF_FLOAT || part->kind == RF_JSON)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: a key has a part of kind %s, which it cannot",
                       build->name, rf_kind_name(part->kind));
    return RF_OK;
}

static rf_status check_key(const rf_table_build *build, const rf_key *key, rf_err *err)
{
    if (key->part_count < 1 || key->part_count > RF_KEY_PARTS_MAX || !key->parts)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: a key of %u parts; 1 to %d are possible",
                       build->name, key->part_count, RF_KEY_PARTS_MAX);
    if (key->compute && (key->event_size > RF_TABLE_STRUCT_MAX ||
                         key->parts_size > RF_TABLE_STRUCT_MAX ||
                         key->field_count > RF_COLUMNS_MAX || (key->field_count && !key->fields)))
        return rf_fail(err, RF_ERR_PLUGIN,
                       "%s: a computed key has %u fields in %u bytes and parts in %u; at most %d "
                       "fields and %d bytes",
                       build->name, key->field_count, key->event_size, key->parts_size,
                       RF_COLUMNS_MAX, RF_TABLE_STRUCT_MAX);
    return RF_OK;
}

/* The parts of a computed key come from its function: only kind and place count. */
static rf_status take_computed(rf_table_build *build, const rf_key *key, rf_definition_key *out,
                               rf_err *err)
{
    const rf_table_struct events = {"a computed key", key->event_size};
    rf_definition_field *parts = rf_arena_alloc(build->arena, key->part_count * sizeof *parts);

    if (!parts)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", build->name);
    memset(parts, 0, key->part_count * sizeof *parts);
    for (uint32_t i = 0; i < key->part_count; i++) {
        const rf_field *part = &key->parts[i];
        rf_status status =
            rf_table_check_kind(part->kind, part->scale, build->name, "a key's part",
                                RF_SLICE("(computed)"), err);
        if (status != RF_OK)
            return status;
        if (!rf_table_place_valid(part->kind, part->offset, key->parts_size))
            return rf_fail(err, RF_ERR_PLUGIN,
                           "%s: part %u of a computed key (%s at offset %u) does not fit into %u "
                           "bytes",
                           build->name, i + 1, rf_kind_name(part->kind), part->offset,
                           key->parts_size);
        parts[i].field = *part;
        parts[i].path_text = RF_SLICE("");
    }
    out->parts = parts;
    return rf_table_take_fields(build, &events, key->fields, key->field_count, &out->fields, err);
}

static rf_status take_key(rf_table_build *build, const rf_key *key, const rf_definition_key **out,
                          rf_err *err)
{
    const rf_table_struct nowhere = {"a key", RF_TABLE_NOWHERE};

    rf_status status = check_key(build, key, err);
    if (status != RF_OK)
        return status;
    rf_definition_key *taken = rf_arena_alloc(build->arena, sizeof *taken);
    if (!taken)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", build->name);
    *taken = (rf_definition_key){
        .part_count = key->part_count,
        .compute = key->compute,
        .field_count = key->compute ? key->field_count : 0,
        .event_size = key->compute ? key->event_size : 0,
        .parts_size = key->compute ? key->parts_size : 0,
    };
    status = key->compute ? take_computed(build, key, taken, err)
                          : rf_table_take_fields(build, &nowhere, key->parts, key->part_count,
                                                 &taken->parts, err);
    for (uint32_t i = 0; status == RF_OK && i < key->part_count; i++)
        status = check_part(build, &taken->parts[i].field, err);
    bool is_stream = !key->compute && key->part_count == 1 && status == RF_OK &&
                     taken->parts[0].field.source == RF_EVENT_STREAM;
    *out = is_stream ? NULL : taken;
    return status;
}

static bool begins_with_stream(const rf_definition_key *key)
{
    return !key || (!key->compute && key->parts[0].field.source == RF_EVENT_STREAM);
}

/* What a part is called. */
static rf_slice name_part(rf_table_build *build, const rf_definition_field *part, uint32_t index)
{
    static const char *const members[] = {
        [RF_EVENT_STREAM] = "stream",     [RF_EVENT_CATEGORY] = "category",
        [RF_EVENT_TYPE] = "type",         [RF_EVENT_VERSION] = "version",
        [RF_EVENT_SCHEMA] = "schema",     [RF_EVENT_POSITION] = "position",
        [RF_EVENT_TIME] = "time",
    };
    rf_buf buf;

    rf_buf_init(&buf, 256);
    if (part->field.source == RF_CARRIED)
        rf_buf_append_format(&buf, "carried.%.*s", (int)part->path_text.size,
                             part->path_text.data);
    else if (part->field.source != RF_PAYLOAD)
        rf_buf_append_format(&buf, "%s", members[part->field.source]);
    else if (part->path_text.size > 0)
        rf_buf_append_slice(&buf, part->path_text);
    else
        rf_buf_append_format(&buf, "part%u", index + 1);
    rf_slice name = buf.failed ? RF_SLICE("part") : rf_arena_copy(build->arena, rf_buf_slice(&buf));
    rf_buf_free(&buf);
    return name;
}

static rf_status take_parts(rf_table_build *build, const rf_definition_key *key,
                            rf_definition *definition, rf_err *err)
{
    uint32_t count = key ? key->part_count : 1;
    rf_reader_column *parts = rf_arena_alloc(build->arena, count * sizeof *parts);

    if (!parts)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", build->name);
    parts[0] = (rf_reader_column){"stream", RF_TEXT, 0};
    for (uint32_t i = 0; key && i < count; i++) {
        rf_slice name = name_part(build, &key->parts[i], i);
        if (!name.data)
            return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", build->name);
        parts[i] = (rf_reader_column){name.data, key->parts[i].field.kind,
                                      key->parts[i].field.scale};
    }
    definition->key_parts = parts;
    definition->key_part_count = count;
    return RF_OK;
}

/* A handler's own key makes rows of this read model too. */
static rf_status check_same_parts(const rf_definition *definition, const char *type,
                                  const rf_definition_key *key, rf_err *err)
{
    uint32_t count = key ? key->part_count : 1;
    bool same = count == definition->key_part_count;

    for (uint32_t i = 0; same && i < count; i++) {
        rf_kind kind = key ? key->parts[i].field.kind : RF_TEXT;
        uint8_t scale = key ? key->parts[i].field.scale : 0;
        same = kind == definition->key_parts[i].kind && scale == definition->key_parts[i].scale;
    }
    return same ? RF_OK
                : rf_fail(err, RF_ERR_PLUGIN,
                          "%s: the key of the handler of %s has other parts than the projection's",
                          definition->name, type);
}

static rf_status take_handler_keys(rf_table_build *build, const rf_definition_key *key,
                                   rf_definition *definition, rf_err *err)
{
    const rf_projection *tables = build->tables;
    /* they stand in the definition's arena, and are not yet anybody else's */
    rf_definition_handler *handlers = (rf_definition_handler *)(uintptr_t)definition->handlers;
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < tables->handler_count; i++) {
        const rf_handler *handler = &tables->handlers[i];
        handlers[i].key = key;
        if (handler->key)
            status = take_key(build, handler->key, &handlers[i].key, err);
        if (status == RF_OK)
            status = check_same_parts(definition, handler->type, handlers[i].key, err);
        handlers[i].every_row = handler->every_row != 0;
        if (status == RF_OK && handler->every_row && handler->key)
            status = rf_fail(err, RF_ERR_PLUGIN,
                             "%s: a handler of %s gets every row and has a key of its own",
                             build->name, handler->type);
    }
    bool any_every_row = false;
    for (uint32_t i = 0; i < tables->handler_count; i++)
        any_every_row = any_every_row || tables->handlers[i].every_row;
    for (uint32_t i = 0; status == RF_OK && any_every_row && i < tables->handler_count; i++)
        if (!begins_with_stream(handlers[i].key))
            return rf_fail(err, RF_ERR_PLUGIN,
                           "%s: handlers that get every row of a stream need keys that begin with "
                           "the stream",
                           build->name);
    return status;
}

static rf_status take_carries(rf_table_build *build, rf_definition *definition, rf_err *err)
{
    const rf_projection *tables = build->tables;
    const rf_table_struct nowhere = {"a carry", RF_TABLE_NOWHERE};
    rf_status status = RF_OK;

    if (tables->carry_count > RF_COLUMNS_MAX || (tables->carry_count && !tables->carries))
        return rf_fail(err, RF_ERR_PLUGIN, "%s: %u carries; at most %d are possible", build->name,
                       tables->carry_count, RF_COLUMNS_MAX);
    rf_definition_carry *carries =
        rf_arena_alloc(build->arena, tables->carry_count * sizeof *carries);
    if (!carries)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", build->name);
    memset(carries, 0, tables->carry_count * sizeof *carries);
    for (uint32_t i = 0; status == RF_OK && i < tables->carry_count; i++) {
        const rf_carry *carry = &tables->carries[i];
        rf_slice name = rf_table_text(carry->name);
        rf_slice type = rf_table_text(carry->type);
        if (!name.data || !rf_name_valid(name) || !type.data || type.size < 1 ||
            type.size > RF_TYPE_SIZE_MAX)
            return rf_fail(err, RF_ERR_PLUGIN, "%s: carry %u has no name [a-z][a-z0-9_]* or type",
                           build->name, i + 1);
        if (carry->field.source == RF_CARRIED)
            return rf_fail(err, RF_ERR_PLUGIN, "%s: the carry %s carries a carry", build->name,
                           carry->name);
        carries[i].name = name;
        carries[i].type = type;
        status = rf_table_take_field(build, &nowhere, &carry->field, &carries[i].field, err);
        for (uint32_t k = 0; status == RF_OK && k < i; k++)
            if (rf_slice_equal(carries[k].name, name) &&
                (carries[k].field.field.kind != carry->field.kind ||
                 carries[k].field.field.scale != carry->field.scale))
                return rf_fail(err, RF_ERR_PLUGIN, "%s: the carry %s has two kinds", build->name,
                               carry->name);
    }
    definition->carries = carries;
    definition->carry_count = tables->carry_count;
    return status;
}

/* Whether values of the kind can be combined so. */
static bool can_combine(rf_combine combine, rf_kind kind)
{
    switch (combine) {
    case RF_COMBINE_SUM:
        return kind == RF_INT || kind == RF_DECIMAL;
    case RF_COMBINE_MIN:
    case RF_COMBINE_MAX:
        return kind != RF_BOOL && kind != RF_JSON;
    case RF_COMBINE_COUNT:
        return kind == RF_INT;
    case RF_COMBINE_FIRST:
    case RF_COMBINE_LAST:
        return true;
    case RF_COMBINE_ANY:
    case RF_COMBINE_ALL:
        return kind == RF_BOOL;
    case RF_COMBINE_NONE:
        break;
    }
    return false;
}

static rf_status check_combines(const rf_table_build *build, rf_definition *definition, rf_err *err)
{
    static const char *const names[] = {"", "sum", "min", "max", "count", "first", "last", "any",
                                        "all"};
    uint32_t combined = 0;

    for (uint32_t i = 0; i < definition->column_count; i++) {
        const rf_column *column = &definition->columns[i];
        if (column->combine == RF_COMBINE_NONE)
            continue;
        combined++;
        if (column->combine > RF_COMBINE_ALL)
            return rf_fail(err, RF_ERR_PLUGIN, "%s: column %s is combined in the unknown way %u",
                           build->name, column->name, column->combine);
        if (!can_combine((rf_combine)column->combine, column->kind))
            return rf_fail(err, RF_ERR_PLUGIN, "%s: column %s is %s, which has no %s", build->name,
                           column->name, rf_kind_name(column->kind), names[column->combine]);
    }
    if (combined > 0 && combined < definition->column_count)
        return rf_fail(err, RF_ERR_PLUGIN,
                       "%s: %u of %u columns are combined; all have to be, or none", build->name,
                       combined, definition->column_count);
    definition->combines = combined > 0;
    for (uint32_t i = 0; definition->combines && i < definition->handler_count; i++)
        if (definition->handlers[i].every_row)
            return rf_fail(err, RF_ERR_PLUGIN,
                           "%s: combined columns and handlers that get every row exclude each other",
                           build->name);
    return RF_OK;
}

rf_status rf_table_take_keys(rf_table_build *build, rf_definition *definition, rf_err *err)
{
    const rf_projection *tables = build->tables;
    const rf_definition_key *key = NULL;
    rf_status status = RF_OK;

    if (tables->key_by)
        status = take_key(build, tables->key_by, &key, err);
    if (status == RF_OK)
        status = take_parts(build, key, definition, err);
    if (status == RF_OK)
        status = take_handler_keys(build, key, definition, err);
    if (status == RF_OK)
        status = take_carries(build, definition, err);
    if (status == RF_OK)
        status = check_combines(build, definition, err);
    definition->no_key_ignore = (tables->flags & RF_PROJECTION_NO_KEY_IGNORE) != 0;
    definition->by_stream = !definition->combines && definition->carry_count == 0;
    definition->of_streams = true;
    for (uint32_t i = 0; i < definition->handler_count; i++) {
        definition->of_streams =
            definition->of_streams && begins_with_stream(definition->handlers[i].key);
        definition->by_stream = definition->by_stream && !definition->handlers[i].key &&
                                !definition->handlers[i].every_row;
    }
    return status;
}
