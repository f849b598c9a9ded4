/* Reading a part of a store's events in the order of their positions, over several connections.
 *
 * One snapshot is exported and all connections read in it. The part is cut into ranges of positions; each
 * connection copies a range at a time and makes lines of it, some chunks ahead, and the chunks are handed over in the
 * order of the ranges. How wide a range is follows from how many rows the last ones had. Where the position has
 * no index, or the store's order is another, or there is little to read, one connection reads all in one range.
 *
 * begin -> read until *ended_out -> end. Confined to one thread at a time.
 */
#ifndef RF_SOURCE_POSTGRES_RANGES_H
#define RF_SOURCE_POSTGRES_RANGES_H

#include "source/postgres_cursor.h"
#include "source/postgres_layout.h"

enum { RF_POSTGRES_RANGE_ROWS = 20000 }; /* about, of a range */

typedef struct rf_postgres_ranges rf_postgres_ranges;

/* `first` is borrowed and is in a transaction until the end; more connections are opened with `url`. Where the
 * server has no room for them, fewer are enough. `decoder` is NULL where the layout has no states. */
rf_status rf_postgres_ranges_begin(rf_postgres *first, const char *url,
                                   const rf_postgres_options *options,
                                   const rf_postgres_layout *layout,
                                   rf_eventsourcing *decoder, rf_postgres_mark after,
                                   rf_postgres_mark bound, rf_postgres_ranges **ranges_out,
                                   rf_err *err);
/* Swaps the lines of the next chunk into `text_io`, which is empty: less where nothing comes for a while. *last_io
 * becomes the last of them. Nothing, and *ended_out, at the end. */
rf_status rf_postgres_ranges_read(rf_postgres_ranges *ranges, rf_buf *text_io,
                                  rf_postgres_last *last_io, bool *ended_out, rf_err *err);
/* Takes NULL. Ends the transaction of `first`. */
rf_status rf_postgres_ranges_end(rf_postgres_ranges *ranges, rf_err *err);

/* A connection as a source wants it: nothing is written, and rows that a policy would hide are an error. */
rf_status rf_postgres_ranges_connect(const char *url, const rf_postgres_options *options,
                                     rf_postgres **postgres_out, rf_err *err);

#endif
