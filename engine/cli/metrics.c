#include "cli/metrics.h"

#include "cli/fail.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LABEL_SIZE = 4096, PATH_SIZE = 4096, LINE_SIZE = LABEL_SIZE + 256 };

static const char success_name[] = "refold_last_success_timestamp_seconds";

struct metrics {
    FILE *file;
    char store[LABEL_SIZE]; /* as a label's value */
};

/* A label's value: '\\', '"' and newlines escaped; what does not fit is cut off. */
static void escape_label(const char *text, char label_out[LABEL_SIZE])
{
    size_t size = 0;
    for (; *text && size + 3 < LABEL_SIZE; text++) {
        if (*text == '\\' || *text == '"' || *text == '\n')
            label_out[size++] = '\\';
        label_out[size++] = *text == '\n' ? 'n' : *text;
    }
    label_out[size] = '\0';
}

static void head(const struct metrics *metrics, const char *name, const char *help)
{
    fprintf(metrics->file, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

static void one(const struct metrics *metrics, const char *name, const char *help, double value)
{
    head(metrics, name, help);
    fprintf(metrics->file, "%s{store=\"%s\"} %.15g\n", name, metrics->store, value);
}

static void of_model(const struct metrics *metrics, const char *name, const char *model,
                     double value)
{
    fprintf(metrics->file, "%s{store=\"%s\",model=\"%s\"} %.15g\n", name, metrics->store, model,
            value);
}

/* The time of the last success in the file that is there; 0: none. */
static double success_before(const char *path)
{
    char line[LINE_SIZE];
    double time = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file)) {
        char *end = strrchr(line, '}');
        if (strncmp(line, success_name, sizeof success_name - 1) == 0 && end)
            time = strtod(end + 1, NULL);
    }
    fclose(file);
    return time;
}

static void write_models(const struct metrics *metrics, const rf_status_report *report)
{
    static const struct {
        const char *name, *help;
    } gauges[] = {
        {"refold_model_generation", "The generation that is live."},
        {"refold_model_position", "The position in the log that it is at."},
        {"refold_model_lag_events", "Events in the log after it."},
        {"refold_model_rows", "Rows of the live generation."},
    };
    for (size_t g = 0; g < sizeof gauges / sizeof gauges[0]; g++) {
        head(metrics, gauges[g].name, gauges[g].help);
        for (uint32_t i = 0; i < report->model_count; i++) {
            const rf_model_status *model = &report->models[i];
            const uint64_t values[] = {model->generation, model->position, model->lag, model->rows};
            of_model(metrics, gauges[g].name, model->name, (double)values[g]);
        }
    }
}

static void write_rebuilt(const struct metrics *metrics, const rf_rebuild_report *report)
{
    one(metrics, "refold_rebuild_events", "Events that the last rebuild read.",
        (double)report->events);
    one(metrics, "refold_rebuild_seconds", "Seconds that the rebuild itself took.",
        report->seconds);
    static const struct {
        const char *name, *help;
    } gauges[] = {
        {"refold_gate_rows_before", "Rows that were live before the last rebuild."},
        {"refold_gate_rows_added", "Keys that the last rebuild added."},
        {"refold_gate_rows_removed", "Keys that the last rebuild removed."},
        {"refold_gate_refused", "1 if what was built did not go live."},
    };
    for (size_t g = 0; g < sizeof gauges / sizeof gauges[0]; g++) {
        head(metrics, gauges[g].name, gauges[g].help);
        for (uint32_t i = 0; i < report->projection_count; i++) {
            const rf_rebuilt *model = &report->projections[i];
            const uint64_t values[] = {model->rows_before, model->rows_added, model->rows_removed,
                                       !model->live};
            of_model(metrics, gauges[g].name, model->name, (double)values[g]);
        }
    }
}

static void write_published(const struct metrics *metrics, const rf_export_report *report)
{
    head(metrics, "refold_published_generation", "The generation that was published last.");
    for (uint32_t i = 0; i < report->model_count; i++)
        of_model(metrics, "refold_published_generation", report->models[i].name,
                 (double)report->models[i].generation);
    head(metrics, "refold_published_position", "The position that it is at.");
    for (uint32_t i = 0; i < report->model_count; i++)
        of_model(metrics, "refold_published_position", report->models[i].name,
                 (double)report->models[i].position);
}

/* Where nothing was published, what was is still there: the lines of the file that is replaced. */
static void keep_published(const struct metrics *metrics, const char *path)
{
    static const char *const begins[] = {"refold_published_", "# HELP refold_published_",
                                         "# TYPE refold_published_"};
    char line[LINE_SIZE];
    FILE *file = fopen(path, "re");

    if (!file)
        return;
    while (fgets(line, sizeof line, file))
        for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++)
            if (strncmp(line, begins[i], strlen(begins[i])) == 0)
                fputs(line, metrics->file);
    fclose(file);
}

static void write_all(const struct metrics *metrics, const cli_run *run, const char *path,
                      double success)
{
    rf_status_report *report = NULL;

    one(metrics, "refold_last_run_timestamp_seconds", "When the last run ended.",
        (double)time(NULL));
    if (success > 0)
        one(metrics, success_name, "When a run ended well: exit code 0 or 3.", success);
    one(metrics, "refold_last_exit_code", "Exit code of the last run.", run->exit_code);
    one(metrics, "refold_last_duration_seconds", "Seconds that the last run took.", run->seconds);
    if (run->store && rf_store_status(run->store, &report, NULL) == RF_OK) {
        one(metrics, "refold_log_position", "Position of the last event in the log.",
            (double)report->position);
        write_models(metrics, report);
    }
    rf_status_report_free(report);
    if (run->rebuilt)
        write_rebuilt(metrics, run->rebuilt);
    if (run->published)
        write_published(metrics, run->published);
    else
        keep_published(metrics, path);
}

rf_status cli_metrics_write(const char *path, const cli_run *run, rf_err *err)
{
    char part[PATH_SIZE];
    struct metrics metrics = {0};
    bool good = run->exit_code == 0 || run->exit_code == 3;
    double success = good ? (double)time(NULL) : success_before(path);

    /* The collector takes files that end in .prom. */
    if (snprintf(part, sizeof part, "%s.part", path) >= (int)sizeof part)
        return cli_fail(err, RF_ERR_USAGE, "--metrics: the path is too long");
    metrics.file = fopen(part, "we");
    if (!metrics.file)
        return cli_fail(err, RF_ERR_IO, "%s: cannot write: %s", part, strerror(errno));
    escape_label(run->store_path, metrics.store);
    write_all(&metrics, run, path, success);
    bool written = fflush(metrics.file) == 0 && fsync(fileno(metrics.file)) == 0;
    written = fclose(metrics.file) == 0 && written;
    if (written && rename(part, path) == 0)
        return RF_OK;
    rf_status status = cli_fail(err, RF_ERR_IO, "%s: cannot write: %s", path, strerror(errno));
    (void)unlink(part);
    return status;
}
