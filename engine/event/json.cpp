/* See json.h.
 *
 * Two stages. simdjson's first stage (chosen at run time for the processor) checks UTF-8 and the
 * control characters inside strings and lists where tokens begin: brackets, commas, colons, opening
 * quotes and first bytes of scalars. The second stage is the walk below, which takes these places
 * one by one, keeps its own stack of open containers and checks everything else: grammar, literals,
 * numbers, escapes. simdjson's own second stages do not fit: On-Demand does not check what it skips
 * and is chosen at compile time, DOM turns numbers into doubles.
 *
 * A string ends at the last quote before the next token, so it is not scanned for its end; and it
 * is scanned for escapes only if the whole text has a backslash.
 *
 * Compiled without exceptions: simdjson allocates with nothrow, and everything else is malloc.
 */
extern "C" {
#include "base/bytes.h"
#include "event/json.h"
}

#include <simdjson.h>

#include <stdlib.h>
#include <string.h>

namespace
{

using implementation_ptr = std::unique_ptr<simdjson::internal::dom_parser_implementation>;

constexpr size_t text_size_max = size_t(1) << 30;
constexpr size_t stage_size_min = 16 << 10;
constexpr size_t stage_size_kept = 1 << 20;
constexpr size_t chunk_size_min = 256 << 10;
constexpr size_t chunk_bytes_kept = 16 << 20;

/* Pieces that stay where they are until reset. Chunks are kept from reset to reset. */
struct alignas(16) chunk {
    chunk *next;
    size_t size; /* of the bytes that follow */
    size_t used;
    char *bytes()
    {
        return reinterpret_cast<char *>(this + 1);
    }
};

struct region {
    chunk *first;
    chunk *current;
};

chunk *chunk_new(size_t size)
{
    chunk *made = static_cast<chunk *>(malloc(sizeof(chunk) + size));
    if (made) {
        made->next = nullptr;
        made->size = size;
        made->used = 0;
    }
    return made;
}

/* At least `size` free bytes in one piece, aligned to 16 if every piece's size is a multiple of
 * 16; NULL without memory. Nothing is taken until region_take. */
char *region_reserve(region *pieces, size_t size)
{
    chunk *at = pieces->current;

    while (at && at->size - at->used < size) {
        at = at->next;
        if (at)
            at->used = 0;
    }
    if (!at) {
        at = chunk_new(size > chunk_size_min ? size : chunk_size_min);
        if (!at)
            return nullptr;
        if (pieces->current) {
            at->next = pieces->current->next;
            pieces->current->next = at;
        } else {
            pieces->first = at;
        }
    }
    pieces->current = at;
    return at->bytes() + at->used;
}

void region_take(region *pieces, size_t size)
{
    RF_ASSERT(pieces->current && size <= pieces->current->size - pieces->current->used);
    pieces->current->used += size;
}

/* Keeps chunks up to a total, frees the rest. */
void region_reset(region *pieces, size_t kept_max)
{
    size_t kept = 0;
    chunk **link = &pieces->first;

    while (*link) {
        chunk *at = *link;
        if (at->size > kept_max - kept) {
            *link = at->next;
            free(at);
        } else {
            kept += at->size;
            at->used = 0;
            link = &at->next;
        }
    }
    pieces->current = pieces->first;
}

} // namespace

struct rf_json_parser {
    implementation_ptr stage;
    region nodes;
    region text;
};

