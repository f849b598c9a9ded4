/* Numbers of handlers: doubles that hold whole values, and the exact helpers for them.
 *
 * In Lua an int and a count of a decimal's smallest unit are doubles, whole and below 2^53 in size.
 * What these functions take and return is such a number, but for the argument of round. Where one
 * of them cannot answer it returns NaN and writes why to *fault_out, which is untouched otherwise;
 * rf_number_fault_text has the words for it. In between nothing is rounded: products have 128 bits.
 *
 * A rounding mode is a rf_rounding. The helpers round half_even where their caller names none, as
 * banks and IEEE 754 do (RF_NUMBER_ROUNDING): halves go to the even neighbour, so sums of rounded
 * values do not drift. RF_ROUND_NONE makes a result that is not whole a fault. Pure functions.
 */
#ifndef RF_EVENT_NUMBER_H
#define RF_EVENT_NUMBER_H

#include "event/value.h"

#include <math.h>

#define RF_NUMBER_MAX 9007199254740992.0 /* 2^53: what is whole and below it is exact */
#define RF_NUMBER_ROUNDING RF_ROUND_HALF_EVEN
#define RF_NOT_A_NUMBER ((double)NAN)
enum { RF_MONEY_SCALE = 2 };

static inline bool rf_number_is_whole(double x)
{
    return x > -RF_NUMBER_MAX && x < RF_NUMBER_MAX && (double)(int64_t)x == x;
}

/* The whole number next to any finite x below 2^53. What is rounded is the double: 1.005 * 100 is
 * below 100.5. */
double rf_number_round(double x, rf_rounding rounding, rf_value_fault *fault_out);
/* a * b / c. */
double rf_number_muldiv(double a, double b, double c, rf_rounding rounding,
                        rf_value_fault *fault_out);
/* A count of 10^-from as a count of 10^-to; both 0 to 18, or RF_VALUE_WRONG_KIND. */
double rf_number_rescale(double x, double from, double to, rf_rounding rounding,
                         rf_value_fault *fault_out);
/* The decimal `text` as a count of 10^-scale: with RF_MONEY_SCALE, 1999 for "19.99" and 2000 for
 * "20". The scale does not come from the text: "20" and "20.00" are the same money. Digits beyond it
 * that are not zeros are RF_VALUE_DIGITS. */
double rf_number_money(rf_slice text, double scale, rf_value_fault *fault_out);

/* "is not whole" and the like, to stand behind what it is said of. */
const char *rf_number_fault_text(rf_value_fault fault);

#endif
