/* Options and printed results of publishing, for export and for rebuild --publish. */
#ifndef RF_CLI_EXPORTED_H
#define RF_CLI_EXPORTED_H

#include "cli/json.h"

/* A line for each read model. */
void cli_exported_print(const rf_export_report *report);
/* The members "target", "seconds", "bytes" and "models" of an object that is open. */
void cli_exported_json(cli_json *json, const rf_export_report *report);

#endif
