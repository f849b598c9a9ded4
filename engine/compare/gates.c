/* See gates.h. */
#include "compare/gates.h"

#include "compare/diff_tally.h"
#include "compare/gate_expectations.h"
#include "store/quarantine.h"

#include <stdarg.h>
#include <stdio.h>

#define MAX_REMOVED_DEFAULT 0.5
#define SHARE_ROUNDING 1e-12

/* A generation in front of its gates. */
struct candidate {
    const rf_gates *gates;
    const rf_definition *definition;
    const rf_manifest *manifest;
    uint64_t live;
    rf_diff_side before, after;
    rf_gate_counts counts;
    uint64_t rows;
};

static bool compares(const rf_gate_options *options)
{
    return !options->only_given || options->has_min_rows || options->has_max_removed ||
           options->has_max_changed;
}

void rf_gates_tell_swap(const rf_gates *gates, const rf_manifest *manifest, const char *option, rf_err *err)
{
    char path[RF_ERR_MESSAGE_SIZE / 8];

    if (!err || !rf_shell_quote(gates->store->path, path, sizeof path))
        return;
    if (gates->set != 0)
        (void)rf_err_suffix(err, "to take all of set %llu all the same: refold swap %s --set %llu%s",
                            (unsigned long long)gates->set, path, (unsigned long long)gates->set, option);
    else
        (void)rf_err_suffix(err, "to take it all the same: refold swap %s %s --generation %llu%s", path,
                            manifest->name, (unsigned long long)manifest->number, option);
}

/* What a gate found, what becomes of the generation, and how to go on. */
__attribute__((format(printf, 3, 4))) static rf_status refuse(const struct candidate *candidate,
                                                              rf_err *err, const char *format, ...)
{
    const char *name = candidate->manifest->name;
    unsigned long long number = candidate->manifest->number;
    char what[RF_ERR_MESSAGE_SIZE / 2], path[RF_ERR_MESSAGE_SIZE / 8];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    rf_status status =
        rf_fail(err, RF_ERR_REFUSED, "%s; generation %llu is kept, not live", what, number);
    if (!err || !rf_shell_quote(candidate->gates->store->path, path, sizeof path))
        return status;
    if (candidate->live != 0)
        (void)rf_err_suffix(err, "to look: refold diff %s %s %llu %llu", path, name,
                            (unsigned long long)candidate->live, number);
    rf_gates_tell_swap(candidate->gates, candidate->manifest, " --no-gates", err);
    return status;
}

/* Whether `count` is more than a share of the rows. A share such as 29% is a little less as a double: what it is
 * short of by rounding, a small part of a row, is no row more. */
static bool exceeds(uint64_t count, double share, uint64_t of)
{
    return (double)count > share * (double)of * (1 + SHARE_ROUNDING);
}

/* "12.5%" of the rows that are live. */
static double percent(uint64_t count, uint64_t of)
{
    return of > 0 ? 100.0 * (double)count / (double)of : 0;
}

static rf_status judge_counts(const struct candidate *candidate, rf_err *err)
{
    const rf_gate_options *options = candidate->gates->options;
    const rf_gate_counts *counts = &candidate->counts;
    const char *name = candidate->manifest->name;
    unsigned long long rows = candidate->rows;
    unsigned long long before = counts->rows_before;
    unsigned long long min_rows = options->has_min_rows ? options->min_rows : !options->only_given;
    double max_removed = options->has_max_removed ? options->max_removed
                         : options->only_given    ? 1
                                                  : MAX_REMOVED_DEFAULT;

    if (rows < min_rows)
        return refuse(candidate, err,
                      "%s: gate min-rows: there are %llu rows, fewer than %llu (--min-rows %llu "
                      "allows it)",
                      name, rows, min_rows, rows);
    if (exceeds(counts->removed, max_removed, before))
        return refuse(candidate, err,
                      "%s: gate max-removed: %llu of the %llu live rows (%.3g%%) are gone, and %.3g%% "
                      "may be (--max-removed allows more)",
                      name, (unsigned long long)counts->removed, before,
                      percent(counts->removed, before), 100 * max_removed);
    if (options->has_max_changed && exceeds(counts->changed, options->max_changed, before))
        return refuse(candidate, err,
                      "%s: gate max-changed: %llu of the %llu live rows (%.3g%%) are changed, and "
                      "%.3g%% may be",
                      name, (unsigned long long)counts->changed, before,
                      percent(counts->changed, before), 100 * options->max_changed);
    return RF_OK;
}

static rf_status judge_keys(const struct candidate *candidate, rf_err *err)
{
    const rf_gate_keys *keys = candidate->gates->keys;
    char shown[400];
    uint64_t missing = 0;

    if (!keys || keys->count == 0)
        return RF_OK;
    rf_status status =
        rf_gate_keys_look(keys, candidate->definition, &candidate->after, shown, sizeof shown,
                          &missing, err);
    if (status != RF_OK || missing == 0)
        return status;
    return refuse(candidate, err,
                  "%s: gate expect-keys: %llu of %zu keys have no row: %s%s",
                  candidate->manifest->name, (unsigned long long)missing, keys->count, shown,
                  missing > RF_GATE_SHOWN ? " ..." : "");
}

