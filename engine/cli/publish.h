/* Publishing what is live after a rebuild, for rebuild --publish. */
#ifndef RF_CLI_PUBLISH_H
#define RF_CLI_PUBLISH_H

#include "refold/refold.h"

/* Names of read models; owned. */
typedef struct cli_names {
    char **items;
    uint32_t count;
} cli_names;

/* Those that a rebuild made live; or, where it had nothing to do, those that it was asked for: all
 * live ones, or `operands`, of which paths are left out. */
rf_status cli_names_of_run(rf_store *store, const rf_rebuild_report *report, bool all,
                           const char *const *operands, uint32_t operand_count, cli_names *out,
                           rf_err *err);
void cli_names_free(cli_names *names); /* a zeroed one too */

/* What of the target can be seen to be wrong before the rebuild begins. */
rf_status cli_publish_check(rf_store *store, const char *target, bool all, uint32_t operand_count,
                            rf_err *err);
/* *report_out stays NULL where there is nothing to publish. A failure says that the rebuild stands. */
rf_status cli_publish(rf_store *store, const cli_names *names, const char *target,
                      const rf_run *run, bool rebuilt, rf_export_report **report_out, rf_err *err);

#endif