namespace
{

/* One text on its way through the second stage. */
struct walk {
    rf_json_parser *parser;
    const char *text;
    size_t size;
    const uint32_t *token; /* the next one; after the last stands `size` */
    const uint32_t *token_end;
    rf_json_node *nodes;
    uint32_t count;
    uint32_t count_max;
    bool escapes; /* the text has a backslash */
    uint32_t depth;
    uint32_t open[RF_JSON_DEPTH_MAX]; /* node indexes of the open containers */
    rf_err *err;
};

rf_status refuse(const walk *state, size_t at, const char *what)
{
    return rf_fail(state->err, RF_ERR_INPUT, "%s at byte %zu", what, at + 1);
}

bool ends_scalar(char byte)
{
    return byte == ',' || byte == '}' || byte == ']' || byte == ':' || byte == ' ' ||
           byte == '\n' || byte == '\r' || byte == '\t';
}

bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

int hex_value(const char *at)
{
    int value = 0;
    for (int i = 0; i < 4; i++) {
        char byte = at[i];
        int digit = byte >= '0' && byte <= '9'   ? byte - '0'
                    : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
                    : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

char *put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        *out++ = static_cast<char>(code);
        return out;
    }
    if (code < 0x800) {
        *out++ = static_cast<char>(0xc0 | (code >> 6));
    } else {
        if (code < 0x10000) {
            *out++ = static_cast<char>(0xe0 | (code >> 12));
        } else {
            *out++ = static_cast<char>(0xf0 | (code >> 18));
            *out++ = static_cast<char>(0x80 | ((code >> 12) & 0x3f));
        }
        *out++ = static_cast<char>(0x80 | ((code >> 6) & 0x3f));
    }
    *out++ = static_cast<char>(0x80 | (code & 0x3f));
    return out;
}

/* The \u escape at `at` (of its backslash), with its partner if it is a surrogate. */
rf_status unescape_code(const walk *state, size_t *at, size_t end, char **out)
{
    const char *text = state->text;
    size_t begin = *at;
    int first = end - begin >= 6 ? hex_value(text + begin + 2) : -1;

    if (first < 0)
        return refuse(state, begin, "an escape \\u without four hex digits");
    *at = begin + 6;
    uint32_t code = static_cast<uint32_t>(first);
    if (code >= 0xdc00 && code <= 0xdfff)
        return refuse(state, begin, "a low surrogate escape without a high one before it");
    if (code >= 0xd800 && code <= 0xdbff) {
        int second = end - *at >= 6 && text[*at] == '\\' && text[*at + 1] == 'u'
                         ? hex_value(text + *at + 2)
                         : -1;
        if (second < 0xdc00 || second > 0xdfff)
            return refuse(state, begin, "a high surrogate escape without a low one after it");
        code = 0x10000 + ((code - 0xd800) << 10) + (static_cast<uint32_t>(second) - 0xdc00);
        *at += 6;
    }
    *out = put_utf8(*out, code);
    return RF_OK;
}

/* Bytes `at` to `end`, between the quotes, into the parser's memory. */
rf_status unescape(walk *state, size_t at, size_t end, const char **text_out, uint32_t *size_out)
{
    char *begin = region_reserve(&state->parser->text, end - at);
    char *out = begin;

    if (!begin)
        return rf_fail(state->err, RF_ERR_MEMORY, "out of memory for a string of %zu bytes",
                       end - at);
    while (at < end) {
        const void *found = memchr(state->text + at, '\\', end - at);
        size_t plain =
            found ? static_cast<size_t>(static_cast<const char *>(found) - state->text) : end;
        memcpy(out, state->text + at, plain - at);
        out += plain - at;
        at = plain;
        if (at == end)
            break;
        if (end - at < 2)
            return refuse(state, at, "an escape that does not end");
        char escape = state->text[at + 1];
        static const char from[] = "\"\\/bfnrt";
        static const char to[] = "\"\\/\b\f\n\r\t";
        const char *known = escape ? strchr(from, escape) : nullptr;
        if (known) {
            *out++ = to[known - from];
            at += 2;
        } else if (escape == 'u') {
            rf_status status = unescape_code(state, &at, end, &out);
            if (status != RF_OK)
                return status;
        } else {
            return refuse(state, at, "an escape that JSON does not know");
        }
    }
    size_t size = static_cast<size_t>(out - begin);
    region_take(&state->parser->text, size);
    *text_out = begin;
    *size_out = static_cast<uint32_t>(size);
    return RF_OK;
}

/* The string whose opening quote is at `at`; state->token is already the token after it. */
inline rf_status read_string(walk *state, size_t at, const char **text_out, uint32_t *size_out)
{
    const char *text = state->text;
    size_t end = *state->token - 1;

    while (end > at && text[end] != '"')
        end--;
    if (end == at)
        return refuse(state, at, "a string without an end");
    const char *begin = text + at + 1;
    size_t size = end - at - 1;
    if (state->escapes && memchr(begin, '\\', size))
        return unescape(state, at + 1, end, text_out, size_out);
    *text_out = begin;
    *size_out = static_cast<uint32_t>(size);
    return RF_OK;
}

/* Checks the number at `at` against the grammar. */
inline rf_status read_number(walk *state, size_t at, rf_json_node *node)
{
    const char *begin = state->text + at;
    const char *byte = begin;
    const char *limit = state->text + state->size;
    uint8_t kind = RF_JSON_INTEGER;

    if (*byte == '-')
        byte++;
    const char *digits = byte;
    while (byte < limit && is_digit(*byte))
        byte++;
    if (byte == digits)
        return refuse(state, at, "a number without digits");
    if (*digits == '0' && byte - digits > 1)
        return refuse(state, at, "a number with a leading zero");
    if (byte < limit && *byte == '.') {
        kind = RF_JSON_NUMBER;
        const char *fraction = ++byte;
        while (byte < limit && is_digit(*byte))
            byte++;
        if (byte == fraction)
            return refuse(state, at, "a number without digits after its point");
    }
    if (byte < limit && (*byte == 'e' || *byte == 'E')) {
        kind = RF_JSON_NUMBER;
        byte++;
        if (byte < limit && (*byte == '+' || *byte == '-'))
            byte++;
        const char *exponent = byte;
        while (byte < limit && is_digit(*byte))
            byte++;
        if (byte == exponent)
            return refuse(state, at, "a number without digits in its exponent");
    }
    if (byte < limit && !ends_scalar(*byte))
        return refuse(state, at, "a number followed by something else");
    node->kind = kind;
    node->text = begin;
    node->text_size = static_cast<uint32_t>(byte - begin);
    return RF_OK;
}

inline rf_status read_literal(walk *state, size_t at, rf_slice word, rf_json_kind kind,
                              rf_json_node *node)
{
    size_t left = state->size - at;

    if (left < word.size || memcmp(state->text + at, word.data, word.size) != 0 ||
        (left > word.size && !ends_scalar(state->text[at + word.size])))
        return refuse(state, at, "something that is no JSON value");
    node->kind = static_cast<uint8_t>(kind);
    node->text = state->text + at;
    node->text_size = static_cast<uint32_t>(word.size);
    return RF_OK;
}

/* The scalar at `at` into `node`. */
inline rf_status read_scalar(walk *state, size_t at, rf_json_node *node)
{
    switch (state->text[at]) {
    case '"':
        node->kind = RF_JSON_STRING;
        return read_string(state, at, &node->text, &node->text_size);
    case '-':
    case '0' ... '9':
        return read_number(state, at, node);
    case 't':
        return read_literal(state, at, rf_slice{"true", 4}, RF_JSON_TRUE, node);
    case 'f':
        return read_literal(state, at, rf_slice{"false", 5}, RF_JSON_FALSE, node);
    case 'n':
        return read_literal(state, at, rf_slice{"null", 4}, RF_JSON_NULL, node);
    default:
        return refuse(state, at, "something that is no JSON value");
    }
}

/* The next token's place; the text's size after the last. */
inline size_t next_token(walk *state)
{
    return state->token < state->token_end ? *state->token++ : state->size;
}

/* A member's name and its colon. */
inline rf_status read_key(walk *state, rf_json_node *node)
{
    size_t at = next_token(state);

    if (at == state->size)
        return refuse(state, at, "an object without an end");
    if (state->text[at] != '"')
        return refuse(state, at, "no member name where one is due");
    rf_status status = read_string(state, at, &node->key, &node->key_size);
    if (status != RF_OK)
        return status;
    at = next_token(state);
    if (at == state->size || state->text[at] != ':')
        return refuse(state, at, "no colon after a member name");
    return RF_OK;
}

/* Closes containers and reads separators after a value, up to where the next value is due, whose
 * name is then read into `node`. *done_out: the root has ended. */
inline rf_status after_value(walk *state, rf_json_node *node, bool *done_out)
{
    const char *text = state->text;

    for (;;) {
        if (state->depth == 0) {
            *done_out = true;
            return RF_OK;
        }
        rf_json_node *parent = state->nodes + state->open[state->depth - 1];
        bool object = parent->kind == RF_JSON_OBJECT;
        size_t at = next_token(state);
        if (at == state->size)
            return refuse(state, at,
                          object ? "an object without an end" : "an array without an end");
        if (text[at] == ',') {
            *done_out = false;
            node->key = nullptr;
            node->key_size = 0;
            return object ? read_key(state, node) : RF_OK;
        }
        if (text[at] != (object ? '}' : ']'))
            return refuse(state, at,
                          object ? "neither ',' nor '}' after a member"
                                 : "neither ',' nor ']' after an element");
        parent->text_size = static_cast<uint32_t>(text + at + 1 - parent->text);
        parent->next = state->count;
        state->depth--;
    }
}

/* The container whose bracket is at `at`. *empty_out: it has ended already; else the name of its
 * first member stands in the node after it. */
inline rf_status open_container(walk *state, size_t at, rf_json_node *node, bool *empty_out)
{
    const char *text = state->text;
    bool object = text[at] == '{';

    if (state->depth == RF_JSON_DEPTH_MAX)
        return refuse(state, at, "nesting deeper than 64");
    node->kind = object ? RF_JSON_OBJECT : RF_JSON_ARRAY;
    node->text = text + at;
    *empty_out = state->token < state->token_end && text[*state->token] == (object ? '}' : ']');
    if (*empty_out) {
        node->text_size = static_cast<uint32_t>(next_token(state) + 1 - at);
        return RF_OK;
    }
    state->open[state->depth++] = static_cast<uint32_t>(node - state->nodes);
    node[1].key = nullptr;
    node[1].key_size = 0;
    return object ? read_key(state, node + 1) : RF_OK;
}

/* One value, from state->token on. */
rf_status walk_value(walk *state)
{
    bool done = false;

    state->nodes[0].key = nullptr;
    state->nodes[0].key_size = 0;
    while (!done) {
        size_t at = next_token(state);
        if (at == state->size)
            return refuse(state, at, "no value where one is due");
        /* One more than the last node, for the name of a first member or the next one. */
        RF_ASSERT(state->count + 1 < state->count_max);
        rf_json_node *node = state->nodes + state->count++;
        rf_status status;
        bool empty = true;
        char first = state->text[at];
        node->depth = static_cast<uint8_t>(state->depth);
        if (first == '{' || first == '[')
            status = open_container(state, at, node, &empty);
        else
            status = read_scalar(state, at, node);
        if (status != RF_OK)
            return status;
        node->next = state->count;
        if (!empty)
            continue;
        status = after_value(state, state->nodes + state->count, &done);
        if (status != RF_OK)
            return status;
    }
    if (state->token < state->token_end)
        return refuse(state, *state->token, "something after the JSON value");
    return RF_OK;
}

/* What the first stage found wrong, and where: slow, and only then. */
rf_status refuse_stage(const walk *state)
{
    bool in_string = false;
    size_t string_begin = 0;
    size_t at = 0;

    while (at < state->size) {
        char byte = state->text[at];
        size_t width = rf_utf8_width(rf_slice{state->text + at, state->size - at});
        if (width == 0)
            return refuse(state, at, "invalid UTF-8");
        if (in_string && static_cast<unsigned char>(byte) < 0x20)
            return refuse(state, at, "an unescaped control character in a string");
        if (byte == '"') {
            in_string = !in_string;
            string_begin = at;
        } else if (byte == '\\' && at + 1 < state->size &&
                   (state->text[at + 1] == '"' || state->text[at + 1] == '\\')) {
            at++;
        }
        at += width;
    }
    if (in_string)
        return refuse(state, string_begin, "a string without an end, begun");
    return refuse(state, 0, "no JSON value");
}

bool stage_make_room(rf_json_parser *parser, size_t size)
{
    if (parser->stage && parser->stage->capacity() >= size)
        return true;
    size_t wanted = stage_size_min;
    while (wanted < size)
        wanted *= 2;
    if (!parser->stage)
        return simdjson::get_active_implementation()->create_dom_parser_implementation(
                   wanted, RF_JSON_DEPTH_MAX, parser->stage) == simdjson::SUCCESS;
    return parser->stage->allocate(wanted, RF_JSON_DEPTH_MAX) == simdjson::SUCCESS;
}

} // namespace