static rf_status judge_expectations(const struct candidate *candidate, rf_err *err)
{
    const rf_definition *definition = candidate->definition;
    rf_broken broken;
    bool found = false;

    rf_status status =
        rf_gate_expectations(definition, candidate->gates->pool, &candidate->after,
                             candidate->gates->cancel, &broken, &found, err);
    if (status != RF_OK || !found)
        return status;
    const rf_definition_expect *expect = &definition->expects[broken.expectation];
    return refuse(candidate, err,
                  "%s: expect (\"%.160s\") does not hold for %llu of %llu row%s of %s: %s%s",
                  expect->place, expect->text, (unsigned long long)broken.rows,
                  (unsigned long long)candidate->rows, candidate->rows == 1 ? "" : "s",
                  candidate->manifest->name, broken.keys, broken.rows > RF_GATE_SHOWN ? " ..." : "");
}

/* Rows that are in both are looked into only where a gate asks how many changed. */
static rf_status count(struct candidate *candidate, rf_err *err)
{
    const rf_gates *gates = candidate->gates;
    const volatile int *cancel = gates->cancel;
    rf_diff_columns columns = {0};
    rf_diff_tally *tally = NULL;
    rf_diff_sum sum = {0};
    rf_diff_counts keys = {0};

    if (!gates->options->has_max_changed) {
        rf_status status = rf_diff_walk(gates->store, gates->pool, cancel, &candidate->before,
                                        &candidate->after, NULL, NULL, &keys, err);
        candidate->counts.added = keys.added;
        candidate->counts.removed = keys.removed;
        return status;
    }
    rf_status status = rf_diff_columns_of(&candidate->before.pinned.manifest,
                                          &candidate->after.pinned.manifest, &columns, err);
    if (status == RF_OK)
        status = rf_diff_tally_new(&columns, gates->store->partitions, 0, cancel, &tally, err);
    if (status == RF_OK)
        status = rf_diff_walk(gates->store, gates->pool, cancel, &candidate->before,
                              &candidate->after, rf_diff_tally_row, tally, &keys, err);
    if (status == RF_OK)
        status = rf_diff_tally_sum(tally, &sum, err);
    candidate->counts.added = sum.counts[RF_DIFF_ADD];
    candidate->counts.removed = sum.counts[RF_DIFF_REMOVE];
    candidate->counts.changed = sum.counts[RF_DIFF_CHANGE];
    rf_diff_sum_free(&sum);
    rf_diff_tally_free(tally);
    rf_diff_columns_free(&columns);
    return status;
}

static rf_status open_both(struct candidate *candidate, rf_catch_up_late *late, rf_err *err)
{
    rf_store *store = candidate->gates->store;
    const rf_manifest *manifest = candidate->manifest;
    rf_status status = RF_OK;

    /* The live one's rows are copied first: what is followed moves on meanwhile. */
    if (candidate->live != 0)
        status = rf_diff_open(store, manifest->name, candidate->live, &candidate->before, err);
    if (status == RF_OK && candidate->live != 0)
        status = rf_catch_up_late_run(late, candidate->before.checkpoint.position, err);
    if (status == RF_OK)
        status = rf_diff_open(store, manifest->name, manifest->number, &candidate->after, err);
    return status;
}

rf_status rf_gates_check(const rf_gates *gates, const rf_definition *definition,
                         const rf_manifest *manifest, uint64_t live, rf_catch_up_late *late,
                         rf_gate_counts *counts_out, rf_err *err)
{
    struct candidate candidate = {
        .gates = gates,
        .definition = definition,
        .manifest = manifest,
        .live = live,
        .before = RF_DIFF_NONE,
        .after = RF_DIFF_NONE,
    };

    *counts_out = (rf_gate_counts){0};
    if (!compares(gates->options) && gates->keys->count == 0 && definition->expect_count == 0)
        return RF_OK;
    rf_status status = open_both(&candidate, late, err);
    if (status == RF_OK) {
        candidate.rows = candidate.after.checkpoint.digest.rows;
        candidate.counts.rows_before = candidate.before.checkpoint.digest.rows;
        candidate.counts.added = live != 0 ? 0 : candidate.rows;
    }
    if (status == RF_OK && live != 0 && compares(gates->options) &&
        !rf_diff_is_empty(&candidate.before, &candidate.after))
        status = count(&candidate, err);
    if (status == RF_OK) {
        *counts_out = candidate.counts;
        status = judge_counts(&candidate, err);
    }
    if (status == RF_OK)
        status = judge_keys(&candidate, err);
    if (status == RF_OK)
        status = judge_expectations(&candidate, err);
    rf_diff_close(&candidate.before);
    rf_diff_close(&candidate.after);
    return status;
}
