/* status: the live read models beside the log. */
#include "cli/command.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/table.h"

#include <stdio.h>
#include <string.h>

typedef struct status_options {
    bool json;
} status_options;

static const cli_option options_table[] = {
    {"json", NULL, "one JSON object", CLI_FLAG, offsetof(status_options, json), 0, 0},
};

static void print_json_members(cli_json *json, const rf_model_status *model)
{
    cli_json_text(json, "name", model->name);
    cli_json_count(json, "version", model->version);
    cli_json_count(json, "generation", model->generation);
    cli_json_count(json, "position", model->position);
    cli_json_count(json, "lag", model->lag);
    if (model->staleness_s < 0)
        cli_json_text(json, "staleness_seconds", NULL);
    else
        cli_json_number(json, "staleness_seconds", model->staleness_s);
    cli_json_count(json, "rows", model->rows);
    cli_json_bool(json, "held", model->held);
    cli_json_text(json, "suspended", model->suspended);
    if (model->suspended_at)
        cli_json_count(json, "suspended_at", model->suspended_at);
    cli_json_count(json, "left_out", model->left_out);
    cli_json_count(json, "pending", model->pending);
}

static rf_status print_json(const rf_status_report *report, rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_count(&json, "position", report->position);
    cli_json_open(&json, "models", '[');
    for (uint32_t i = 0; i < report->model_count; i++) {
        const rf_model_status *model = &report->models[i];
        cli_json_open(&json, NULL, '{');
        print_json_members(&json, model);
        cli_json_open(&json, "colours", '[');
        for (uint32_t k = 0; k < model->colour_count; k++) {
            cli_json_open(&json, NULL, '{');
            print_json_members(&json, &model->colours[k]);
            cli_json_close(&json, '}');
        }
        cli_json_close(&json, ']');
        cli_json_close(&json, '}');
    }
    cli_json_close(&json, ']');
    return cli_json_finish(&json, err);
}

static void add_row(cli_table *table, const rf_model_status *model)
{
    char number[CLI_NUMBER_SIZE];
    bool colour = strchr(model->name, '@') != NULL;
    cli_table_cell(table, model->name);
    cli_table_count(table, model->version);
    cli_table_count(table, model->generation);
    cli_table_count(table, model->rows);
    cli_table_count(table, model->position);
    cli_table_count(table, model->lag);
    cli_table_cell(table, model->staleness_s < 0 ? "-"
                                                 : cli_format_seconds(model->staleness_s, number));
    cli_table_count(table, model->left_out);
    cli_table_cell(table, model->suspended  ? model->suspended
                          : colour          ? "beside the live version, until it is retired"
                          : model->held     ? "held: rolled back from a newer definition"
                          : model->pending  ? "skips changed: rebuild to obey them"
                                            : "");
}

static rf_status print_text(const rf_status_report *report, rf_err *err)
{
    char number[CLI_NUMBER_SIZE];
    cli_print("the log is at position %s\n", cli_format_count(report->position, number));
    if (!report->model_count) {
        cli_print("no read model is live\n");
        return RF_OK;
    }
    static const char *const heads[] = {"name",     "version", "generation", "rows",
                                        "position", "behind",  "stale for",  "left out", ""};
    cli_table *table = cli_table_new("lrrrrrrrl");
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        cli_table_cell(table, heads[i]);
    for (uint32_t i = 0; i < report->model_count; i++) {
        const rf_model_status *model = &report->models[i];
        add_row(table, model);
        for (uint32_t k = 0; k < model->colour_count; k++)
            add_row(table, &model->colours[k]);
    }
    return cli_table_finish(table, err);
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const status_options *given = call->options;
    rf_store *store = NULL;
    rf_status_report *report = NULL;
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = rf_store_status(store, &report, err);
    if (status == RF_OK)
        status = given->json ? print_json(report, err) : print_text(report, err);
    rf_status_report_free(report);
    rf_store_close(store);
    return status;
}

const cli_command cli_status = {
    .name = "status",
    .operands = "STORE",
    .summary = "The live read models: version, generation, position, how far behind the log.",
    .options = options_table,
    .option_count = CLI_COUNT_OF(options_table),
    .options_size = sizeof(status_options),
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
