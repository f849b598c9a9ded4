/* What a run of rebuild came to, as a text file for Prometheus' node exporter.
 *
 * The file is written beside and renamed, so that it is never read half; it is written after a failure
 * too, and then keeps the time of the last success that it had. README's exit codes are its
 * refold_last_exit_code; 0 and 3 (nothing had changed) are successes.
 */
#ifndef RF_CLI_METRICS_H
#define RF_CLI_METRICS_H

#include "refold/refold.h"

typedef struct cli_run {
    rf_store *store; /* NULL where it could not be opened */
    const char *store_path;
    int exit_code;
    double seconds;
    const rf_rebuild_report *rebuilt; /* NULL: none */
    const rf_export_report *published; /* NULL: none */
} cli_run;

/* RF_ERR_IO where it cannot be written. */
rf_status cli_metrics_write(const char *path, const cli_run *run, rf_err *err);

#endif
