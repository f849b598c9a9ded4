/* See refold/test.h: runs the cases of a file, each in a store of its own.
 *
 * The stores lie in one directory that is removed at the end: in memory (/dev/shm) where there is
 * such a file system, because making a store takes fsyncs that cost nothing there, else where TMPDIR
 * says. A case is a few events, so all of it runs in line, and few partitions are enough.
 */
#include "refold/test.h"

#include "base/clock.h"
#include "base/file.h"
#include "pipeline/pipeline.h"
#include "projection/evolution_file.h"
#include "refold/import.h"
#include "refold/read.h"
#include "refold/text.h"
#include "test_compare.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { EVENTS_BYTES_MAX = 256 << 20, PARTITIONS = 4 };
#define REPORT_BYTES_MAX ((size_t)1 << 30)

struct test_report {
    rf_test_report report;
    rf_arena arena;
};

/* One run of a file under way. */
typedef struct trial {
    rf_resolved resolved; /* the one definition; loaded once */
    const volatile int *cancel;
    char directory[256];
    char store[288];
    char events[288];
    rf_buf lines;
    rf_arena *arena; /* of the report */
} trial;

static rf_status make_directory(trial *run, rf_err *err)
{
    const char *temporary = getenv("TMPDIR");
    const char *const parents[] = {"/dev/shm", temporary ? temporary : "/tmp"};

    for (size_t i = 0; i < sizeof parents / sizeof parents[0]; i++) {
        int size = snprintf(run->directory, sizeof run->directory, "%s/refold-test-%ld-XXXXXX",
                            parents[i], (long)getpid());
        if (size > 0 && (size_t)size < sizeof run->directory && mkdtemp(run->directory)) {
            (void)snprintf(run->store, sizeof run->store, "%s/case.refold", run->directory);
            (void)snprintf(run->events, sizeof run->events, "%s/events.jsonl", run->directory);
            return RF_OK;
        }
        run->directory[0] = '\0';
    }
    return rf_fail_errno(err, "%s: cannot make a directory for the cases", parents[1]);
}

static rf_status write_events(trial *run, const rf_given *given, rf_err *err)
{
    rf_buf_clear(&run->lines);
    rf_test_append_events(given, &run->lines);
    rf_status status = rf_buf_check(&run->lines, "the events of a case", err);
    if (status != RF_OK)
        return status;
    FILE *file = fopen(run->events, "we");
    if (!file)
        return rf_fail_errno(err, "%s: cannot be written", run->events);
    bool written = fwrite(run->lines.data ? run->lines.data : "", 1, run->lines.size, file) ==
                   run->lines.size;
    if (fclose(file) != 0 || !written)
        return rf_fail_errno(err, "%s: cannot be written", run->events);
    return RF_OK;
}

/* Imports and rebuilds. *refused_out: a failure is the answer to the events, which a case may
 * expect. */
static rf_status fold(trial *run, rf_store *store, bool *refused_out, rf_err *err)
{
    const char *path = run->events;
    const rf_import_options import = {.run = {.cancel = run->cancel}};
    const rf_rebuild_options options = {
        .allow_missing = true,
        .dev = true,
        .gates.has_min_rows = true,
        .run = {.cancel = run->cancel},
    };
    rf_rebuild_report *report = NULL;
    rf_status status = RF_OK;

    *refused_out = true;
    if (run->lines.size > 0)
        status = rf_import_files(store, &path, 1, &import, NULL, err);
    if (status == RF_OK)
        status = rf_rebuild_resolved(store, &run->resolved, &options, &report, err);
    rf_rebuild_report_free(report);
    *refused_out = status == RF_ERR_INPUT || status == RF_ERR_PLUGIN || status == RF_ERR_REFUSED;
    return status;
}

