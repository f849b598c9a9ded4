/* What the engine's other parts need of quarantine.c: see refold/quarantine.h for the rest. */
#ifndef RF_QUARANTINE_H
#define RF_QUARANTINE_H

#include "store/store.h"

/* `text` as one word of a shell; false where it does not fit, and then `out` is undefined. */
bool rf_shell_quote(const char *text, char *out, size_t size);

/* What a generation left out and the skips on record say of each other. */
typedef struct rf_quarantine_counts {
    uint64_t left_out;
    uint64_t pending; /* that the next rebuild changes */
} rf_quarantine_counts;
/* Of a generation whose manifest is known. */
rf_status rf_quarantine_count(rf_store *store, const rf_manifest *manifest,
                              rf_quarantine_counts *counts_out, rf_err *err);

#endif
