/* See convert.h. */
#include "rebuild/convert.h"

#define FLOAT_EXACT_MAX (INT64_C(1) << 53)

static rf_value_fault convert_exact(const rf_scalar *scalar, unsigned scale, rf_rounding rounding,
                                    int64_t *value_out)
{
    switch (scalar->kind) {
    case RF_FIELD_INT:
        return rf_rescale(scalar->number, 0, scale, rounding, value_out);
    case RF_FIELD_EXACT:
        return rf_rescale(scalar->number, scalar->scale, scale, rounding, value_out);
    case RF_FIELD_NUMBER:
        return rf_parse_decimal(scalar->text, scale, rounding, value_out);
    case RF_FIELD_BOOL:
    case RF_FIELD_TEXT:
        return RF_VALUE_WRONG_KIND;
    }
    return RF_VALUE_WRONG_KIND;
}

/* What strtod makes of the literal. Both operands below are exact doubles, so one division rounds
 * once, correctly; other exact numbers go through their digits. */
static rf_value_fault convert_float(const rf_scalar *scalar, double *value_out)
{
    static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8, 1e9,
                                    1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18};
    char text[RF_VALUE_TEXT_SIZE];

    switch (scalar->kind) {
    case RF_FIELD_INT:
        *value_out = (double)scalar->number;
        return RF_VALUE_OK;
    case RF_FIELD_EXACT:
        if (scalar->number > -FLOAT_EXACT_MAX && scalar->number < FLOAT_EXACT_MAX) {
            *value_out = (double)scalar->number / powers[scalar->scale];
            return RF_VALUE_OK;
        }
        return rf_parse_float(
            (rf_slice){text, rf_format_decimal(scalar->number, scalar->scale, text)}, value_out);
    case RF_FIELD_NUMBER:
        return rf_parse_float(scalar->text, value_out);
    case RF_FIELD_BOOL:
    case RF_FIELD_TEXT:
        return RF_VALUE_WRONG_KIND;
    }
    return RF_VALUE_WRONG_KIND;
}

rf_value_fault rf_convert_scalar(const rf_field *field, const rf_scalar *scalar, void *value_out)
{
    switch (field->kind) {
    case RF_INT:
        return convert_exact(scalar, 0, RF_ROUND_NONE, value_out);
    case RF_DECIMAL:
        if (scalar->kind == RF_FIELD_TEXT)
            return rf_parse_decimal(scalar->text, field->scale, (rf_rounding)field->rounding,
                                    value_out);
        return convert_exact(scalar, field->scale, (rf_rounding)field->rounding, value_out);
    case RF_FLOAT:
        return convert_float(scalar, value_out);
    case RF_BOOL:
        if (scalar->kind != RF_FIELD_BOOL)
            return RF_VALUE_WRONG_KIND;
        *(bool *)value_out = scalar->number != 0;
        return RF_VALUE_OK;
    case RF_TEXT:
        if (scalar->kind != RF_FIELD_TEXT)
            return RF_VALUE_WRONG_KIND;
        *(rf_slice *)value_out = scalar->text;
        return RF_VALUE_OK;
    case RF_TIME:
        if (scalar->kind != RF_FIELD_TEXT)
            return RF_VALUE_WRONG_KIND;
        return rf_parse_time(scalar->text, false, 0, value_out);
    case RF_DATE:
        if (scalar->kind != RF_FIELD_TEXT)
            return RF_VALUE_WRONG_KIND;
        return rf_parse_date(scalar->text, value_out);
    case RF_JSON:
        break;
    }
    RF_ASSERT(field->kind != RF_JSON);
    return RF_VALUE_WRONG_KIND;
}

