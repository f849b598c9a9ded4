/* The two meta pages that an LMDB file begins with, looked at before LMDB maps the file.
 *
 * They have no checksum, and LMDB trusts them: a flipped bit in the page size or a root ends in
 * SIGFPE, SIGBUS or a failed assertion inside of it. Here each has to make sense by itself. What
 * still looks right but is of an older state is found elsewhere: by the witnesses of log and
 * catalog, by the size of a sealed file, by verify.
 */
#ifndef RF_BASE_KV_META_H
#define RF_BASE_KV_META_H

#include "base/error.h"

/* RF_OK also for an empty file, which LMDB is about to fill. `sealed`: the file will never change,
 * so its newest state reaches to its last page. */
rf_status rf_kv_meta_check(const char *path, bool sealed, rf_err *err);

#endif
