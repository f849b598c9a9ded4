/* What users name a generation by: NAME is the live one of a read model, NAME@VERSION the one of that version
 * of its definition, which is the live one or a colour. Everything that takes a name of a read model
 * resolves it here; what it means changes with the flips, so it is asked for when it is needed.
 */
#ifndef RF_CATALOG_NAMED_H
#define RF_CATALOG_NAMED_H

#include "catalog/catalog.h"

typedef struct rf_named {
    char name[64];
    uint32_t version; /* 0: whatever is live */
} rf_named;

enum { RF_NAMED_TEXT_SIZE = 64 + 1 + 10 };

/* RF_ERR_ABSENT for what is no name of a read model, RF_ERR_USAGE for what is no version behind it. Looks at
 * nothing. */
rf_status rf_named_parse(const char *text, rf_named *named_out, rf_err *err);
/* NAME or NAME@VERSION. */
void rf_named_format(const rf_named *named, char text_out[RF_NAMED_TEXT_SIZE]);
bool rf_named_equal(const rf_named *left, const rf_named *right);

/* The generation that it names now. RF_ERR_ABSENT, with the versions that there are, if there is none. One
 * short transaction. */
rf_status rf_named_find(rf_catalog *catalog, const rf_named *named,
                        rf_catalog_generation *generation_out, rf_err *err);
/* Generation `number` of the read model, or with 0 the one that is named. RF_ERR_USAGE for a version beside
 * a number. */
rf_status rf_named_check_number(const rf_named *named, uint64_t number, rf_err *err);
rf_status rf_named_find_number(rf_catalog *catalog, const rf_named *named, uint64_t number,
                               rf_catalog_generation *generation_out, rf_err *err);
/* rf_named_find within a transaction, for the catalog; `model_out` may be NULL. */
rf_status rf_named_find_in(rf_kv_txn *txn, const rf_named *named, rf_catalog_model *model_out,
                           rf_catalog_generation *generation_out, rf_err *err);

#endif
