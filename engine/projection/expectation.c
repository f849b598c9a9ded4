/* See expectation.h: the text becomes a tree of nodes in an array, each after those that it takes. */
#include "projection/expectation_node.h"

#include "event/value.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct parser {
    rf_expectation *made;
    rf_slice text;
    size_t at;
    uint32_t depth;
    const rf_reader_column *columns;
    uint32_t column_count;
    rf_err *err;
    rf_status status; /* the first fault */
};

/* ---- reading ---- */

static uint32_t parse_or(struct parser *parser);

__attribute__((format(printf, 2, 3))) static uint32_t refuse(struct parser *parser,
                                                             const char *format, ...)
{
    char what[RF_ERR_MESSAGE_SIZE / 2];
    va_list arguments;

    if (parser->status != RF_OK)
        return 0;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    parser->status = rf_fail(parser->err, RF_ERR_PLUGIN, "%s", what);
    return 0;
}

static uint32_t add(struct parser *parser, expectation_node node)
{
    rf_expectation *made = parser->made;

    if (parser->status != RF_OK)
        return 0;
    if (made->count == made->capacity) {
        uint32_t capacity = made->capacity ? 2 * made->capacity : 16;
        expectation_node *nodes = realloc(made->nodes, capacity * sizeof *nodes);
        if (!nodes) {
            parser->status = rf_fail(parser->err, RF_ERR_MEMORY, "out of memory");
            return 0;
        }
        made->nodes = nodes;
        made->capacity = capacity;
    }
    made->nodes[made->count] = node;
    return made->count++;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static void skip_blanks(struct parser *parser)
{
    while (parser->at < parser->text.size && strchr(" \t\r\n", parser->text.data[parser->at]) &&
           parser->text.data[parser->at] != '\0')
        parser->at++;
}

static char peek(struct parser *parser)
{
    skip_blanks(parser);
    return parser->at < parser->text.size ? parser->text.data[parser->at] : '\0';
}

/* Takes `token`, a word or signs, if it comes next. */
static bool take(struct parser *parser, const char *token)
{
    size_t size = strlen(token);

    skip_blanks(parser);
    if (parser->text.size - parser->at < size ||
        memcmp(parser->text.data + parser->at, token, size) != 0)
        return false;
    size_t end = parser->at + size;
    if (is_word(token[0]) && end < parser->text.size && is_word(parser->text.data[end]))
        return false;
    parser->at = end;
    return true;
}

static const char *const type_names[] = {"nil", "a number", "a bool", "a text",
                                         "a time", "a date", "json"};

static expectation_type type_of(const struct parser *parser, uint32_t node)
{
    return parser->status == RF_OK ? parser->made->nodes[node].type : IS_NIL;
}

static rf_slice next_word(struct parser *parser)
{
    skip_blanks(parser);
    size_t begin = parser->at;
    while (parser->at < parser->text.size && is_word(parser->text.data[parser->at]))
        parser->at++;
    return (rf_slice){parser->text.data + begin, parser->at - begin};
}

static uint32_t literal(struct parser *parser, expectation_value value)
{
    return add(parser, (expectation_node){.op = OP_LITERAL, .type = value.type, .literal = value});
}

static uint32_t parse_text(struct parser *parser, char quote)
{
    size_t begin = ++parser->at;

    while (parser->at < parser->text.size && parser->text.data[parser->at] != quote)
        parser->at++;
    if (parser->at == parser->text.size)
        return refuse(parser, "a text without its end");
    rf_slice text = {parser->text.data + begin, parser->at - begin};
    parser->at++;
    if (memchr(text.data, '\\', text.size))
        return refuse(parser, "a text with a backslash; there are no escapes");
    return literal(parser, (expectation_value){.type = IS_TEXT, .text = text});
}

static uint32_t parse_number(struct parser *parser)
{
    size_t begin = parser->at;
    expectation_value value = {.type = IS_NUMBER};
    int64_t mantissa;
    unsigned scale;

    while (parser->at < parser->text.size) {
        char c = parser->text.data[parser->at];
        bool of_exponent = (c == '+' || c == '-') && parser->at > begin &&
                           (parser->text.data[parser->at - 1] | 0x20) == 'e';
        if (!is_word(c) && c != '.' && !of_exponent)
            break;
        parser->at++;
    }
    rf_slice text = {parser->text.data + begin, parser->at - begin};
    value.is_exact = rf_parse_exact(text, &mantissa, &scale);
    if (value.is_exact) {
        value.count = mantissa;
        value.scale = (uint8_t)scale;
    } else if (rf_parse_float(text, &value.number) != RF_VALUE_OK) {
        return refuse(parser, "`%.*s` is no number", (int)text.size, text.data);
    }
    return literal(parser, value);
}

static expectation_type type_of_kind(rf_kind kind)
{
    switch (kind) {
    case RF_INT:
    case RF_DECIMAL:
    case RF_FLOAT:
        return IS_NUMBER;
    case RF_BOOL:
        return IS_BOOL;
    case RF_TEXT:
        return IS_TEXT;
    case RF_TIME:
        return IS_TIME;
    case RF_DATE:
        return IS_DATE;
    case RF_JSON:
        return IS_JSON;
    }
    return IS_JSON;
}

static uint32_t parse_name(struct parser *parser)
{
    rf_slice word = next_word(parser);

    if (rf_slice_equal(word, RF_SLICE("nil")))
        return literal(parser, (expectation_value){.type = IS_NIL, .is_nil = true});
    if (rf_slice_equal(word, RF_SLICE("true")) || rf_slice_equal(word, RF_SLICE("false")))
        return literal(parser, (expectation_value){.type = IS_BOOL, .boolean = word.size == 4});
    for (uint32_t i = 0; i < parser->column_count; i++)
        if (rf_slice_equal(word, rf_slice_of(parser->columns[i].name)))
            return add(parser, (expectation_node){.op = OP_COLUMN,
                                             .type = type_of_kind(parser->columns[i].kind),
                                             .left = i});
    return refuse(parser, "there is no column `%.*s`", (int)word.size, word.data);
}

static bool deeper(struct parser *parser)
{
    if (parser->status == RF_OK && parser->depth == RF_EXPECTATION_DEPTH_MAX)
        (void)refuse(parser, "more than %d brackets within one another", RF_EXPECTATION_DEPTH_MAX);
    parser->depth++;
    return parser->status == RF_OK;
}

static uint32_t parse_factor(struct parser *parser)
{
    char c = peek(parser);
    uint32_t node = 0;

    if (!deeper(parser))
        return 0;
    if (take(parser, "-")) {
        uint32_t of = parse_factor(parser);
        if (type_of(parser, of) != IS_NUMBER)
            (void)refuse(parser, "`-` of %s", type_names[type_of(parser, of)]);
        node = add(parser, (expectation_node){.op = OP_NEGATE, .type = IS_NUMBER, .left = of});
    } else if (take(parser, "(")) {
        node = parse_or(parser);
        if (parser->status == RF_OK && !take(parser, ")"))
            (void)refuse(parser, "a bracket without its end");
    } else if (c == '\'' || c == '"') {
        node = parse_text(parser, c);
    } else if ((c >= '0' && c <= '9') || c == '.') {
        node = parse_number(parser);
    } else if (is_word(c)) {
        node = parse_name(parser);
    } else if (c == '\0') {
        (void)refuse(parser, "it ends where a value is expected");
    } else {
        (void)refuse(parser, "`%c` where a value is expected", c);
    }
    parser->depth--;
    return node;
}

struct sign {
    const char *token;
    expectation_op op;
};

static bool take_sign(struct parser *parser, const struct sign *signs, uint32_t count,
                      const struct sign **sign_out)
{
    for (uint32_t i = 0; parser->status == RF_OK && i < count; i++)
        if (take(parser, signs[i].token)) {
            *sign_out = &signs[i];
            return true;
        }
    return false;
}

static uint32_t compute(struct parser *parser, const struct sign *sign, uint32_t left,
                        uint32_t right)
{
    if (type_of(parser, left) != IS_NUMBER || type_of(parser, right) != IS_NUMBER)
        return refuse(parser, "`%s` of %s and %s; it takes numbers", sign->token,
                      type_names[type_of(parser, left)], type_names[type_of(parser, right)]);
    return add(parser,
               (expectation_node){.op = sign->op, .type = IS_NUMBER, .left = left, .right = right});
}

static uint32_t parse_term(struct parser *parser)
{
    static const struct sign signs[] = {{"*", OP_MULTIPLY}, {"/", OP_DIVIDE}, {"%", OP_REMAINDER}};
    const struct sign *sign;
    uint32_t node = parse_factor(parser);

    while (take_sign(parser, signs, 3, &sign))
        node = compute(parser, sign, node, parse_factor(parser));
    return node;
}

static uint32_t parse_sum(struct parser *parser)
{
    static const struct sign signs[] = {{"+", OP_ADD}, {"-", OP_SUBTRACT}};
    const struct sign *sign;
    uint32_t node = parse_term(parser);

    while (take_sign(parser, signs, 2, &sign))
        node = compute(parser, sign, node, parse_term(parser));
    return node;
}

/* A text beside a time or date is one. */
static void read_moment(struct parser *parser, uint32_t text, expectation_type type)
{
    if (parser->status != RF_OK || (type != IS_TIME && type != IS_DATE))
        return;
    expectation_node *node = &parser->made->nodes[text];
    if (node->op != OP_LITERAL || node->type != IS_TEXT)
        return;
    int64_t moment = 0;
    rf_slice literal_text = node->literal.text;
    rf_value_fault fault = type == IS_TIME ? rf_parse_time(literal_text, false, 0, &moment)
                                           : rf_parse_date(literal_text, &moment);
    if (fault != RF_VALUE_OK) {
        (void)refuse(parser, "'%.*s' is no %s", (int)literal_text.size, literal_text.data,
                     type == IS_TIME ? "time: '2024-07-10T12:00:00Z'" : "date: '2024-07-10'");
        return;
    }
    node->type = type;
    node->literal = (expectation_value){.type = type, .count = moment};
}

static uint32_t parse_compared(struct parser *parser)
{
    static const struct sign signs[] = {
        {"==", OP_EQUAL}, {"~=", OP_DIFFERENT}, {"<=", OP_LESS_EQUAL}, {">=", OP_GREATER_EQUAL},
        {"<", OP_LESS},   {">", OP_GREATER}};
    const struct sign *sign;
    uint32_t left = parse_sum(parser);

    if (!take_sign(parser, signs, 6, &sign))
        return left;
    uint32_t right = parse_sum(parser);
    read_moment(parser, left, type_of(parser, right));
    read_moment(parser, right, type_of(parser, left));
    expectation_type a = type_of(parser, left);
    expectation_type b = type_of(parser, right);
    bool for_equality = sign->op == OP_EQUAL || sign->op == OP_DIFFERENT;
    if (for_equality ? a != b && a != IS_NIL && b != IS_NIL : a != b || a == IS_NIL)
        return refuse(parser, "`%s` of %s and %s", sign->token, type_names[a], type_names[b]);
    if (a == IS_JSON && b == IS_JSON)
        return refuse(parser, "json is compared with nil only");
    if (!for_equality && a == IS_BOOL)
        return refuse(parser, "bools have no order");
    return add(parser,
               (expectation_node){.op = sign->op, .type = IS_BOOL, .left = left, .right = right});
}

static uint32_t demand_bool(struct parser *parser, uint32_t node, const char *of)
{
    if (parser->status == RF_OK && type_of(parser, node) != IS_BOOL)
        return refuse(parser, "%s takes what is true or false, not %s", of,
                      type_names[type_of(parser, node)]);
    return node;
}

static uint32_t parse_not(struct parser *parser)
{
    if (!take(parser, "not"))
        return parse_compared(parser);
    uint32_t of = deeper(parser) ? demand_bool(parser, parse_not(parser), "not") : 0;
    parser->depth--;
    return add(parser, (expectation_node){.op = OP_NOT, .type = IS_BOOL, .left = of});
}

static uint32_t parse_and(struct parser *parser)
{
    uint32_t node = parse_not(parser);

    while (parser->status == RF_OK && take(parser, "and")) {
        uint32_t left = demand_bool(parser, node, "and");
        uint32_t right = demand_bool(parser, parse_not(parser), "and");
        node = add(parser,
                   (expectation_node){.op = OP_AND, .type = IS_BOOL, .left = left, .right = right});
    }
    return node;
}

static uint32_t parse_or(struct parser *parser)
{
    uint32_t node = parse_and(parser);

    while (parser->status == RF_OK && take(parser, "or")) {
        uint32_t left = demand_bool(parser, node, "or");
        uint32_t right = demand_bool(parser, parse_and(parser), "or");
        node =
            add(parser, (expectation_node){.op = OP_OR, .type = IS_BOOL, .left = left, .right = right});
    }
    return node;
}

rf_status rf_expectation_new(rf_slice text, const rf_reader_column *columns, uint32_t column_count,
                             rf_expectation **expectation_out, rf_err *err)
{
    rf_expectation *made = calloc(1, sizeof *made);

    if (text.size > RF_EXPECTATION_SIZE_MAX) {
        free(made);
        return rf_fail(err, RF_ERR_PLUGIN, "it has more than %d bytes", RF_EXPECTATION_SIZE_MAX);
    }
    if (made)
        made->text = malloc(text.size + 1);
    if (!made || !made->text) {
        free(made);
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for an expectation");
    }
    memcpy(made->text, text.data, text.size);
    struct parser parser = {.made = made,
                            .text = {made->text, text.size},
                            .columns = columns,
                            .column_count = column_count,
                            .err = err};
    made->root = parse_or(&parser);
    char rest = peek(&parser);
    if (parser.status == RF_OK && parser.at < text.size) {
        const char *hint = rest == '=' ? "; equal is `==`" : rest == '!' ? "; different is `~=`" : "";
        (void)refuse(&parser, "`%.*s` is not expected here%s", (int)(text.size - parser.at),
                     made->text + parser.at, hint);
    }
    (void)demand_bool(&parser, made->root, "an expectation");
    if (parser.status != RF_OK) {
        rf_expectation_free(made);
        return parser.status;
    }
    *expectation_out = made;
    return RF_OK;
}

void rf_expectation_free(rf_expectation *expectation)
{
    if (!expectation)
        return;
    free(expectation->text);
    free(expectation->nodes);
    free(expectation);
}
