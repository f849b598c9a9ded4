/* Whether an expectation holds for a row; see expectation.h. */
#include "projection/expectation_node.h"

#include <math.h>

enum { SCALE_MAX = 36 };

static double as_double(const expectation_value *value)
{
    double number = value->is_exact ? (double)value->count : value->number;

    return value->is_exact && value->scale > 0 ? number / pow(10, value->scale) : number;
}

/* Brings both to one scale; false where they are not exact, or that has no room. */
static bool align(expectation_value *a, expectation_value *b)
{
    if (!a->is_exact || !b->is_exact)
        return false;
    expectation_value *low = a->scale < b->scale ? a : b;
    uint8_t scale = a->scale < b->scale ? b->scale : a->scale;
    __int128 count = low->count;
    for (uint8_t i = low->scale; i < scale; i++)
        if (__builtin_mul_overflow(count, (__int128)10, &count))
            return false;
    low->count = count;
    low->scale = scale;
    return true;
}

static expectation_value of_double(double number)
{
    return (expectation_value){.type = IS_NUMBER, .number = number};
}

static expectation_value add_numbers(expectation_value a, expectation_value b, bool subtract)
{
    expectation_value sum = a;

    if (align(&a, &b)) {
        sum.scale = a.scale;
        bool over = subtract ? __builtin_sub_overflow(a.count, b.count, &sum.count)
                             : __builtin_add_overflow(a.count, b.count, &sum.count);
        if (!over)
            return sum;
    }
    return of_double(subtract ? as_double(&a) - as_double(&b) : as_double(&a) + as_double(&b));
}

static expectation_value multiply(expectation_value a, expectation_value b)
{
    expectation_value product = {.type = IS_NUMBER, .is_exact = true};

    if (a.is_exact && b.is_exact && a.scale + b.scale <= SCALE_MAX &&
        !__builtin_mul_overflow(a.count, b.count, &product.count)) {
        product.scale = (uint8_t)(a.scale + b.scale);
        return product;
    }
    return of_double(as_double(&a) * as_double(&b));
}

/* As Lua has it: the sign is the divisor's. */
static expectation_value remainder_of(expectation_value a, expectation_value b)
{
    if (align(&a, &b) && b.count != 0 && b.count != -1) {
        expectation_value rest = a;
        rest.count = a.count % b.count;
        if (rest.count != 0 && (rest.count < 0) != (b.count < 0))
            rest.count += b.count;
        return rest;
    }
    double left = as_double(&a);
    double right = as_double(&b);
    return of_double(left - floor(left / right) * right);
}

static expectation_value calculate(expectation_op op, expectation_value a, expectation_value b)
{
    if (a.is_nil || b.is_nil)
        return (expectation_value){.type = IS_NUMBER, .is_nil = true};
    if (op == OP_MULTIPLY)
        return multiply(a, b);
    if (op == OP_DIVIDE)
        return of_double(as_double(&a) / as_double(&b));
    return op == OP_REMAINDER ? remainder_of(a, b) : add_numbers(a, b, op == OP_SUBTRACT);
}

/* -1, 0, 1; 2: neither of them (a NaN). */
static int order_of(expectation_value a, expectation_value b)
{
    if (a.type == IS_TEXT) {
        int order = rf_slice_compare(a.text, b.text);
        return (order > 0) - (order < 0);
    }
    if (a.type == IS_BOOL)
        return (a.boolean > b.boolean) - (a.boolean < b.boolean);
    if (a.type != IS_NUMBER || align(&a, &b))
        return (a.count > b.count) - (a.count < b.count);
    double left = as_double(&a);
    double right = as_double(&b);
    if (left < right)
        return -1;
    return left > right ? 1 : left >= right ? 0 : 2;
}

static bool compare(expectation_op op, expectation_value a, expectation_value b)
{
    bool equality = op == OP_EQUAL || op == OP_DIFFERENT;

    if (a.is_nil || b.is_nil)
        return equality && (a.is_nil && b.is_nil) == (op == OP_EQUAL);
    int order = order_of(a, b);
    if (equality)
        return (order == 0) == (op == OP_EQUAL);
    if (op == OP_LESS || op == OP_LESS_EQUAL)
        return order == -1 || (order == 0 && op == OP_LESS_EQUAL);
    return order == 1 || (order == 0 && op == OP_GREATER_EQUAL);
}

static expectation_value take_column(expectation_type type, const rf_value *column)
{
    expectation_value value = {.type = type, .is_nil = column->is_null};

    switch (column->kind) {
    case RF_INT:
    case RF_DECIMAL:
        value.is_exact = true;
        value.count = column->integer;
        value.scale = column->kind == RF_DECIMAL ? column->scale : 0;
        break;
    case RF_TIME:
    case RF_DATE:
        value.count = column->integer;
        break;
    case RF_FLOAT:
        value.number = column->number;
        break;
    case RF_BOOL:
        value.boolean = column->boolean;
        break;
    case RF_TEXT:
    case RF_JSON:
        value.text = column->text;
        break;
    }
    return value;
}

static expectation_value of_bool(bool boolean)
{
    return (expectation_value){.type = IS_BOOL, .boolean = boolean};
}

static expectation_value evaluate(const rf_expectation *made, uint32_t index, const rf_value *values)
{
    const expectation_node *node = &made->nodes[index];

    if (node->op == OP_LITERAL)
        return node->literal;
    if (node->op == OP_COLUMN)
        return take_column(node->type, &values[node->left]);
    expectation_value left = evaluate(made, node->left, values);
    if (node->op == OP_NOT)
        return of_bool(!left.boolean);
    if (node->op == OP_NEGATE)
        return calculate(OP_SUBTRACT, (expectation_value){.type = IS_NUMBER, .is_exact = true}, left);
    if (node->op == OP_AND || node->op == OP_OR)
        return left.boolean == (node->op == OP_OR) ? left : evaluate(made, node->right, values);
    expectation_value right = evaluate(made, node->right, values);
    if (node->type == IS_BOOL)
        return of_bool(compare(node->op, left, right));
    return calculate(node->op, left, right);
}

bool rf_expectation_holds(const rf_expectation *expectation, const rf_value *values)
{
    return evaluate(expectation, expectation->root, values).boolean;
}
