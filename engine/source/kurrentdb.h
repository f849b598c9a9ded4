/* Pages of KurrentDB's (EventStoreDB's) Atom feed, read with embed=body, become lines of events.
 *
 *     streamId, eventNumber      are stream and version (which begin at 0)
 *     eventType, updated         are type and time
 *     data, metaData             are JSON texts inside strings; metaData that is empty is none
 *
 * A page lists its entries newest first, and pages may come in any order: so all are kept until the last
 * page was read, and then put in the order of the feed. Where all entries are of one feed that is their
 * positionEventNumber; else pages are taken as they come, each from its end. The database's own events, whose type
 * begins with '$', are left out. Confined to one thread.
 */
#ifndef RF_SOURCE_KURRENTDB_H
#define RF_SOURCE_KURRENTDB_H

#include "event/json.h"
#include "source/feed.h"

typedef struct rf_kurrentdb rf_kurrentdb;

rf_kurrentdb *rf_kurrentdb_new(void); /* NULL without memory */
void rf_kurrentdb_free(rf_kurrentdb *pages); /* takes NULL */
/* Takes a page, which is followed by RF_JSON_PADDING readable bytes. */
rf_status rf_kurrentdb_page(rf_kurrentdb *pages, rf_slice page, rf_err *err);
/* After the last page: its lines in order; empty at the end. Valid until free. */
rf_slice rf_kurrentdb_line(rf_kurrentdb *pages);

#endif
