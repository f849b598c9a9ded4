/* Adding events from a program, in its request loop: acknowledged when the log and the read models have them.
 *
 * The events of a call are added all or none, and are durable with it; then the live read models, and
 * colours of them, are brought to where the log was. When RF_OK is returned, who reads them finds these
 * events in. A crash in between leaves read models behind, never wrong: the next call, or whoever follows
 * them, brings them on. An event that is stored already (the same stream and version) counts as duplicate: a call
 * whose answer was lost is made once more.
 *
 *     rf_append_events(store, &event, 1, NULL, &appended, &err)
 *
 * What a call holds it lets go of before it returns: no lock, no generation, nothing that gc or a rebuild has to wait for. What stays are
 * the definitions of the read models, loaded, until the store is closed. A read model that another run follows at the
 * moment (`refold follow`, another call) is waited for, not moved by both; `run.cancel` ends the wait (RF_ERR_INTERRUPTED: the log has the events),
 * and so does `run.wait_lock_ms` where it is above zero (RF_ERR_LOCKED, in words which process it is: the same). Across a swap a call moves what is live when it
 * commits. A read model that an event fails for is suspended in front of it, and is from then on not moved by
 * any call until rf_resume: the events are in the log, the others have them, and each call says RF_ERR_REFUSED with the reason, until
 * then. An event that a read model's policy leaves out (`rebuild --on-error`) is no failure.
 *
 * A call after which a delta has changes of more than a tenth of the rows, and of 1,000 at least, merges it with its base before
 * it returns, if no rebuild or gc runs: once in a great many calls, and as long as a copy of the table takes. Where that is too long for a request,
 * `merges_left` leaves it to a `refold follow` beside or to the next rebuild.
 *
 * Threads: any, each call takes the store's own locks (log/IMPORT, and FOLLOW of what it moves). Calls at the same time
 * move read models on for each other. After a fork the child opens the store anew.
 */
#ifndef REFOLD_APPEND_H
#define REFOLD_APPEND_H

#include "refold/store.h"

/* All slices are borrowed for the call. */
typedef struct rf_new_event {
    rf_slice stream;   /* 1 to 480 bytes of UTF-8 */
    rf_slice type;     /* 1 to 255 bytes */
    rf_slice data;     /* JSON */
    rf_slice metadata; /* JSON; data NULL: none */
    int64_t version;   /* in its stream, with has_version; else the stream's next */
    bool has_version;  /* then an event that is there already is no second one, and a hole is refused */
    int64_t schema;    /* 0: 1 */
    int64_t time;      /* microseconds since 1970 UTC, with has_time; a missing one stays missing */
    bool has_time;
} rf_new_event;

/* All members may be zero. */
typedef struct rf_appending {
    const char *source; /* NULL: "main" */
    bool gaps_allow;    /* holes in a stream's versions */
    bool log_only;      /* read models are left to who follows them */
    bool merges_left;   /* a call never merges base and delta: see below */
    const char *const *names; /* of read models that have to have the events; none: all that are live */
    uint32_t name_count;
    rf_run run; /* workers 0 is right for few events; wait_lock_ms is for other writers, and for who follows */
} rf_appending;

typedef struct rf_appended {
    uint64_t position; /* the log's last; 0: nothing was added, and that is not known */
    uint64_t added;
    uint64_t duplicates;
} rf_appended;

/* `appending` NULL: zeroed, but waits for locks. *appended_out (which may be NULL) is filled also on failure: where
 * `added` or `duplicates` are not zero the events are stored, and it was a read model that failed
 * (RF_ERR_REFUSED: one is suspended). RF_ERR_INPUT where an event is refused: none was added. */
RF_API rf_status rf_append_events(rf_store *store, const rf_new_event *events, size_t count,
                                  const rf_appending *appending, rf_appended *appended_out,
                                  rf_err *err);
/* The same for events as JSON Lines, as import takes them from a file. */
RF_API rf_status rf_append_lines(rf_store *store, rf_slice lines, const rf_appending *appending,
                                 rf_appended *appended_out, rf_err *err);

#endif
