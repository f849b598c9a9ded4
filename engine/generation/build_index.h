/* The secondary tables of a build: for each index a file whose keys are the values of its columns,
 * as event/key.h encodes them, and then the row's key.
 *
 *     new -> (row … -> end) a partition … -> seal -> free
 *
 * An index has the partitions of the rows, so what a worker emits stays with it: the entries of a
 * partition are collected and sorted when it ends. Readers merge partitions.
 *
 * Threads: row and end on any worker, each with its own slot; the rest on one thread.
 */
#ifndef RF_BUILD_INDEX_H
#define RF_BUILD_INDEX_H

#include "catalog/manifest.h"
#include "event/key.h"
#include "projection/definition.h"

typedef struct rf_build_index rf_build_index;

/* NULL in *build_out where the definition has no index. */
rf_status rf_build_index_new(const rf_definition *definition, const char *dir, uint32_t partitions,
                             uint32_t slot_count, rf_build_index **build_out, rf_err *err);
void rf_build_index_free(rf_build_index *build); /* takes NULL, as all that follow */
rf_status rf_build_index_row(rf_build_index *build, uint32_t slot, rf_slice key, const void *row,
                             rf_err *err);
/* The same of a row that is stored, by the values of its columns. */
rf_status rf_build_index_values(rf_build_index *build, uint32_t slot, rf_slice key,
                                const rf_value *values, rf_err *err);
rf_status rf_build_index_end(rf_build_index *build, uint32_t slot, uint32_t partition, rf_err *err);
/* The files, each once, on any threads side by side; `manifest` says of each what it needs. */
uint32_t rf_build_index_count(const rf_build_index *build);
rf_status rf_build_index_seal_file(rf_build_index *build, uint32_t index, rf_manifest *manifest,
                                   rf_err *err);

/* The entry of a row whose columns have these values, or why there can be none. */
rf_key_fault rf_index_entry(const rf_value *values, const uint32_t *columns, uint32_t column_count,
                            rf_slice key, char entry_out[RF_KEY_BYTES_MAX], size_t *size_out);
/* RF_ERR_INPUT, with the row and the index, which begins with the column. */
rf_status rf_index_refuse(const rf_definition *definition, uint32_t column, rf_key_fault fault,
                          rf_slice key, rf_err *err);

#endif
