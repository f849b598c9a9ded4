/* Where the members of an event stand in a database of PostgreSQL: a preset's table, or a query.
 *
 * A layout is made by asking the catalog: which table it is, which of the preset's columns there are and of
 * what types, whether the position has an index, and from where its numbers come. It gives the pieces of the
 * statements that read (select, from, position), and for each column of a row what becomes of it
 * (postgres_line.h). Immutable; it holds names only, no secrets.
 */
#ifndef RF_SOURCE_POSTGRES_LAYOUT_H
#define RF_SOURCE_POSTGRES_LAYOUT_H

#include "database/postgres.h"
#include "refold/import.h"

enum { RF_POSTGRES_COLUMNS_MAX = 64, RF_POSTGRES_MEMBER_SIZE = 72 };

/* What a column of a row is for. */
typedef enum rf_postgres_role {
    RF_ROLE_TRANSACTION, /* with the position, the order of the store */
    RF_ROLE_POSITION,
    RF_ROLE_PREFIX, /* in front of the stream's name, with a '/' */
    RF_ROLE_STREAM,
    RF_ROLE_MEMBER,
    RF_ROLE_SCHEMA,   /* a number as text; another text becomes metadata's "revision" */
    RF_ROLE_DATA,
    RF_ROLE_STATE,    /* of preset eventsourcing: gives data, schema and time (eventsourcing.h) */
    RF_ROLE_METADATA, /* an object, whose members come first */
    RF_ROLE_FACT,     /* a member of metadata, where it says anything */
    RF_ROLE_FILTER,   /* not of a row: which rows count */
} rf_postgres_role;

/* How a value is sent, in COPY's binary form. */
typedef enum rf_postgres_kind {
    RF_KIND_INTEGER, /* bigint */
    RF_KIND_NUMBER,  /* numeric and floats, as text */
    RF_KIND_TEXT,
    RF_KIND_BOOL,
    RF_KIND_UUID,
    RF_KIND_HEX,        /* a uuid, without dashes */
    RF_KIND_TIME,       /* microseconds since 2000, UTC */
    RF_KIND_LOCAL_TIME, /* the same, without a zone */
    RF_KIND_JSON,
    RF_KIND_JSONB, /* a byte of version in front */
    RF_KIND_BYTES,
} rf_postgres_kind;

typedef struct rf_postgres_column {
    rf_postgres_role role;
    rf_postgres_kind kind;
    char member[RF_POSTGRES_MEMBER_SIZE]; /* of the line, or of metadata */
    const char *omitted; /* a text that counts as no value; NULL: none */
} rf_postgres_column;

typedef struct rf_postgres_layout {
    char *identity; /* "messagedb shop message_store.messages": whose cursor it is */
    char *name;     /* for messages: the table, or "query" */
    char *select;   /* the columns, in order */
    char *from;
    char *table;       /* where the positions stand, without joins; NULL for a query */
    char *position;    /* as SQL */
    char *transaction; /* as SQL; NULL: the position alone is the order */
    char *filter;      /* " AND ..." or "": which rows are events */
    char *relations;   /* OIDs of the table and what inherits from it: "{16384,16390}"; NULL for a query */
    char *sequences;   /* OIDs of where positions are drawn; NULL: not known, it may be any */
    char *channel;     /* where the store notifies; NULL: nowhere */
    int64_t row_estimate;
    bool has_index; /* the position's: ranges of it can be read alone */
    /* Positions are drawn in blocks, by several writers: a later event may have a lower one. */
    bool is_unordered;
    rf_postgres_column columns[RF_POSTGRES_COLUMNS_MAX];
    uint32_t column_count;
    uint32_t fixed_count; /* so many of them, the first, never change in a row */
} rf_postgres_layout;

/* Sets up what `options` name (preset and table, or query). */
rf_status rf_postgres_layout_find(rf_postgres *postgres, const rf_import_options *options,
                                  rf_postgres_layout **layout_out, rf_err *err);
/* Makes the position alone the order. */
void rf_postgres_layout_order_by_position(rf_postgres_layout *layout);
void rf_postgres_layout_free(rf_postgres_layout *layout); /* takes NULL */

#endif