static rf_status compare_rows(trial *run, rf_store *store, rf_test_compare *compare,
                              const rf_given *given, rf_err *err)
{
    rf_reader *reader = NULL;
    rf_cursor *cursor = NULL;
    rf_text *text = rf_text_new();
    rf_row row;

    rf_status status = text ? rf_reader_open(store, run->resolved.definitions[0]->name, 0, &reader, err)
                            : rf_fail(err, RF_ERR_MEMORY, "out of memory for rows");
    if (status == RF_OK)
        status = rf_test_compare_begin(compare, given, rf_reader_get_info(reader), run->arena, err);
    if (status == RF_OK)
        status = rf_cursor_open(reader, NULL, &cursor, err);
    while (status == RF_OK && (status = rf_cursor_next(cursor, &row, err)) == RF_OK) {
        static const char padding[RF_JSON_PADDING];
        rf_text_clear(text);
        rf_text_append_row_json(text, rf_reader_get_info(reader), &row);
        size_t size = rf_text_bytes(text).size;
        rf_text_append(text, (rf_slice){padding, sizeof padding});
        status = rf_text_check(text, err);
        if (status == RF_OK)
            status =
                rf_test_compare_row(compare, (rf_slice){rf_text_bytes(text).data, size}, err);
    }
    if (status == RF_ERR_NO_ROW)
        status = rf_test_compare_rest(compare, err);
    rf_cursor_close(cursor);
    rf_reader_close(reader);
    rf_text_free(text);
    return status;
}

/* The message of a refusal as the case's author sees it: events by number instead of a file of ours
 * by line, and without what it says of a store that nobody has. */
static void clear_message(const trial *run, rf_err *err)
{
    char message[sizeof err->message];
    size_t prefix = strlen(run->events);
    static const char *const of_store[] = {"; nothing was ", "; to put it aside", "; generation "};

    for (size_t i = 0; i < sizeof of_store / sizeof of_store[0]; i++) {
        char *rest = strstr(err->message, of_store[i]);
        if (rest)
            *rest = '\0';
    }
    if (strncmp(err->message, run->events, prefix) == 0 && err->message[prefix] == ':') {
        (void)snprintf(message, sizeof message, "event %s", err->message + prefix + 1);
        memcpy(err->message, message, sizeof message);
    }
}

__attribute__((format(printf, 3, 4))) static rf_status
fail_case(trial *run, rf_test_case *result, const char *format, ...)
{
    char text[RF_ERR_MESSAGE_SIZE * 2];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    result->reason = rf_arena_copy(run->arena, rf_slice_of(text)).data;
    return result->reason ? RF_OK : RF_ERR_MEMORY;
}

/* Fills *result. A status is only what kept the case from running at all. */
static rf_status run_in_store(trial *run, rf_store *store, const rf_given *given,
                              rf_test_case *result, rf_err *err)
{
    rf_test_compare compare = {0};
    bool refused = false;
    rf_err failure = {0};

    rf_status status = fold(run, store, &refused, &failure);
    if (status != RF_OK && !refused) {
        if (err)
            *err = failure;
        return status;
    }
    clear_message(run, &failure);
    if (status != RF_OK && given->error && strstr(failure.message, given->error)) {
        result->passed = true;
        return RF_OK;
    }
    if (status != RF_OK)
        return given->error ? fail_case(run, result, "the error is another one than \"%s\": %s",
                                        given->error, failure.message)
                            : fail_case(run, result, "%s", failure.message);
    if (given->error)
        return fail_case(run, result, "no error, where one with \"%s\" is expected", given->error);
    status = compare_rows(run, store, &compare, given, err);
    result->differences = compare.differences;
    result->difference_count = compare.count;
    result->passed = status == RF_OK && compare.count == 0;
    rf_test_compare_end(&compare);
    return status;
}

