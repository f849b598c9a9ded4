/* Events as the Python library eventsourcing stores them become lines, whatever database they lie in.
 *
 * A row is (originator_id, originator_version, topic, state). The originator is the stream, as the library
 * writes it: the 32 hex digits of a UUID without dashes, in every database, or text. The topic is the type. The
 * state is JSON, perhaps compressed and encrypted (stored_state.h); in it
 *
 *     class_version                     is the schema; without it 1
 *     timestamp                         is the time
 *     {"_type_":T,"_data_":D}           is a value of Python: a decimal ("12.50"), a time (RFC 3339) and a UUID
 *                                       (hex digits) become plain strings, which fields of any kind read
 *                                       exactly; types of the application's own stay as they are, with
 *                                       what is in them made plain
 *
 * All else of the state is the event's data as it is. Confined to one thread.
 */
#ifndef RF_SOURCE_EVENTSOURCING_H
#define RF_SOURCE_EVENTSOURCING_H

#include "base/bytes.h"
#include "refold/import.h"

typedef struct rf_eventsourcing rf_eventsourcing;

typedef struct rf_eventsourcing_row {
    int64_t position; /* rowid or notification_id; 0: none */
    rf_slice originator;
    bool originator_is_uuid; /* by its column's type: then dashes are left out */
    int64_t version;
    rf_slice topic;
    rf_slice state;
} rf_eventsourcing_row;

rf_status rf_eventsourcing_new(const rf_import_options *options, rf_eventsourcing **decoder_out,
                               rf_err *err);
void rf_eventsourcing_free(rf_eventsourcing *decoder); /* takes NULL */
/* Appends the row's line. What is wrong with the row is said without its place. */
rf_status rf_eventsourcing_line(rf_eventsourcing *decoder, const rf_eventsourcing_row *row,
                                rf_buf *out, rf_err *err);

#endif
