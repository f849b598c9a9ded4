/* The feed of a SQLite file: the events of a preset's table, or of a query, in the order of commits.
 *
 * Rows are read in one read transaction after the other, each for a fraction of a second, so that a writer of the
 * same file hardly waits: in WAL mode not at all. Every one sees whole transactions, and goes on behind the
 * position where the one before ended; because positions are given in the order of commits
 * (sqlite_rows.h), nothing becomes visible below it later.
 *
 * The cursor is "sqlite WHAT POSITION MARK". MARK is of the row at that position: when an import goes on,
 * the row has to be there still, and the same one. A file that was restored from an older copy, another
 * file under the same --source, rowids that VACUUM has given anew: all of these are refused instead of
 * skipping what they changed.
 */
#ifndef RF_SOURCE_SQLITE_FEED_H
#define RF_SOURCE_SQLITE_FEED_H

#include "refold/import.h"
#include "source/feed.h"

rf_status rf_sqlite_feed_open(const char *path, const rf_import_options *options,
                              const rf_feed_start *start, rf_feed **feed_out, rf_err *err);

#endif
