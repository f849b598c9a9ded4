/* See number.h. */
#include "event/number.h"

static double number_fault(rf_value_fault fault, rf_value_fault *fault_out)
{
    RF_ASSERT(fault != RF_VALUE_OK);
    *fault_out = fault;
    return RF_NOT_A_NUMBER;
}

/* A whole value as a number. */
static double number_of(rf_value_fault fault, int64_t value, rf_value_fault *fault_out)
{
    const int64_t limit = (int64_t)RF_NUMBER_MAX;

    if (fault == RF_VALUE_OK && (value >= limit || value <= -limit))
        fault = RF_VALUE_RANGE;
    return fault == RF_VALUE_OK ? (double)value : number_fault(fault, fault_out);
}

/* Why an argument is no whole number. */
static rf_value_fault argument_fault(double x)
{
    return fabs(x) >= RF_NUMBER_MAX ? RF_VALUE_RANGE : RF_VALUE_NOT_WHOLE;
}

double rf_number_round(double x, rf_rounding rounding, rf_value_fault *fault_out)
{
    if (!(fabs(x) < RF_NUMBER_MAX))
        return number_fault(x != x ? RF_VALUE_NOT_WHOLE : RF_VALUE_RANGE, fault_out);
    /* Below 2^53 the whole part fits, and what is left over is exact. */
    int64_t whole = (int64_t)x;
    double rest = fabs(x - (double)whole);
    bool up = false;
    if (rest == 0)
        return (double)whole;
    switch (rounding) {
    case RF_ROUND_NONE:
        return number_fault(RF_VALUE_DIGITS, fault_out);
    case RF_ROUND_HALF_EVEN:
        up = rest > 0.5 || (rest == 0.5 && (whole & 1) != 0);
        break;
    case RF_ROUND_HALF_UP:
        up = rest >= 0.5;
        break;
    case RF_ROUND_DOWN:
        break;
    case RF_ROUND_UP:
        up = true;
        break;
    }
    int64_t step = x < 0 ? -1 : 1;
    return number_of(RF_VALUE_OK, whole + (up ? step : 0), fault_out);
}

double rf_number_muldiv(double a, double b, double c, rf_rounding rounding,
                        rf_value_fault *fault_out)
{
    int64_t value = 0;

    if (!rf_number_is_whole(a))
        return number_fault(argument_fault(a), fault_out);
    if (!rf_number_is_whole(b))
        return number_fault(argument_fault(b), fault_out);
    if (!rf_number_is_whole(c))
        return number_fault(argument_fault(c), fault_out);
    rf_value_fault fault = rf_muldiv((int64_t)a, (int64_t)b, (int64_t)c, rounding, &value);
    return number_of(fault, value, fault_out);
}

static bool is_scale(double scale)
{
    return scale >= 0 && scale < RF_POWERS_OF_TEN && (double)(unsigned)scale == scale;
}

double rf_number_rescale(double x, double from, double to, rf_rounding rounding,
                         rf_value_fault *fault_out)
{
    int64_t value = 0;

    if (!is_scale(from) || !is_scale(to))
        return number_fault(RF_VALUE_WRONG_KIND, fault_out);
    if (!rf_number_is_whole(x))
        return number_fault(argument_fault(x), fault_out);
    rf_value_fault fault =
        rf_rescale((int64_t)x, (unsigned)from, (unsigned)to, rounding, &value);
    return number_of(fault, value, fault_out);
}

double rf_number_money(rf_slice text, double scale, rf_value_fault *fault_out)
{
    int64_t value = 0;

    if (!is_scale(scale))
        return number_fault(RF_VALUE_WRONG_KIND, fault_out);
    rf_value_fault fault = rf_parse_decimal(text, (unsigned)scale, RF_ROUND_NONE, &value);
    return number_of(fault, value, fault_out);
}

const char *rf_number_fault_text(rf_value_fault fault)
{
    switch (fault) {
    case RF_VALUE_OK:
        break;
    case RF_VALUE_WRONG_KIND:
        return "is not of the form that is needed";
    case RF_VALUE_RANGE:
        return "is not below 2^53 (9007199254740992)";
    case RF_VALUE_DIGITS:
        return "has more digits than fit, and no rounding mode is named";
    case RF_VALUE_NO_ZONE:
        return "has no offset from UTC";
    case RF_VALUE_NOT_WHOLE:
        return "is not whole; round(x) makes it so";
    case RF_VALUE_BY_ZERO:
        return "is divided by zero";
    }
    return "is as it should be";
}
