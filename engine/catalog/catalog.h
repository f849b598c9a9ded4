/* The catalog: which generations of which read models are sealed, and which is live.
 *
 * The LMDB environment live/ (table `catalog`: name NUL kind … -> checksummed record) and its
 * witness CURRENT: epoch, live generation and manifest checksum of every model. Every flip raises
 * the epoch, also a rollback; a catalog whose epoch is below the witness's went back and is
 * refused, one above it (a crash between the two) renews the witness at the next change (see
 * witness.c). live/SWAP is held, briefly, by each flip and by gc's removals.
 *
 * Numbers of generations are never reused: the next is one above the highest ever given, which the
 * catalog keeps, and above any directory that is there.
 */
#ifndef RF_CATALOG_CATALOG_H
#define RF_CATALOG_CATALOG_H

#include "base/file.h"
#include "base/kv.h"
#include "catalog/manifest.h"
#include "refold/generation.h"

typedef struct rf_catalog rf_catalog;
struct rf_named; /* see named.h */

/* `store_path` holds live/ and generations/. */
rf_status rf_catalog_open(const char *store_path, bool create, rf_catalog **catalog_out,
                          rf_err *err);
void rf_catalog_close(rf_catalog *catalog);
/* The environment live/, for verify. */
rf_kv *rf_catalog_kv(rf_catalog *catalog);

/* A sealed generation as the catalog knows it. */
typedef struct rf_catalog_generation {
    char name[64];
    uint64_t number;
    uint32_t version;
    rf_hash128 content_hash;
    uint64_t position; /* of its checkpoint, as `rows` */
    uint64_t rows;
    uint64_t sealed_position; /* of its base, as `sealed_rows` */
    uint64_t sealed_rows;
    uint64_t manifest_checksum;
    uint32_t delta; /* under which its delta stands, see delta.h */
    bool is_pinned; /* by the user: gc leaves it alone */
    uint64_t set;   /* that it was built in: all generations of one rebuild have the same; 0: none */
    /* the generation that has its place (see rf_catalog_replace); its own number: it has no place yet; 0: none */
    uint64_t replaced_by;
    /* older and younger is told by this: its own number, or what the one counted as whose place it has */
    uint64_t counts_as;
} rf_catalog_generation;

/* How far a generation is: its base and, from where that was sealed, its delta. */
typedef struct rf_checkpoint {
    uint64_t position; /* all events up to it are in, none after it */
    rf_digest digest;  /* of the rows of base and delta together */
    int64_t time_last; /* as in MANIFEST */
    uint64_t events;   /* that made the rows: all that handlers got, whenever they were folded */
    uint64_t delta_rows; /* entries of the delta, tombstones too, and their bytes */
    uint64_t delta_bytes;
} rf_checkpoint;

/* A colour: the newest generation of a version that a flip left. It is kept current beside the live one,
 * and gc leaves it alone, until it is retired or its version is live again. */
typedef struct rf_catalog_colour {
    uint32_t version;
    uint64_t number;
} rf_catalog_colour;
/* A swap is refused that would leave more colours than the first; a rollback has room beyond it. */
enum { RF_CATALOG_COLOURS_SWAP = 16, RF_CATALOG_COLOURS_MAX = 32 };

/* A definition that a rollback left: no rebuild makes it live until a flip names it. */
typedef struct rf_catalog_held {
    rf_hash128 content;
    uint32_t version;
} rf_catalog_held;

typedef struct rf_catalog_model {
    char name[64];
    uint64_t live;          /* generation number; 0: none */
    uint64_t next_number;
    uint64_t epoch;
    uint32_t history_count; /* generations that were live before, newest last, for rollback */
    uint64_t history[64];
    uint32_t held_count;
    rf_catalog_held held[16]; /* the one left last at the end */
    uint32_t colour_count;
    rf_catalog_colour colours[RF_CATALOG_COLOURS_MAX]; /* by version; none has the live one's */
} rf_catalog_model;

/* The colour that is generation `number`; NULL: it is none. */
const rf_catalog_colour *rf_catalog_colour_of(const rf_catalog_model *model, uint64_t number);

/* One short read transaction each. *found_out false if there is no such model. */
rf_status rf_catalog_get_model(rf_catalog *catalog, const char *name, rf_catalog_model *model_out,
                               bool *found_out, rf_err *err);
