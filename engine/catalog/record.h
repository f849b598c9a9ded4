/* Records of the catalog's table, for the files catalog*.c only: the handle, and how keys and
 * values look.
 *
 *     NUL 'e'                     epoch
 *     NUL 'd'                     the last number that was given to a delta
 *     NUL 'r'                     the last number that was given to a set: what one rebuild made
 *     NAME NUL 'm'                a model: what is live, numbers, history, holds, colours
 *     NAME NUL 'g' number u64 BE  a sealed generation
 *     NAME NUL 'c' number u64 BE  its checkpoint, once it was moved
 *     NAME NUL 'f' number u64 BE, position u64 BE  an event that it left out since it was sealed
 *     NAME NUL 's' position u64 BE  an event that is put aside
 *     NAME NUL 'x' number u64 BE  why a generation is not kept current
 *
 * Each value ends with a checksum of itself, seeded with that of its key: a record under another
 * key is damage too.
 */
#ifndef RF_CATALOG_RECORD_H
#define RF_CATALOG_RECORD_H

#include "catalog/catalog.h"

#include <pthread.h>

enum { RF_CATALOG_TABLE = 0, RF_CATALOG_DELTA_TABLE = 1 };

typedef struct rf_pin rf_pin;

struct rf_catalog {
    /* fixed after open */
    char *path; /* of the store */
    rf_kv *kv;

    /* guarded by pins_mutex */
    pthread_mutex_t pins_mutex;
    rf_pin *pins;
};

/* Whether it is a name of a read model at all: [a-z][a-z0-9_]{0,62}. */
bool rf_record_name_valid(const char *name);

rf_status rf_record_get_epoch(rf_kv_txn *txn, uint64_t *epoch_out, rf_err *err);
rf_status rf_record_put_epoch(rf_kv_txn *txn, uint64_t epoch, rf_err *err);
/* A model that is not there reads as one without generations, *found_out false. */
rf_status rf_record_get_model(rf_kv_txn *txn, const char *name, rf_catalog_model *model_out,
                              bool *found_out, rf_err *err);
rf_status rf_record_put_model(rf_kv_txn *txn, const rf_catalog_model *model, rf_err *err);
rf_status rf_record_get_generation(rf_kv_txn *txn, const char *name, uint64_t number,
                                   rf_catalog_generation *out, bool *found_out, rf_err *err);
rf_status rf_record_put_generation(rf_kv_txn *txn, const rf_catalog_generation *generation,
                                   rf_err *err);
/* Numbers that are given once, 1 and up: the next one, of `most` at most. */
typedef enum rf_record_series {
    RF_RECORD_DELTAS = 'd',
    RF_RECORD_SETS = 'r',
} rf_record_series;
rf_status rf_record_take_number(rf_kv_txn *txn, rf_record_series series, uint64_t most,
                                uint64_t *number_out, rf_err *err);
rf_status rf_record_get_checkpoint(rf_kv_txn *txn, const char *name, uint64_t number,
                                   rf_checkpoint *checkpoint_out, bool *found_out, rf_err *err);
rf_status rf_record_put_checkpoint(rf_kv_txn *txn, const char *name, uint64_t number,
                                   const rf_checkpoint *checkpoint, rf_err *err);
/* What generation `number` left out since it was sealed; the second adds all by position. */
rf_status rf_record_put_left_out(rf_kv_txn *txn, const char *name, uint64_t number,
                                 const rf_left_out *item, rf_err *err);
rf_status rf_record_left_out(rf_kv_txn *txn, const char *name, uint64_t number,
                             rf_left_out_list *list, rf_err *err);
/* With its checkpoint, what it left out and its suspension. */
rf_status rf_record_delete_generation(rf_kv_txn *txn, const char *name, uint64_t number,
                                      rf_err *err);
rf_status rf_record_put_skip(rf_kv_txn *txn, const char *name, const rf_left_out *skip,
                             rf_err *err);
rf_status rf_record_delete_skip(rf_kv_txn *txn, const char *name, uint64_t position,
                                bool *found_out, rf_err *err);
/* Adds all of `name` by position; text is copied. */
rf_status rf_record_skips(rf_kv_txn *txn, const char *name, rf_left_out_list *list, rf_err *err);
/* All models by name; all generations of `name` (NULL: of all) by name and number. malloc'ed. */
rf_status rf_record_models(rf_kv_txn *txn, rf_catalog_model **out, uint32_t *count_out,
                           rf_err *err);
rf_status rf_record_generations(rf_kv_txn *txn, const char *name, rf_catalog_generation **out,
                                uint32_t *count_out, rf_err *err);

/* CURRENT (see witness.c): compared at open; written after each flip from the state that `txn` will
 * commit. */
enum { RF_WITNESS_SIZE_MAX = 1 << 20 };
rf_status rf_witness_check(rf_catalog *catalog, rf_err *err);
rf_status rf_witness_text(rf_kv_txn *txn, rf_buf *text_out, rf_err *err);
rf_status rf_witness_write(rf_catalog *catalog, rf_slice text, rf_err *err);

rf_status rf_record_put_suspension(rf_kv_txn *txn, const char *name,
                                   const rf_catalog_suspension *suspension, rf_err *err);
rf_status rf_record_get_suspension(rf_kv_txn *txn, const char *name, uint64_t number,
                                   rf_catalog_suspension *suspension_out, bool *found_out,
                                   rf_err *err);
/* Number 0: all of the read model. */
rf_status rf_record_delete_suspension(rf_kv_txn *txn, const char *name, uint64_t number,
                                      rf_err *err);

/* catalog_live.c: live/SWAP, which each change of what is live, and gc's removals, hold. */
rf_status rf_catalog_lock_swap(rf_catalog *catalog, int64_t wait_ms, int *fd_out, rf_err *err);
/* Its holder changes what is live, all within one transaction, whose epoch is given; then CURRENT is renewed.
 * `what` was done is told where only that fails: "the swap". */
typedef rf_status (*rf_catalog_live_fn)(void *arg, rf_kv_txn *txn, uint64_t epoch, rf_err *err);
rf_status rf_catalog_change_live(rf_catalog *catalog, rf_catalog_live_fn change, void *arg,
                                 const char *what, rf_err *err);

/* catalog_colour.c: what a flip from `left` (NULL: nothing was live) to `to` makes of the colours. */
rf_status rf_catalog_flip_colours(rf_catalog_model *model, const rf_catalog_generation *left,
                                  const rf_catalog_generation *to, bool is_rollback, rf_err *err);

/* catalog.c: the record of a sealed generation, whose number was given; its delta's too, or 0: the next one. */
rf_status rf_record_add_generation(rf_kv_txn *txn, const rf_manifest *manifest, uint32_t delta,
                                   uint64_t set, rf_err *err);

/* catalog_move.c: one of them within a transaction. */
rf_status rf_catalog_apply_move(rf_kv_txn *txn, const rf_catalog_move *move, rf_err *err);

/* The manifest of a generation that the catalog knows, verified against it: checksum, and its
 * files' sizes. */
rf_status rf_catalog_check_manifest(rf_catalog *catalog, const rf_catalog_generation *generation,
                                    rf_manifest *manifest_out, rf_err *err);

#endif
