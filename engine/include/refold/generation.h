/* Generations: which are there, which is live, swap, rollback, what is kept beside the live one, gc, verify.
 *
 * Where a read model is named, NAME is its live generation. NAME@VERSION ("order_summary@3") is the
 * generation of that version of its definition: the live one, or a colour, which is what a flip to another
 * version left. Colours are kept current by who follows the read model, and are no matter of gc, until
 * rf_retire. So programs of an old release read on while the new one rolls out. Where no such version is
 * kept, RF_ERR_ABSENT names those that are; RF_ERR_USAGE for what is no version.
 */
#ifndef REFOLD_GENERATION_H
#define REFOLD_GENERATION_H

#include "refold/store.h"

typedef struct rf_generation {
    const char *name;
    uint64_t number;
    bool live;
    bool held; /* rolled back from: no rebuild swaps this definition in until swap names it */
    bool colour; /* the one of its version, kept current beside the live one until it is retired */
    bool pinned; /* gc leaves it alone */
    uint32_t version; /* of the definition */
    uint64_t position;
    uint64_t rows;
    /* the generation that has its place, with the same rows; its own number: a merge that has not ended made it,
     * or one that was killed, and it serves nobody; 0: none */
    uint64_t replaced_by;
    uint64_t bytes;      /* of base files and delta */
    uint64_t delta_rows; /* rows that changed since it was sealed */
    uint64_t set;        /* that it was built in: all generations of one rebuild have the same; 0: none */
    int64_t sealed_at; /* wall clock, microseconds */
    char digest[33];
    char content_hash[33];
    const char *definition_file; /* file name of the kept definition */
} rf_generation;

typedef struct rf_generations rf_generations;
/* All of `name` (NAME@VERSION: those of one version), or of all read models (NULL), by name and number. Free
 * it. */
RF_API rf_status rf_generations_list(rf_store *store, const char *name, rf_generations **list_out,
                                     rf_err *err);
RF_API const rf_generation *rf_generations_items(const rf_generations *list, uint32_t *count_out);
RF_API void rf_generations_free(rf_generations *list);
/* The generation that NAME, or NAME@VERSION, is now. */
RF_API rf_status rf_generation_find(rf_store *store, const char *name, uint64_t *number_out,
                                    rf_err *err);

/* The last look at a generation before it goes live, beside the one that is; both at one position. Zeroed: it
 * must have a row, and at least half of the live rows. Expectations of its definition are always asked. */
typedef struct rf_gate_options {
    bool only_given;   /* no limit is asked that is not given here: nothing is compared where none is */
    uint64_t min_rows; /* with has_min_rows, else 1 */
    bool has_min_rows;
    double max_removed; /* share of the live rows that may be gone, 0 to 1; with has_max_removed, else 0.5 */
    bool has_max_removed;
    double max_changed; /* rows that may differ (see refold/diff.h), as a share of the live ones, 0 to 1; with
                           has_max_changed */
    bool has_max_changed;
    const char *expect_keys; /* file of keys, one a line as the command line takes them, that must have rows;
                                for one read model; NULL */
} rf_gate_options;

/* What becomes live. */
typedef struct rf_flip_options {
    const char *const *names;
    uint32_t name_count;
    uint64_t generation; /* with one name: this one; 0: to swap the newest sealed one that is younger than the
                            live one, to go back the one live before */
    uint64_t set;        /* instead of names: all read models of one rebuild, to its generations, or back from
                            these to what each of them replaced; 0: none */
    bool back;           /* a rollback: at once, and the definition that is left is held */
    bool catch_up;       /* of a rollback: first to where the live one is, as a swap always does */
    const rf_gate_options *gates; /* of a swap: asked before the flip; NULL: none are */
    rf_run run;
} rf_flip_options;

/* What became of one read model. */
typedef struct rf_flip {
    const char *name; /* the caller's own pointer, or of the list */
    uint64_t from;    /* generation; 0: none was live */
    uint64_t to;
    uint64_t position; /* of the generation that is live now */
    uint64_t behind;   /* events in the log after it */
} rf_flip;

typedef struct rf_flips rf_flips;
/* All in one transaction, or nothing. RF_ERR_REFUSED where a gate refuses: it says which, with its figures.
 * RF_ERR_ABSENT where there is nothing to flip to, or where a set to go back from is not what is live. */
RF_API rf_status rf_flip_run(rf_store *store, const rf_flip_options *options, rf_flips **flips_out,
                             rf_err *err);
RF_API const rf_flip *rf_flips_items(const rf_flips *flips, uint32_t *count_out);
RF_API void rf_flips_free(rf_flips *flips); /* takes NULL */

