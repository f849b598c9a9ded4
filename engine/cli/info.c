/* info: the log in figures. */
#include "cli/command.h"
#include "cli/json.h"
#include "cli/output.h"

#include <string.h>

typedef struct info_options {
    bool json;
} info_options;

static const cli_option table[] = {
    {"json", NULL, "one JSON object", CLI_FLAG, offsetof(info_options, json), 0, 0},
};

static rf_status print_json(const rf_info *info, const rf_source_info *sources, uint32_t count,
                            rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_count(&json, "events", info->events);
    cli_json_count(&json, "streams", info->streams);
    cli_json_count(&json, "partitions", info->partitions);
    cli_json_count(&json, "segments", info->segments);
    cli_json_count(&json, "bytes", info->bytes);
    cli_json_count(&json, "raw_bytes", info->raw_bytes);
    cli_json_count(&json, "position", info->position);
    cli_json_open(&json, "sources", '[');
    for (uint32_t i = 0; i < count; i++) {
        cli_json_open(&json, NULL, '{');
        cli_json_text(&json, "name", sources[i].name);
        cli_json_count(&json, "events", sources[i].events);
        cli_json_count(&json, "mark", sources[i].mark);
        if (sources[i].cursor[0])
            cli_json_text(&json, "cursor", sources[i].cursor);
        cli_json_close(&json, '}');
    }
    cli_json_close(&json, ']');
    return cli_json_finish(&json, err);
}

static void print_text(const rf_info *info, const rf_source_info *sources, uint32_t count)
{
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE];
    cli_print("position    %s\n", cli_format_count(info->position, a));
    cli_print("events      %s\n", cli_format_count(info->events, a));
    cli_print("streams     %s\n", cli_format_count(info->streams, a));
    cli_print("partitions  %u\n", info->partitions);
    cli_print("segments    %s\n", cli_format_count(info->segments, a));
    cli_print("bytes       %s on disk, of %s of data and metadata\n",
              cli_format_bytes(info->bytes, a), cli_format_bytes(info->raw_bytes, b));
    for (uint32_t i = 0; i < count; i++) {
        cli_print("source      %s: %s event%s", sources[i].name,
                  cli_format_count(sources[i].events, a), cli_plural(sources[i].events));
        if (sources[i].mark)
            cli_print(", its highest position %s", cli_format_count(sources[i].mark, b));
        if (sources[i].cursor[0]) {
            cli_print(", read up to ");
            cli_print_safe((rf_slice){sources[i].cursor, strlen(sources[i].cursor)});
        }
        cli_print("\n");
    }
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const info_options *given = call->options;
    rf_store *store = NULL;
    rf_types *types = NULL;
    rf_info info;
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = rf_store_info(store, &info, err);
    if (status == RF_OK)
        status = rf_store_types(store, &types, err);
    if (status == RF_OK) {
        uint32_t count = 0;
        const rf_source_info *sources = rf_types_sources(types, &count);
        if (given->json)
            status = print_json(&info, sources, count, err);
        else
            print_text(&info, sources, count);
    }
    rf_types_free(types);
    rf_store_close(store);
    return status;
}

const cli_command cli_info = {
    .name = "info",
    .operands = "STORE",
    .summary = "The log of STORE in figures.",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(info_options),
    .operands_min = 1,
    .operands_max = 1,
    .run = run,
};
