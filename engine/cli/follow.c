/* follow: keeps live read models current as events arrive. */
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress.h"

#include <stdio.h>

typedef struct follow_options {
    bool once;
    cli_count workers;
    int64_t wait_lock_ms;
    bool quiet;
} follow_options;

static const cli_option table[] = {
    {"once", NULL, "end when all are where the log is now", CLI_FLAG,
     offsetof(follow_options, once), 0, 0},
    {"workers", "N", "threads; 0 does everything in line (one a processor)", CLI_COUNT,
     offsetof(follow_options, workers), 0, 1024},
    {"wait-lock", "[SECONDS]", "wait while another run follows one of them", CLI_WAIT,
     offsetof(follow_options, wait_lock_ms), 0, 0},
    {"quiet", NULL, "say nothing of what is suspended, resumed or swapped", CLI_FLAG,
     offsetof(follow_options, quiet), 0, 0},
};

static void report(void *arg, const char *line)
{
    (void)arg;
    (void)fprintf(stderr, "refold: %s\n", line);
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const follow_options *given = call->options;
    const rf_follow_options options = {
        .names = call->operands + 1,
        .name_count = call->operand_count - 1,
        .once = given->once,
        .report = given->quiet ? NULL : report,
        .run = {.workers = (uint32_t)given->workers.value,
                .workers_default = !given->workers.given,
                .wait_lock_ms = given->wait_lock_ms,
                .cancel = cli_interrupt_flag()},
    };
    rf_store *store = NULL;
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status == RF_OK)
        status = rf_follow(store, &options, err);
    rf_store_close(store);
    return status;
}

const cli_command cli_follow = {
    .name = "follow",
    .operands = "STORE [NAME...]",
    .summary = "Keeps live read models current as events arrive, until interrupted.",
    .details = "Without names all of them, also those that become live later. Every event counts once,\n"
               "whatever is killed; after a swap the new generation is followed, with its own definition,\n"
               "and so is the version that was left, until it is retired. NAME@VERSION follows only that.\n"
               "A read model that an event fails for is suspended, the others go on: see status, resume.\n"
               "Once more than a tenth of the rows have changed they are merged into a new base, whose\n"
               "generation takes the place of the old one.\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(follow_options),
    .operands_min = 1,
    .operands_max = CLI_OPERANDS_MAX,
    .orderly = true,
    .run = run,
};