static rf_status run_case(trial *run, const rf_given *given, rf_test_case *result, rf_err *err)
{
    const rf_store_options options = {.create = true, .partitions = PARTITIONS};
    double start = rf_clock_seconds();
    rf_store *store = NULL;

    *result = (rf_test_case){.line = given->line};
    result->name = rf_arena_copy(run->arena, rf_slice_of(given->name)).data;
    if (!result->name)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a case");
    if (run->cancel && *run->cancel)
        return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted");
    rf_status status = write_events(run, given, err);
    if (status == RF_OK)
        status = rf_store_open(run->store, &options, &store, err);
    if (status == RF_OK)
        status = run_in_store(run, store, given, result, err);
    rf_store_close(store);
    rf_status removed = rf_dir_remove(run->store, status == RF_OK ? err : NULL);
    result->seconds = rf_clock_seconds() - start;
    return status == RF_OK ? removed : status;
}

static rf_status run_cases(trial *run, const rf_test_cases *cases, const char *only,
                           rf_test_report *report, rf_err *err)
{
    rf_status status = RF_OK;

    report->cases = rf_arena_alloc(run->arena, cases->count * sizeof *report->cases);
    if (!report->cases)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u cases", cases->count);
    for (uint32_t i = 0; status == RF_OK && i < cases->count; i++) {
        const rf_given *given = &cases->given[i];
        if (only && !strstr(given->name, only))
            continue;
        rf_test_case *result = &report->cases[report->case_count];
        status = run_case(run, given, result, err);
        report->case_count += status == RF_OK;
        report->failed_count += status == RF_OK && !result->passed;
    }
    if (status == RF_OK && report->case_count == 0)
        status = rf_fail(err, RF_ERR_INPUT, "no case has '%s' in its name", only ? only : "");
    return status;
}

static rf_status load(trial *run, const char *projection, const char *evolution, rf_err *err)
{
    run->resolved.definitions = calloc(1, sizeof *run->resolved.definitions);
    if (!run->resolved.definitions)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a projection");
    rf_status status = rf_definition_load(projection, &run->resolved.definitions[0], err);
    run->resolved.count = status == RF_OK;
    if (status != RF_OK || !evolution)
        return status;
    if (!run->resolved.definitions[0]->plugin)
        return rf_fail(err, RF_ERR_USAGE,
                       "%s: an evolution is for plugins; a Lua projection says `evolution \"FILE\"`",
                       evolution);
    return rf_evolution_file_load(evolution, run->resolved.definitions[0], err);
}

rf_status rf_test(const char *projection, const char *cases_path, const rf_test_options *options,
                  rf_test_report **report_out, rf_err *err)
{
    rf_test_options none = {0};
    rf_test_cases cases = {0};
    trial run = {0};
    double start = rf_clock_seconds();

    options = options ? options : &none;
    struct test_report *report = calloc(1, sizeof *report);
    if (!report)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the report");
    rf_arena_init(&report->arena, REPORT_BYTES_MAX);
    rf_buf_init(&run.lines, EVENTS_BYTES_MAX);
    run.arena = &report->arena;
    run.cancel = options->cancel;
    rf_status status = load(&run, projection, options->evolution, err);
    if (status == RF_OK)
        status = rf_test_cases_read(cases_path, &cases, err);
    if (status == RF_OK)
        status = make_directory(&run, err);
    if (status == RF_OK)
        status = run_cases(&run, &cases, options->only, &report->report, err);
    if (run.directory[0] != '\0')
        (void)rf_dir_remove(run.directory, NULL);
    rf_test_cases_free(&cases);
    rf_buf_free(&run.lines);
    rf_resolved_free(&run.resolved);
    report->report.seconds = rf_clock_seconds() - start;
    if (status != RF_OK) {
        rf_test_report_free(&report->report);
        return status;
    }
    *report_out = &report->report;
    return RF_OK;
}

void rf_test_report_free(rf_test_report *report)
{
    if (!report)
        return;
    struct test_report *owner = (struct test_report *)report;
    rf_arena_free(&owner->arena);
    free(owner);
}
