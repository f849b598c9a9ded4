/* The lines of a feed become events, with member mapping.
 *
 * Reads blocks, cuts them at newlines, parses the lines of a block on the pool (lines are
 * independent), and hands the events of each block to a sink in order. A refused line names file
 * and line; nothing of its block is handed over.
 */
#ifndef RF_SOURCE_JSONL_H
#define RF_SOURCE_JSONL_H

#include "base/pool.h"
#include "event/event_note.h"
#include "refold/import.h"
#include "source/feed.h"

/* The events of a block with a note of each, and the feed's cursor behind it (empty: none), valid during the
 * call. Without events and cursor it is told that the feed has been waiting for more: a chance to commit
 * what it has. */
typedef rf_status (*rf_events_take)(void *arg, const rf_event *events, const rf_event_note *notes,
                                    size_t count, rf_slice cursor, rf_err *err);

/* Who takes the events. */
typedef struct rf_events_sink {
    rf_events_take take;
    /* Called when a feed that follows has waited and has more, before that is read. NULL: none. */
    rf_status (*resume)(void *arg, rf_err *err);
    void *arg;
} rf_events_sink;

typedef struct rf_jsonl_stats {
    uint64_t lines; /* events */
    uint64_t bytes; /* decompressed */
    rf_import_member members[RF_IMPORT_MEMBERS_MAX];
    uint32_t member_count;
} rf_jsonl_stats;

/* Reads a feed to its end, or, where it follows, until it is cancelled. `stats` is added to. `shapes`
 * outlive all that is kept by their ids: one registry for all feeds of an import. */
rf_status rf_jsonl_read(rf_feed *feed, const rf_import_options *options, rf_pool *pool,
                        rf_event_shapes *shapes, const rf_events_sink *sink,
                        rf_jsonl_stats *stats, rf_err *err);

#endif
