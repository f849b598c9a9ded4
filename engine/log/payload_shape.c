/* See payload_shape.h; segment_shape.c makes what is read here. */
#include "log/payload_shape.h"

#include "base/checksum.h"
#include "event/value.h"

#define SHAPES_ARENA_MAX ((size_t)512 << 20)

static rf_status damaged(const rf_segment *segment, const char *what, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED, "segment of partition %u at position %llu: %s",
                   segment->partition, (unsigned long long)segment->first_position, what);
}

static rf_status no_memory(rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "reading payloads: out of memory");
}

void rf_shapes_init(rf_shapes *shapes)
{
    *shapes = (rf_shapes){0};
    rf_arena_init(&shapes->arena, SHAPES_ARENA_MAX);
}

void rf_shapes_free(rf_shapes *shapes)
{
    rf_arena_free(&shapes->arena);
}

static bool same_path(const rf_segment_column *a, const rf_segment_column *b)
{
    if (a->metadata != b->metadata || a->part_count != b->part_count)
        return false;
    for (unsigned i = 0; i < a->part_count; i++)
        if (!rf_slice_equal(a->parts[i], b->parts[i]))
            return false;
    return true;
}

/* Where the paths of a type begin among the segment's columns, and where the last ends; capped ones
 * are none. NULL without memory. */
static uint32_t *paths_of(rf_arena *arena, const rf_segment *segment, const rf_segment_type *type,
                          uint32_t *count_out)
{
    uint32_t *begins =
        rf_arena_alloc(arena, (type->column_end - type->column_begin + 1) * 2 * sizeof *begins);
    uint32_t count = 0;

    if (!begins)
        return NULL;
    for (uint32_t i = type->column_begin; i < type->column_end; i++) {
        const rf_segment_column *column = &segment->columns[i];
        if (column->kind == RF_FIELD_CAPPED)
            continue;
        bool more = count > 0 && begins[2 * count - 1] == i && segment->columns[i - 1].kind <
                    column->kind && same_path(&segment->columns[i - 1], column);
        if (!more) {
            begins[2 * count] = i;
            count++;
        }
        begins[2 * count - 1] = i + 1;
    }
    *count_out = count;
    return begins;
}

/* One shape, behind the slots that are there. */
static bool read_shape(rf_shapes *shapes, rf_bytes_reader *reader, const uint32_t *paths,
                       uint32_t path_count, uint32_t *slot_at, rf_shape_view *view)
{
    bool in_metadata = false;

    *view = (rf_shape_view){.slot_begin = *slot_at};
    for (;;) {
        rf_shape_slot *slot = &shapes->slots[(*slot_at)++];
        rf_slice before = rf_read_slice(reader, rf_read_varint(reader));
        uint64_t code = rf_read_varint(reader);
        if (reader->failed)
            return false;
        *slot = (rf_shape_slot){.before = before, .code = (uint8_t)code};
        if (code >= RF_SLOT_VALUE) {
            uint64_t path = (code - RF_SLOT_VALUE) / RF_SLOT_STYLES;
            if (path >= path_count)
                return false;
            slot->code = RF_SLOT_VALUE;
            slot->style = (uint8_t)((code - RF_SLOT_VALUE) % RF_SLOT_STYLES);
            slot->column_begin = paths[2 * path];
            slot->column_end = paths[2 * path + 1];
        }
        if (slot->code == RF_SLOT_METADATA && in_metadata)
            return false;
        in_metadata |= slot->code == RF_SLOT_METADATA;
        view->rest_count += slot->code == RF_SLOT_REST;
        if (slot->code == RF_SLOT_END)
            return true;
    }
}