rf_status rf_catalog_get_generation(rf_catalog *catalog, const char *name, uint64_t number,
                                    rf_catalog_generation *out, bool *found_out, rf_err *err);
/* Where a sealed generation is: its checkpoint. RF_ERR_ABSENT if there is none. */
rf_status rf_catalog_get_position(rf_catalog *catalog, const char *name, uint64_t number,
                                  uint64_t *position_out, rf_err *err);
/* malloc'ed lists, by name (and number); the caller frees. `name` NULL: of all. */
rf_status rf_catalog_models(rf_catalog *catalog, rf_catalog_model **out, uint32_t *count_out,
                            rf_err *err);
rf_status rf_catalog_generations(rf_catalog *catalog, const char *name, rf_catalog_generation **out,
                                 uint32_t *count_out, rf_err *err);

/* Both, of all read models, as they were at one moment: what is live in one may go on and be live no more a moment
 * later, further than what is live then. */
rf_status rf_catalog_models_and_generations(rf_catalog *catalog, rf_catalog_model **models_out,
                                            uint32_t *model_count_out,
                                            rf_catalog_generation **generations_out,
                                            uint32_t *generation_count_out, rf_err *err);
/* The newest generation that is younger than generation `live` (0: any) and has a place of its own; 0 where there
 * is none. */
rf_status rf_catalog_get_younger(rf_catalog *catalog, const char *name, uint64_t live,
                                 uint64_t *number_out, rf_err *err);

/* As sealed. */
rf_checkpoint rf_catalog_checkpoint_of_base(const rf_manifest *manifest);
/* That of a generation with this manifest: as sealed, until something moved it. */
rf_status rf_catalog_checkpoint(rf_catalog *catalog, const rf_manifest *manifest,
                                rf_checkpoint *checkpoint_out, rf_err *err);

/* What a generation left out, up to its checkpoint; the caller frees the list. */
rf_status rf_catalog_left_out(rf_catalog *catalog, const rf_manifest *manifest,
                              rf_left_out_list *list_out, rf_err *err);

/* Skips on record of a read model, which need not exist, by position; the caller frees the list. */
rf_status rf_catalog_skips(rf_catalog *catalog, const char *name, rf_left_out_list *list_out,
                           rf_err *err);
/* One transaction each; a put replaces what is there. RF_ERR_USAGE for what is no name. */
rf_status rf_catalog_put_skip(rf_catalog *catalog, const char *name, const rf_left_out *skip,
                              rf_err *err);
rf_status rf_catalog_remove_skip(rf_catalog *catalog, const char *name, uint64_t position,
                                 bool *found_out, rf_err *err);

/* The rest is called by the holder of the store's LOCK. */

/* Gives the next number of `name` and makes its empty directory with definition/ in it. A power cut
 * may take both back until sync_directories has made them durable; then the number is never given
 * again. */
rf_status rf_catalog_new_generation(rf_catalog *catalog, const char *name, uint64_t *number_out,
                                    char dir_out[RF_PATH_SIZE], rf_err *err);
/* fsyncs the directories in which those of generations of `name` stand. */
rf_status rf_catalog_sync_directories(rf_catalog *catalog, const char *name, rf_err *err);
/* The same for a build that is no generation and takes no number: the directory of `name` in
 * generations/.scratch. remove takes all of them away, also what a killed run left, and does
 * nothing where there are none. */
rf_status rf_catalog_new_scratch(rf_catalog *catalog, const char *name, char dir_out[RF_PATH_SIZE],
                                 rf_err *err);
rf_status rf_catalog_remove_scratch(rf_catalog *catalog, rf_err *err);
/* Records sealed generations, all or none; their MANIFESTs are durable already. *set is that of one rebuild,
 * whose first call has 0 in it and gets the next number. */
rf_status rf_catalog_add_generations(rf_catalog *catalog, const rf_manifest *const *manifests,
                                     uint32_t count, uint64_t *set, rf_err *err);
/* Records a generation that has the base of `from`, as that one is now: with its delta, its checkpoint and
 * what it left out since it was sealed. The delta is copied in pieces before, each a short transaction, while that
 * one moves on; of what a crash leaves no generation knows, and gc takes it. */
