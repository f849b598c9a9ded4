/* get: one row. */
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/output.h"

#include <string.h>

typedef struct get_options {
    cli_count generation;
    cli_moment as_of;
    bool json;
} get_options;

static const cli_option table[] = {
    {"generation", "N", "of this one instead of the live one", CLI_COUNT,
     offsetof(get_options, generation), 1, 0},
    {"as-of", "POSITION|TIME", "as it was: folded from the events of its stream up to here", CLI_MOMENT,
     offsetof(get_options, as_of), 0, 0},
    {"json", NULL, "accepted: a row is one JSON object anyway", CLI_FLAG,
     offsetof(get_options, json), 0, 0},
};

static rf_status get(rf_store *store, const get_options *given, rf_reader *reader, rf_slice key,
                     rf_row *row_out, rf_err *err)
{
    uint64_t position = given->as_of.position;
    rf_status status = RF_OK;
    if (!given->as_of.given)
        return rf_reader_get(reader, key, row_out, err);
    if (given->as_of.is_time)
        status = rf_store_position_at(store, given->as_of.time, &position, err);
    return status == RF_OK ? rf_reader_get_as_of(reader, key, position, row_out, err) : status;
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const get_options *given = call->options;
    const char *key = call->operands[2];
    rf_store *store = NULL;
    rf_reader *reader = NULL;
    rf_row row;
    char bytes[RF_KEY_BYTES_MAX];
    rf_slice encoded = {NULL, 0};
    rf_text *text = rf_text_new();
    rf_status status = text ? rf_store_open(call->operands[0], NULL, &store, err)
                            : cli_fail(err, RF_ERR_MEMORY, "out of memory");
    if (status == RF_OK)
        status = rf_reader_open(store, call->operands[1], given->generation.value, &reader, err);
    if (status == RF_OK)
        status = rf_reader_parse_key(reader, (rf_slice){key, strlen(key)}, RF_KEY_WHOLE, bytes,
                                     &encoded, err);
    if (status == RF_OK)
        status = get(store, given, reader, encoded, &row, err);
    if (status == RF_OK) {
        rf_text_append_row_json(text, rf_reader_get_info(reader), &row);
        rf_text_append(text, RF_SLICE("\n"));
        status = rf_text_check(text, err);
    }
    if (status == RF_OK)
        cli_print_bytes(rf_text_bytes(text));
    rf_text_free(text);
    rf_reader_close(reader);
    rf_store_close(store);
    return status;
}

const cli_command cli_get = {
    .name = "get",
    .operands = "STORE NAME KEY",
    .summary = "Prints the row of KEY as JSON; exit 3 if there is none.",
    .details = "A KEY of several parts is a JSON array: '[\"w-1\",\"sku-7\"]'. A KEY that begins with a\n"
               "dash goes after --. NAME@VERSION (order_summary@3) is that version of the read model: the\n"
               "live one, or one that a swap left and nobody retired.\n\n"
               "--as-of gives the row as it was when the log ended there (a time: with the longest\n"
               "prefix of the log without a later event), with the definition that the generation\n"
               "keeps; for read models whose keys are the stream or begin with it. All rows as\n"
               "they were: rebuild --until POSITION|TIME --no-swap, then scan --generation.\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(get_options),
    .operands_min = 3,
    .operands_max = 3,
    .run = run,
};
