/* What a publication notes of the rows that it shows, so that a later one can tell what differs: a generation that is
 * followed moves on, and what was published of it is soon nowhere in the store.
 *
 *     rf_export_state_write -> (stays at the target) -> rf_export_state_read -> rf_export_state_has … -> rf_delta_part_free
 *
 * The rows are those of a base, by its digest, but for the ones that its delta had then: their keys, and a hash of each
 * row in place of it. So the note is small where few rows changed since the base was built, and none is made of a delta
 * with too many. Whoever has that base again can compare row by row.
 */
#ifndef RF_EXPORT_STATE_H
#define RF_EXPORT_STATE_H

#include "compare/diff.h"

/* `out` is emptied first, and stays empty where the note would be too large. */
rf_status rf_export_state_write(const rf_diff_side *side, rf_buf *out, rf_err *err);
/* *base_out: the digest of the base. *delta_out: entries in key order, split, whose rows are what rf_export_state_has compares.
 * RF_ERR_DAMAGED where `bytes` are no such note. */
rf_status rf_export_state_read(rf_slice bytes, uint32_t partitions, rf_digest *base_out,
                               rf_delta_part *delta_out, rf_err *err);
/* Whether `row` is the one that was noted of `key`. */
bool rf_export_state_has(const rf_delta_part *delta, rf_slice key, rf_slice row);

#endif
