/* Fields read from an event's payload itself: paths without column, and json.
 *
 * The same value comes out as from a column: nodes are classified as segments do and converted by
 * convert.h. What a field keeps is copied into the caller's arena. Pure but for that.
 */
#ifndef RF_REBUILD_PAYLOAD_H
#define RF_REBUILD_PAYLOAD_H

#include "event/json.h"
#include "rebuild/convert.h"

/* The value at `path` (of data or of metadata, whichever `nodes` are); NULL if missing or null. */
const rf_json_node *rf_payload_find(const rf_json_node *nodes, const rf_path *path);

/* Puts the node's value into the member of event `ordinal`. Only failure: RF_ERR_MEMORY. */
rf_status rf_payload_take(const rf_field *field, const rf_json_node *node,
                          const rf_members *members, uint32_t ordinal, rf_arena *text,
                          rf_convert_fault *fault, rf_err *err);

#endif