rf_status rf_shapes_open(rf_shapes *shapes, const rf_segment *segment, uint64_t *bytes_decoded,
                         rf_err *err)
{
    rf_bytes_reader reader = rf_bytes_reader_of(segment->shapes);
    uint32_t view_count = 0, slot_count = 0;

    if (segment->shapes.size > 0 &&
        (uint32_t)rf_checksum(segment->shapes) != segment->shapes_checksum)
        return damaged(segment, "its shapes do not match their checksum", err);
    if (bytes_decoded)
        *bytes_decoded += segment->shapes.size;
    rf_arena_rewind(&shapes->arena);
    /* A slot has two bytes at least, and a shape has a slot. */
    size_t most = segment->shapes.size / 2 + 1;
    shapes->slots = rf_arena_alloc(&shapes->arena, most * sizeof *shapes->slots);
    shapes->views = rf_arena_alloc(&shapes->arena, most * sizeof *shapes->views);
    shapes->view_begins =
        rf_arena_alloc(&shapes->arena, (segment->type_count + 1) * sizeof *shapes->view_begins);
    shapes->columns =
        rf_arena_alloc(&shapes->arena, segment->column_count * sizeof *shapes->columns);
    if (!shapes->slots || !shapes->views || !shapes->view_begins || !shapes->columns)
        return no_memory(err);
    memset(shapes->columns, 0, segment->column_count * sizeof *shapes->columns);
    for (uint32_t i = 0; i < segment->type_count; i++) {
        uint32_t path_count = 0;
        uint32_t *paths = paths_of(&shapes->arena, segment, &segment->types[i], &path_count);
        uint64_t count = segment->shapes.size > 0 ? rf_read_varint(&reader) : 0;
        if (!paths)
            return no_memory(err);
        shapes->view_begins[i] = view_count;
        for (uint64_t k = 0; k < count; k++)
            if (!read_shape(shapes, &reader, paths, path_count, &slot_count,
                            &shapes->views[view_count++]))
                return damaged(segment, "its shapes are not right", err);
    }
    shapes->view_begins[segment->type_count] = view_count;
    return reader.failed || rf_bytes_left(&reader) > 0
               ? damaged(segment, "its shapes are not right", err)
               : RF_OK;
}

rf_shape_view *rf_shapes_find(const rf_shapes *shapes, uint32_t type, int64_t number)
{
    uint32_t begin = shapes->view_begins[type];

    if (number < 1 || number > shapes->view_begins[type + 1] - begin)
        return NULL;
    return &shapes->views[begin + (uint32_t)number - 1];
}

/* Bits in whole words and the ranks of their beginnings. */
static bool column_ranks(rf_shapes *shapes, rf_shape_column *column, uint32_t type_count)
{
    size_t words = ((size_t)type_count + 63) / 64;
    uint64_t *bits = rf_arena_alloc(&shapes->arena, words * sizeof *bits);
    uint16_t *ranks = rf_arena_alloc(&shapes->arena, words * sizeof *ranks);
    unsigned rank = 0;

    if (!bits || !ranks)
        return false;
    bits[words - 1] = 0;
    memcpy(bits, column->field.present, ((size_t)type_count + 7) / 8);
    for (size_t i = 0; i < words; i++) {
        ranks[i] = (uint16_t)rank;
        rank += (unsigned)__builtin_popcountll(bits[i]);
    }
    column->bits = bits;
    column->ranks = ranks;
    return true;
}

static rf_status column_decode(rf_shapes *shapes, const rf_segment *segment, uint32_t type,
                               uint32_t index, rf_codec *codec, uint64_t *bytes_decoded,
                               rf_err *err)
{
    rf_shape_column *column = &shapes->columns[index];
    uint32_t type_count = segment->types[type].count;

    rf_status status =
        rf_segment_decode_field(segment, type_count, &segment->columns[index], codec,
                                &shapes->arena, &shapes->arena, &column->field, bytes_decoded, err);
    if (status != RF_OK)
        return status;
    if (column->field.present && !column_ranks(shapes, column, type_count))
        return no_memory(err);
    column->decoded = true;
    return RF_OK;
}

/* Where the value of an event is in the column; false if it has none. */
static inline bool column_has(const rf_shape_column *column, uint32_t ordinal, uint32_t *at_out)
{
    *at_out = ordinal;
    if (!column->bits)
        return true;
    uint64_t word = column->bits[ordinal / 64];
    uint64_t below = word & (((uint64_t)1 << (ordinal % 64)) - 1);
    *at_out = column->ranks[ordinal / 64] + (unsigned)__builtin_popcountll(below);
    return word >> (ordinal % 64) & 1;
}

