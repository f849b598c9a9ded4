/* types: the census: which types and fields the log has. */
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/table.h"

#include <stdio.h>

typedef struct types_options {
    bool json;
} types_options;

static const cli_option options_table[] = {
    {"json", NULL, "one JSON object", CLI_FLAG, offsetof(types_options, json), 0, 0},
};

typedef struct kind_count {
    const char *name;
    uint64_t count;
} kind_count;
enum { KINDS = 7 };

static void count_kinds(const rf_type_field *field, kind_count kinds_out[KINDS])
{
    kinds_out[0] = (kind_count){"int", field->ints};
    kinds_out[1] = (kind_count){"number", field->numbers};
    kinds_out[2] = (kind_count){"text", field->texts};
    kinds_out[3] = (kind_count){"bool", field->bools};
    kinds_out[4] = (kind_count){"array", field->arrays};
    kinds_out[5] = (kind_count){"object", field->objects};
    kinds_out[6] = (kind_count){"null", field->nulls};
}

static void print_json_type(cli_json *json, const rf_type_info *type)
{
    cli_json_open(json, NULL, '{');
    cli_json_text(json, "type", type->type);
    cli_json_integer(json, "schema", type->schema);
    cli_json_count(json, "events", type->events);
    cli_json_count(json, "first_position", type->first_position);
    cli_json_count(json, "last_position", type->last_position);
    cli_json_time(json, "time_min", type->time_min);
    cli_json_time(json, "time_max", type->time_max);
    cli_json_bool(json, "capped", type->capped);
    cli_json_open(json, "fields", '[');
    for (uint32_t i = 0; i < type->field_count; i++) {
        kind_count kinds[KINDS];
        count_kinds(&type->fields[i], kinds);
        cli_json_open(json, NULL, '{');
        cli_json_text(json, "path", type->fields[i].path);
        for (int k = 0; k < KINDS; k++)
            cli_json_count(json, kinds[k].name, kinds[k].count);
        cli_json_close(json, '}');
    }
    cli_json_close(json, ']');
    cli_json_close(json, '}');
}

static rf_status print_json(const rf_type_info *types, uint32_t count, rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_open(&json, "types", '[');
    for (uint32_t i = 0; i < count; i++)
        print_json_type(&json, &types[i]);
    cli_json_close(&json, ']');
    return cli_json_finish(&json, err);
}

static rf_status print_type(const rf_type_info *type, rf_err *err)
{
    char events[CLI_NUMBER_SIZE], first[CLI_NUMBER_SIZE], last[CLI_NUMBER_SIZE];
    cli_print_safe((rf_slice){type->type, __builtin_strlen(type->type)});
    if (type->schema != 1)
        cli_print(" schema %lld", (long long)type->schema);
    cli_print(": %s event%s, positions %s to %s\n", cli_format_count(type->events, events),
              cli_plural(type->events), cli_format_count(type->first_position, first),
              cli_format_count(type->last_position, last));
    cli_table *table = cli_table_new("lll");
    for (uint32_t i = 0; i < type->field_count; i++) {
        kind_count kinds[KINDS];
        count_kinds(&type->fields[i], kinds);
        char text[KINDS * (CLI_NUMBER_SIZE + 10)];
        size_t size = 0;
        text[0] = '\0';
        for (int k = 0; k < KINDS; k++) {
            char count[CLI_NUMBER_SIZE];
            if (kinds[k].count)
                size += (size_t)snprintf(text + size, sizeof text - size, "%s%s %s",
                                         size ? ", " : "", kinds[k].name,
                                         cli_format_count(kinds[k].count, count));
        }
        cli_table_cell(table, " ");
        cli_table_cell(table, type->fields[i].path);
        cli_table_cell(table, text);
    }
    rf_status status = cli_table_finish(table, err);
    if (type->capped)
        cli_print("   ... more fields than are listed\n");
    return status;
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const types_options *given = call->options;
    rf_store *store = NULL;
    rf_types *types = NULL;
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = rf_store_types(store, &types, err);
    if (status == RF_OK) {
        uint32_t count = 0;
        const rf_type_info *list = rf_types_list(types, &count);
        if (given->json)
            status = print_json(list, count, err);
        else
            for (uint32_t i = 0; i < count && status == RF_OK; i++)
                status = print_type(&list[i], err);
    }
    rf_types_free(types);
    rf_store_close(store);
    return status;
}

const cli_command cli_types = {
    .name = "types",
    .operands = "STORE",
    .summary = "The census: types of events, their fields, and the kinds of these.",
    .options = options_table,
    .option_count = CLI_COUNT_OF(options_table),
    .options_size = sizeof(types_options),
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
