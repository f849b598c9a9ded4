/* What the checks of a rebuild found: shared by check and rebuild. */
#ifndef RF_CLI_FINDINGS_H
#define RF_CLI_FINDINGS_H

#include "cli/json.h"

/* `allowed`: those that refuse were let pass (--allow-missing). One that the line of the failure
 * `told` has is left out; NULL: nothing failed. */
void cli_findings_print(const rf_finding *findings, uint32_t count, bool allowed, const char *told);
void cli_findings_json(cli_json *json, const rf_finding *findings, uint32_t count);
/* The first that refuses; NULL if none does. */
const char *cli_findings_refusal(const rf_finding *findings, uint32_t count);

#endif
