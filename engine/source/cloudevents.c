/* See cloudevents.h. */
#include "source/cloudevents.h"

#include "base/base64.h"
#include "base/checksum.h"
#include "event/event.h"
#include "source/line_text.h"

/* Attributes that are not simply metadata. */
typedef enum attribute {
    ATTRIBUTE_SPECVERSION,
    ATTRIBUTE_ID,
    ATTRIBUTE_SOURCE,
    ATTRIBUTE_TYPE,
    ATTRIBUTE_SUBJECT,
    ATTRIBUTE_TIME,
    ATTRIBUTE_SEQUENCE,
    ATTRIBUTE_CONTENT,
    ATTRIBUTE_DATA,
    ATTRIBUTE_DATA_BASE64,
    ATTRIBUTE_COUNT,
} attribute;

static const char *const names[ATTRIBUTE_COUNT] = {
    "specversion", "id",       "source",          "type", "subject",
    "time",        "sequence", "datacontenttype", "data", "data_base64",
};

static attribute attribute_of(rf_slice name)
{
    int at = 0;

    while (at < ATTRIBUTE_COUNT && !rf_slice_equal(name, rf_slice_of(names[at])))
        at++;
    return (attribute)at;
}

static rf_status attributes_find(const rf_json_node *nodes,
                                 const rf_json_node *found_out[ATTRIBUTE_COUNT], rf_err *err)
{
    for (int i = 0; i < ATTRIBUTE_COUNT; i++)
        found_out[i] = NULL;
    for (uint32_t i = 1; i < nodes[0].next; i = nodes[i].next) {
        attribute at = attribute_of(rf_json_key(&nodes[i]));
        if (at == ATTRIBUTE_COUNT || (nodes[i].kind == RF_JSON_NULL && at != ATTRIBUTE_DATA))
            continue;
        if (found_out[at])
            return rf_fail(err, RF_ERR_INPUT, "the attribute %s stands twice", names[at]);
        found_out[at] = &nodes[i];
    }
    return RF_OK;
}

static rf_status attributes_check(const rf_json_node *const found[ATTRIBUTE_COUNT], rf_err *err)
{
    for (int i = ATTRIBUTE_SPECVERSION; i <= ATTRIBUTE_TYPE; i++) {
        if (!found[i] || found[i]->kind != RF_JSON_STRING || found[i]->text_size == 0)
            return rf_fail(err, RF_ERR_INPUT,
                           "no CloudEvent: the attribute %s, a string that is not empty, is missing",
                           names[i]);
    }
    if (!rf_slice_equal(rf_json_text(found[ATTRIBUTE_SPECVERSION]), RF_SLICE("1.0")))
        return rf_fail(err, RF_ERR_INPUT, "specversion is %.*s; known is 1.0",
                       (int)(found[ATTRIBUTE_SPECVERSION]->text_size < 20
                                 ? found[ATTRIBUTE_SPECVERSION]->text_size
                                 : 20),
                       found[ATTRIBUTE_SPECVERSION]->text);
    for (int i = ATTRIBUTE_SUBJECT; i <= ATTRIBUTE_DATA_BASE64; i++) {
        bool is_text = i != ATTRIBUTE_SEQUENCE && i != ATTRIBUTE_DATA;
        if (is_text && found[i] && found[i]->kind != RF_JSON_STRING)
            return rf_fail(err, RF_ERR_INPUT, "the attribute %s is no string", names[i]);
    }
    if (found[ATTRIBUTE_DATA] && found[ATTRIBUTE_DATA_BASE64])
        return rf_fail(err, RF_ERR_INPUT, "data and data_base64 exclude each other");
    return RF_OK;
}

/* A value as it stands; between its own values are no line breaks. */
static void value_append(rf_buf *out, const char *name, const rf_json_node *node)
{
    if (node->kind == RF_JSON_STRING) {
        rf_line_string(out, name, rf_json_text(node));
    } else {
        bool is_json = rf_line_json(out, name, rf_json_text(node));
        RF_ASSERT(is_json);
    }
}

/* Fewer bits than a hash has: so many digits are read by patterns. Such a number has to be the only one in a
 * stream, where even a million of them are hardly ever equal. */
enum { ID_BITS = 59 };

static int64_t id_of(rf_slice source, rf_slice id)
{
    uint64_t hash = rf_checksum_seeded(id, rf_checksum(source)) >> (64 - ID_BITS);

    return hash ? (int64_t)hash : 1;
}

/* What the event is known by. */
static void identity_append(rf_buf *out, const rf_json_node *const found[ATTRIBUTE_COUNT],
                            bool with_ids)
{
    const rf_json_node *node = found[ATTRIBUTE_SEQUENCE];
    int64_t version;

    if (node && (node->kind == RF_JSON_STRING || node->kind == RF_JSON_INTEGER) &&
        rf_parse_int(rf_json_text(node), &version) == RF_VALUE_OK && version >= 0)
        rf_line_integer(out, "version", version);
    else if (with_ids)
        rf_line_integer(out, "position", id_of(rf_json_text(found[ATTRIBUTE_SOURCE]),
                                               rf_json_text(found[ATTRIBUTE_ID])));
}

