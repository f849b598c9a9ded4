/* What a build without SQLite says of publishing into a file of it. */
#include "sink/sqlite.h"

rf_status rf_sink_sqlite(const char *path, rf_reader *const *readers, uint32_t count,
                         const rf_sink_sqlite_options *options, uint64_t *bytes_out, rf_err *err)
{
    (void)readers;
    (void)count;
    (void)options;
    (void)bytes_out;
    return rf_fail(err, RF_ERR_USAGE, "%s: this refold was built without SQLite", path);
}