/* The same in short, without gates. Makes another generation live: `number`, or 0 for the newest sealed one younger than the live
 * one; first it is brought up to the live one's position, with its own definition. Several names flip
 * in one transaction. `flips_out` has room for one per name. */
RF_API rf_status rf_swap(rf_store *store, const char *const *names, uint32_t name_count,
                         uint64_t number, int64_t wait_lock_ms, rf_flip *flips_out, rf_err *err);
/* Back to the generation that was live before (again: further back), at once. The generation left
 * is held if its definition differs. */
RF_API rf_status rf_rollback(rf_store *store, const char *const *names, uint32_t name_count,
                             uint64_t number, int64_t wait_lock_ms, rf_flip *flips_out,
                             rf_err *err);

/* The same after it was brought up to the position of the one that it takes the place of, with its own
 * definition. */
RF_API rf_status rf_rollback_caught_up(rf_store *store, const char *const *names,
                                       uint32_t name_count, uint64_t number, int64_t wait_lock_ms,
                                       rf_flip *flips_out, rf_err *err);

/* Ends a colour, NAME@VERSION: it is not kept current any more, and gc may take it. RF_ERR_REFUSED for the
 * version that is live. The generation and its bytes are in *retired_out; whatever reads it reads on. */
typedef struct rf_retired {
    uint64_t generation;
    uint64_t bytes; /* of base files and delta: what gc frees, if nothing else keeps it */
} rf_retired;
RF_API rf_status rf_retire(rf_store *store, const char *name, rf_retired *retired_out, rf_err *err);

/* Generation `number` of NAME (0: the one that is named, which may be NAME@VERSION) stays, whatever gc is
 * told to keep, until it is unpinned; it does not count there. *number_out is the one. */
RF_API rf_status rf_generation_pin(rf_store *store, const char *name, uint64_t number, uint64_t *number_out,
                        rf_err *err);
/* `number` 0: every one of the read model that is pinned. *count_out says how many were. */
RF_API rf_status rf_generation_unpin(rf_store *store, const char *name, uint64_t number, uint32_t *count_out,
                          rf_err *err);

typedef struct rf_gc_result {
    uint32_t removed;
    uint32_t in_use; /* skipped: a reader holds them */
    uint64_t bytes;  /* freed */
} rf_gc_result;
/* Removes old generations of `name` (NULL: all), keeping `keep` (0: 3) with the live one counted, and
 * leftovers. Colours and pinned ones stay and do not count. */
RF_API rf_status rf_gc(rf_store *store, const char *name, uint32_t keep, int64_t wait_lock_ms,
                       rf_gc_result *result_out, rf_err *err);

/* One live read model, or a colour of it, beside the log. */
typedef struct rf_model_status {
    const char *name; /* of a colour NAME@VERSION */
    uint32_t version;
    uint64_t generation;
    uint64_t position;
    uint64_t lag;       /* events in the log after it */
    double staleness_s; /* time of the log's last event less the model's, seconds; < 0: unknown */
    uint64_t rows;
    bool held; /* a newer definition was rolled back from; of a colour: it is that */
    uint64_t left_out; /* events and keys that are not in it, see rf_quarantine_list */
    const char *suspended; /* why nobody follows it on; NULL: it is not suspended */
    uint64_t suspended_at; /* position of the event; 0: it is about none */
    uint64_t pending;  /* of these and of the skips on record, those that the next rebuild changes */
    struct rf_model_status *colours; /* by version; of a colour none */
    uint32_t colour_count;
} rf_model_status;
typedef struct rf_status_report {
    uint64_t position; /* the log's last */
    rf_model_status *models;
    uint32_t model_count;
} rf_status_report;
RF_API rf_status rf_store_status(rf_store *store, rf_status_report **report_out, rf_err *err);
RF_API void rf_status_report_free(rf_status_report *report);

typedef struct rf_verify_options {
    const char *name; /* NULL: log and all read models; NAME@VERSION: only that generation */
    bool serial;      /* also re-fold each generation that is live or a colour, with its own definition, inline */
    /* Called for each damage found, one line. */
    void (*report)(void *arg, const char *line);
    void *report_arg;
    rf_run run;
} rf_verify_options;
typedef struct rf_verify_result {
    uint64_t segments;
    uint64_t generations;
    uint64_t rows;
    uint64_t damages;
} rf_verify_result;
/* Reads everything. RF_ERR_DAMAGED if anything is; the result counts what was looked at. */
RF_API rf_status rf_verify(rf_store *store, const rf_verify_options *options,
                           rf_verify_result *result_out, rf_err *err);

#endif