/* A number with a fraction, from the column's scale to the slot's; false where it does not fit. */
static bool append_exact(rf_buf *out, int64_t value, unsigned scale, unsigned style)
{
    char text[RF_VALUE_TEXT_SIZE];

    if (style > 0) {
        if (style > scale || rf_rescale(value, scale, style, RF_ROUND_NONE, &value) != RF_VALUE_OK)
            return false;
        scale = style;
    } else {
        for (; scale > 1 && value % 10 == 0; scale--)
            value /= 10;
    }
    rf_buf_append(out, text, rf_format_decimal(value, scale, text));
    return true;
}

static void append_text(rf_buf *out, rf_slice text)
{
    unsigned char rare = 0;

    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        rare |= (unsigned char)((byte < 0x20) | (byte == '"') | (byte == '\\'));
    }
    if (rare) {
        rf_append_json_string(out, text);
        return;
    }
    char *at = rf_buf_reserve(out, text.size + 2);
    if (!at)
        return;
    at[0] = '"';
    if (text.size > 0)
        memcpy(at + 1, text.data, text.size);
    at[text.size + 1] = '"';
    out->size += text.size + 2;
}

static bool append_value(rf_buf *out, const rf_field_column *field, uint32_t at, unsigned style)
{
    char text[RF_VALUE_TEXT_SIZE];

    switch (field->kind) {
    case RF_FIELD_INT:
        rf_buf_append(out, text, rf_format_decimal(field->ints[at], 0, text));
        return true;
    case RF_FIELD_EXACT:
        return append_exact(out, field->ints[at], field->scale, style);
    case RF_FIELD_NUMBER:
        rf_buf_append_slice(out, rf_text_column_at(&field->text, at));
        return true;
    case RF_FIELD_BOOL:
        rf_buf_append_slice(out, field->ints[at] ? RF_SLICE("true") : RF_SLICE("false"));
        return true;
    case RF_FIELD_TEXT:
        append_text(out, rf_text_column_at(&field->text, at));
        return true;
    }
    return false;
}

/* The value of a path, whichever column has it; null if none has. */
static rf_status write_slot(rf_shapes *shapes, const rf_segment *segment, const rf_shaped *event,
                            const rf_shape_slot *slot, rf_codec *codec, rf_buf *out,
                            uint64_t *bytes_decoded, rf_err *err)
{
    for (uint32_t i = slot->column_begin; i < slot->column_end; i++) {
        rf_shape_column *column = &shapes->columns[i];
        uint32_t at;
        if (!column->decoded) {
            rf_status status =
                column_decode(shapes, segment, event->type, i, codec, bytes_decoded, err);
            if (status != RF_OK)
                return status;
        }
        if (!column_has(column, event->ordinal, &at))
            continue;
        return append_value(out, &column->field, at, slot->style)
                   ? RF_OK
                   : damaged(segment, "a number does not fit its shape", err);
    }
    rf_buf_append_slice(out, RF_SLICE("null"));
    return RF_OK;
}

rf_status rf_shapes_write(rf_shapes *shapes, const rf_segment *segment, const rf_shaped *event,
                          rf_codec *codec, rf_buf *out, size_t *data_size_out,
                          uint64_t *bytes_decoded, rf_err *err)
{
    const rf_shape_slot *slot = &shapes->slots[event->view->slot_begin];
    const char *rest = event->rest;
    uint32_t rests = 0;
    size_t begin = out->size;
    size_t data_size = 0;
    rf_status status = RF_OK;

    for (;; slot++) {
        rf_buf_append_slice(out, slot->before);
        if (slot->code == RF_SLOT_END || status != RF_OK)
            break;
        if (slot->code == RF_SLOT_METADATA) {
            data_size = out->size - begin;
        } else if (slot->code == RF_SLOT_REST) {
            size_t size = (size_t)event->rest_sizes[rests++];
            rf_buf_append(out, rest, size);
            rest += size;
        } else {
            status = write_slot(shapes, segment, event, slot, codec, out, bytes_decoded, err);
        }
    }
    if (status == RF_OK)
        status = rf_buf_check(out, "reading payloads", err);
    *data_size_out = data_size > 0 ? data_size : out->size - begin;
    return status;
}

