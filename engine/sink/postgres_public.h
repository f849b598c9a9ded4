/* The public name of a read model in PostgreSQL: a view over the tables of generations, or a table.
 *
 *     look (before anything is written: what cannot be done is refused here)
 *     -> show (inside the transaction that publishes) -> rf_public_free
 *
 * A view is replaced where it stands, so grants, dependent views and prepared statements stay. Its
 * columns keep their order, new ones come last. Where a column went or has another type, or a view
 * and a table take each other's place, the old one is dropped and made anew in the same
 * transaction, and gets the old one's owner, grants and comment; other views that stand on it are
 * named and refused, unless they may go with it.
 */
#ifndef RF_SINK_POSTGRES_PUBLIC_H
#define RF_SINK_POSTGRES_PUBLIC_H

#include "sink/postgres_table.h"

typedef enum rf_public_form {
    RF_PUBLIC_AS_BEFORE, /* what it was published as; a view where it was not */
    RF_PUBLIC_VIEW,
    RF_PUBLIC_TABLE,
} rf_public_form;

typedef struct rf_public {
    /* what is there */
    bool exists;
    bool is_table;       /* else a view */
    uint64_t oid;
    rf_postgres_rows *columns;  /* name, type; owned, as the next two */
    rf_postgres_rows *restore;  /* statements that give its owner, grants and comment back */
    rf_postgres_rows *facts;    /* oid, kind, owner if it is another than the session's, options */
    /* what will be done */
    bool must_drop;      /* its columns do not allow a replacement */
    rf_buf dropped;      /* names of views that go with it, for people; a NUL at the end */
} rf_public;

/* `published`: refold made what is there; `same_layout`: with the same columns and indexes. */
rf_status rf_public_look(rf_sql *sql, const rf_layout *layout, rf_table_place place,
                         rf_public_form form, bool published, bool same_layout, bool replace,
                         rf_public *out, rf_err *err);
/* The view shows `data`; or the table `data` moves to the public name, where `form` is a table. */
rf_status rf_public_show(rf_sql *sql, const rf_layout *layout, rf_table_place place,
                         rf_public_form form, const rf_public *before, rf_table_place data,
                         rf_err *err);
void rf_public_free(rf_public *seen); /* a zeroed one too */

#endif
