/* A feed: where lines of events come from, whatever it is that they are read out of.
 *
 * Every source gives blocks of whole lines of JSON, one event a line with the members that files have
 * (docs of refold/import.h): files as they are (lines.h), databases as text that is made of their rows
 * (line_text.h). So what comes from anywhere is parsed, checked and mapped in one way (jsonl.h).
 *
 * A block may come with a cursor: the source's own words for "all up to the end of this block", which the
 * log keeps in the transaction that has the block's events, and which the next import hands to the
 * feed that it opens (rf_feed_start). What a cursor says is the feed's own matter; it is text of at
 * most RF_LOG_CURSOR_SIZE_MAX bytes, and has no secrets in it.
 *
 * Call order: rf_feed_begin or not, rf_feed_next until the block is empty, then wait and next again where the feed follows, close.
 * There are three buffers: a block may be read while other threads still work on the two before it.
 * Confined to one thread at a time.
 */
#ifndef RF_SOURCE_FEED_H
#define RF_SOURCE_FEED_H

#include "base/bytes.h"

enum { RF_FEED_WAIT_MS = 200 }; /* how long a wait lasts at most before `waiting` is called */

typedef struct rf_feed rf_feed;

typedef struct rf_feed_block {
    rf_slice text;   /* whole lines, followed by RF_JSON_PADDING readable bytes; empty at the end */
    rf_slice cursor; /* behind the block; empty: none, or as before */
} rf_feed_block;

typedef struct rf_feed_ops {
    /* The next block: valid until the third call from this one. `line` is the number of its first
     * line, for messages. */
    rf_status (*next)(rf_feed *feed, uint64_t line, rf_feed_block *block_out, rf_err *err);
    /* Of a feed that follows, after its end: waits about RF_FEED_WAIT_MS at most. *more_out: next may
     * have more. RF_ERR_INTERRUPTED where it was cancelled. */
    rf_status (*wait)(rf_feed *feed, bool *more_out, rf_err *err);
    void (*close)(rf_feed *feed);
} rf_feed_ops;

/* What every feed begins with: a struct of its own has this as its first member. */
struct rf_feed {
    /* fixed after open */
    const rf_feed_ops *ops;
    rf_slice name; /* for messages: "orders.jsonl", "sqlite shop.db stored_events"; without secrets */
    bool reads_ahead;   /* a block may be read while the one before is taken: next never waits long,
                           and never calls `waiting` */
    bool has_positions; /* its lines have no numbers that say anything: messages name positions */
    bool has_ids;       /* "position" of an event without version is the hash of its id, below 2^63 */
    bool follows;       /* it does not end: wait is there */
    /* Set by who reads text that is not made of lines: blocks may end anywhere, so that no line is too long. Only
     * files and programs. */
    bool in_pieces;
    /* Called by next, a few times a second, while nothing comes: what was taken from earlier blocks
     * need not wait for the next. A failure of it ends the read. NULL: none. */
    rf_status (*waiting)(void *arg, rf_err *err);
    void *waiting_arg;
    /* confined; read by rf_feed_begin and not given yet */
    bool has_first;
    rf_feed_block first;
};

/* Where the source stood when its last import ended. */
typedef struct rf_feed_start {
    uint64_t mark;   /* highest source position in the log; 0: none */
    rf_slice cursor; /* empty: none; borrowed for the call that opens */
} rf_feed_start;

/* Reads the first block already, to see whether the source can be read at all. */
static inline rf_status rf_feed_begin(rf_feed *feed, rf_err *err)
{
    rf_status status = feed->ops->next(feed, 1, &feed->first, err);

    feed->has_first = status == RF_OK;
    return status;
}
/* `next`, and at first what rf_feed_begin has read. */
static inline rf_status rf_feed_next(rf_feed *feed, uint64_t line, rf_feed_block *block_out,
                                     rf_err *err)
{
    if (!feed->has_first)
        return feed->ops->next(feed, line, block_out, err);
    feed->has_first = false;
    *block_out = feed->first;
    return RF_OK;
}
static inline void rf_feed_close(rf_feed *feed) /* takes NULL */
{
    if (feed)
        feed->ops->close(feed);
}
static inline void rf_feed_on_wait(rf_feed *feed, rf_status (*waiting)(void *arg, rf_err *err),
                                   void *arg)
{
    feed->waiting = waiting;
    feed->waiting_arg = arg;
}

#endif
