/* test: given events, expect rows. */
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/output.h"

#include <string.h>

typedef struct test_options {
    const char *only, *evolution;
    bool quiet, json;
} test_options;

static const cli_option table[] = {
    {"only", "TEXT", "cases whose name contains this", CLI_TEXT, offsetof(test_options, only), 0, 0},
    {"evolution", "FILE", "Lua file of renames and upcasters, for plugins", CLI_TEXT,
     offsetof(test_options, evolution), 0, 0},
    {"quiet", NULL, "cases that failed, and the last line", CLI_FLAG, offsetof(test_options, quiet),
     0, 0},
    {"json", NULL, "one JSON object", CLI_FLAG, offsetof(test_options, json), 0, 0},
};

static void print_difference(const rf_test_difference *difference)
{
    if (!difference->column && difference->expected) {
        cli_print("      row %s is missing\n        expected %s\n", difference->key,
                  difference->expected);
    } else if (!difference->column) {
        cli_print("      row %s is one too many\n        got      %s\n", difference->key,
                  difference->got);
    } else {
        cli_print("      row %s, column ", difference->key);
        cli_print_safe((rf_slice){difference->column, strlen(difference->column)});
        cli_print("\n        expected %s\n        got      %s\n", difference->expected,
                  difference->got ? difference->got : "no such column");
    }
}

static void print_case(const rf_test_case *result, const char *path)
{
    cli_print("%s  ", result->passed ? "ok  " : "FAIL");
    cli_print_safe((rf_slice){result->name, strlen(result->name)});
    if (!result->passed || result->name[0] == '\0')
        cli_print("%s(%s:%llu)", result->name[0] ? "  " : "", path,
                  (unsigned long long)result->line);
    cli_print("\n");
    if (result->reason) {
        cli_print("      ");
        cli_print_safe((rf_slice){result->reason, strlen(result->reason)});
        cli_print("\n");
    }
    for (uint32_t i = 0; i < result->difference_count; i++)
        print_difference(&result->differences[i]);
}

static rf_status print_text(const rf_test_report *report, const char *path, bool quiet)
{
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE];
    for (uint32_t i = 0; i < report->case_count; i++)
        if (!quiet || !report->cases[i].passed)
            print_case(&report->cases[i], path);
    cli_print("%s case%s, ", cli_format_count(report->case_count, a),
              cli_plural(report->case_count));
    if (report->failed_count)
        cli_print("%s failed", cli_format_count(report->failed_count, a));
    else
        cli_print("all passed");
    cli_print(", %s\n", cli_format_seconds(report->seconds, b));
    return RF_OK;
}

static rf_status print_json(const rf_test_report *report, rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_count(&json, "passed", report->case_count - report->failed_count);
    cli_json_count(&json, "failed", report->failed_count);
    cli_json_number(&json, "seconds", report->seconds);
    cli_json_open(&json, "cases", '[');
    for (uint32_t i = 0; i < report->case_count; i++) {
        const rf_test_case *result = &report->cases[i];
        cli_json_open(&json, NULL, '{');
        cli_json_text(&json, "case", result->name);
        cli_json_count(&json, "line", result->line);
        cli_json_bool(&json, "passed", result->passed);
        cli_json_number(&json, "seconds", result->seconds);
        cli_json_text(&json, "reason", result->reason);
        cli_json_open(&json, "differences", '[');
        for (uint32_t j = 0; j < result->difference_count; j++) {
            const rf_test_difference *difference = &result->differences[j];
            cli_json_open(&json, NULL, '{');
            cli_json_raw(&json, "key", difference->key);
            cli_json_text(&json, "column", difference->column);
            cli_json_raw(&json, "expected", difference->expected);
            cli_json_raw(&json, "got", difference->got);
            cli_json_close(&json, '}');
        }
        cli_json_close(&json, ']');
        cli_json_close(&json, '}');
    }
    cli_json_close(&json, ']');
    return cli_json_finish(&json, err);
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const test_options *given = call->options;
    const char *path = call->operands[1];
    const rf_test_options options = {
        .only = given->only, .evolution = given->evolution, .cancel = cli_interrupt_flag()};
    rf_test_report *report = NULL;
    rf_status status = rf_test(call->operands[0], path, &options, &report, err);
    if (status != RF_OK)
        return status;
    status = given->json ? print_json(report, err) : print_text(report, path, given->quiet);
    if (status == RF_OK && report->failed_count)
        status = cli_fail(err, RF_ERR_INPUT, "%s: %u of %u cases failed", path,
                          report->failed_count, report->case_count);
    rf_test_report_free(report);
    return status;
}

const cli_command cli_test = {
    .name = "test",
    .operands = "PROJECTION CASES",
    .summary = "Tests a projection: given events, expect rows.",
    .details =
        "PROJECTION is the path of a plugin or Lua file. CASES is a file of JSON Lines (a case may\n"
        "also go over several lines):\n\n"
        "  {\"case\": \"two items make a total\",\n"
        "   \"events\": [{\"stream\": \"order-1\", \"type\": \"ItemAdded\", \"data\": {\"qty\": 2}}],\n"
        "   \"rows\": [{\"key\": \"order-1\", \"items\": 2}]}\n\n"
        "The rows are all that there have to be, in any order; columns that a row does not name may\n"
        "hold anything. A case with \"error\": \"TEXT\" instead expects a failure whose message\n"
        "contains the text. No store is needed. Exit 1: a case failed.\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(test_options),
    .operands_min = 2,
    .operands_max = 2,
    .orderly = true,
    .run = run,
};
