/* Sources by name: which feed reads "orders.jsonl", "-", "sqlite:shop.db" or "postgresql://...", and with
 * which preset.
 *
 * A preset says what wrote the source, that is, where an event's members stand in it. This file knows
 * which presets there are and which kind of source each is for; the feeds know what they mean.
 */
#ifndef RF_SOURCE_SOURCE_H
#define RF_SOURCE_SOURCE_H

#include "refold/import.h"
#include "source/feed.h"

typedef enum rf_source_kind {
    RF_SOURCE_FILE, /* standard input too */
    RF_SOURCE_EXEC,
    RF_SOURCE_SQLITE,
    RF_SOURCE_POSTGRES,
} rf_source_kind;

/* By the scheme in front; a file whose name looks like one is read as ./NAME. */
rf_source_kind rf_source_kind_of(const char *source);
/* A name for messages: a URL that may hold a password is not shown as it is. */
rf_status rf_source_check(const char *source, const rf_import_options *options, rf_err *err);
/* `start`: where the source stood before. */
rf_status rf_source_open(const char *source, const rf_import_options *options,
                         const rf_feed_start *start, rf_feed **feed_out, rf_err *err);

#endif
