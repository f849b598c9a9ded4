/* repair: chosen rows of a live read model, folded anew. */
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/interrupt.h"
#include "cli/json.h"
#include "cli/output.h"

#include <stdio.h>
#include <string.h>

typedef struct repair_options {
    const char *prefix, *key;
    bool all, dry_run, quiet, json;
    cli_count workers;
    int64_t wait_lock_ms;
} repair_options;

#define AT(member) offsetof(repair_options, member)
static const cli_option table[] = {
    {"key", "KEY", "the row of this key", CLI_KEY, AT(key), 0, 0},
    {"prefix", "KEY", "the rows of all keys that begin with this", CLI_TEXT, AT(prefix), 0, 0},
    {"all", NULL, "all rows", CLI_FLAG, AT(all), 0, 0},
    {"dry-run", NULL, "tell what would change, and change nothing", CLI_FLAG, AT(dry_run), 0, 0},
    {"workers", "N", "threads; 0 does everything in line (one a processor)", CLI_COUNT, AT(workers),
     0, 256},
    {"wait-lock", "[SECONDS]", "wait while another run has the lock", CLI_WAIT, AT(wait_lock_ms), 0,
     0},
    {"quiet", NULL, "only the rows that changed", CLI_FLAG, AT(quiet), 0, 0},
    {"json", NULL, "one JSON object", CLI_FLAG, AT(json), 0, 0},
};
#undef AT

/* Lines, or with --json members of an array: kept until all is known. */
typedef struct printing {
    rf_text *text;
    bool as_members;
    bool is_later;
} printing;

static rf_status print_row(void *arg, const rf_repaired *repaired, rf_err *err)
{
    static const char *const op_names[RF_DIFF_OPS] = {"add", "remove", "change"};
    printing *to = arg;
    rf_text *text = to->text;
    const char *op = op_names[repaired->op];

    if (to->as_members && to->is_later)
        rf_text_append(text, RF_SLICE(","));
    to->is_later = true;
    rf_text_append(text, RF_SLICE("{\"op\":\""));
    rf_text_append(text, (rf_slice){op, strlen(op)});
    rf_text_append(text, RF_SLICE("\",\"key\":"));
    rf_text_append_key_json(text, repaired->info, repaired->after.key);
    cli_append_row(text, ",\"old\":", repaired->info, &repaired->before);
    cli_append_row(text, ",\"new\":", repaired->info, &repaired->after);
    if (repaired->was_damaged)
        rf_text_append(text, RF_SLICE(",\"damaged\":true"));
    rf_text_append(text, to->as_members ? RF_SLICE("}") : RF_SLICE("}\n"));
    rf_status status = rf_text_check(text, err);
    if (status == RF_OK && !to->as_members) {
        cli_print_bytes(rf_text_bytes(text));
        rf_text_clear(text);
    }
    return status;
}

static rf_status print_json(const cli_call *call, const rf_repair_result *result, rf_text *rows,
                            rf_err *err)
{
    const repair_options *given = call->options;
    cli_json json;
    rf_status status = cli_json_begin(&json, err);

    rf_text_append(rows, (rf_slice){"]", 2}); /* and a zero, for cli_json_raw */
    if (status == RF_OK)
        status = rf_text_check(rows, err);
    if (status != RF_OK)
        return status;
    cli_json_text(&json, "name", call->operands[1]);
    cli_json_count(&json, "generation", result->generation);
    cli_json_count(&json, "position", result->position);
    cli_json_bool(&json, "dry_run", given->dry_run);
    cli_json_count(&json, "rows", result->rows);
    cli_json_count(&json, "added", result->counts[RF_DIFF_ADD]);
    cli_json_count(&json, "removed", result->counts[RF_DIFF_REMOVE]);
    cli_json_count(&json, "changed", result->counts[RF_DIFF_CHANGE]);
    cli_json_count(&json, "damaged", result->damaged);
    cli_json_bool(&json, "unsearched", result->is_unsearched);
    cli_json_raw(&json, "changes", rf_text_bytes(rows).data);
    return cli_json_finish(&json, err);
}

/* To standard error: standard output has the rows. */
static void print_summary(const cli_call *call, const rf_repair_result *result)
{
    const repair_options *given = call->options;
    char rows[CLI_NUMBER_SIZE], changed[CLI_NUMBER_SIZE], damaged[CLI_NUMBER_SIZE];
    char position[CLI_NUMBER_SIZE];
    uint64_t changes = result->counts[RF_DIFF_ADD] + result->counts[RF_DIFF_REMOVE] +
                       result->counts[RF_DIFF_CHANGE];

    (void)fprintf(stderr, "%s generation %llu, position %s: %s row%s folded anew, %s %s\n",
                  call->operands[1], (unsigned long long)result->generation,
                  cli_format_count(result->position, position),
                  cli_format_count(result->rows, rows), cli_plural(result->rows),
                  cli_format_count(changes, changed),
                  given->dry_run ? "would be repaired" : "repaired");
    if (result->damaged > 0)
        (void)fprintf(stderr, "%s of them stood in damaged blocks, whose other rows are still "
                      "unread: rebuild --full makes a whole generation\n",
                      cli_format_count(result->damaged, damaged));
    if (result->is_unsearched)
        (void)fprintf(stderr, "rows that no event gives were not looked for: blocks are damaged\n");
}

static rf_status repair(const cli_call *call, printing *to, rf_err *err)
{
    const repair_options *given = call->options;
    rf_store *store = NULL;
    rf_repair_result result;
    const rf_repair_options options = {
        .keys = &given->key,
        .key_count = given->key != NULL,
        .prefix = given->all ? "" : given->prefix,
        .dry_run = given->dry_run,
        .visit = print_row,
        .visit_arg = to,
        .run = {.workers = (uint32_t)given->workers.value,
                .workers_default = !given->workers.given,
                .wait_lock_ms = given->wait_lock_ms,
                .cancel = cli_interrupt_flag()},
    };

    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = rf_repair(store, call->operands[1], &options, &result, err);
    if (status == RF_OK && given->json)
        status = print_json(call, &result, to->text, err);
    else if (status == RF_OK && !given->quiet)
        print_summary(call, &result);
    rf_store_close(store);
    return status;
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const repair_options *given = call->options;
    printing to = {.text = rf_text_new(), .as_members = given->json};

    if ((given->key != NULL) + (given->prefix != NULL) + given->all != 1) {
        rf_text_free(to.text);
        return cli_fail(err, RF_ERR_USAGE, "one of --key, --prefix and --all says which rows");
    }
    if (!to.text)
        return cli_fail(err, RF_ERR_MEMORY, "out of memory");
    if (given->json)
        rf_text_append(to.text, RF_SLICE("["));
    rf_status status = repair(call, &to, err);
    rf_text_free(to.text);
    return status;
}

const cli_command cli_repair = {
    .name = "repair",
    .operands = "STORE NAME",
    .summary = "Folds chosen rows of a live read model anew, and puts right what differs.",
    .details =
        "The rows of --key or --prefix, or --all, come from their events up to where the live\n"
        "generation is, with the definition that it keeps. What is stored otherwise, or damaged, is\n"
        "put right in one transaction; readers and follow go on. Each row that changes is a line as\n"
        "diff --rows has them: {\"op\":\"change\",\"key\":K,\"old\":{...},\"new\":{...}}, with\n"
        "\"damaged\":true where the old one could not be read. Where rows are made of one stream's\n"
        "events, only these are read; otherwise everything is folded and only these rows compared.\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(repair_options),
    .operands_min = 2,
    .operands_max = 2,
    .orderly = true,
    .run = run,
};
