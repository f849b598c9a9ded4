/* generations: lists what is sealed and what is live. */
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct generations_options {
    bool json;
} generations_options;

static const cli_option options_table[] = {
    {"json", NULL, "one JSON object", CLI_FLAG, offsetof(generations_options, json), 0, 0},
};

static rf_status print_json(const rf_generation *items, uint32_t count, rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_open(&json, "generations", '[');
    for (uint32_t i = 0; i < count; i++) {
        cli_json_open(&json, NULL, '{');
        cli_json_text(&json, "name", items[i].name);
        cli_json_count(&json, "number", items[i].number);
        cli_json_bool(&json, "live", items[i].live);
        cli_json_bool(&json, "held", items[i].held);
        cli_json_bool(&json, "colour", items[i].colour);
        cli_json_bool(&json, "pinned", items[i].pinned);
        if (items[i].replaced_by != 0)
            cli_json_count(&json, "replaced_by", items[i].replaced_by);
        cli_json_count(&json, "version", items[i].version);
        cli_json_count(&json, "position", items[i].position);
        cli_json_count(&json, "rows", items[i].rows);
        cli_json_count(&json, "bytes", items[i].bytes);
        cli_json_count(&json, "delta_rows", items[i].delta_rows);
        if (items[i].set)
            cli_json_count(&json, "set", items[i].set);
        cli_json_time(&json, "sealed_at", items[i].sealed_at);
        cli_json_text(&json, "digest", items[i].digest);
        cli_json_text(&json, "content_hash", items[i].content_hash);
        cli_json_text(&json, "definition_file", items[i].definition_file);
        cli_json_close(&json, '}');
    }
    cli_json_close(&json, ']');
    return cli_json_finish(&json, err);
}

/* "live", "colour, held", "pinned" … */
static void add_marks(cli_table *table, const rf_generation *item)
{
    char marks[64];
    char replaced[40] = "";
    if (item->replaced_by == item->number)
        snprintf(replaced, sizeof replaced, "of a merge");
    else if (item->replaced_by != 0)
        snprintf(replaced, sizeof replaced, "replaced by %" PRIu64, item->replaced_by);
    const char *role = item->live ? "live" : item->colour ? "colour" : replaced;
    const char *held = item->held && !item->live ? "held" : "";
    const char *pinned = item->pinned ? "pinned" : "";
    snprintf(marks, sizeof marks, "%s%s%s%s%s", role, *role && *held ? ", " : "", held,
             (*role || *held) && *pinned ? ", " : "", pinned);
    cli_table_cell(table, marks);
}

static rf_status print_text(const rf_generation *items, uint32_t count, rf_err *err)
{
    static const char *const heads[] = {"name", "generation", "",     "version",
                                        "rows", "position",   "size", "sealed"};
    rf_text *time = rf_text_new();
    if (!time)
        return cli_fail(err, RF_ERR_MEMORY, "out of memory");
    cli_table *table = cli_table_new("lrlrrrrl");
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
        cli_table_cell(table, heads[i]);
    for (uint32_t i = 0; i < count; i++) {
        cli_table_cell(table, items[i].name);
        cli_table_count(table, items[i].number);
        add_marks(table, &items[i]);
        cli_table_count(table, items[i].version);
        cli_table_count(table, items[i].rows);
        cli_table_count(table, items[i].position);
        cli_table_bytes(table, items[i].bytes);
        rf_text_clear(time);
        /* Whole seconds are enough for people. */
        rf_text_append_time(time, items[i].sealed_at - items[i].sealed_at % 1000000);
        cli_table_slice(table, rf_text_bytes(time));
    }
    rf_text_free(time);
    return cli_table_finish(table, err);
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const generations_options *given = call->options;
    const char *name = call->operand_count > 1 ? call->operands[1] : NULL;
    rf_store *store = NULL;
    rf_generations *list = NULL;
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = rf_generations_list(store, name, &list, err);
    if (status == RF_OK) {
        uint32_t count = 0;
        const rf_generation *items = rf_generations_items(list, &count);
        if (given->json)
            status = print_json(items, count, err);
        else if (count)
            status = print_text(items, count, err);
        else
            cli_print("no generations\n");
    }
    rf_generations_free(list);
    rf_store_close(store);
    return status;
}

const cli_command cli_generations = {
    .name = "generations",
    .operands = "STORE [NAME]",
    .summary = "Lists generations: of NAME, or of all read models.",
    .details = "A colour is the generation of a version that a swap left: NAME@VERSION reads it, `follow`\n"
               "keeps it current, and gc leaves it alone until `retire`. One that is held was rolled back\n"
               "from; one that is pinned stays until `unpin`. NAME@VERSION lists those of one version.\n",
    .options = options_table,
    .option_count = CLI_COUNT_OF(options_table),
    .options_size = sizeof(generations_options),
    .operands_min = 1,
    .operands_max = 2,
    .run = run,
};
