/* See sqlite_feed.h: for builds without libsqlite3. */
#include "source/sqlite_feed.h"

rf_status rf_sqlite_feed_open(const char *path, const rf_import_options *options,
                              const rf_feed_start *start, rf_feed **feed_out, rf_err *err)
{
    (void)options;
    (void)start;
    *feed_out = NULL;
    return rf_fail(err, RF_ERR_USAGE, "sqlite %s: this build has no libsqlite3", path);
}
