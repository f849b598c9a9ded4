/* What verify looks at in a delta: its entries' checksums, that its rows decode and, in place of those
 * of the base, give the digest of the checkpoint, and that each index has the entries of these rows.
 */
#ifndef RF_VERIFY_DELTA_H
#define RF_VERIFY_DELTA_H

#include "catalog/rows.h"
#include "refold/read.h"

/* RF_ERR_DAMAGED with the first that does not hold. `columns` are those of the manifest. *rows_out are those of base
 * and delta together. */
rf_status rf_verify_delta(rf_catalog *catalog, const rf_pinned *pinned,
                          const rf_reader_column *columns, uint64_t *rows_out, rf_err *err);

#endif