extern "C" rf_json_parser *rf_json_parser_new(void)
{
    void *memory = calloc(1, sizeof(rf_json_parser));
    return memory ? new (memory) rf_json_parser{} : nullptr;
}

extern "C" void rf_json_parser_free(rf_json_parser *parser)
{
    if (!parser)
        return;
    region_reset(&parser->nodes, 0);
    region_reset(&parser->text, 0);
    parser->~rf_json_parser();
    free(parser);
}

extern "C" void rf_json_parser_reset(rf_json_parser *parser)
{
    region_reset(&parser->nodes, chunk_bytes_kept);
    region_reset(&parser->text, chunk_bytes_kept);
    if (parser->stage && parser->stage->capacity() > stage_size_kept)
        parser->stage.reset();
}

extern "C" rf_status rf_json_parse(rf_json_parser *parser, rf_slice text,
                                   const rf_json_node **nodes_out, uint32_t *count_out, rf_err *err)
{
    walk state; /* not cleared: the stack of open containers is most of it */
    state.parser = parser;
    state.text = text.data;
    state.size = text.size;
    state.count = 0;
    state.depth = 0;
    state.err = err;

    RF_ASSERT(parser && (text.data || text.size == 0));
    if (text.size == 0)
        return refuse(&state, 0, "no JSON value");
    if (text.size > text_size_max)
        return rf_fail(err, RF_ERR_INPUT, "a JSON text of more than %zu bytes", text_size_max);
    if (!stage_make_room(parser, text.size))
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a JSON text of %zu bytes", text.size);
    simdjson::error_code code = parser->stage->stage1(reinterpret_cast<const uint8_t *>(text.data),
                                                      text.size, simdjson::stage1_mode::regular);
    if (code != simdjson::SUCCESS)
        return refuse_stage(&state);
    state.token = parser->stage->structural_indexes.get();
    state.token_end = state.token + parser->stage->n_structural_indexes;
    state.escapes = memchr(text.data, '\\', text.size) != nullptr;
    /* Each value that has ended, but the root, has a token of its own after it (a comma or its
     * parent's bracket), so values are at most half the tokens, and the open ones. */
    state.count_max = parser->stage->n_structural_indexes / 2 + RF_JSON_DEPTH_MAX + 4;
    state.nodes = reinterpret_cast<rf_json_node *>(
        region_reserve(&parser->nodes, state.count_max * sizeof(rf_json_node)));
    if (!state.nodes)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u JSON values", state.count_max);
    rf_status status = walk_value(&state);
    if (status != RF_OK)
        return status;
    region_take(&parser->nodes, state.count * sizeof(rf_json_node));
    *nodes_out = state.nodes;
    *count_out = state.count;
    return RF_OK;
}

extern "C" const rf_json_node *rf_json_detach(const rf_json_node *nodes, uint32_t index,
                                              uint32_t *count_out)
{
    /* The memory is the parser's, which handed it out as const. */
    rf_json_node *root = const_cast<rf_json_node *>(nodes + index);
    uint32_t count = root->next - index;
    uint8_t depth = root->depth;

    for (uint32_t i = 0; i < count; i++) {
        root[i].next -= index;
        root[i].depth = static_cast<uint8_t>(root[i].depth - depth);
    }
    *count_out = count;
    return root;
}