rf_status rf_catalog_add_copy(rf_catalog *catalog, const rf_manifest *manifest, uint64_t from,
                              uint64_t *set, rf_err *err);
rf_status rf_catalog_path(rf_catalog *catalog, const char *name, uint64_t number,
                          char dir_out[RF_PATH_SIZE], rf_err *err);

/* A generation moves on: what becomes of its delta, made against the rows of the checkpoint `from`. One
 * that stays at its position changes rows alone. */
typedef struct rf_catalog_move {
    const char *name;
    uint64_t number;
    bool if_followed; /* refused where it is neither live nor a colour any more */
    rf_checkpoint from;
    rf_checkpoint to;
    const struct rf_delta_changes *const *changes; /* see rf_delta_apply */
    uint32_t change_count;
    const rf_left_out *left_out; /* by the events after `from` */
    uint32_t left_out_count;
} rf_catalog_move;
/* All in one transaction. RF_ERR_LOCKED, and nothing is changed, if one of the generations is not
 * there any more or not as at its `from`: at that position with those rows. */
rf_status rf_catalog_move_on(rf_catalog *catalog, const rf_catalog_move *moves, uint32_t count,
                             rf_err *err);

/* Why nobody follows a generation on: an event that its definition cannot take. */
typedef struct rf_catalog_suspension {
    uint64_t generation;
    uint64_t position; /* of the event; 0: it is about none */
    char reason[512];  /* one line of UTF-8 */
} rf_catalog_suspension;
/* Each generation has its own, which goes with it. One transaction each; resume (number 0: all of the
 * read model) is RF_OK also where there is nothing to be ended. */
rf_status rf_catalog_get_suspension(rf_catalog *catalog, const char *name, uint64_t number,
                                    rf_catalog_suspension *suspension_out, bool *found_out,
                                    rf_err *err);
rf_status rf_catalog_suspend(rf_catalog *catalog, const char *name,
                             const rf_catalog_suspension *suspension, rf_err *err);
rf_status rf_catalog_resume(rf_catalog *catalog, const char *name, uint64_t number, rf_err *err);
/* FOLLOW of a read model: who moves its live generation and its colours on holds it. One version has a lock of
 * its own: who holds that moves only this one, as the holder of FOLLOW does; where both do, the second commit
 * is refused and looks again. */
rf_status rf_catalog_lock_follow(rf_catalog *catalog, const struct rf_named *named, int64_t wait_ms,
                                 int *fd_out, rf_err *err);
/* The path of that lock. */
rf_status rf_catalog_follow_path(const rf_catalog *catalog, const struct rf_named *named, char path_out[RF_PATH_SIZE],
                                 rf_err *err);

/* RF_ERR_REFUSED where a swap to `version` would leave more colours than there may be: for who is about to
 * build one. */
rf_status rf_catalog_check_colours(rf_catalog *catalog, const char *name, uint32_t version,
                                   rf_err *err);
/* Ends a colour; what it was is in *colour_out. One transaction. RF_ERR_REFUSED for the version that
 * is live, RF_ERR_ABSENT where there is no such version. */
rf_status rf_catalog_retire(rf_catalog *catalog, const struct rf_named *named,
                            rf_catalog_colour *colour_out, rf_err *err);
/* Whether gc leaves a generation alone from now on. One transaction; *changed_out false where it was
 * so. (rf_catalog_pin is a reader's.) */
rf_status rf_catalog_set_pinned(rf_catalog *catalog, const char *name, uint64_t number,
                                bool is_pinned, bool *changed_out, rf_err *err);

/* Called within a transaction for generations of which one is behind `position`: the moves bring all of them
 * there, and are the callee's. */
typedef rf_status (*rf_catalog_catch_up)(void *arg, uint64_t position,
                                         const rf_catalog_move **moves_out, uint32_t *count_out,
                                         rf_err *err);

typedef struct rf_catalog_change {
    const char *name;
    uint64_t to;         /* sealed generation to make live */
    uint64_t expected;   /* the live one it was decided against; RF_CATALOG_ANY: whatever it is */
    bool is_rollback;    /* `to` leaves the history; the one left is held if its content differs */
    bool lifts_hold;     /* `to`'s content is no longer held */
    rf_catalog_catch_up catch_up; /* NULL: where it is behind what is live, it stays behind */
    void *catch_up_arg; /* changes that have the same one catch up together, by one call */
} rf_catalog_change;
#define RF_CATALOG_ANY UINT64_MAX

