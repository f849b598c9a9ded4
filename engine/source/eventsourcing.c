/* See eventsourcing.h.
 *
 * The state's nodes are written again, one after the other, with a stack of the arrays and objects that
 * are open: nothing recurses.
 */
#include "source/eventsourcing.h"

#include "event/json.h"
#include "source/line_text.h"
#include "source/stored_state.h"

#include <stdlib.h>

struct rf_eventsourcing {
    rf_stored_state *state;
    rf_json_parser *parser;
};

rf_status rf_eventsourcing_new(const rf_import_options *options, rf_eventsourcing **decoder_out,
                               rf_err *err)
{
    rf_eventsourcing *decoder = calloc(1, sizeof *decoder);
    rf_status status = RF_OK;

    if (!decoder || !(decoder->parser = rf_json_parser_new()))
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for stored states");
    else
        status = rf_stored_state_new(options, &decoder->state, err);
    if (status) {
        rf_eventsourcing_free(decoder);
        return status;
    }
    *decoder_out = decoder;
    return RF_OK;
}

void rf_eventsourcing_free(rf_eventsourcing *decoder)
{
    if (!decoder)
        return;
    rf_stored_state_free(decoder->state);
    rf_json_parser_free(decoder->parser);
    free(decoder);
}

/* The name and value of an object of exactly the two members that mark a value of Python. */
static bool is_transcoded(const rf_json_node *nodes, uint32_t index, uint32_t *name_out,
                          uint32_t *value_out)
{
    uint32_t first = index + 1;

    if (nodes[index].kind != RF_JSON_OBJECT || nodes[index].next == first)
        return false;
    uint32_t second = nodes[first].next;
    if (second == nodes[index].next || nodes[second].next != nodes[index].next)
        return false;
    bool in_order = rf_slice_equal(rf_json_key(&nodes[first]), RF_SLICE("_type_"));
    *name_out = in_order ? first : second;
    *value_out = in_order ? second : first;
    return nodes[*name_out].kind == RF_JSON_STRING &&
           rf_slice_equal(rf_json_key(&nodes[*name_out]), RF_SLICE("_type_")) &&
           rf_slice_equal(rf_json_key(&nodes[*value_out]), RF_SLICE("_data_"));
}

/* Python writes offsets of local mean time with seconds ("+00:57:44"), which RFC 3339 has not: the same
 * moment in UTC. */
static bool time_with_odd_offset(rf_slice text, int64_t *us_out)
{
    char base[40];
    unsigned offset[3];
    enum { OFFSET_SIZE = sizeof "+00:57:44" - 1 };

    if (text.size < OFFSET_SIZE + 19 || text.size >= sizeof base)
        return false;
    const char *at = text.data + text.size - OFFSET_SIZE;
    if ((*at != '+' && *at != '-') || at[3] != ':' || at[6] != ':')
        return false;
    for (int i = 0; i < 3; i++) {
        const char *digits = at + 1 + 3 * i;
        if (digits[0] < '0' || digits[0] > '9' || digits[1] < '0' || digits[1] > '9')
            return false;
        offset[i] = (unsigned)((digits[0] - '0') * 10 + (digits[1] - '0'));
    }
    int64_t seconds = (int64_t)offset[0] * 3600 + offset[1] * 60 + offset[2];
    if (rf_parse_time((rf_slice){text.data, text.size - OFFSET_SIZE}, true, 0, us_out) != RF_VALUE_OK)
        return false;
    *us_out -= (*at == '-' ? -seconds : seconds) * INT64_C(1000000);
    return true;
}

static void append_time(rf_buf *out, rf_slice text)
{
    char plain[RF_VALUE_TEXT_SIZE];
    int64_t us;

    if (time_with_odd_offset(text, &us))
        text = (rf_slice){plain, rf_format_time(us, plain)};
    rf_append_json_string(out, text);
}

/* Whether the object at `index` is a value that becomes plain, which is then appended. */
static bool append_plain(rf_buf *out, const rf_json_node *nodes, uint32_t index)
{
    uint32_t name, value;

    if (!is_transcoded(nodes, index, &name, &value) || nodes[value].kind != RF_JSON_STRING)
        return false;
    rf_slice type = rf_json_text(&nodes[name]);
    if (rf_slice_equal(type, RF_SLICE("datetime_iso")))
        append_time(out, rf_json_text(&nodes[value]));
    else if (rf_slice_equal(type, RF_SLICE("decimal_str")) ||
             rf_slice_equal(type, RF_SLICE("uuid_hex")))
        rf_append_json_string(out, rf_json_text(&nodes[value]));
    else
        return false;
    return true;
}

static void append_scalar(rf_buf *out, const rf_json_node *node)
{
    if (node->kind == RF_JSON_STRING)
        rf_append_json_string(out, rf_json_text(node));
    else
        rf_buf_append_slice(out, rf_json_text(node));
}

