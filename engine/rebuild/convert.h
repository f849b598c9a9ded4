/* Conversion: the values of a log's columns and payloads as the members of event structs.
 *
 * A value is an rf_scalar, as segments classify it, wherever it was read. One function says what a
 * field of some kind makes of it, so columns and payloads give the same. Columns are converted as a
 * whole: no work at all where the stored form is the field's already, once per distinct text where
 * the column is a dictionary. Only where some events lack the value, or have it in several kinds or
 * in the payload, is it put into an array with a member for each event of the type.
 *
 * What does not convert is a fault of that event; faults of events out of range are no faults. Pure
 * functions.
 */
#ifndef RF_REBUILD_CONVERT_H
#define RF_REBUILD_CONVERT_H

#include "base/arena.h"
#include "event/value.h"
#include "projection/definition.h"

typedef struct rf_scalar {
    rf_field_kind kind;
    uint8_t scale;  /* EXACT */
    int64_t number; /* INT, EXACT; BOOL as 0 and 1 */
    rf_slice text;  /* TEXT, NUMBER */
} rf_scalar;

/* A column's values in the field's own form: value i is that of index (codes ? codes[i] : i), of
 * `size` bytes. */
typedef struct rf_converted {
    const char *values;
    size_t size;
    const uint32_t *codes;
    const uint8_t *faults; /* rf_value_fault by index; NULL: none */
} rf_converted;

/* One member of the event structs of one type, for the events of a segment in their order. `begin`
 * and `end`: those in range. */
typedef struct rf_members {
    char *values; /* rf_kind_size each */
    bool *present; /* NULL: not asked for */
    uint32_t count;
    uint32_t begin, end;
    const uint8_t *mask; /* of these only those that have a byte here; NULL: all */
} rf_members;

/* The first event in range whose value did not convert; `keep`, unless NULL, gets each of them. */
typedef struct rf_convert_fault rf_convert_fault;
struct rf_convert_fault {
    uint32_t ordinal; /* UINT32_MAX: none */
    rf_value_fault fault;
    bool compound; /* an array or object; `scalar` says nothing then */
    rf_scalar scalar;
    void (*keep)(void *arg, const rf_convert_fault *fault);
    void *keep_arg;
};

/* Bytes of a value of the kind. */
size_t rf_kind_size(rf_kind kind);
/* `value_out` is of the kind's C type; unchanged unless RF_VALUE_OK. Not for RF_JSON. */
rf_value_fault rf_convert_scalar(const rf_field *field, const rf_scalar *scalar, void *value_out);

/* What the field makes of a column; memory from `arena`. Only failure: RF_ERR_MEMORY. */
rf_status rf_convert_column(const rf_field *field, const rf_field_column *column, rf_arena *arena,
                            rf_converted *out, rf_err *err);
/* Unset values for the members that *members says; memory from `arena`. */
rf_status rf_convert_unset(const rf_field *field, rf_members *members, rf_arena *arena,
                           rf_err *err);
/* Puts a column's values to the events that have them. */
void rf_convert_scatter(const rf_field *field, const rf_field_column *column,
                        const rf_converted *from, const rf_members *members,
                        rf_convert_fault *fault);
/* Keeps the earlier fault. `scalar` NULL: an array or object. */
void rf_convert_note(rf_convert_fault *fault, uint32_t ordinal, rf_value_fault found,
                     const rf_scalar *scalar);
/* RF_ERR_INPUT: which field, which value, why. The caller adds the event. */
rf_status rf_convert_refuse(const rf_definition_field *field, const rf_convert_fault *fault,
                            rf_err *err);

#endif
