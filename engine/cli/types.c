/* types: the data dictionary: which types and fields the log has, and their values. */
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/kinds.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/table.h"

typedef struct types_options {
    bool counts, quiet, json;
    cli_count workers;
} types_options;

static const cli_option options_table[] = {
    {"counts", NULL, "only what was counted at import: reads no events", CLI_FLAG,
     offsetof(types_options, counts), 0, 0},
    {"workers", "N", "threads; 0 does everything in line (one a processor)", CLI_COUNT,
     offsetof(types_options, workers), 0, 1024},
    {"quiet", NULL, "no progress", CLI_FLAG, offsetof(types_options, quiet), 0, 0},
    {"json", NULL, "one JSON object", CLI_FLAG, offsetof(types_options, json), 0, 0},
};

static cli_kinds kinds_of(const rf_type_field *field)
{
    return (cli_kinds){field->ints,   field->numbers, field->texts, field->bools,
                       field->arrays, field->objects, field->nulls};
}

static const char *values_name(rf_values_kind values)
{
    switch (values) {
    case RF_VALUES_NONE:
        return NULL;
    case RF_VALUES_NUMBER:
        return "number";
    case RF_VALUES_TIME:
        return "time";
    case RF_VALUES_DATE:
        return "date";
    }
    return NULL;
}

static void print_json_field(cli_json *json, const rf_type_info *type, const rf_type_field *field,
                             bool counts)
{
    cli_kinds kinds = kinds_of(field);
    uint64_t present = cli_kinds_present(&kinds);
    cli_json_open(json, NULL, '{');
    cli_json_text(json, "path", field->path);
    cli_kinds_json(json, &kinds);
    cli_json_count(json, "present", present);
    cli_json_number(json, "share", type->events ? (double)present / (double)type->events : 0);
    if (!counts) {
        cli_json_text(json, "values", values_name(field->values));
        cli_json_text(json, "smallest", field->smallest);
        cli_json_text(json, "largest", field->largest);
        cli_json_open(json, "examples", '[');
        for (uint32_t i = 0; i < field->example_count; i++) {
            cli_json_open(json, NULL, '{');
            cli_json_text(json, "text", field->examples[i].text);
            cli_json_bool(json, "cut", field->examples[i].cut);
            cli_json_count(json, "position", field->examples[i].position);
            cli_json_close(json, '}');
        }
        cli_json_close(json, ']');
        cli_json_bool(json, "partial", field->partial);
    }
    cli_json_close(json, '}');
}

static void print_json_type(cli_json *json, const rf_type_info *type, bool counts)
{
    cli_json_open(json, NULL, '{');
    cli_json_text(json, "type", type->type);
    cli_json_integer(json, "schema", type->schema);
    cli_json_count(json, "events", type->events);
    if (!counts)
        cli_json_count(json, "streams", type->streams);
    cli_json_count(json, "first_position", type->first_position);
    cli_json_count(json, "last_position", type->last_position);
    cli_json_time(json, "time_min", type->time_min);
    cli_json_time(json, "time_max", type->time_max);
    cli_json_bool(json, "capped", type->capped);
    cli_json_open(json, "fields", '[');
    for (uint32_t i = 0; i < type->field_count; i++)
        print_json_field(json, type, &type->fields[i], counts);
    cli_json_close(json, ']');
    cli_json_close(json, '}');
}

static rf_status print_json(const rf_type_info *types, uint32_t count, bool counts, rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_open(&json, "types", '[');
    for (uint32_t i = 0; i < count; i++)
        print_json_type(&json, &types[i], counts);
    cli_json_close(&json, ']');
    return cli_json_finish(&json, err);
}

static void print_head(const rf_type_info *type, bool counts)
{
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE];
    cli_print_safe((rf_slice){type->type, __builtin_strlen(type->type)});
    if (type->schema != 1)
        cli_print(" schema %lld", (long long)type->schema);
    cli_print(": %s event%s", cli_format_count(type->events, a), cli_plural(type->events));
    if (!counts)
        cli_print(" in %s stream%s", cli_format_count(type->streams, a), cli_plural(type->streams));
    cli_print(", positions %s to %s", cli_format_count(type->first_position, a),
              cli_format_count(type->last_position, b));
    rf_text *times = rf_text_new();
    if (times && type->time_min != RF_TIME_NONE) {
        rf_text_append(times, RF_SLICE(", "));
        rf_text_append_time(times, type->time_min);
        rf_text_append(times, RF_SLICE(" to "));
        rf_text_append_time(times, type->time_max);
        cli_print_bytes(rf_text_bytes(times));
    }
    rf_text_free(times);
    cli_print("\n");
}

