#include "cli/findings.h"

#include "cli/output.h"

#include <string.h>

void cli_findings_print(const rf_finding *findings, uint32_t count, bool allowed, const char *told)
{
    for (uint32_t i = 0; i < count; i++) {
        if (findings[i].refuses && told && strstr(told, findings[i].text))
            continue;
        cli_print("%s: ", !findings[i].refuses ? "note" : allowed ? "allowed" : "refused");
        cli_print_safe((rf_slice){findings[i].text, strlen(findings[i].text)});
        cli_print("\n");
    }
}

void cli_findings_json(cli_json *json, const rf_finding *findings, uint32_t count)
{
    cli_json_open(json, "findings", '[');
    for (uint32_t i = 0; i < count; i++) {
        cli_json_open(json, NULL, '{');
        cli_json_bool(json, "refuses", findings[i].refuses);
        cli_json_text(json, "text", findings[i].text);
        cli_json_close(json, '}');
    }
    cli_json_close(json, ']');
}

const char *cli_findings_refusal(const rf_finding *findings, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (findings[i].refuses)
            return findings[i].text;
    }
    return NULL;
}
