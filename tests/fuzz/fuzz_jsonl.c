/* Fuzz target of JSON and of the line parser: any bytes give nodes that hang together, or one
 * error.
 *
 * The first byte chooses maps and time zone, the rest is one line. The input is copied in front of
 * exactly RF_JSON_PADDING bytes, so that the sanitizer sees a read past them.
 */
#include "base/bytes.h"
#include "event/value.h"
#include "source/mapping.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_nodes(const rf_json_node *nodes, uint32_t count)
{
    RF_ASSERT(count > 0 && nodes[0].next == count && nodes[0].depth == 0);
    for (uint32_t i = 0; i < count; i++) {
        const rf_json_node *node = &nodes[i];
        int64_t number;
        unsigned scale;
        double real;
        RF_ASSERT(node->next > i && node->next <= count);
        RF_ASSERT(node->depth < RF_JSON_DEPTH_MAX);
        RF_ASSERT(rf_utf8_valid(rf_json_text(node)));
        RF_ASSERT(!node->key || rf_utf8_valid(rf_json_key(node)));
        if (node->kind == RF_JSON_ARRAY || node->kind == RF_JSON_OBJECT) {
            for (uint32_t j = i + 1; j < node->next; j = nodes[j].next) {
                RF_ASSERT(nodes[j].depth == node->depth + 1);
                RF_ASSERT((nodes[j].key != NULL) == (node->kind == RF_JSON_OBJECT));
                RF_ASSERT(nodes[j].next <= node->next);
            }
            continue;
        }
        RF_ASSERT(node->next == i + 1);
        rf_slice text = rf_json_text(node);
        int64_t us;
        (void)rf_parse_time(text, true, 3600, &us);
        (void)rf_parse_exact(text, &number, &scale);
        rf_value_fault fault = rf_parse_decimal(text, 4, RF_ROUND_HALF_EVEN, &number);
        rf_value_fault float_fault = rf_parse_float(text, &real);
        if (node->kind == RF_JSON_INTEGER || node->kind == RF_JSON_NUMBER)
            RF_ASSERT(fault != RF_VALUE_WRONG_KIND && float_fault != RF_VALUE_WRONG_KIND);
        if (node->kind == RF_JSON_INTEGER)
            RF_ASSERT(rf_parse_int(text, &number) != RF_VALUE_WRONG_KIND);
    }
}

/* What a string says must come back from its JSON form. */
static void check_strings(const rf_json_node *nodes, uint32_t count)
{
    rf_json_parser *parser = rf_json_parser_new();
    rf_buf out;

    RF_ASSERT(parser);
    rf_buf_init(&out, 1 << 20);
    for (uint32_t i = 0; i < count && i < 16; i++) {
        const rf_json_node *again;
        uint32_t again_count;
        if (nodes[i].kind != RF_JSON_STRING)
            continue;
        rf_buf_clear(&out);
        rf_append_json_string(&out, rf_json_text(&nodes[i]));
        size_t size = out.size;
        RF_ASSERT(rf_buf_reserve(&out, RF_JSON_PADDING) != NULL);
        rf_status status =
            rf_json_parse(parser, (rf_slice){out.data, size}, &again, &again_count, NULL);
        RF_ASSERT(status == RF_OK && again_count == 1);
        RF_ASSERT(rf_slice_equal(rf_json_text(again), rf_json_text(&nodes[i])));
    }
    rf_buf_free(&out);
    rf_json_parser_free(parser);
}

static rf_mapping *mapping_of(uint8_t choice)
{
    static const char *const maps[] = {
        "stream=s,type=data.t,time=data.at",
        "data=d,metadata=data.m,version=metadata.v,schema=data.\"a.b\".c",
        "stream=x,type=x,data=x,metadata=x",
    };
    rf_mapping *mapping = NULL;
    rf_import_options options = {0};

    if ((choice & 3) != 0) {
        options.maps = &maps[(choice & 3) - 1];
        options.map_count = 1;
    }
    if (choice & 4)
        options.time_zone = "-05:30";
    options.time_unit = (rf_time_unit)(choice >> 3 & 3);
    RF_ASSERT(rf_mapping_new(&options, &mapping, NULL) == RF_OK);
    return mapping;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rf_mapping *mappings[32];
    static rf_json_parser *parser;
    const rf_json_node *nodes;
    uint32_t count;
    rf_unused_members unused = {.count = 0};
    rf_event event;
    rf_err err;

    if (size == 0)
        return 0;
    if (!parser)
        parser = rf_json_parser_new();
    uint8_t choice = data[0] & 31;
    if (!mappings[choice])
        mappings[choice] = mapping_of(choice);
    char *text = malloc(size - 1 + RF_JSON_PADDING);
    RF_ASSERT(parser && text);
    if (size > 1)
        memcpy(text, data + 1, size - 1);
    memset(text + size - 1, '9', RF_JSON_PADDING);
    rf_slice line = {text, size - 1};
    rf_status status = rf_json_parse(parser, line, &nodes, &count, &err);
    if (status == RF_OK) {
        check_nodes(nodes, count);
        check_strings(nodes, count);
    } else {
        RF_ASSERT(status == RF_ERR_INPUT && err.message[0] != '\0');
    }
    bool valid = status == RF_OK;
    rf_json_parser_reset(parser);
    status = rf_mapping_read(mappings[choice], parser, line, &unused, &event, &err);
    if (status == RF_OK) {
        RF_ASSERT(valid);
        RF_ASSERT(event.stream.size >= 1 && event.type.size >= 1 && event.data.size >= 1);
        check_nodes(event.data_nodes, event.data_node_count);
        if (event.metadata.data)
            check_nodes(event.metadata_nodes, event.metadata_node_count);
    }
    rf_json_parser_reset(parser);
    free(text);
    return 0;
}
