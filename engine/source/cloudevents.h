/* CloudEvents 1.0 in JSON become lines of events.
 *
 *     subject, or else source    is the stream
 *     sequence (an extension)    is the version, where it is a whole number, as such or as text
 *     source and id              is what an event without sequence is known by: their hash, as "position", where
 *                                the caller wants it (feed.h, has_ids). Together they are unique, says the standard
 *     type, time                 are type and time
 *     data                       is the data as it is; without it null. data_base64 is decoded where it is
 *                                JSON by its content type, and stays a string where it is not
 *     all other attributes       are members of metadata: id, source, subject, dataschema, extensions
 *
 * Maps choose otherwise: stream=metadata.partitionkey. An attribute that is null is absent. Confined to one
 * thread with its parser.
 */
#ifndef RF_SOURCE_CLOUDEVENTS_H
#define RF_SOURCE_CLOUDEVENTS_H

#include "event/json.h"
#include "source/feed.h"

/* Appends the line of one event, which is followed by RF_JSON_PADDING readable bytes. */
rf_status rf_cloudevents_line(rf_json_parser *parser, rf_slice event, bool with_ids, rf_buf *out,
                              rf_err *err);

#endif