/* The pair of two shapes, made when first asked for; one without steps where there is no room. */
static rf_status pair_find(rf_shapes *shapes, rf_shape_view *view, const rf_event_shape *shape,
                           rf_shape_pair *pair_out, rf_err *err)
{
    if (!view->pairs) {
        view->pairs = rf_arena_alloc(&shapes->arena, RF_SHAPE_PAIRS * sizeof *view->pairs);
        if (!view->pairs)
            return no_memory(err);
        memset(view->pairs, 0, RF_SHAPE_PAIRS * sizeof *view->pairs);
    }
    for (unsigned i = 0; i < RF_SHAPE_PAIRS; i++) {
        rf_shape_pair *pair = &view->pairs[i];
        if (!pair->shape && !rf_shape_pair_make(shape, &shapes->slots[view->slot_begin],
                                                &shapes->arena, pair))
            return no_memory(err);
        if (pair->shape == shape) {
            *pair_out = *pair;
            return RF_OK;
        }
    }
    *pair_out = (rf_shape_pair){0};
    return RF_OK;
}

static inline rf_same same_if(bool same)
{
    return same ? RF_SAME_YES : RF_SAME_NO;
}

/* As append_exact writes it. */
static rf_same same_exact(int64_t value, unsigned scale, unsigned style,
                          const rf_event_value *given)
{
    if (scale == 0 || (style > 0 && style != scale))
        return RF_SAME_UNKNOWN;
    for (; style == 0 && scale > 1 && value % 10 == 0; scale--)
        value /= 10;
    return same_if(given->scale == scale && given->value == value);
}

/* Integers, numbers and texts of an event's shape are written in one way only, see event_shape.h,
 * and so are those of a column: equal values are equal bytes. */
static inline rf_same same_value(const rf_field_column *field, uint32_t at,
                                 const rf_pair_step *step, const rf_event_value *given)
{
    switch (field->kind) {
    case RF_FIELD_INT:
        return same_if(step->kind == RF_JSON_INTEGER && given->value == field->ints[at]);
    case RF_FIELD_EXACT:
        return step->kind == RF_JSON_NUMBER
                   ? same_exact(field->ints[at], field->scale, step->style, given)
                   : RF_SAME_UNKNOWN;
    case RF_FIELD_NUMBER:
        return RF_SAME_UNKNOWN;
    case RF_FIELD_BOOL:
        return same_if(step->kind == (field->ints[at] ? RF_JSON_TRUE : RF_JSON_FALSE));
    case RF_FIELD_TEXT:
        return same_if(
            step->kind == RF_JSON_STRING &&
            rf_short_equal(rf_text_column_at(&field->text, at), rf_event_value_text(given)));
    }
    return RF_SAME_UNKNOWN;
}

/* The value that a slot would write, whichever column has it. */
static rf_status same_step(rf_shapes *shapes, const rf_segment *segment, const rf_shaped *shaped,
                           const rf_pair_step *step, const rf_event_value *given, rf_codec *codec,
                           rf_same *same_out, rf_err *err)
{
    for (uint32_t i = step->column_begin; i < step->column_end; i++) {
        rf_shape_column *column = &shapes->columns[i];
        uint32_t at;
        if (!column->decoded) {
            rf_status status =
                column_decode(shapes, segment, shaped->type, i, codec, NULL, err);
            if (status != RF_OK)
                return status;
        }
        if (!column_has(column, shaped->ordinal, &at))
            continue;
        *same_out = same_value(&column->field, at, step, given);
        return RF_OK;
    }
    *same_out = same_if(step->kind == RF_JSON_NULL);
    return RF_OK;
}

rf_status rf_shapes_same(rf_shapes *shapes, const rf_segment *segment, const rf_shaped *shaped,
                         const rf_event *event, rf_codec *codec, rf_same *same_out, rf_err *err)
{
    rf_same same = RF_SAME_YES;
    rf_shape_pair pair = {0};

    RF_ASSERT(event->shape);
    rf_status status = pair_find(shapes, shaped->view, event->shape, &pair, err);
    for (uint32_t i = 0; pair.steps && i < pair.step_count && same == RF_SAME_YES && !status; i++)
        status = same_step(shapes, segment, shaped, &pair.steps[i],
                           &event->values[pair.steps[i].value], codec, &same, err);
    if (status != RF_OK)
        return status;
    *same_out = pair.steps ? same : RF_SAME_UNKNOWN;
    return RF_OK;
}
