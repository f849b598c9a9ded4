/* verify: reads everything and compares checksums; --serial folds again. */
#include "cli/command.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/progress.h"

#include <string.h>

typedef struct verify_options {
    bool serial, quiet, json;
    cli_count workers;
} verify_options;

static const cli_option table[] = {
    {"serial", NULL, "also fold each live generation again, in line, and compare", CLI_FLAG,
     offsetof(verify_options, serial), 0, 0},
    {"workers", "N", "threads (one a processor)", CLI_COUNT, offsetof(verify_options, workers), 0,
     1024},
    {"quiet", NULL, "no progress", CLI_FLAG, offsetof(verify_options, quiet), 0, 0},
    {"json", NULL, "one JSON object", CLI_FLAG, offsetof(verify_options, json), 0, 0},
};

static void print_damage(void *arg, const char *line)
{
    (void)arg;
    cli_print("damaged: ");
    cli_print_safe((rf_slice){line, strlen(line)});
    cli_print("\n");
}

static void add_damage(void *arg, const char *line)
{
    cli_json_text(arg, NULL, line);
}

static void print_json_result(cli_json *json, const rf_verify_result *result)
{
    cli_json_count(json, "segments", result->segments);
    cli_json_count(json, "generations", result->generations);
    cli_json_count(json, "rows", result->rows);
    cli_json_count(json, "damages", result->damages);
}

static void print_result(const rf_verify_result *result)
{
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE], c[CLI_NUMBER_SIZE];
    cli_print("%s segment%s, %s generation%s, ", cli_format_count(result->segments, a),
              cli_plural(result->segments), cli_format_count(result->generations, b),
              cli_plural(result->generations));
    cli_print("%s row%s: ", cli_format_count(result->rows, a), cli_plural(result->rows));
    if (result->damages)
        cli_print("%s damage%s\n", cli_format_count(result->damages, c),
                  cli_plural(result->damages));
    else
        cli_print("whole\n");
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const verify_options *given = call->options;
    rf_store *store = NULL;
    cli_json json = {NULL, false};
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK && given->json) {
        status = cli_json_begin(&json, err);
        if (status == RF_OK)
            cli_json_open(&json, "damaged", '[');
    }
    if (status != RF_OK) {
        rf_store_close(store);
        return status;
    }
    rf_verify_options options = {
        .name = call->operand_count > 1 ? call->operands[1] : NULL,
        .serial = given->serial,
        .report = given->json ? add_damage : print_damage,
        .report_arg = &json,
        .run = {.workers = (uint32_t)given->workers.value,
                .workers_default = !given->workers.given},
    };
    rf_verify_result result = {0};
    cli_progress progress;
    cli_progress_start(&progress, given->quiet, &options.run);
    status = rf_verify(store, &options, &result, err);
    cli_progress_end(&progress);
    rf_store_close(store);
    bool complete = status == RF_OK || status == RF_ERR_DAMAGED;
    if (given->json) {
        rf_err print_err;
        cli_json_close(&json, ']');
        print_json_result(&json, &result);
        if (complete)
            (void)cli_json_finish(&json, &print_err);
        rf_text_free(json.text);
    } else if (complete) {
        print_result(&result);
    }
    return status;
}

const cli_command cli_verify = {
    .name = "verify",
    .operands = "STORE [NAME]",
    .summary = "Reads the log and every generation and verifies all checksums; exit 6 on damage.",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(verify_options),
    .operands_min = 1,
    .operands_max = 2,
    .orderly = true,
    .run = run,
};
