/* See convert.h. */
#include "rebuild/convert.h"

#define FLOAT_EXACT_MAX (INT64_C(1) << 53)

/* A column's values in the field's own form: dense, or by code. */
struct converted {
    const char *values; /* of `size` bytes each */
    size_t size;
    const uint32_t *codes;
    const uint8_t *faults; /* by value; NULL: none */
};

static rf_value_fault convert_int(const rf_scalar *scalar, unsigned scale, int64_t *value_out)
{
    switch (scalar->kind) {
    case RF_FIELD_INT:
        return rf_rescale(scalar->number, 0, scale, RF_ROUND_NONE, value_out);
    case RF_FIELD_EXACT:
        return rf_rescale(scalar->number, scalar->scale, scale, RF_ROUND_NONE, value_out);
    case RF_FIELD_NUMBER:
        return rf_parse_decimal(scalar->text, scale, RF_ROUND_NONE, value_out);
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
        return convert_int(scalar, 0, value_out);
    case RF_DECIMAL:
        if (scalar->kind == RF_FIELD_TEXT)
            return rf_parse_decimal(scalar->text, field->scale, RF_ROUND_NONE, value_out);
        return convert_int(scalar, field->scale, value_out);
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
    RF_ASSERT(found != RF_VALUE_OK);
    if (ordinal < fault->ordinal)
        *fault = (rf_convert_fault){.ordinal = ordinal, .fault = found, .scalar = *scalar};
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

static size_t kind_size(rf_kind kind)
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

static rf_status convert_values(const rf_field *field, const rf_field_column *column,
                                rf_arena *scratch, struct converted *out, rf_err *err)
{
    size_t count = column_is_text(column) ? column->text.value_count : column->present_count;
    size_t size = kind_size(field->kind);

    *out = (struct converted){.size = size};
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
    char *values = rf_arena_alloc(scratch, count * size);
    uint8_t *faults = rf_arena_alloc(scratch, count);
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

/* Every event has the value: no presence to look at. `size` is a constant where this is called. */
static inline __attribute__((always_inline)) void scatter_all(const struct converted *from,
                                                              size_t size,
                                                              const rf_event_array *events,
                                                              uint32_t offset)
{
    char *to = events->structs + offset;
    const char *values = from->values;
    const uint32_t *codes = from->codes;

    if (codes) {
        for (uint32_t i = 0; i < events->count; i++, to += events->stride)
            memcpy(to, values + codes[i] * size, size);
    } else {
        for (uint32_t i = 0; i < events->count; i++, to += events->stride, values += size)
            memcpy(to, values, size);
    }
}

/* Some events lack the value, or some values are faulty, or presence is asked for. */
static void scatter_some(const rf_field *field, const rf_field_column *column,
                         const struct converted *from, const rf_event_array *events,
                         rf_convert_fault *fault)
{
    uint32_t index = 0;

    for (uint32_t i = 0; i < events->count; i++) {
        if (column->present && !rf_bitmap_get(column->present, i))
            continue;
        RF_ASSERT(index < column->present_count);
        uint32_t value = from->codes ? from->codes[index] : index;
        index++;
        if (from->faults && from->faults[value] != RF_VALUE_OK) {
            rf_scalar scalar = scalar_at(column, value);
            if (i >= events->begin && i < events->end)
                rf_convert_note(fault, i, (rf_value_fault)from->faults[value], &scalar);
            continue;
        }
        memcpy(rf_event_member(events, i, field->offset), from->values + value * from->size,
               from->size);
        if (field->present_offset != RF_NO_PRESENT)
            *(bool *)rf_event_member(events, i, field->present_offset) = true;
    }
}

rf_status rf_convert_column(const rf_field *field, const rf_field_column *column,
                            const rf_event_array *events, rf_arena *scratch,
                            rf_convert_fault *fault, rf_err *err)
{
    struct converted from;

    RF_ASSERT(column->present || column->present_count == events->count);
    RF_ASSERT(field->kind != RF_JSON);
    rf_status status = convert_values(field, column, scratch, &from, err);
    if (status != RF_OK)
        return status;
    if (column->present || from.faults || field->present_offset != RF_NO_PRESENT)
        scatter_some(field, column, &from, events, fault);
    else if (from.size == sizeof(int64_t))
        scatter_all(&from, sizeof(int64_t), events, field->offset);
    else if (from.size == sizeof(rf_slice))
        scatter_all(&from, sizeof(rf_slice), events, field->offset);
    else
        scatter_all(&from, sizeof(bool), events, field->offset);
    return RF_OK;
}

void rf_convert_unset(const rf_field *field, const rf_event_array *events)
{
    const int64_t none = RF_TIME_NONE;

    if (field->kind != RF_TIME && field->kind != RF_DATE)
        return;
    for (uint32_t i = 0; i < events->count; i++)
        memcpy(rf_event_member(events, i, field->offset), &none, sizeof none);
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