/* Flips all in one transaction under live/SWAP, then renews CURRENT. `from_out[i]` gets what was
 * live. RF_ERR_LOCKED if a live one is not the expected. Verifies that the manifests of the
 * generations are whole before. */
rf_status rf_catalog_flip(rf_catalog *catalog, const rf_catalog_change *changes, uint32_t count,
                          int64_t wait_lock_ms, uint64_t *from_out, rf_err *err);

/* One that is to take another's place is recorded first, so that it can be brought to where that one is. It
 * is replaced by itself then: no flip goes to it, and gc takes it. */
rf_status rf_catalog_add_replacing(rf_catalog *catalog, const rf_manifest *manifest, rf_err *err);
/* Such a generation takes the place of `from`, which has the same
 * definition and, after `catch_up`, rows and position: it is live, or the colour, instead, stands in the history where that one
 * stood, and is pinned and of a set if that one was; nothing goes back to that one any more, and gc takes it. Under
 * live/SWAP, in one transaction; then CURRENT is renewed. RF_ERR_LOCKED if `from` is neither live nor a
 * colour any more, or if `catch_up` says so. */
rf_status rf_catalog_replace(rf_catalog *catalog, const rf_manifest *manifest, uint64_t from,
                             rf_catalog_catch_up catch_up, void *catch_up_arg,
                             int64_t wait_lock_ms, rf_err *err);

/* Where base files of generations of `name` lie that went, to be written over by the next build. */
rf_status rf_catalog_spare_path(rf_catalog *catalog, const char *name, char dir_out[RF_PATH_SIZE],
                                rf_err *err);
enum { RF_CATALOG_SPARE_BYTES_MAX = 1 << 30 }; /* of a read model */

/* Removes a generation that was recorded and turned out to be of no use, unless somebody made it live or
 * reads it: then, or where that fails, it stays for gc. */
void rf_catalog_discard(rf_catalog *catalog, const char *name, uint64_t number);
/* Removes generations of `name` (NULL: all) but the live one and the newest others up to `keep` in
 * all, never one that a reader holds, and never colours and pinned ones, which do not count; and leftovers (directories that the catalog does not know).
 * With `keep_spares`, up to RF_CATALOG_SPARE_BYTES_MAX of their base files stay as spare ones,
 * else these go too. */
rf_status rf_catalog_gc(rf_catalog *catalog, const char *name, uint32_t keep, bool keep_spares,
                        int64_t wait_lock_ms, rf_gc_result *result_out, rf_err *err);

/* Removes only the leftovers of `name` (none if there is no such model) and scratch builds: what a
 * build or gc that was killed left. Tried before a rebuild, which may need the room; nothing serves
 * them, so what cannot be removed is tried again by the next. */
void rf_catalog_sweep(rf_catalog *catalog, const char *name);

/* Opens a generation for reading: takes the shared lock on its MANIFEST, looks at the catalog a
 * second time, maps its files. `number` 0: the live one. Shared by threads once open. */
typedef struct rf_pinned {
    rf_manifest manifest; /* its columns belong to the pin: never freed by who pinned */
    rf_base *base;
    rf_base *const *indexes; /* as many as the manifest has; the pin's */
    int lock_fd;
    uint32_t delta; /* see delta.h */
    struct rf_pin *pin; /* what all pins of one generation in this process share */
} rf_pinned;
rf_status rf_catalog_pin(rf_catalog *catalog, const char *name, uint64_t number,
                         rf_pinned *pinned_out, rf_err *err);
/* What is named, as it is when it is locked. */
rf_status rf_catalog_pin_named(rf_catalog *catalog, const struct rf_named *named,
                               rf_pinned *pinned_out, rf_err *err);
void rf_catalog_unpin(rf_pinned *pinned);
/* Changes with every change of the catalog; costs next to nothing, so that a reader may ask often.
 */
uint64_t rf_catalog_stamp(rf_catalog *catalog);

#endif