void rf_convert_note(rf_convert_fault *fault, uint32_t ordinal, rf_value_fault found,
                     const rf_scalar *scalar)
{
    rf_convert_fault noted = {
        .ordinal = ordinal,
        .fault = found,
        .compound = !scalar,
        .keep = fault->keep,
        .keep_arg = fault->keep_arg,
    };

    RF_ASSERT(found != RF_VALUE_OK);
    if (scalar)
        noted.scalar = *scalar;
    if (fault->keep)
        fault->keep(fault->keep_arg, &noted);
    if (ordinal < fault->ordinal)
        *fault = noted;
}

static bool column_is_text(const rf_field_column *column)
{
    return column->kind == RF_FIELD_TEXT || column->kind == RF_FIELD_NUMBER;
}

/* Value `index` of the column's own values: by code where it has codes. */
static rf_scalar scalar_at(const rf_field_column *column, size_t index)
{
    rf_scalar scalar = {.kind = column->kind, .scale = column->scale};

    if (column_is_text(column))
        scalar.text = column->text.values[index];
    else
        scalar.number = column->ints[index];
    return scalar;
}

/* Whether the stored integers are the field's values as they are. */
static bool same_form(const rf_field *field, const rf_field_column *column)
{
    if (field->kind != RF_INT && field->kind != RF_DECIMAL)
        return false;
    unsigned scale = field->kind == RF_INT ? 0 : field->scale;
    return (column->kind == RF_FIELD_INT && scale == 0) ||
           (column->kind == RF_FIELD_EXACT && scale == column->scale);
}

size_t rf_kind_size(rf_kind kind)
{
    switch (kind) {
    case RF_BOOL:
        return sizeof(bool);
    case RF_TEXT:
    case RF_JSON:
        return sizeof(rf_slice);
    case RF_INT:
    case RF_DECIMAL:
    case RF_FLOAT:
    case RF_TIME:
    case RF_DATE:
        return sizeof(int64_t);
    }
    return sizeof(int64_t);
}

rf_status rf_convert_column(const rf_field *field, const rf_field_column *column, rf_arena *arena,
                            rf_converted *out, rf_err *err)
{
    size_t count = column_is_text(column) ? column->text.value_count : column->present_count;
    size_t size = rf_kind_size(field->kind);

    RF_ASSERT(field->kind != RF_JSON);
    *out = (rf_converted){.size = size};
    if (column_is_text(column))
        out->codes = column->text.codes;
    if (same_form(field, column)) {
        out->values = (const char *)column->ints;
        return RF_OK;
    }
    if (field->kind == RF_TEXT && column->kind == RF_FIELD_TEXT) {
        out->values = (const char *)column->text.values;
        return RF_OK;
    }
    char *values = rf_arena_alloc(arena, count * size);
    uint8_t *faults = rf_arena_alloc(arena, count);
    if (!values || !faults)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the values of a column");
    bool faulty = false;
    for (size_t i = 0; i < count; i++) {
        rf_scalar scalar = scalar_at(column, i);
        faults[i] = (uint8_t)rf_convert_scalar(field, &scalar, values + i * size);
        faulty = faulty || faults[i] != RF_VALUE_OK;
    }
    out->values = values;
    out->faults = faulty ? faults : NULL;
    return RF_OK;
}

rf_status rf_convert_unset(const rf_field *field, rf_members *members, rf_arena *arena,
                           rf_err *err)
{
    const int64_t none = RF_TIME_NONE;
    size_t size = rf_kind_size(field->kind);

    members->values = rf_arena_alloc(arena, members->count * size);
    members->present = NULL;
    if (members->values && field->present_offset != RF_NO_PRESENT)
        members->present = rf_arena_alloc(arena, members->count * sizeof *members->present);
    if (!members->values || (field->present_offset != RF_NO_PRESENT && !members->present))
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the values of a field");
    memset(members->values, 0, members->count * size);
    if (members->present)
        memset(members->present, 0, members->count * sizeof *members->present);
    if (field->kind == RF_TIME || field->kind == RF_DATE)
        for (uint32_t i = 0; i < members->count; i++)
            memcpy(members->values + i * size, &none, sizeof none);
    return RF_OK;
}

