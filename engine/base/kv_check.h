/* The look at the first pages of a tree before LMDB walks it, for kv.c; see kv_check.c. */
#ifndef RF_BASE_KV_CHECK_H
#define RF_BASE_KV_CHECK_H

#include "base/kv.h"

typedef enum rf_kv_tree {
    RF_KV_TREE_NAMES, /* which tables there are; of a file without names its entries */
    RF_KV_TREE_FREE,  /* the list of free pages, which writing uses */
    RF_KV_TREE_TABLE, /* a table by its name */
} rf_kv_tree;

/* RF_ERR_DAMAGED where a page is none that LMDB can walk. Costs a read of each, some dozens at most. `table`
 * matters for RF_KV_TREE_TABLE; one that is not there is no damage. */
rf_status rf_kv_check_first_pages(rf_kv *kv, rf_kv_tree tree, const char *table, rf_err *err);

#endif
