/* Fuzz target of patterns: of two lines the first is learned; what the second gives by its pattern
 * must be what it gives when it is read in full, and a line that is wrong must have none.
 *
 * The first byte chooses a map, the rest are the lines. The second is copied in front of exactly
 * RF_JSON_PADDING zeros, so that the sanitizer sees a read past them.
 */
#include "base/bytes.h"
#include "source/pattern.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const rf_event *a, const rf_event *b)
{
    RF_ASSERT(rf_slice_equal(a->stream, b->stream) && rf_slice_equal(a->type, b->type));
    RF_ASSERT(a->version == b->version && a->schema == b->schema && a->time == b->time);
    RF_ASSERT(a->source_position == b->source_position && rf_slice_equal(a->data, b->data));
    RF_ASSERT(!a->metadata.data == !b->metadata.data && rf_slice_equal(a->metadata, b->metadata));
    RF_ASSERT(a->data_node_count == b->data_node_count);
    RF_ASSERT(a->metadata_node_count == b->metadata_node_count);
    uint32_t count = a->data_node_count + a->metadata_node_count;
    rf_json_node *nodes = calloc(count, sizeof *nodes);
    RF_ASSERT(nodes);
    rf_event_fill_nodes(a, nodes);
    for (uint32_t i = 0; i < count; i++) {
        const rf_json_node *due = i < b->data_node_count
                                      ? &b->data_nodes[i]
                                      : &b->metadata_nodes[i - b->data_node_count];
        RF_ASSERT(nodes[i].kind == due->kind && nodes[i].next == due->next);
        RF_ASSERT(nodes[i].depth == due->depth);
        RF_ASSERT(rf_slice_equal(rf_json_key(&nodes[i]), rf_json_key(due)));
        RF_ASSERT(due->kind != RF_JSON_ARRAY);
        if (due->kind == RF_JSON_OBJECT || due->kind == RF_JSON_NULL ||
            due->kind == RF_JSON_TRUE || due->kind == RF_JSON_FALSE)
            continue;
        RF_ASSERT(rf_slice_equal(rf_json_text(&nodes[i]), rf_json_text(due)));
    }
    for (uint32_t i = 0; i < a->shape->value_count; i++) {
        const rf_json_node *node = &nodes[a->shape->values[i].node];
        int64_t number = 0;
        unsigned scale = 0;
        if (node->kind == RF_JSON_INTEGER)
            RF_ASSERT(rf_parse_int(rf_json_text(node), &number) == RF_VALUE_OK &&
                      number == a->values[i].value);
        if (node->kind == RF_JSON_NUMBER)
            RF_ASSERT(rf_parse_exact(rf_json_text(node), &number, &scale) &&
                      number == a->values[i].value && scale == a->values[i].scale);
    }
    free(nodes);
}

static char *copy_padded(const uint8_t *data, size_t size)
{
    char *text = calloc(1, size + RF_JSON_PADDING);

    RF_ASSERT(text);
    if (size > 0)
        memcpy(text, data, size);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const maps[] = {"stream=s,type=t,data=d", "metadata=m,position=p"};
    rf_import_options options = {.maps = maps, .map_count = 0};
    rf_mapping *mapping = NULL;
    rf_unused_members unused = {.count = 0}, unused_full = {.count = 0};
    rf_event event, full;
    rf_line_members members;
    rf_arena memory;

    if (size == 0)
        return 0;
    options.map_count = data[0] % 3;
    data++;
    size--;
    const uint8_t *cut = size > 0 ? memchr(data, '\n', size) : NULL;
    if (!cut)
        return 0;
    size_t first_size = (size_t)(cut - data);
    size_t second_size = size - first_size - 1;
    const uint8_t *more = second_size > 0 ? memchr(cut + 1, '\n', second_size) : NULL;
    size_t line_size = more ? (size_t)(more - cut) - 1 : second_size;
    char *first = copy_padded(data, first_size);
    char *second = copy_padded(cut + 1, second_size);
    RF_ASSERT(rf_mapping_new(&options, &mapping, NULL) == RF_OK);
    rf_json_parser *parser = rf_json_parser_new();
    rf_event_shapes *shapes = rf_event_shapes_new();
    rf_patterns *patterns = rf_patterns_new(mapping, shapes);
    rf_arena_init(&memory, 1 << 20);
    RF_ASSERT(parser && shapes && patterns);
    rf_slice line = {first, first_size};
    if (rf_mapping_read_members(mapping, parser, line, &unused, &members, &event, NULL) == RF_OK)
        rf_patterns_learn(patterns, line, &members, &event);
    const char *at = second;
    unused.count = 0;
    if (rf_patterns_read(patterns, &at, second + second_size, &memory, &unused, &event)) {
        RF_ASSERT(at == second + line_size + (more != NULL));
        RF_ASSERT(rf_mapping_read(mapping, parser, (rf_slice){second, line_size}, &unused_full,
                                  &full, NULL) == RF_OK);
        check_same(&event, &full);
        RF_ASSERT(unused.count == unused_full.count);
    } else {
        RF_ASSERT(at == second);
    }
    rf_patterns_free(patterns);
    rf_event_shapes_free(shapes);
    rf_json_parser_free(parser);
    rf_mapping_free(mapping);
    rf_arena_free(&memory);
    free(first);
    free(second);
    return 0;
}
