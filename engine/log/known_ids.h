/* The ids of a partition's events, to tell those that are certainly new.
 *
 * An event that is known by an id (event/event.h) may come at any time and in any order: where its stream is
 * known, only a search through all of its segments could tell that it is new. So the low halves of all ids of
 * the partition are kept in a hash table, 4 bytes each, read once from the segments' columns when the first
 * event with an id comes. What the table does not have is new; of what it has, the search decides.
 *
 * Confined to the task that handles the partition.
 */
#ifndef RF_LOG_KNOWN_IDS_H
#define RF_LOG_KNOWN_IDS_H

#include "base/kv.h"
#include "log/segment.h"

typedef struct rf_known_ids rf_known_ids;

rf_known_ids *rf_known_ids_new(void); /* NULL without memory */
void rf_known_ids_free(rf_known_ids *ids); /* takes NULL */
/* False: no event has the id. */
bool rf_known_ids_may_have(const rf_known_ids *ids, uint64_t id);
/* What is no id is passed over. */
rf_status rf_known_ids_add(rf_known_ids *ids, uint64_t id, rf_err *err);
/* Those of a segment, by its bytes. */
rf_status rf_known_ids_add_segment(rf_known_ids *ids, rf_slice bytes, rf_err *err);
/* Those of all segments of the partition that the transaction sees in `table`. */
rf_status rf_known_ids_add_partition(rf_known_ids *ids, rf_kv_txn *txn, uint32_t table,
                                     uint32_t partition, rf_err *err);

#endif
