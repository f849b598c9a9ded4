/* rollback: back to the generation that was live before. */
#include "cli/flip.h"
#include "cli/interrupt.h"

typedef struct rollback_options {
    cli_count generation, set;
    bool catch_up, json;
    int64_t wait_lock_ms;
} rollback_options;

#define AT(member) offsetof(rollback_options, member)
static const cli_option table[] = {
    {"generation", "N", "this one", CLI_COUNT, AT(generation), 1, 0},
    {"set", "N", "what one rebuild made live, all of it, to what each of it replaced", CLI_COUNT,
     AT(set), 1, 0},
    {"catch-up", NULL, "first bring it up to where the live one is", CLI_FLAG, AT(catch_up), 0, 0},
    {"wait-lock", "[SECONDS]", "wait while another run flips", CLI_WAIT, AT(wait_lock_ms), 0, 0},
    {"json", NULL, "one JSON object", CLI_FLAG, AT(json), 0, 0},
};
#undef AT

static rf_status run(const cli_call *call, rf_err *err)
{
    const rollback_options *given = call->options;
    const rf_flip_options options = {
        .generation = given->generation.value,
        .set = given->set.value,
        .back = true,
        .catch_up = given->catch_up,
        .run = {.workers_default = true,
                .wait_lock_ms = given->wait_lock_ms,
                .cancel = cli_interrupt_flag()},
    };

    return cli_flip(call, &options, given->json, err);
}

const cli_command cli_rollback = {
    .name = "rollback",
    .operands = "STORE NAME...|--set N",
    .summary = "Makes the generation live that was live before, or --generation N, at once.",
    .details = "It says how many events the generation is behind; `follow` brings it up, or --catch-up\n"
               "before it is live. Again: further back. Several names, or --set, which takes back what\n"
               "one rebuild made live, flip in one transaction. A definition that a rollback leaves is\n"
               "held: rebuilding it builds and does not swap (exit 4) until swap names it.\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(rollback_options),
    .operands_min = 1,
    .operands_max = CLI_OPERANDS_MAX,
    .orderly = true,
    .run = run,
};
