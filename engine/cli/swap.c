/* swap: makes a newer generation live. */
#include "cli/fail.h"
#include "cli/flip.h"
#include "cli/interrupt.h"

typedef struct swap_options {
    cli_count generation, set, min_rows;
    cli_share max_removed, max_changed;
    const char *expect_keys;
    bool no_gates, json;
    int64_t wait_lock_ms;
} swap_options;

#define AT(member) offsetof(swap_options, member)
static const cli_option table[] = {
    {"generation", "N", "this one", CLI_COUNT, AT(generation), 1, 0},
    {"set", "N", "all read models of one rebuild, to its generations", CLI_COUNT, AT(set), 1, 0},
    {"min-rows", "N", "gate: refuse fewer rows", CLI_COUNT, AT(min_rows), 0, 0},
    {"max-removed", "SHARE", "gate: refuse if more of the live rows are gone", CLI_SHARE,
     AT(max_removed), 0, 0},
    {"max-changed", "SHARE", "gate: refuse if more rows differ, as a share of the live ones",
     CLI_SHARE, AT(max_changed), 0, 0},
    {"expect-keys", "FILE", "gate: refuse if a key of it, one a line, has no row", CLI_TEXT,
     AT(expect_keys), 0, 0},
    {"no-gates", NULL, "ask no gates, and no expectations", CLI_FLAG, AT(no_gates), 0, 0},
    {"wait-lock", "[SECONDS]", "wait while another run flips, or rebuilds", CLI_WAIT,
     AT(wait_lock_ms), 0, 0},
    {"json", NULL, "one JSON object", CLI_FLAG, AT(json), 0, 0},
};
#undef AT

static rf_status run(const cli_call *call, rf_err *err)
{
    const swap_options *given = call->options;
    const rf_gate_options gates = {
        .only_given = true,
        .min_rows = given->min_rows.value,
        .has_min_rows = given->min_rows.given,
        .max_removed = given->max_removed.value,
        .has_max_removed = given->max_removed.given,
        .max_changed = given->max_changed.value,
        .has_max_changed = given->max_changed.given,
        .expect_keys = given->expect_keys,
    };
    const rf_flip_options options = {
        .generation = given->generation.value,
        .set = given->set.value,
        .gates = given->no_gates ? NULL : &gates,
        .run = {.workers_default = true,
                .wait_lock_ms = given->wait_lock_ms,
                .cancel = cli_interrupt_flag()},
    };

    if (given->no_gates && (gates.has_min_rows || gates.has_max_removed || gates.has_max_changed ||
                            gates.expect_keys))
        return cli_fail(err, RF_ERR_USAGE, "--no-gates and a gate exclude each other");
    return cli_flip(call, &options, given->json, err);
}

const cli_command cli_swap = {
    .name = "swap",
    .operands = "STORE NAME...|--set N",
    .summary = "Makes a newer generation live: the newest sealed one, or --generation N.",
    .details =
        "A generation that is behind the live one is brought up to its position first. Then the gates\n"
        "given here are asked, and what the definition expects of every row; exit 4 where one refuses,\n"
        "and nothing is swapped. What the gates of a rebuild refused it takes: that is its user's\n"
        "word. Several names, or the read models of one rebuild (--set, which rebuild --json and\n"
        "generations --json tell), flip in one transaction, together or not at all. It prints what\n"
        "became of what: order_summary 7 -> 8, position 10,000,000, 0 events behind.\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(swap_options),
    .operands_min = 1,
    .operands_max = CLI_OPERANDS_MAX,
    .orderly = true,
    .run = run,
};
