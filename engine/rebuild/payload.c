/* See payload.h. */
#include "rebuild/payload.h"

enum { JSON_TEXT_SIZE_MAX = 128 << 20 }; /* an escaped string of 16 MiB may grow sixfold */

/* The last one of that name, as segments have it. */
static const rf_json_node *find_member(const rf_json_node *nodes, const rf_json_node *object,
                                       rf_slice name)
{
    const rf_json_node *end = nodes + object->next;
    const rf_json_node *found = NULL;

    if (object->kind != RF_JSON_OBJECT)
        return NULL;
    for (const rf_json_node *node = object + 1; node < end; node = nodes + node->next)
        if (rf_slice_equal(rf_json_key(node), name))
            found = node;
    return found;
}

const rf_json_node *rf_payload_find(const rf_json_node *nodes, const rf_path *path)
{
    const rf_json_node *node = nodes;

    for (uint8_t i = 0; node && i < path->part_count; i++)
        node = find_member(nodes, node, path->parts[i]);
    return node && node->kind != RF_JSON_NULL ? node : NULL;
}

/* As segments classify values; false for arrays and objects. */
static bool classify(const rf_json_node *node, rf_scalar *scalar_out)
{
    rf_scalar scalar = {.text = rf_json_text(node)};
    unsigned scale;

    switch ((rf_json_kind)node->kind) {
    case RF_JSON_FALSE:
    case RF_JSON_TRUE:
        scalar.kind = RF_FIELD_BOOL;
        scalar.number = node->kind == RF_JSON_TRUE;
        break;
    case RF_JSON_INTEGER:
        scalar.kind = rf_parse_int(scalar.text, &scalar.number) == RF_VALUE_OK &&
                              (scalar.number != 0 || scalar.text.size == 1)
                          ? RF_FIELD_INT
                          : RF_FIELD_NUMBER; /* also -0 */
        break;
    case RF_JSON_NUMBER:
        scalar.kind = RF_FIELD_NUMBER;
        if (rf_parse_exact(scalar.text, &scalar.number, &scale)) {
            scalar.kind = RF_FIELD_EXACT;
            scalar.scale = (uint8_t)scale;
        }
        break;
    case RF_JSON_STRING:
        scalar.kind = RF_FIELD_TEXT;
        break;
    case RF_JSON_NULL:
    case RF_JSON_ARRAY:
    case RF_JSON_OBJECT:
        return false;
    }
    *scalar_out = scalar;
    return true;
}

/* A json field: raw bytes, but a string, which was unescaped, is written anew: one form, however it
 * came. */
static rf_slice json_copy(const rf_json_node *node, rf_arena *text)
{
    rf_buf buf;

    if (node->kind != RF_JSON_STRING)
        return rf_arena_copy(text, rf_json_text(node));
    rf_buf_init(&buf, JSON_TEXT_SIZE_MAX);
    rf_append_json_string(&buf, rf_json_text(node));
    rf_slice copy = buf.failed ? (rf_slice){NULL, 0} : rf_arena_copy(text, rf_buf_slice(&buf));
    rf_buf_free(&buf);
    return copy;
}

rf_status rf_payload_take(const rf_field *field, const rf_json_node *node,
                          const rf_members *members, uint32_t ordinal, rf_arena *text,
                          rf_convert_fault *fault, rf_err *err)
{
    char *to = members->values + ordinal * rf_kind_size(field->kind);
    rf_scalar scalar = {.kind = RF_FIELD_TEXT};

    RF_ASSERT(ordinal >= members->begin && ordinal < members->end);
    if (field->kind == RF_JSON) {
        rf_slice copy = json_copy(node, text);
        if (!copy.data)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for the text of events");
        memcpy(to, &copy, sizeof copy);
    } else if (!classify(node, &scalar)) {
        rf_convert_note(fault, ordinal, RF_VALUE_WRONG_KIND, NULL);
        return RF_OK;
    } else {
        if (field->kind == RF_TEXT && scalar.kind == RF_FIELD_TEXT) {
            scalar.text = rf_arena_copy(text, scalar.text);
            if (!scalar.text.data)
                return rf_fail(err, RF_ERR_MEMORY, "out of memory for the text of events");
        }
        rf_value_fault found = rf_convert_scalar(field, &scalar, to);
        if (found != RF_VALUE_OK) {
            rf_convert_note(fault, ordinal, found, &scalar);
            return RF_OK;
        }
    }
    if (members->present)
        members->present[ordinal] = true;
    return RF_OK;
}
