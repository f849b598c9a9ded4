/* Rows that left memory: of one definition and partition, as runs, a run for each range of streams
 * that was folded by itself.
 *
 *     new -> (run_begin -> add … -> run_end) … -> read_begin -> find … -> clear -> … -> free
 *
 * A run is a sequence of records (number, row struct, texts) in name order, in a file without a name
 * in the given directory. Reading goes through all runs at once, each in its order, so that rows
 * come in name order again: the caller knows from a name's number which run has it. Nothing is
 * durable, and nothing is left behind. Confined to one worker.
 */
#ifndef RF_REBUILD_SPILL_H
#define RF_REBUILD_SPILL_H

#include "base/bytes.h"
#include "projection/definition.h"

typedef struct rf_spill rf_spill;

rf_status rf_spill_new(const rf_definition *definition, const char *dir, rf_spill **spill_out,
                       rf_err *err);
void rf_spill_free(rf_spill *spill); /* takes NULL */
rf_status rf_spill_run_begin(rf_spill *spill, rf_err *err);
rf_status rf_spill_add(rf_spill *spill, uint32_t number, const void *row, rf_err *err);
rf_status rf_spill_run_end(rf_spill *spill, rf_err *err);
/* All runs from their start; `memory_bytes` for their buffers together, but for larger rows. */
void rf_spill_read_begin(rf_spill *spill, size_t memory_bytes);
/* The row of `number` in `run` if the run is there; else NULL. It is valid until the next call for
 * this spill. */
rf_status rf_spill_find(rf_spill *spill, uint32_t run, uint32_t number, const void **row_out,
                        rf_err *err);
/* Forgets all runs and their bytes. */
rf_status rf_spill_clear(rf_spill *spill, rf_err *err);

#endif
