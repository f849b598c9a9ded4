/* Publishing read models into PostgreSQL, several of them in one transaction.
 *
 *     lock -> what is there, what is to do -> load tables -> one transaction: rows that changed,
 *     views, pointers -> old schemas go
 *
 * Each generation is loaded into a schema of its own, in a transaction of its own that also records
 * it in refold_published.tables. So a run that ends anywhere leaves what was published, and a table that
 * was loaded whole is used by the next run or removed by it. Then one transaction changes all that
 * readers see: views, and the row of each read model in refold_published.models with generation, position
 * and digest. It waits for readers of the old view in pieces of a second, between which queries that
 * queue behind it go on.
 *
 * A read model with colours is shown by version too: each version has its own view and tables, and the view of the
 * read model shows the live version's table. Once versions were shown they are; what was retired is dropped.
 *
 * What is published is known by its digest: the same rows are not copied again, so a rollback
 * is the one transaction while the schema of the older generation is there.
 */
#ifndef RF_SINK_POSTGRES_H
#define RF_SINK_POSTGRES_H

#include "sink/postgres_public.h"

/* The difference between what is published and what is to be. */
typedef struct rf_sink_changes {
    rf_table_change *items; /* borrowed from whoever found them, until the export ends */
    uint64_t count;
    uint64_t position, rows; /* after */
    char digest[33];
} rf_sink_changes;

/* A read model as it is at one moment. */
typedef struct rf_sink_state {
    uint64_t position, rows;
    char digest[33];
    rf_slice note; /* for find_changes of a later publication, if this is published; data NULL: none */
} rf_sink_state;

/* What the sink asks about the rows. */
typedef struct rf_sink_source {
    /* As it is now; borrowed until the next look at the model. */
    rf_status (*look)(void *arg, uint32_t model, rf_sink_state *state_out, rf_err *err);
    /* The way from what was published, `generation` at `digest` with the note that was given then, to what the last look
     * saw. *found_out is false where it cannot be told any more, or is longer than loading the table. */
    rf_status (*find_changes)(void *arg, uint32_t model, uint64_t generation, const char *digest,
                              rf_slice note, rf_sink_changes *changes_out, bool *found_out,
                              rf_err *err);
    void *arg;
} rf_sink_source;

typedef enum rf_sink_way {
    RF_SINK_LOADED,  /* all rows were copied */
    RF_SINK_CHANGED, /* rows that differ were */
    RF_SINK_SHOWN,   /* a table that was there already */
    RF_SINK_SAME,    /* nothing but the pointer changed */
} rf_sink_way;

typedef struct rf_sink_model {
    rf_reader *reader; /* borrowed, as are the next two */
    const char *public_name; /* NULL: the reader's */
    const char *version_of;  /* public_name is a version of that one; NULL: it is none */
    uint32_t shows;    /* 1 + the model of the live version, whose table this name shows if versions are shown */
    uint32_t beside;   /* 1 + the model that shows it; it is left out where versions are not shown */
    bool has_colours;  /* of one with `shows`: then they are. Else where they were before */
    /* what came of it */
    bool is_left_out; /* and nothing else did */
    rf_sink_way way;
    uint64_t generation_before; /* 0: none was published */
    uint64_t upserted, deleted; /* of RF_SINK_CHANGED */
    uint64_t position, rows;
    char digest[33];
    char note[1024]; /* for people; "": none */
} rf_sink_model;

typedef struct rf_sink_postgres_options {
    const char *schema; /* of the public names; NULL: public */
    rf_public_form form;
    bool replace;
    bool changes_only; /* fail where only loading all rows is possible */
    bool load_all;     /* do not look for changes */
    uint32_t wait_readers_s; /* 0: 60 */
    uint32_t keep;     /* tables of generations that stay, the published one counted; 0: 2 */
    rf_sink_source source;
    const rf_run *run;
} rf_sink_postgres_options;

/* *target_out: how messages call it; the caller frees it. */
rf_status rf_sink_postgres(const char *url, rf_sink_model *models, uint32_t model_count,
                           const rf_sink_postgres_options *options, char **target_out, rf_err *err);

#endif
