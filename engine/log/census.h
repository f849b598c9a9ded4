/* The census: what the log holds, by type and schema, kept up to date by each commit.
 *
 * Per (type, schema): events, first and last position, smallest and largest time, and per field
 * path how many events have it, by kind. Checks of a rebuild are made against it before anything is
 * folded.
 *
 * Caps: paths deeper than RF_SEGMENT_DEPTH_MAX; members of an object that had more than
 * RF_SEGMENT_MEMBERS_MAX names in all events together; and of the rest, where a type has more than
 * RF_SEGMENT_COLUMNS_MAX paths, those that come last by depth, then name. What is beyond is not
 * listed, and the type is marked `capped`. Fields inside arrays are no paths. What is listed was
 * counted in every event, and a census does not depend on the order of the events nor on how they
 * were split into imports, with one exception: a type that has more than 1,024 paths at some time
 * loses its deepest level for good, though members of a capped object that comes later may have
 * been among the 1,024.
 *
 * A census in memory is confined to one thread; partial ones are added up (rf_census_add).
 */
#ifndef RF_LOG_CENSUS_H
#define RF_LOG_CENSUS_H

#include "base/kv.h"
#include "event/event.h"
#include "log/segment.h"

typedef struct rf_census rf_census;

typedef enum rf_census_kind {
    RF_CENSUS_NULL,
    RF_CENSUS_BOOL,
    RF_CENSUS_INT,
    RF_CENSUS_NUMBER, /* with fraction or exponent, or beyond 64 bits */
    RF_CENSUS_TEXT,
    RF_CENSUS_ARRAY,
    RF_CENSUS_OBJECT,
    RF_CENSUS_KIND_COUNT,
} rf_census_kind;

typedef struct rf_census_field {
    rf_slice path; /* "customer.address.city", "metadata.user_id"; parts with dot, blank or quote
                      are quoted */
    uint64_t counts[RF_CENSUS_KIND_COUNT];
} rf_census_field;

typedef struct rf_census_type {
    rf_slice type;
    int64_t schema;
    uint64_t events;
    uint64_t first_position, last_position;
    int64_t time_min, time_max; /* RF_TIME_NONE: none has a time */
    bool capped;
    uint32_t field_count;
    const rf_census_field *fields; /* by path */
} rf_census_type;

rf_census *rf_census_new(void); /* NULL without memory */
void rf_census_free(rf_census *census);
void rf_census_clear(rf_census *census);
/* Counts one event at its position. Fields of events with a shape are counted by shape at first, so
 * that nodes are walked once for all of them: rf_census_settle puts them where they belong, before
 * the census is read. All shapes are of one registry. */
rf_status rf_census_count_event(rf_census *census, const rf_event *event, uint64_t position,
                                rf_err *err);
rf_status rf_census_settle(rf_census *census, rf_err *err);
rf_status rf_census_add(rf_census *census, const rf_census *other, rf_err *err);
/* Sorted by type, then schema; valid until the census changes. */
rf_status rf_census_list(rf_census *census, const rf_census_type **types_out, uint32_t *count_out,
                         rf_err *err);

/* Loads the stored census (table `census`) in place of what `census_out` has, or adds `changes` to
 * it in a write transaction. */
rf_status rf_census_load(rf_kv_txn *txn, uint32_t table, rf_census *census_out, rf_err *err);
rf_status rf_census_store(rf_kv_txn *txn, uint32_t table, const rf_census *changes, rf_err *err);

/* Writes a path, "metadata." in front for metadata. Parts that are empty or have a dot, blank,
 * control character, quote, backslash, '?' or bracket are put in double quotes, with a backslash
 * before quote and backslash; so is a first part of data that is called metadata. */
void rf_path_append(rf_buf *out, const rf_path *path);

#endif
