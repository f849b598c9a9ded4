/* Values that upcasters assign, as the members of event structs.
 *
 * A number is in the unit of the field that reads it: 1999 is 19.99 to a decimal(2), and so many
 * microseconds to a time. It must be whole there, and below 2^53 where it came as a float. Text is
 * read like text of a payload. Pure functions but for the arena.
 */
#ifndef RF_REBUILD_ASSIGNED_H
#define RF_REBUILD_ASSIGNED_H

#include "projection/evolution.h"
#include "rebuild/convert.h"

/* `value_out` is of the field's C type; unchanged unless RF_VALUE_OK. `text` keeps what a json field
 * makes of a value; a fault of memory leaves *memory_out true. Neither RF_ASSIGNED_NOT nor nil. */
rf_value_fault rf_assigned_convert(const rf_field *field, const rf_assigned *assigned,
                                   rf_arena *text, void *value_out, bool *memory_out);
/* What a field of an event struct has, for one that is present; not json. */
rf_assigned rf_assigned_of(const rf_field *field, const void *event);
/* The value for a message: false where it is an array or object. `digits` has RF_VALUE_TEXT_SIZE
 * bytes, which the scalar refers to. */
bool rf_assigned_show(const rf_assigned *assigned, char *digits, rf_scalar *scalar_out);

#endif
