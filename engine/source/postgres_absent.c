/* What postgres_feed.h says where refold was built without PostgreSQL. */
#include "base/error.h"
#include "source/postgres_feed.h"

rf_status rf_postgres_feed_open(const char *url, const rf_import_options *options,
                                const rf_feed_start *start, rf_feed **feed_out, rf_err *err)
{
    (void)url;
    (void)options;
    (void)start;
    (void)feed_out;
    return rf_fail(err, RF_ERR_USAGE,
                   "this refold was built without PostgreSQL: libpq was not there (docs/SOURCES.md)");
}
