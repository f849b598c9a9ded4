/* Conversion: the values of a log's columns and payloads as the fields of event structs.
 *
 * A value is an rf_scalar, as segments classify it, wherever it was read. One function says what a
 * field of some kind makes of it, so columns and payloads give the same. Columns are converted as a
 * whole: no work an event where the stored form is the field's already, once per distinct text
 * where the column is a dictionary.
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

/* Event structs of one handler for the events of one type in a segment. `begin` and `end`: those in
 * range. */
typedef struct rf_event_array {
    char *structs;
    size_t stride;
    uint32_t count;
    uint32_t begin, end;
} rf_event_array;

/* The first event in range whose value did not convert. */
typedef struct rf_convert_fault {
    uint32_t ordinal; /* UINT32_MAX: none */
    rf_value_fault fault;
    bool compound; /* an array or object; `scalar` says nothing then */
    rf_scalar scalar;
} rf_convert_fault;

static inline char *rf_event_member(const rf_event_array *events, uint32_t ordinal, uint32_t offset)
{
    return events->structs + ordinal * events->stride + offset;
}

/* `value_out` is of the kind's C type; unchanged unless RF_VALUE_OK. Not for RF_JSON. */
rf_value_fault rf_convert_scalar(const rf_field *field, const rf_scalar *scalar, void *value_out);

/* Puts the value of one kind's column where it belongs. Only failure: RF_ERR_MEMORY. */
rf_status rf_convert_column(const rf_field *field, const rf_field_column *column,
                            const rf_event_array *events, rf_arena *scratch,
                            rf_convert_fault *fault, rf_err *err);
/* The unset value into all structs, where that is not zero bytes. */
void rf_convert_unset(const rf_field *field, const rf_event_array *events);
/* Keeps the earlier fault. */
void rf_convert_note(rf_convert_fault *fault, uint32_t ordinal, rf_value_fault found,
                     const rf_scalar *scalar);
/* RF_ERR_INPUT: which field, which value, why. The caller adds the event. */
rf_status rf_convert_refuse(const rf_definition_field *field, const rf_convert_fault *fault,
                            rf_err *err);

#endif
