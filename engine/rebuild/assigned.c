/* See assigned.h. */
#include "rebuild/assigned.h"

#define WHOLE_MAX 9007199254740992.0 /* 2^53 */
enum { JSON_TEXT_SIZE_MAX = 128 << 20 };

static rf_value_fault whole_of(double real, int64_t *value_out)
{
    if (!(real > -WHOLE_MAX && real < WHOLE_MAX))
        return RF_VALUE_RANGE;
    if (real != (double)(int64_t)real)
        return RF_VALUE_DIGITS;
    *value_out = (int64_t)real;
    return RF_VALUE_OK;
}

static rf_value_fault convert_number(const rf_field *field, const rf_assigned *assigned,
                                     void *value_out)
{
    if (field->kind == RF_FLOAT) {
        *(double *)value_out = assigned->kind == RF_ASSIGNED_INT ? (double)assigned->as.number
                                                                 : assigned->as.real;
        return RF_VALUE_OK;
    }
    if (field->kind == RF_BOOL || field->kind == RF_TEXT)
        return RF_VALUE_WRONG_KIND;
    if (assigned->kind == RF_ASSIGNED_FLOAT)
        return whole_of(assigned->as.real, value_out);
    *(int64_t *)value_out = assigned->as.number;
    return RF_VALUE_OK;
}

static rf_value_fault convert_json(const rf_assigned *assigned, rf_arena *text, rf_slice *value_out,
                                   bool *memory_out)
{
    char digits[RF_VALUE_TEXT_SIZE];
    rf_slice value = {0};
    rf_buf quoted;

    rf_buf_init(&quoted, JSON_TEXT_SIZE_MAX);
    switch (assigned->kind) {
    case RF_ASSIGNED_INT:
        value = (rf_slice){digits, rf_format_decimal(assigned->as.number, 0, digits)};
        break;
    case RF_ASSIGNED_FLOAT:
        value = (rf_slice){digits, rf_format_float(assigned->as.real, digits)};
        break;
    case RF_ASSIGNED_BOOL:
        value = assigned->as.truth ? RF_SLICE("true") : RF_SLICE("false");
        break;
    case RF_ASSIGNED_TEXT:
        rf_append_json_string(&quoted, assigned->as.text);
        value = rf_buf_slice(&quoted);
        break;
    case RF_ASSIGNED_JSON:
        value = assigned->as.text;
        break;
    case RF_ASSIGNED_NOT:
    case RF_ASSIGNED_NIL:
        break;
    }
    rf_slice copy = quoted.failed ? (rf_slice){NULL, 0} : rf_arena_copy(text, value);
    rf_buf_free(&quoted);
    *memory_out = !copy.data;
    if (!copy.data)
        return RF_VALUE_RANGE;
    *value_out = copy;
    return RF_VALUE_OK;
}

rf_value_fault rf_assigned_convert(const rf_field *field, const rf_assigned *assigned,
                                   rf_arena *text, void *value_out, bool *memory_out)
{
    const rf_scalar as_text = {.kind = RF_FIELD_TEXT, .text = assigned->as.text};

    *memory_out = false;
    if (field->kind == RF_JSON)
        return convert_json(assigned, text, value_out, memory_out);
    switch (assigned->kind) {
    case RF_ASSIGNED_INT:
    case RF_ASSIGNED_FLOAT:
        return convert_number(field, assigned, value_out);
    case RF_ASSIGNED_BOOL:
        if (field->kind != RF_BOOL)
            return RF_VALUE_WRONG_KIND;
        *(bool *)value_out = assigned->as.truth;
        return RF_VALUE_OK;
    case RF_ASSIGNED_TEXT:
        return rf_convert_scalar(field, &as_text, value_out);
    case RF_ASSIGNED_NOT:
    case RF_ASSIGNED_NIL:
    case RF_ASSIGNED_JSON:
        break;
    }
    return RF_VALUE_WRONG_KIND;
}

rf_assigned rf_assigned_of(const rf_field *field, const void *event)
{
    const char *at = (const char *)event + field->offset;
    rf_assigned assigned = {.kind = RF_ASSIGNED_INT};

    RF_ASSERT(field->kind != RF_JSON);
    switch (field->kind) {
    case RF_FLOAT:
        assigned.kind = RF_ASSIGNED_FLOAT;
        memcpy(&assigned.as.real, at, sizeof assigned.as.real);
        break;
    case RF_BOOL:
        assigned.kind = RF_ASSIGNED_BOOL;
        memcpy(&assigned.as.truth, at, sizeof assigned.as.truth);
        break;
    case RF_TEXT:
    case RF_JSON:
        assigned.kind = RF_ASSIGNED_TEXT;
        memcpy(&assigned.as.text, at, sizeof assigned.as.text);
        break;
    case RF_INT:
    case RF_DECIMAL:
    case RF_TIME:
    case RF_DATE:
        memcpy(&assigned.as.number, at, sizeof assigned.as.number);
        break;
    }
    return assigned;
}

bool rf_assigned_show(const rf_assigned *assigned, char *digits, rf_scalar *scalar_out)
{
    *scalar_out = (rf_scalar){.kind = RF_FIELD_TEXT, .text = assigned->as.text};
    if (assigned->kind == RF_ASSIGNED_INT)
        *scalar_out = (rf_scalar){.kind = RF_FIELD_INT, .number = assigned->as.number};
    else if (assigned->kind == RF_ASSIGNED_FLOAT)
        *scalar_out = (rf_scalar){
            .kind = RF_FIELD_NUMBER,
            .text = {digits, rf_format_float(assigned->as.real, digits)}};
    else if (assigned->kind == RF_ASSIGNED_BOOL)
        *scalar_out = (rf_scalar){.kind = RF_FIELD_BOOL, .number = assigned->as.truth};
    return assigned->kind != RF_ASSIGNED_JSON;
}
