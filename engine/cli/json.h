/* A report as one JSON object, for --json: collected in memory, printed whole at the end.
 *
 *     open -> (members, nested open … close) -> finish
 *
 * Members of an object have names, elements of an array have none (NULL).
 */
#ifndef RF_CLI_JSON_H
#define RF_CLI_JSON_H

#include "refold/refold.h"

typedef struct cli_json {
    rf_text *text;
    bool comma; /* something stands before, on this level */
} cli_json;

/* Opens the outermost object. RF_ERR_MEMORY without memory. */
rf_status cli_json_begin(cli_json *json, rf_err *err);
/* Closes it, prints it with a newline and frees it. */
rf_status cli_json_finish(cli_json *json, rf_err *err);
/* Frees it, and prints nothing: the end of a report that failed. */
void cli_json_abandon(cli_json *json);

void cli_json_open(cli_json *json, const char *name, char bracket); /* '{' or '[' */
void cli_json_close(cli_json *json, char bracket);                  /* '}' or ']' */
void cli_json_count(cli_json *json, const char *name, uint64_t value);
void cli_json_integer(cli_json *json, const char *name, int64_t value);
void cli_json_number(cli_json *json, const char *name, double value); /* microseconds' precision */
void cli_json_bool(cli_json *json, const char *name, bool value);
void cli_json_slice(cli_json *json, const char *name, rf_slice value);
void cli_json_text(cli_json *json, const char *name, const char *value); /* NULL: null */
void cli_json_raw(cli_json *json, const char *name, const char *value);  /* JSON; NULL: null */
void cli_json_time(cli_json *json, const char *name, int64_t value);     /* RF_TIME_NONE: null */

/* A row behind `name` and what stands with it, as in "old":{…}; null where it has no values. */
void cli_append_row(rf_text *text, const char *name, const rf_reader_info *info, const rf_row *row);

#endif