/* The nodes as JSON, with values of Python made plain. */
static void append_nodes(rf_buf *out, const rf_json_node *nodes, uint32_t count)
{
    uint32_t opened[RF_JSON_DEPTH_MAX];
    unsigned depth = 0;
    uint32_t at = 0;

    while (at < count || depth > 0) {
        if (depth > 0 && nodes[opened[depth - 1]].next == at) {
            depth--;
            rf_buf_append_byte(out, nodes[opened[depth]].kind == RF_JSON_OBJECT ? '}' : ']');
            continue;
        }
        if (depth > 0 && opened[depth - 1] + 1 != at)
            rf_buf_append_byte(out, ',');
        if (nodes[at].key) {
            rf_append_json_string(out, rf_json_key(&nodes[at]));
            rf_buf_append_byte(out, ':');
        }
        bool is_open = nodes[at].kind == RF_JSON_OBJECT || nodes[at].kind == RF_JSON_ARRAY;
        if (append_plain(out, nodes, at)) {
            at = nodes[at].next;
        } else if (is_open) {
            RF_ASSERT(depth < RF_JSON_DEPTH_MAX);
            rf_buf_append_byte(out, nodes[at].kind == RF_JSON_OBJECT ? '{' : '[');
            opened[depth++] = at++;
        } else {
            append_scalar(out, &nodes[at++]);
        }
    }
}

static const rf_json_node *member_find(const rf_json_node *nodes, rf_slice name)
{
    const rf_json_node *found = NULL;

    for (uint32_t i = 1; i < nodes[0].next; i = nodes[i].next)
        if (rf_slice_equal(rf_json_key(&nodes[i]), name))
            found = &nodes[i];
    return found;
}

static void append_envelope_time(rf_buf *out, const rf_json_node *nodes)
{
    const rf_json_node *found = member_find(nodes, RF_SLICE("timestamp"));
    uint32_t name, value;

    if (!found || !is_transcoded(nodes, (uint32_t)(found - nodes), &name, &value) ||
        nodes[value].kind != RF_JSON_STRING ||
        !rf_slice_equal(rf_json_text(&nodes[name]), RF_SLICE("datetime_iso")))
        return;
    rf_buf_append_slice(out, RF_SLICE(",\"time\":"));
    append_time(out, rf_json_text(&nodes[value]));
}

static void append_originator(rf_buf *out, const rf_eventsourcing_row *row)
{
    char digits[32];
    size_t count = 0;

    if (!row->originator_is_uuid) {
        rf_line_string(out, "stream", row->originator);
        return;
    }
    for (size_t i = 0; i < row->originator.size && count < sizeof digits; i++)
        if (row->originator.data[i] != '-')
            digits[count++] = row->originator.data[i];
    rf_line_plain(out, "stream", (rf_slice){digits, count});
}

static rf_status state_refused(rf_slice plain, rf_err *err)
{
    unsigned char first = plain.size > 0 ? (unsigned char)plain.data[0] : 0;

    if (first == '{')
        return rf_err_context(err, "the state is not valid JSON");
    return rf_fail(err, RF_ERR_INPUT,
                   "the state is no JSON object: is it encrypted (--cipher-key-env NAME), or written by "
                   "a transcoder or compressor of the application's own?");
}

static rf_status line_append(const rf_eventsourcing_row *row, const rf_json_node *nodes,
                             uint32_t count, rf_buf *out, rf_err *err)
{
    const rf_json_node *schema = member_find(nodes, RF_SLICE("class_version"));

    if (schema && schema->kind != RF_JSON_INTEGER)
        return rf_fail(err, RF_ERR_INPUT, "class_version is no integer");
    rf_line_begin(out);
    if (row->position > 0)
        rf_line_integer(out, "position", row->position);
    append_originator(out, row);
    rf_line_integer(out, "version", row->version);
    rf_line_string(out, "type", row->topic);
    if (schema)
        rf_line_raw(out, "schema", rf_json_text(schema));
    append_envelope_time(out, nodes);
    rf_buf_append_slice(out, RF_SLICE(",\"data\":"));
    append_nodes(out, nodes, count);
    rf_line_end(out);
    return rf_buf_check(out, "a block of events", err);
}

rf_status rf_eventsourcing_line(rf_eventsourcing *decoder, const rf_eventsourcing_row *row,
                                rf_buf *out, rf_err *err)
{
    const rf_json_node *nodes;
    uint32_t count;
    rf_slice plain;

    rf_status status = rf_stored_state_read(decoder->state, row->state, &plain, err);
    if (status)
        return status;
    status = rf_json_parse(decoder->parser, plain, &nodes, &count, err);
    if (status == RF_ERR_INPUT || (!status && nodes[0].kind != RF_JSON_OBJECT))
        status = state_refused(plain, err);
    if (!status)
        status = line_append(row, nodes, count, out, err);
    rf_json_parser_reset(decoder->parser);
    return status;
}
