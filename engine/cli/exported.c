#include "cli/exported.h"

#include "cli/output.h"

#include <string.h>

static const char *way_word(rf_export_way way)
{
    switch (way) {
    case RF_EXPORT_COPIED:
        return "copied";
    case RF_EXPORT_CHANGED:
        return "changed";
    case RF_EXPORT_SHOWN:
        return "shown";
    case RF_EXPORT_SAME:
        break;
    }
    return "same";
}

static void print_way(const rf_exported *model)
{
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE];
    switch (model->way) {
    case RF_EXPORT_COPIED:
        break;
    case RF_EXPORT_CHANGED:
        cli_print(" by %s row%s written and ", cli_format_count(model->upserted, a),
                  cli_plural(model->upserted));
        cli_print("%s deleted", cli_format_count(model->deleted, b));
        break;
    case RF_EXPORT_SHOWN:
        cli_print(": its table was there");
        break;
    case RF_EXPORT_SAME:
        cli_print(": no row changed");
        break;
    }
}

void cli_exported_print(const rf_export_report *report)
{
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE];
    for (uint32_t i = 0; i < report->model_count; i++) {
        const rf_exported *model = &report->models[i];
        cli_print("%s generation %llu: %s row%s at position %s published to ", model->name,
                  (unsigned long long)model->generation, cli_format_count(model->rows, a),
                  cli_plural(model->rows), cli_format_count(model->position, b));
        cli_print_safe((rf_slice){report->target, strlen(report->target)});
        print_way(model);
        cli_print("\n");
        if (model->note) {
            cli_print("  ");
            cli_print_safe((rf_slice){model->note, strlen(model->note)});
            cli_print("\n");
        }
    }
    cli_format_seconds(report->seconds, b);
    if (report->bytes)
        cli_print("%s in %s\n", cli_format_bytes(report->bytes, a), b);
    else
        cli_print("in %s\n", b);
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
        cli_json_text(json, "way", way_word(model->way));
        cli_json_count(json, "generation_before", model->generation_before);
        cli_json_count(json, "upserted", model->upserted);
        cli_json_count(json, "deleted", model->deleted);
        cli_json_text(json, "note", model->note);
        cli_json_close(json, '}');
    }
    cli_json_close(json, ']');
}
