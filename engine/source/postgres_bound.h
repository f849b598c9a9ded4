/* How far events may be read, such that none is ever skipped.
 *
 * A position is drawn before its event is visible: transactions that run at once commit in another order than
 * they drew. Who reads up to the highest visible position and goes on from there later misses what was drawn
 * below it and committed after. So the highest visible position is read first, and then the end of every
 * transaction is waited for that may hold one below it.
 *
 * Which these are, locks tell. nextval() locks the sequence, and an insert the table, before a position is
 * drawn, until the transaction ends; a commit becomes visible before its locks go. Thus who drew a position
 * before the highest one was read holds such a lock afterwards, or has ended. This is what CREATE INDEX CONCURRENTLY
 * waits for, too. (Transaction ids do not tell as much: a transaction that only drew a position has none yet, and who waits for
 * a snapshot's xmin does not wait for it, but for writers of all other tables and databases.)
 * Where the sequence is not known, locks of any sequence count; for a query, whose tables are not known, of any relation.
 *
 * A store that keeps the transaction's id beside each event (emmett) is read in that order, up to below
 * what any running transaction has, where these ids are the server's own.
 *
 * `strict` takes LOCK TABLE … IN SHARE MODE for the moment in which the highest position is read.
 */
#ifndef RF_SOURCE_POSTGRES_BOUND_H
#define RF_SOURCE_POSTGRES_BOUND_H

#include "source/postgres_layout.h"
#include "source/postgres_line.h"

typedef struct rf_postgres_bound_options {
    bool strict;
    int64_t wait_ms; /* below 0: for ever */
} rf_postgres_bound_options;

/* Whether the transactions' ids beside the events are this server's: *foreign_out where one is higher than the
 * server has given. A database that was restored into another server has such, and what is written there
 * gets lower ones: there they are no order. */
rf_status rf_postgres_bound_foreign(rf_postgres *postgres, const rf_postgres_layout *layout,
                                    bool *foreign_out, rf_err *err);
/* The highest mark that may be read now; *any_out: there is one behind `after`. Of a store with
 * transaction ids all positions of the mark's transaction count. RF_ERR_UNREACHABLE where the wait was in vain; the message tells who was
 * waited for. */
rf_status rf_postgres_bound_find(rf_postgres *postgres, const rf_postgres_layout *layout,
                                 const rf_postgres_bound_options *options, rf_postgres_mark after,
                                 bool *any_out, rf_postgres_mark *bound_out, rf_err *err);
/* The highest visible mark behind `after`, without any wait: whether there may be something to read. */
rf_status rf_postgres_bound_look(rf_postgres *postgres, const rf_postgres_layout *layout,
                                 rf_postgres_mark after, bool *any_out, rf_postgres_mark *highest_out,
                                 rf_err *err);
/* Appends "WHERE …": what is behind `after` and up to `bound`. */
void rf_postgres_bound_where(const rf_postgres_layout *layout, rf_postgres_mark after,
                             rf_postgres_mark bound, rf_buf *sql);

#endif
