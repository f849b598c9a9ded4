/* Faults: events that a fold could not take, what becomes of them, and which ones are put aside.
 *
 * A policy says it for one definition. An event that is put aside on record is not looked at. One
 * that fails (its handler failed, a value is not of its field's kind) stops the fold, or is noted
 * and left out, or is noted and its whole key left out. Whoever folds keeps the row as it was
 * before the event, and gives it back.
 *
 * Noted faults depend on events and definition alone: not on workers, ranges of streams or what was
 * decoded ahead, since whether an event fails is found in the order of its key's events. A list is
 * confined to one worker; at the end all are put into one, in position order.
 */
#ifndef RF_REBUILD_FAULTS_H
#define RF_REBUILD_FAULTS_H

#include "base/arena.h"
#include "log/names.h"
#include "refold/quarantine.h"

enum { RF_FAULT_REASON_SIZE_MAX = 480 };

typedef struct rf_fault_policy {
    rf_on_error on_error;
    uint64_t errors_max;   /* more than so many noted fail the fold; unused with stop */
    const uint64_t *skips; /* positions of events that are put aside, rising; borrowed */
    uint32_t skip_count;
} rf_fault_policy;

/* Whether an event may have to be left out: then the fold has to look closely. */
static inline bool rf_fault_policy_is_strict(const rf_fault_policy *policy)
{
    return policy->on_error == RF_ON_ERROR_STOP && policy->skip_count == 0;
}

/* Whether events at positions `first` to `last` are put aside. */
bool rf_fault_policy_skips_any(const rf_fault_policy *policy, uint64_t first, uint64_t last);
/* Index of the first skip at `position` or after it. */
uint32_t rf_fault_policy_seek(const rf_fault_policy *policy, uint64_t position);

/* An event that was left out, or with which its key was. */
typedef struct rf_fault {
    uint64_t position;
    uint32_t stream_number; /* in its partition */
    rf_slice stream;        /* data NULL until named */
    rf_slice type;
    rf_slice reason;
} rf_fault;

typedef struct rf_faults {
    rf_fault *items; /* owned; their text in `text` */
    uint32_t count, capacity;
    rf_arena text;
} rf_faults;

void rf_faults_init(rf_faults *faults);
void rf_faults_free(rf_faults *faults);
/* Keeps a copy, the reason as one line of UTF-8, cut to RF_FAULT_REASON_SIZE_MAX bytes. */
rf_status rf_faults_add(rf_faults *faults, const rf_fault *fault, rf_err *err);
/* Forgets those from index `count` on. */
void rf_faults_cut(rf_faults *faults, uint32_t count);
/* Gives those from index `first` on, which are of one partition, the names of their streams. Leaves
 * them in the order of stream numbers. */
rf_status rf_faults_name(rf_faults *faults, uint32_t first, rf_log_names_cursor *names,
                         uint32_t partition, rf_err *err);
/* Adds all of `from`, which is empty then. */
rf_status rf_faults_take(rf_faults *faults, rf_faults *from, rf_err *err);
/* By position. */
void rf_faults_sort(rf_faults *faults);

#endif
