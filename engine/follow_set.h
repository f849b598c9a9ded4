/* Which generations a run of following moves on: the live ones of the read models that are asked for and their colours, as
 * the catalog has them now. Private to follow.c.
 *
 *     {store, options} -> look (first) -> (look, take_free) … -> end
 *
 * Who is in it holds FOLLOW of each read model, or leaves it to another run that does. After every commit of the catalog
 * it is looked again: whether other generations are live or kept beside them, or something was suspended or resumed.
 *
 * Threads: one.
 */
#ifndef RF_FOLLOW_SET_H
#define RF_FOLLOW_SET_H

#include "catalog/named.h"
#include "refold/follow.h"
#include "store/store.h"

/* What is asked for: a read model with its colours, or one version of it. */
typedef struct rf_follow_asked {
    rf_named named;
    int lock; /* FOLLOW; -1: another run's */
} rf_follow_asked;

/* A generation that is followed for it. */
typedef struct rf_followed {
    rf_named named; /* for people, and for what is live: NAME, or NAME@VERSION of a colour */
    uint64_t number;
    bool may_fail; /* a colour that nobody asked for by its version */
    bool is_left;  /* to another run */
    bool suspended;
} rf_followed;

typedef struct rf_follow_set {
    rf_store *store;
    const rf_follow_options *options;
    rf_follow_asked *asked;
    uint32_t asked_count;
    rf_followed *models; /* as they were when it was last looked */
    uint32_t count;
    uint64_t stamp;  /* of the catalog when it was last looked */
    double take_due; /* when it is tried again to take what another run follows */
} rf_follow_set;

/* Looks at the catalog, where it changed. *changed_out: others are in the set, or in another state. With `first` what is
 * named has to be there, and what another run follows is refused, unless it is to be shared. */
rf_status rf_follow_set_look(rf_follow_set *set, bool first, bool *changed_out, rf_err *err);
/* The next look looks, whatever changed. */
void rf_follow_set_forget(rf_follow_set *set);
/* Whether any is left to another run; and takes FOLLOW of those that are free by now. */
bool rf_follow_set_is_left(const rf_follow_set *set);
rf_status rf_follow_set_take_free(rf_follow_set *set, bool *taken_out, rf_err *err);
/* Releases FOLLOW of all. */
void rf_follow_set_end(rf_follow_set *set);

/* A line to who asked for reports. */
__attribute__((format(printf, 2, 3))) void rf_follow_tell(const rf_follow_options *options,
                                                          const char *format, ...);

#endif
