/* librefold: rebuild read models from an event log, in parallel, and swap them in atomically.
 *
 *     rf_store_open -> rf_import_files -> rf_rebuild -> rf_reader_open -> rf_reader_get
 *
 * See the headers below, in the order in which a newcomer should read them.
 */
#ifndef REFOLD_REFOLD_H
#define REFOLD_REFOLD_H

#include "refold/types.h"
#include "refold/error.h"
#include "refold/store.h"
#include "refold/waiting.h"
#include "refold/import.h"
#include "refold/append.h"
#include "refold/log.h"
#include "refold/quarantine.h"
#include "refold/rebuild.h"
#include "refold/bench.h"
#include "refold/test.h"
#include "refold/generation.h"
#include "refold/follow.h"
#include "refold/read.h"
#include "refold/diff.h"
#include "refold/repair.h"
#include "refold/text.h"
#include "refold/export.h"
#include "refold/url.h"

#endif
