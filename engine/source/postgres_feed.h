/* A feed of the events in a database of PostgreSQL.
 *
 * connect -> layout -> rounds: how far may be read (postgres_bound.h), then all up to there (postgres_ranges.h).
 * An import is one round; one that follows goes on with rounds, when the store notifies or a look finds something,
 * less often the longer nothing comes. A connection that is lost ends an import with RF_ERR_UNREACHABLE; one that
 * follows tries again until it was without a server for as long as it waits for writers.
 *
 * The cursor says which row was read last (postgres_cursor.h): a mark of another database is never gone on from.
 */
#ifndef RF_SOURCE_POSTGRES_FEED_H
#define RF_SOURCE_POSTGRES_FEED_H

#include "refold/import.h"
#include "source/feed.h"

/* `url` and `options` are borrowed until close. Where refold was built without PostgreSQL: RF_ERR_USAGE. */
rf_status rf_postgres_feed_open(const char *url, const rf_import_options *options,
                                const rf_feed_start *start, rf_feed **feed_out, rf_err *err);

#endif
