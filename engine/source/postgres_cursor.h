/* How far a database was read, as text, and whether the row that was read last is still that one.
 *
 * A cursor is "PRESET DATABASE TABLE MARK ROW": MARK says where the row that was read last stands in the order of the
 * store, ROW is a fingerprint of what never changes of it (stream, version, type and time; not the payload,
 * which stores allow to be masked). A later import reads this row again. Where it is not there, or is another
 * one, the database was restored from an older copy, or is another one, and has drawn positions again that count as
 * read: then nothing says which events are new.
 */
#ifndef RF_SOURCE_POSTGRES_CURSOR_H
#define RF_SOURCE_POSTGRES_CURSOR_H

#include "source/line_text.h"
#include "source/postgres_line.h"

/* The row that was read last. */
typedef struct rf_postgres_last {
    rf_postgres_mark mark; /* its position is -1 before there is any */
    uint64_t fingerprint;
} rf_postgres_last;

#define RF_POSTGRES_LAST_NONE ((rf_postgres_last){{0, -1}, 0})

/* Of the row whose line begins in `text` as `place` says. */
rf_postgres_last rf_postgres_last_of(rf_slice text, const rf_postgres_place *place);
/* In `out`; empty where there is nothing to go on from. */
rf_slice rf_postgres_cursor_write(const rf_postgres_layout *layout, const rf_postgres_last *last,
                                  char out[RF_LINE_CURSOR_SIZE]);
/* *has_transaction_out: it is of a store that is read in the order of transactions. RF_ERR_USAGE where it is of
 * another database, table or preset. */
rf_status rf_postgres_cursor_read(const rf_postgres_layout *layout, rf_slice cursor,
                                  rf_postgres_last *last_out, bool *has_transaction_out, rf_err *err);
/* RF_ERR_INPUT where the row is not there any more, or is another one. `name` is for the message. */
rf_status rf_postgres_cursor_check(rf_postgres *postgres, const rf_postgres_layout *layout,
                                   rf_eventsourcing *decoder, const char *name,
                                   const rf_postgres_last *last, rf_err *err);

#endif