void rf_convert_scatter(const rf_field *field, const rf_field_column *column,
                        const rf_converted *from, const rf_members *members,
                        rf_convert_fault *fault)
{
    uint32_t index = 0;

    RF_ASSERT(column->present || column->present_count == members->count);
    RF_ASSERT(from->size == rf_kind_size(field->kind));
    for (uint32_t i = 0; i < members->count; i++) {
        if (column->present && !rf_bitmap_get(column->present, i))
            continue;
        RF_ASSERT(index < column->present_count);
        uint32_t value = from->codes ? from->codes[index] : index;
        index++;
        if (members->mask && !members->mask[i])
            continue;
        if (from->faults && from->faults[value] != RF_VALUE_OK) {
            rf_scalar scalar = scalar_at(column, value);
            if (i >= members->begin && i < members->end)
                rf_convert_note(fault, i, (rf_value_fault)from->faults[value], &scalar);
            continue;
        }
        memcpy(members->values + i * from->size, from->values + value * from->size, from->size);
        if (members->present)
            members->present[i] = true;
    }
}

enum { SHOWN_SIZE_MAX = 60 };

/* The value as JSON would have it, cut off. */
static void show_scalar(const rf_convert_fault *fault, rf_buf *out)
{
    const rf_scalar *scalar = &fault->scalar;
    char text[RF_VALUE_TEXT_SIZE];
    rf_slice shown = scalar->text;

    if (fault->compound) {
        rf_buf_append_format(out, "an array or object");
        return;
    }
    switch (scalar->kind) {
    case RF_FIELD_INT:
        rf_buf_append_format(out, "%lld", (long long)scalar->number);
        return;
    case RF_FIELD_EXACT:
        shown = (rf_slice){text, rf_format_decimal(scalar->number, scalar->scale, text)};
        break;
    case RF_FIELD_BOOL:
        shown = scalar->number ? RF_SLICE("true") : RF_SLICE("false");
        break;
    case RF_FIELD_NUMBER:
    case RF_FIELD_TEXT:
        break;
    }
    bool cut = shown.size > SHOWN_SIZE_MAX;
    const char *quote = scalar->kind == RF_FIELD_TEXT ? "\"" : "";
    size_t size = 0;
    while (size < shown.size && size < SHOWN_SIZE_MAX) {
        size_t width = rf_utf8_width((rf_slice){shown.data + size, shown.size - size});
        size += width ? width : 1;
    }
    rf_buf_append_format(out, "%s%.*s%s%s", quote, (int)size, shown.data, cut ? "..." : "", quote);
}

static void show_kind(const rf_field *field, rf_buf *out)
{
    rf_buf_append_format(out, "%s", rf_kind_name(field->kind));
    if (field->kind == RF_DECIMAL)
        rf_buf_append_format(out, "(%u)", field->scale);
}

rf_status rf_convert_refuse(const rf_definition_field *field, const rf_convert_fault *fault,
                            rf_err *err)
{
    rf_buf value;
    rf_buf kind;

    rf_buf_init(&value, 1024);
    rf_buf_init(&kind, 64);
    show_scalar(fault, &value);
    show_kind(&field->field, &kind);
    const char *why = "is no";
    if (fault->fault == RF_VALUE_RANGE)
        why = "is beyond the range of";
    else if (fault->fault == RF_VALUE_DIGITS)
        why = "has more decimals than";
    else if (fault->fault == RF_VALUE_NO_ZONE)
        why = "has no offset from UTC, so it is no";
    rf_status status =
        rf_fail(err, RF_ERR_INPUT, "field %.*s: %.*s %s %.*s", (int)field->path_text.size,
                field->path_text.data, (int)value.size, rf_buf_slice(&value).data, why,
                (int)kind.size, rf_buf_slice(&kind).data);
    rf_buf_free(&value);
    rf_buf_free(&kind);
    return status;
}
