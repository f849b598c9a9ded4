#include "cli/exported.h"

#include "cli/output.h"

#include <string.h>

void cli_exported_print(const rf_export_report *report)
{
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE];
    for (uint32_t i = 0; i < report->model_count; i++) {
        const rf_exported *model = &report->models[i];
        cli_print("%s generation %llu: %s row%s at position %s published to ", model->name,
                  (unsigned long long)model->generation, cli_format_count(model->rows, a),
                  cli_plural(model->rows), cli_format_count(model->position, b));
        cli_print_safe((rf_slice){report->target, strlen(report->target)});
        cli_print("\n");
    }
    if (report->bytes)
        cli_print("%s in %s\n", cli_format_bytes(report->bytes, a),
                  cli_format_seconds(report->seconds, b));
}

void cli_exported_json(cli_json *json, const rf_export_report *report)
{
    cli_json_text(json, "target", report->target);
    cli_json_number(json, "seconds", report->seconds);
    cli_json_count(json, "bytes", report->bytes);
    cli_json_open(json, "models", '[');
    for (uint32_t i = 0; i < report->model_count; i++) {
        const rf_exported *model = &report->models[i];
        cli_json_open(json, NULL, '{');
        cli_json_text(json, "name", model->name);
        cli_json_count(json, "generation", model->generation);
        cli_json_count(json, "version", model->version);
        cli_json_count(json, "position", model->position);
        cli_json_count(json, "rows", model->rows);
        cli_json_text(json, "digest", model->digest);
        cli_json_close(json, '}');
    }
    cli_json_close(json, ']');
}
