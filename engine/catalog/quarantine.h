/* QUARANTINE: what a generation left out, in one checksummed file beside its MANIFEST, which knows
 * how many items it has and their checksum. There is no file where nothing was left out.
 */
#ifndef RF_CATALOG_QUARANTINE_H
#define RF_CATALOG_QUARANTINE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "refold/quarantine.h"

/* Items in position order, and what they point at. Zeroed it is empty. */
typedef struct rf_left_out_list {
    rf_left_out *items; /* in `memory`, as their text */
    uint32_t count;
    uint32_t capacity;
    rf_arena memory;
} rf_left_out_list;

void rf_left_out_list_init(rf_left_out_list *list);
void rf_left_out_list_free(rf_left_out_list *list);
/* Adds a copy at the end. */
rf_status rf_left_out_list_add(rf_left_out_list *list, const rf_left_out *item, rf_err *err);

/* The file's bytes. Decoding adds to *list_out, which is initialised; RF_ERR_DAMAGED where the bytes
 * are no list, and *checksum_out is that of the file. */
rf_status rf_quarantine_encode(const rf_left_out *items, uint32_t count, rf_buf *out, rf_err *err);
rf_status rf_quarantine_decode(rf_slice bytes, rf_left_out_list *list_out, uint64_t *checksum_out,
                               rf_err *err);
/* Durable but for its directory, which the caller syncs; nothing for a count of 0. */
rf_status rf_quarantine_write(const char *dir, const rf_left_out *items, uint32_t count,
                              uint64_t *checksum_out, rf_err *err);
/* The list of `count` items with that checksum; RF_ERR_DAMAGED if it is another, or none. On success
 * the caller frees it. */
rf_status rf_quarantine_read(const char *dir, uint32_t count, uint64_t checksum,
                             rf_left_out_list *list_out, rf_err *err);

#endif
