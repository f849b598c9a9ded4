/* status: the live read models beside the log, once or again and again. */
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/table.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WATCH_MS = 2000, STEP_MS = 50 };

typedef struct status_options {
    int64_t watch_ms;
    bool json;
} status_options;

static const cli_option options_table[] = {
    {"watch", "[SECONDS]", "again and again, until it is interrupted (2)", CLI_WAIT,
     offsetof(status_options, watch_ms), 0, 0},
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

static rf_status print_once(rf_store *store, bool as_json, rf_err *err)
{
    rf_status_report *report = NULL;
    rf_status status = rf_store_status(store, &report, err);
    if (status == RF_OK)
        status = as_json ? print_json(report, err) : print_text(report, err);
    rf_status_report_free(report);
    return status;
}

static rf_status pause_for(int64_t ms, rf_err *err)
{
    const struct timespec step = {0, STEP_MS * 1000000L};
    for (int64_t waited = 0; waited < ms && !*cli_interrupt_flag(); waited += STEP_MS)
        (void)nanosleep(&step, NULL);
    return *cli_interrupt_flag() ? cli_fail(err, RF_ERR_INTERRUPTED, "interrupted") : RF_OK;
}

/* A terminal is drawn over; anything else gets one block behind the other, with --json one line. */
static rf_status watch(rf_store *store, const status_options *given, rf_err *err)
{
    bool redraws = !given->json && isatty(STDOUT_FILENO);
    int64_t ms = given->watch_ms < 0 ? WATCH_MS : given->watch_ms;
    rf_status status = RF_OK;
    for (bool later = false; status == RF_OK; later = true) {
        if (redraws)
            cli_print("\033[H\033[2J");
        else if (later && !given->json)
            cli_print("\n");
        status = print_once(store, given->json, err);
        if (status == RF_OK)
            status = cli_output_finish(err);
        if (status == RF_OK)
            status = pause_for(ms, err);
    }
    return status;
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const status_options *given = call->options;
    rf_store *store = NULL;
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = given->watch_ms != 0 ? watch(store, given, err)
                                      : print_once(store, given->json, err);
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
    .orderly = true,
    .run = run,
};
