/* scan: many rows in key order, as JSON Lines or CSV. */
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/interrupt.h"
#include "cli/output.h"

#include <string.h>

typedef struct scan_options {
    const char *prefix, *from, *to, *format, *index;
    cli_count limit, generation;
    bool json;
} scan_options;

static const cli_option table[] = {
    {"prefix", "KEY", "only keys that begin with this", CLI_TEXT, offsetof(scan_options, prefix),
     0, 0},
    {"from", "KEY", "from this key on, inclusive", CLI_KEY, offsetof(scan_options, from), 0, 0},
    {"to", "KEY", "up to this key, exclusive", CLI_TEXT, offsetof(scan_options, to), 0, 0},
    {"index", "COLUMNS", "in the order of this index; --prefix, --from and --to are of its columns",
     CLI_TEXT, offsetof(scan_options, index), 0, 0},
    {"limit", "N", "at most so many rows", CLI_COUNT, offsetof(scan_options, limit), 0, 0},
    {"generation", "N", "of this one instead of the live one", CLI_COUNT,
     offsetof(scan_options, generation), 1, 0},
    {"format", "jsonl|csv", "JSON Lines, or CSV with a header (jsonl)", CLI_CHOICE,
     offsetof(scan_options, format), 0, 0},
    {"json", NULL, "accepted: rows are JSON Lines anyway", CLI_FLAG, offsetof(scan_options, json),
     0, 0},
};

static rf_slice slice_of(const char *text)
{
    return text ? (rf_slice){text, strlen(text)} : (rf_slice){NULL, 0};
}

/* One end of what is scanned, as the reader has it; nothing where it was not given. */
static rf_status parse_end(const rf_reader *reader, const char *index, const char *text,
                           rf_key_use use, char bytes[RF_KEY_BYTES_MAX], rf_slice *end_out,
                           rf_err *err)
{
    *end_out = (rf_slice){NULL, 0};
    if (text && index)
        return rf_reader_parse_index_key(reader, index, slice_of(text), use, bytes, end_out, err);
    return text ? rf_reader_parse_key(reader, slice_of(text), use, bytes, end_out, err) : RF_OK;
}

static rf_status open_cursor(const scan_options *given, rf_reader *reader, rf_cursor **cursor_out,
                             rf_err *err)
{
    char bytes[3][RF_KEY_BYTES_MAX];
    rf_range range = {.index = given->index, .limit = given->limit.value};

    rf_status status =
        parse_end(reader, given->index, given->prefix, RF_KEY_PREFIX, bytes[0], &range.prefix, err);
    if (status == RF_OK)
        status = parse_end(reader, given->index, given->from, RF_KEY_BORDER, bytes[1], &range.from, err);
    if (status == RF_OK)
        status = parse_end(reader, given->index, given->to, RF_KEY_BORDER, bytes[2], &range.to, err);
    return status == RF_OK ? rf_cursor_open(reader, &range, cursor_out, err) : status;
}

static rf_status print_rows(const scan_options *given, const rf_reader_info *info,
                            rf_cursor *cursor, rf_text *text, rf_err *err)
{
    bool csv = given->format && strcmp(given->format, "csv") == 0;
    uint64_t limit = given->limit.given ? given->limit.value : UINT64_MAX;
    rf_status status = RF_OK;
    if (csv)
        rf_text_append_header_csv(text, info);
    for (uint64_t count = 0; count < limit && !cli_output_failed(); count++) {
        rf_row row;
        status = rf_cursor_next(cursor, &row, err);
        if (status != RF_OK)
            break;
        if (csv) {
            rf_text_append_row_csv(text, info, &row);
        } else {
            rf_text_append_row_json(text, info, &row);
            rf_text_append(text, RF_SLICE("\n"));
        }
        status = rf_text_check(text, err);
        if (status == RF_OK && *cli_interrupt_flag())
            status = cli_fail(err, RF_ERR_INTERRUPTED, "interrupted");
        if (status != RF_OK)
            return status;
        cli_print_bytes(rf_text_bytes(text));
        rf_text_clear(text);
    }
    cli_print_bytes(rf_text_bytes(text)); /* the header, where no row came */
    return status == RF_ERR_NO_ROW ? RF_OK : status;
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const scan_options *given = call->options;
    if (given->json && given->format && strcmp(given->format, "csv") == 0)
        return cli_fail(err, RF_ERR_USAGE, "--json and --format csv exclude each other");
    rf_store *store = NULL;
    rf_reader *reader = NULL;
    rf_cursor *cursor = NULL;
    rf_text *text = rf_text_new();
    rf_status status = text ? rf_store_open(call->operands[0], NULL, &store, err)
                            : cli_fail(err, RF_ERR_MEMORY, "out of memory");
    if (status == RF_OK)
        status = rf_reader_open(store, call->operands[1], given->generation.value, &reader, err);
    if (status == RF_OK)
        status = open_cursor(given, reader, &cursor, err);
    if (status == RF_OK)
        status = print_rows(given, rf_reader_get_info(reader), cursor, text, err);
    rf_cursor_close(cursor);
    rf_reader_close(reader);
    rf_store_close(store);
    rf_text_free(text);
    return status;
}

const cli_command cli_scan = {
    .name = "scan",
    .operands = "STORE NAME",
    .summary = "Prints the rows of NAME in key order, of one generation from first to last.",
    .details = "Keys of several parts are JSON arrays, also of fewer elements: --prefix '[\"w-1\"]'.\n"
               "CSV is that of RFC 4180: lines end with CR LF; a null is an empty field, an empty\n"
               "text is \"\". NAME@VERSION is that version of the read model, as for get.\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(scan_options),
    .operands_min = 2,
    .operands_max = 2,
    .orderly = true,
    .run = run,
};
