/* Publishing what is live after a rebuild, for rebuild --publish. */
#ifndef RF_CLI_PUBLISH_H
#define RF_CLI_PUBLISH_H

#include "refold/refold.h"

/* Names of read models; owned. */
typedef struct cli_names {
    char **items;
    uint32_t count;
} cli_names;

/* Those that a rebuild made live, or found live and unchanged. */
rf_status cli_names_of_run(const rf_rebuild_report *report, cli_names *out, rf_err *err);
/* All live ones. */
rf_status cli_names_of_all(rf_store *store, cli_names *out, rf_err *err);
void cli_names_free(cli_names *names); /* a zeroed one too */

/* Where to and how, as the command line has it; what is not given is NULL. */
typedef struct cli_publication {
    const char *target, *schema, *as;
} cli_publication;

/* "view" or "table"; NULL: as before. */
rf_export_as cli_export_as(const char *given);
/* What of the target can be seen to be wrong before the rebuild begins. */
rf_status cli_publish_check(rf_store *store, const cli_publication *given, bool all,
                            uint32_t operand_count, rf_err *err);
/* *report_out stays NULL where there is nothing to publish. A failure says that the rebuild stands. */
rf_status cli_publish(rf_store *store, const cli_names *names, const cli_publication *given,
                      const rf_run *run, bool rebuilt, rf_export_report **report_out, rf_err *err);

#endif
