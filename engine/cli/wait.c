/* wait: until the live read models have all events up to a position. */
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/interrupt.h"

#include <stdlib.h>

typedef struct wait_options {
    cli_count position;
    const char *timeout;
} wait_options;

static const cli_option table[] = {
    {"position", "P", "the event that they are to have (what the log has now)", CLI_COUNT,
     offsetof(wait_options, position), 1, 0},
    {"timeout", "SECONDS", "give up with exit 75 (10)", CLI_TEXT,
     offsetof(wait_options, timeout), 0, 0},
};

enum { TIMEOUT_MS = 10000 };
#define TIMEOUT_SECONDS_MAX 1e9

static rf_status parse_timeout(const char *text, int64_t *timeout_ms_out, rf_err *err)
{
    char *end = NULL;
    double seconds = text ? strtod(text, &end) : 0;
    if (text && (end == text || *end != '\0' || !(seconds >= 0 && seconds <= TIMEOUT_SECONDS_MAX)))
        return cli_fail(err, RF_ERR_USAGE, "--timeout takes seconds, not %s", text);
    *timeout_ms_out = text ? (int64_t)(seconds * 1000) : TIMEOUT_MS;
    return RF_OK;
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const wait_options *given = call->options;
    rf_store *store = NULL;
    int64_t timeout_ms = 0;
    rf_status status = parse_timeout(given->timeout, &timeout_ms, err);
    if (status == RF_OK)
        status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = rf_wait(store, call->operands + 1, call->operand_count - 1,
                         given->position.value, timeout_ms, cli_interrupt_flag(), err);
    rf_store_close(store);
    return status;
}

const cli_command cli_wait = {
    .name = "wait",
    .operands = "STORE [NAME...]",
    .summary = "Waits until the live read models have all events up to a position.",
    .details = "For what must read its own writes: import, wait, get. A read model that is suspended\n"
               "before the position ends it with exit 4. NAME@VERSION waits for that version. A position that the\n"
               "log does not have yet is waited for, too.\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(wait_options),
    .operands_min = 1,
    .operands_max = CLI_OPERANDS_MAX,
    .orderly = true,
    .run = run,
};
