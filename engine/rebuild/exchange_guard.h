/* What an exchange leaves out under a policy; see faults.h and exchange.h.
 *
 * An event may be of several rows in several partitions, and is left out of all of them or of none,
 * with what it carries. So the log is folded in rounds. A round knows some events that fail, at
 * first none: these it leaves out, but tries them all the same, and puts back what they changed. It
 * notes each event that fails, tried or not. Once a round notes the very events that it knew, they
 * are those that a serial fold leaves out: whether an event fails depends on the events before it
 * alone, so of two sets that confirm themselves none can be the first to differ. A round gets at
 * least one more event right, most get all: two rounds are the rule, and one where no event has
 * several calls, because then each is left out right where it fails.
 *
 * Rows leave in the round that confirms itself. Where memory is too small for all rows at once, that
 * is known only after the last pass, so another round writes them.
 *
 * With a quarantine, an event that fails shuts the rows of all its keys, as far as these can be told.
 * A shut row gets no more calls, so it fails nothing more.
 */
#ifndef RF_REBUILD_EXCHANGE_GUARD_H
#define RF_REBUILD_EXCHANGE_GUARD_H

#include "base/arena.h"
#include "rebuild/key_table.h"

#include <stdatomic.h>

struct rf_exchange;
struct rf_exchange_worker;

/* A call that failed. */
typedef struct rf_exchange_note {
    uint64_t position;
    uint32_t rank; /* of an event's the lowest is told: 0 its values, else 1 + the handler's index */
    bool counted;  /* the event was not known to fail, so it counts among the folded */
    rf_slice key;  /* data NULL: none */
    rf_slice reason;
} rf_exchange_note;

/* An event whose values are not of their kinds. */
typedef struct rf_exchange_spoilt {
    uint64_t position;
    rf_slice reason;
} rf_exchange_spoilt;

typedef struct rf_exchange_spoilt_list {
    rf_exchange_spoilt *items;
    uint32_t count, capacity;
} rf_exchange_spoilt_list;

typedef struct rf_exchange_guard {
    /* fixed after start */
    bool on;
    bool shuts;    /* a quarantine */
    uint64_t keep; /* notes that matter: one more than are allowed; UINT64_MAX: all */
    /* fixed while tasks run */
    uint64_t *known; /* positions, rising */
    uint32_t known_count;
    bool confirmed;                 /* they are right */
    bool decided, emits;            /* whether this round's rows leave */
    rf_exchange_spoilt_list spoilt; /* of a window, rising */
    /* guarded by the job's mutex */
    rf_exchange_note *notes;
    uint32_t note_count, note_capacity;
    uint32_t notes_settled; /* those before it were looked at after their pass */
    rf_arena text;
    /* atomic */
    atomic_bool several; /* an event of the log has several calls */
} rf_exchange_guard;

void rf_exchange_guard_begin(struct rf_exchange *job);
void rf_exchange_guard_end(struct rf_exchange *job);
/* A round: nothing is noted yet. */
void rf_exchange_round_begin(struct rf_exchange *job);
/* After a pass; `whole`: it was the only one. Whether its rows leave. */
bool rf_exchange_round_emits(struct rf_exchange *job, bool whole);
/* After all passes: false if there has to be another round; *status_out says how it ended. */
bool rf_exchange_round_ends(struct rf_exchange *job, rf_status *status_out, rf_err *err);
/* What was left out, with its events, to the target. */
rf_status rf_exchange_guard_tell(struct rf_exchange *job, rf_err *err);

/* Index of the first known event at `position` or after it; whether any is from first to last. */
uint32_t rf_exchange_guard_seek(const rf_exchange_guard *guard, uint64_t position);
bool rf_exchange_guard_knows_any(const rf_exchange_guard *guard, uint64_t first, uint64_t last);
/* Notes a call that failed; `key` NULL: it has none. */
void rf_exchange_note_call(struct rf_exchange_worker *worker, uint64_t position, uint32_t rank,
                           const rf_slice *key, const char *reason);
/* False without memory. */
bool rf_exchange_spoilt_add(rf_exchange_spoilt_list *list, uint64_t position, rf_slice reason);
/* Between the halves of a window: the workers' spoilt events in one list. False without memory. */
bool rf_exchange_guard_gather(struct rf_exchange *job);

/* Of a row of combined columns, the position of the first event known to fail; UINT64_MAX: none. */
uint64_t rf_exchange_shut_at(const struct rf_exchange *job, rf_keyed_row *row);
void rf_exchange_shut(const struct rf_exchange *job, rf_keyed_row *row, uint64_t position);

#endif