/* Tables write control characters as \xNN, so a backslash is doubled, and a quote has one. */
static void append_quoted(rf_text *text, const char *example)
{
    for (const char *at = example; *at; at++) {
        if (*at == '"' || *at == '\\')
            rf_text_append(text, RF_SLICE("\\"));
        rf_text_append(text, (rf_slice){at, 1});
    }
}

/* "1 to 99", and the texts. */
static void cell_values(cli_table *table, const rf_type_field *field)
{
    rf_text *text = rf_text_new();
    if (!text) {
        cli_table_cell(table, "?");
        return;
    }
    if (field->smallest) {
        rf_text_append(text, (rf_slice){field->smallest, __builtin_strlen(field->smallest)});
        rf_text_append(text, RF_SLICE(" to "));
        rf_text_append(text, (rf_slice){field->largest, __builtin_strlen(field->largest)});
    }
    bool dated = field->values == RF_VALUES_TIME || field->values == RF_VALUES_DATE;
    for (uint32_t i = 0; !dated && i < field->example_count; i++) {
        rf_text_append(text, i || field->smallest ? RF_SLICE(", \"") : RF_SLICE("\""));
        append_quoted(text, field->examples[i].text);
        rf_text_append(text, field->examples[i].cut ? RF_SLICE("...\"") : RF_SLICE("\""));
    }
    if (field->partial)
        rf_text_append(text, RF_SLICE(" (some were not looked at)"));
    cli_table_slice(table, rf_text_bytes(text));
    rf_text_free(text);
}

static rf_status print_type(const rf_type_info *type, bool counts, rf_err *err)
{
    print_head(type, counts);
    cli_table *table = cli_table_new("lllrl");
    for (uint32_t i = 0; i < type->field_count; i++) {
        cli_kinds kinds = kinds_of(&type->fields[i]);
        cli_table_cell(table, " ");
        cli_table_cell(table, type->fields[i].path);
        cli_kinds_cell(table, &kinds);
        cli_share_cell(table, cli_kinds_present(&kinds), type->events);
        cell_values(table, &type->fields[i]);
    }
    rf_status status = cli_table_finish(table, err);
    if (type->capped)
        cli_print("   ... more fields than are listed\n");
    return status;
}

static rf_status read_types(rf_store *store, const types_options *given, rf_types **types_out,
                            rf_err *err)
{
    rf_run run = {.workers = (uint32_t)given->workers.value,
                  .workers_default = !given->workers.given};
    cli_progress progress;
    if (given->counts)
        return rf_store_types(store, types_out, err);
    cli_progress_start(&progress, given->quiet, &run);
    rf_status status = rf_store_dictionary(store, &run, types_out, err);
    cli_progress_end(&progress);
    return status;
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const types_options *given = call->options;
    rf_store *store = NULL;
    rf_types *types = NULL;
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = read_types(store, given, &types, err);
    if (status == RF_OK) {
        uint32_t count = 0;
        const rf_type_info *list = rf_types_list(types, &count);
        if (given->json)
            status = print_json(list, count, given->counts, err);
        else
            for (uint32_t i = 0; i < count && status == RF_OK; i++)
                status = print_type(&list[i], given->counts, err);
    }
    rf_types_free(types);
    rf_store_close(store);
    return status;
}

const cli_command cli_types = {
    .name = "types",
    .operands = "STORE",
    .summary = "The data dictionary: types of events, their fields, and the values of these.",
    .details = "Per type and schema: events, streams, first and last; per field its kinds, the share of\n"
               "events that have it, smallest and largest numbers, times and dates, and the first\n"
               "distinct texts. Reads the columns of the whole log; --counts does without.\n",
    .options = options_table,
    .option_count = CLI_COUNT_OF(options_table),
    .options_size = sizeof(types_options),
    .operands_min = 1,
    .operands_max = 1,
    .orderly = true,
    .run = run,
};
