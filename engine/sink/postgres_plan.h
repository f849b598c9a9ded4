/* What a publication into PostgreSQL knows of each of its read models, and its own two tables.
 *
 *     rf_publish_prepare (once a connection) -> rf_publish_make (for each model)
 *     -> rf_publish_record_loaded | rf_publish_record_published -> rf_publish_sweep -> rf_publish_free
 *
 * refold_published.models has a row for each public name: what a reader sees there now. refold_published.tables has
 * a row for each table of a generation; one without published_at was loaded by a run that ended before it
 * was shown.
 */
#ifndef RF_SINK_POSTGRES_PLAN_H
#define RF_SINK_POSTGRES_PLAN_H

#include "sink/postgres.h"

typedef struct rf_publish_plan {
    rf_sink_model *model; /* the caller's */
    rf_layout layout;
    rf_table_place place; /* of the public name */
    rf_buf description;   /* of the layout, with a NUL */
    rf_public_form form; /* decided: a view or a table */
    rf_public seen;
    bool is_published;
    char published_digest[33];
    rf_buf published_note;
    rf_slice note; /* of what is to be; borrowed from the source */
    bool same_layout;     /* of what is published */
    char data_schema[64]; /* of the table that is or will be shown; "": to be made */
    rf_sink_changes changes;
    bool refuse_changes; /* they did not fit the table */
    const struct rf_publish_plan *shows; /* the live version, whose table it shows; NULL: it has its own */
} rf_publish_plan;

/* Whether the model, one with `shows`, is shown by version. */
rf_status rf_publish_by_version(rf_sql *sql, const rf_sink_model *model, const char *schema,
                                rf_public_form form, bool *is_out, rf_err *err);
/* Drops views of versions of `plan` that are none of `plans`, with their tables. What is in use, or stands under
 * other views, is left to the next run, and so is what fails. */
void rf_publish_drop_retired(rf_sql *sql, const rf_publish_plan *plan, const rf_publish_plan *plans,
                             uint32_t count);
/* Makes the schema `refold_published` and its tables where they are not there. */
rf_status rf_publish_prepare(rf_sql *sql, const char *schema, rf_err *err);
/* `plan` is zeroed but for `model`. Refuses what cannot be published. */
rf_status rf_publish_make(rf_sql *sql, rf_publish_plan *plan, uint32_t index,
                       const rf_sink_postgres_options *options, rf_err *err);
/* Once more as the read model is now: position, rows, digest, note. */
rf_status rf_publish_look(rf_publish_plan *plan, uint32_t index,
                          const rf_sink_postgres_options *options, rf_err *err);
/* Behind a failure: where it is for want of a right to what another role has published, what to do. */
void rf_publish_tell_owner(const rf_sql *sql, rf_err *err);
void rf_publish_free(rf_publish_plan *plan);
/* A name for a schema that is not there yet. */
rf_status rf_publish_name_schema(rf_sql *sql, rf_publish_plan *plan, rf_err *err);
/* Statements that are added to `sql`. */
void rf_publish_record_loaded(rf_sql *sql, const rf_publish_plan *plan);
void rf_publish_record_published(rf_sql *sql, const rf_publish_plan *plan);
/* Tables of generations that are shown no more, beyond `keep`, and those that never were. What is in use is
 * left to the next run, and so is what fails. */
void rf_publish_sweep(rf_sql *sql, const rf_publish_plan *plan, uint32_t keep);

#endif
