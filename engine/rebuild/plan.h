/* The plan: which columns of which types a pass has to decode, per segment and once.
 *
 * For each segment the plan binds its types to handlers (by name, "*" included) and fills arrays of event structs
 * straight from decoded columns: kinds are converted here, and a value of the wrong kind is an error that names
 * the event. Paths without column (capped types) and json fields are read from the payload, with the same result.
 * See fold.h for who calls it.
 */
#ifndef RF_REBUILD_PLAN_H
#define RF_REBUILD_PLAN_H

#include "log/log.h"
#include "projection/definition.h"

/* Fields of one handler for one type of one segment, decoded to `count` event structs of
 * handler->event_size at `structs`; text lives in `arena`. */
typedef struct rf_bind_context {
    rf_codec *codec;
    rf_payload_reader *payloads;
    rf_json_parser *json;
    uint64_t bytes_decoded;
} rf_bind_context;

rf_status rf_plan_bind(const rf_segment *segment, uint32_t type, const rf_definition_handler *handler,
                       rf_bind_context *context, rf_arena *arena, char **structs_out, rf_err *err);

#endif