/* By RFC 6839: "application/json", "application/geo+json; charset=utf-8". */
static bool is_json_type(rf_slice type)
{
    const char *end = memchr(type.data, ';', type.size);

    if (end)
        type.size = (size_t)(end - type.data);
    while (type.size > 0 && type.data[type.size - 1] == ' ')
        type.size--;
    return type.size >= 5 && (memcmp(type.data + type.size - 5, "/json", 5) == 0 ||
                              memcmp(type.data + type.size - 5, "+json", 5) == 0);
}

static rf_status bytes_append(rf_buf *out, const rf_json_node *node, const rf_json_node *content,
                              rf_err *err)
{
    rf_buf bytes;
    rf_status status = RF_OK;

    rf_buf_init(&bytes, RF_EVENT_SIZE_MAX);
    if (!rf_base64_decode(rf_json_text(node), &bytes))
        status = rf_fail(err, RF_ERR_INPUT, "data_base64 is not valid base64");
    else if (content && !is_json_type(rf_json_text(content)))
        rf_line_string(out, "data", rf_json_text(node));
    else if (!rf_line_json(out, "data", rf_buf_slice(&bytes)))
        status = rf_fail(err, RF_ERR_INPUT,
                         "data_base64 is not valid JSON, as datacontenttype says that it is");
    rf_buf_free(&bytes);
    return status;
}

static void metadata_append(rf_buf *out, const rf_json_node *nodes)
{
    rf_buf_append_slice(out, RF_SLICE(",\"metadata\":{"));
    bool is_first = true;
    for (uint32_t i = 1; i < nodes[0].next; i = nodes[i].next) {
        attribute at = attribute_of(rf_json_key(&nodes[i]));
        if (nodes[i].kind == RF_JSON_NULL || at == ATTRIBUTE_SPECVERSION || at == ATTRIBUTE_TYPE ||
            at == ATTRIBUTE_TIME || at == ATTRIBUTE_DATA || at == ATTRIBUTE_DATA_BASE64)
            continue;
        if (!is_first)
            rf_buf_append_byte(out, ',');
        is_first = false;
        rf_append_json_string(out, rf_json_key(&nodes[i]));
        rf_buf_append_byte(out, ':');
        size_t begin = out->size;
        if (nodes[i].kind == RF_JSON_STRING)
            rf_append_json_string(out, rf_json_text(&nodes[i]));
        else
            rf_buf_append_slice(out, rf_json_text(&nodes[i]));
        for (size_t k = begin; k < out->size; k++)
            if (out->data[k] == '\n')
                out->data[k] = ' ';
    }
    rf_buf_append_byte(out, '}');
}

static rf_status event_append(const rf_json_node *nodes, bool with_ids, rf_buf *out, rf_err *err)
{
    const rf_json_node *found[ATTRIBUTE_COUNT];

    rf_status status = attributes_find(nodes, found, err);
    if (!status)
        status = attributes_check(found, err);
    if (status)
        return status;
    const rf_json_node *subject = found[ATTRIBUTE_SUBJECT];
    if (!subject || subject->text_size == 0)
        subject = found[ATTRIBUTE_SOURCE];
    rf_line_begin(out);
    rf_line_string(out, "stream", rf_json_text(subject));
    identity_append(out, found, with_ids);
    rf_line_string(out, "type", rf_json_text(found[ATTRIBUTE_TYPE]));
    if (found[ATTRIBUTE_TIME])
        rf_line_string(out, "time", rf_json_text(found[ATTRIBUTE_TIME]));
    if (found[ATTRIBUTE_DATA])
        value_append(out, "data", found[ATTRIBUTE_DATA]);
    else if (found[ATTRIBUTE_DATA_BASE64])
        status = bytes_append(out, found[ATTRIBUTE_DATA_BASE64], found[ATTRIBUTE_CONTENT], err);
    else
        rf_line_raw(out, "data", RF_SLICE("null"));
    if (status)
        return status;
    metadata_append(out, nodes);
    rf_line_end(out);
    return rf_buf_check(out, "a block of events", err);
}

rf_status rf_cloudevents_line(rf_json_parser *parser, rf_slice event, bool with_ids, rf_buf *out,
                              rf_err *err)
{
    const rf_json_node *nodes;
    uint32_t count;

    rf_status status = rf_json_parse(parser, event, &nodes, &count, err);
    if (status == RF_ERR_INPUT)
        status = rf_err_context(err, "not valid JSON");
    else if (!status && nodes[0].kind != RF_JSON_OBJECT)
        status = rf_fail(err, RF_ERR_INPUT, "no CloudEvent: not an object");
    if (!status)
        status = event_append(nodes, with_ids, out, err);
    rf_json_parser_reset(parser);
    return status;
}
