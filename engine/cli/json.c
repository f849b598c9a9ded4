#include "cli/json.h"

#include "cli/fail.h"
#include "cli/output.h"

#include <stdio.h>
#include <string.h>

static void append(cli_json *json, const char *text)
{
    rf_text_append(json->text, (rf_slice){text, strlen(text)});
}

static void begin_value(cli_json *json, const char *name)
{
    if (json->comma)
        append(json, ",");
    json->comma = true;
    if (name) {
        rf_text_append_json_string(json->text, (rf_slice){name, strlen(name)});
        append(json, ":");
    }
}

rf_status cli_json_begin(cli_json *json, rf_err *err)
{
    *json = (cli_json){rf_text_new(), false};
    if (!json->text)
        return cli_fail(err, RF_ERR_MEMORY, "out of memory for the report");
    append(json, "{");
    return RF_OK;
}

rf_status cli_json_finish(cli_json *json, rf_err *err)
{
    append(json, "}\n");
    rf_status status = rf_text_check(json->text, err);
    if (status == RF_OK)
        cli_print_bytes(rf_text_bytes(json->text));
    rf_text_free(json->text);
    json->text = NULL;
    return status;
}

void cli_json_abandon(cli_json *json)
{
    rf_text_free(json->text);
    json->text = NULL;
}

void cli_json_open(cli_json *json, const char *name, char bracket)
{
    begin_value(json, name);
    rf_text_append(json->text, (rf_slice){&bracket, 1});
    json->comma = false;
}

void cli_json_close(cli_json *json, char bracket)
{
    rf_text_append(json->text, (rf_slice){&bracket, 1});
    json->comma = true;
}

void cli_json_count(cli_json *json, const char *name, uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)value);
    begin_value(json, name);
    append(json, digits);
}

void cli_json_integer(cli_json *json, const char *name, int64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%lld", (long long)value);
    begin_value(json, name);
    append(json, digits);
}

void cli_json_number(cli_json *json, const char *name, double value)
{
    char digits[64] = "null";
    if (value > -1e15 && value < 1e15)
        snprintf(digits, sizeof digits, "%.6f", value);
    begin_value(json, name);
    append(json, digits);
}

void cli_json_bool(cli_json *json, const char *name, bool value)
{
    begin_value(json, name);
    append(json, value ? "true" : "false");
}

void cli_json_slice(cli_json *json, const char *name, rf_slice value)
{
    begin_value(json, name);
    rf_text_append_json_string(json->text, value);
}

void cli_json_text(cli_json *json, const char *name, const char *value)
{
    if (value) {
        cli_json_slice(json, name, (rf_slice){value, strlen(value)});
    } else {
        begin_value(json, name);
        append(json, "null");
    }
}

void cli_json_raw(cli_json *json, const char *name, const char *value)
{
    begin_value(json, name);
    append(json, value ? value : "null");
}

void cli_json_time(cli_json *json, const char *name, int64_t value)
{
    begin_value(json, name);
    bool quoted = value != RF_TIME_NONE;
    if (quoted)
        append(json, "\"");
    rf_text_append_time(json->text, value);
    if (quoted)
        append(json, "\"");
}

void cli_append_row(rf_text *text, const char *name, const rf_reader_info *info, const rf_row *row)
{
    rf_text_append(text, (rf_slice){name, strlen(name)});
    if (row->values)
        rf_text_append_row_json(text, info, row);
    else
        rf_text_append(text, RF_SLICE("null"));
}
