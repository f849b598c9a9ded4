/* Publishing read models; see refold/export.h.
 *
 * Readers are opened for all names before the target is touched, and stay open to the end: so what
 * is published is pinned, and gc leaves it alone. Which sink it is follows from the target.
 */
#include "base/bytes.h"
#include "base/clock.h"
#include "catalog/named.h"
#include "export_changes.h"
#include "export_entries.h"
#include "export_state.h"
#include "refold/export.h"
#include "refold/read.h"
#include "sink/lines.h"
#include "sink/parquet.h"
#include "sink/postgres.h"
#include "sink/sqlite.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NAMES_MAX = 4096 };

typedef enum target_kind {
    TARGET_CSV,
    TARGET_JSON_LINES,
    TARGET_PARQUET,
    TARGET_SQLITE,
    TARGET_POSTGRES,
} target_kind;

struct target {
    target_kind kind;
    const char *place; /* path or URL: borrowed from the caller's text */
};

struct publication {
    rf_export_report report;
    rf_export_entries entries;
    rf_reader **readers; /* as many */
    char *target; /* owned: the report's */
    rf_store *store;
    const rf_run *run;
    /* for PostgreSQL, one a model each; owned */
    rf_export_changes *changes;
    rf_diff_side *now; /* as it was looked at last */
    rf_buf *notes;
};

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), end_size = strlen(end);
    return size > end_size && strcasecmp(text + size - end_size, end) == 0;
}

static bool kind_of_file(const char *name, target_kind *kind_out)
{
    static const struct {
        const char *word;
        target_kind kind;
    } kinds[] = {
        {"csv", TARGET_CSV},       {"jsonl", TARGET_JSON_LINES}, {"ndjson", TARGET_JSON_LINES},
        {"sqlite", TARGET_SQLITE}, {"sqlite3", TARGET_SQLITE},   {"db", TARGET_SQLITE},
        {"parquet", TARGET_PARQUET},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        char end[16] = ".";
        memcpy(end + 1, kinds[i].word, strlen(kinds[i].word) + 1);
        if (strcmp(name, kinds[i].word) == 0 || ends_with(name, end)) {
            *kind_out = kinds[i].kind;
            return true;
        }
    }
    return false;
}

static rf_status parse_target(const char *text, const rf_export_options *options,
                              struct target *target_out, rf_err *err)
{
    const char *scheme = strstr(text, "://");

    *target_out = (struct target){.place = text};
    if (rf_postgres_is_url(text)) {
        target_out->kind = TARGET_POSTGRES;
        return options->format ? rf_fail(err, RF_ERR_USAGE, "a format is for files") : RF_OK;
    }
    if (strncmp(text, "sqlite:", 7) == 0) {
        /* sqlite:PATH, and sqlite:///PATH as some libraries write it */
        const char *path = text + 7;
        *target_out = (struct target){.kind = TARGET_SQLITE,
                                      .place = strncmp(path, "//", 2) == 0 ? path + 2 : path};
        return *target_out->place == '\0' ? rf_fail(err, RF_ERR_USAGE, "sqlite: needs a path") : RF_OK;
    }
    if (scheme)
        return rf_fail(err, RF_ERR_USAGE, "%.*s: no read models can be published there",
                       (int)(scheme - text), text);
    if (*text == '\0' || strcmp(text, "-") == 0)
        return rf_fail(err, RF_ERR_USAGE, "an export needs a file; scan writes to standard output");
    if (options->format && kind_of_file(options->format, &target_out->kind))
        return RF_OK;
    if (options->format)
        return rf_fail(err, RF_ERR_USAGE, "%s is no format: csv, jsonl, parquet or sqlite", options->format);
    if (kind_of_file(text, &target_out->kind))
        return RF_OK;
    return rf_fail(err, RF_ERR_USAGE,
                   "%s: neither a URL nor a name that ends in .csv, .jsonl, .parquet or .sqlite (--format "
                   "says it)",
                   text);
}

static rf_status check_options(uint32_t name_count, const struct target *target,
                               const rf_export_options *options, rf_err *err)
{
    if (name_count == 0 || name_count > NAMES_MAX)
        return rf_fail(err, RF_ERR_USAGE, "no read models to publish, or more than %d", NAMES_MAX);
    if (options->generation != 0 && name_count > 1)
        return rf_fail(err, RF_ERR_USAGE, "a generation goes with one read model");
    if (target->kind != TARGET_POSTGRES &&
        (options->schema || options->as != RF_EXPORT_AS_BEFORE || options->changes_only || options->load_all ||
         options->keep))
        return rf_fail(err, RF_ERR_USAGE, "%s is a file: that option is for PostgreSQL",
                       target->place);
    if (options->decimals_text && target->kind != TARGET_SQLITE)
        return rf_fail(err, RF_ERR_USAGE, "%s is no SQLite file: decimals are exact there anyway",
                       target->place);
    if (options->changes_only && options->load_all)
        return rf_fail(err, RF_ERR_USAGE, "either changes only or all rows");
    if (name_count > 1 && target->kind != TARGET_POSTGRES && target->kind != TARGET_SQLITE)
        return rf_fail(err, RF_ERR_USAGE, "%s: such a file has one read model, not %u",
                       target->place, name_count);
    return target->kind == TARGET_PARQUET ? rf_sink_parquet_check(target->place, err) : RF_OK;
}

static rf_status check_names(const char *const *names, uint32_t name_count, rf_err *err)
{
    for (uint32_t i = 0; i < name_count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(names[i], names[k]) == 0)
                return rf_fail(err, RF_ERR_USAGE, "%s is named twice", names[i]);
    return RF_OK;
}

rf_status rf_export_check(const char *target_text, uint32_t name_count,
                          const rf_export_options *options, rf_err *err)
{
    struct target target;

    rf_status status = parse_target(target_text, options, &target, err);
    return status == RF_OK ? check_options(name_count, &target, options, err) : status;
}

static rf_status open_readers(struct publication *publication, rf_store *store,
                              uint64_t generation, rf_err *err)
{
    for (uint32_t i = 0; i < publication->entries.count; i++) {
        const rf_export_entry *entry = &publication->entries.items[i];
        rf_named named;
        rf_status status = rf_named_parse(entry->name, &named, err);
        if (status == RF_OK)
            status = rf_named_check_number(&named, generation, err);
        if (status == RF_OK)
            status = rf_reader_open(store, entry->generation ? named.name : entry->name,
                                    entry->generation, &publication->readers[i], err);
        if (status != RF_OK)
            return status;
    }
    return RF_OK;
}

/* What a read model is called in the report. */
static rf_status note_name(struct publication *publication, uint32_t entry, uint32_t model,
                           rf_err *err)
{
    const char *name = publication->entries.items[entry].name;
    char *copy = strdup(name);

    if (!copy)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory; all was published", name);
    publication->report.models[model].name = copy;
    publication->report.model_count = model + 1;
    return RF_OK;
}

static void close_readers(struct publication *publication)
{
    for (uint32_t i = 0; publication->readers && i < publication->entries.count; i++)
        rf_reader_close(publication->readers[i]);
    free(publication->readers);
    publication->readers = NULL;
}

/* The facts of what was read: a cursor says at which position it is. */
static void note_facts(struct publication *publication, uint32_t entry, rf_exported *model)
{
    const rf_reader_info *info = rf_reader_get_info(publication->readers[entry]);

    model->generation = info->generation;
    model->version = info->version;
    model->position = info->position;
    model->rows = info->rows;
    memcpy(model->digest, info->digest, sizeof model->digest);
}

static rf_status note_all(struct publication *publication, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < publication->entries.count; i++) {
        note_facts(publication, i, &publication->report.models[i]);
        status = note_name(publication, i, i, err);
    }
    return status;
}

static rf_status note_models(struct publication *publication, const rf_sink_model *models,
                             rf_err *err)
{
    static const rf_export_way ways[] = {
        [RF_SINK_LOADED] = RF_EXPORT_COPIED,
        [RF_SINK_CHANGED] = RF_EXPORT_CHANGED,
        [RF_SINK_SHOWN] = RF_EXPORT_SHOWN,
        [RF_SINK_SAME] = RF_EXPORT_SAME,
    };

    uint32_t count = 0;

    for (uint32_t i = 0; i < publication->entries.count; i++) {
        if (models[i].is_left_out)
            continue;
        rf_exported *model = &publication->report.models[count];
        note_facts(publication, i, model);
        rf_status status = note_name(publication, i, count++, err);
        if (status != RF_OK)
            return status;
        model->way = ways[models[i].way];
        model->generation_before = models[i].generation_before;
        model->upserted = models[i].upserted;
        model->deleted = models[i].deleted;
        model->position = models[i].position;
        model->rows = models[i].rows;
        memcpy(model->digest, models[i].digest, sizeof model->digest);
        model->note = models[i].note[0] ? strdup(models[i].note) : NULL;
        if (models[i].note[0] && !model->note)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for a note; all was published");
    }
    return RF_OK;
}

static rf_status look(void *arg, uint32_t model, rf_sink_state *state_out, rf_err *err)
{
    struct publication *publication = arg;
    const rf_reader_info *info = rf_reader_get_info(publication->readers[model]);
    rf_diff_side *now = &publication->now[model];
    rf_buf *note = &publication->notes[model];

    rf_diff_close(now);
    rf_status status = rf_diff_open(publication->store, info->name, info->generation, now, err);
    if (status == RF_OK)
        status = rf_export_state_write(now, note, err);
    if (status != RF_OK)
        return status;
    *state_out = (rf_sink_state){.position = now->checkpoint.position,
                                 .rows = now->checkpoint.digest.rows};
    rf_digest_format(&now->checkpoint.digest, state_out->digest);
    if (note->size > 0)
        state_out->note = rf_buf_slice(note);
    return RF_OK;
}

static rf_status find_changes(void *arg, uint32_t model, uint64_t generation, const char *digest,
                              rf_slice note, rf_sink_changes *changes_out, bool *found_out,
                              rf_err *err)
{
    struct publication *publication = arg;
    const rf_export_published published = {generation, digest, note};

    return rf_export_changes_find(publication->store, &published, &publication->now[model],
                                  publication->run, &publication->changes[model], changes_out,
                                  found_out, err);
}

static rf_status begin_looks(struct publication *publication, rf_err *err)
{
    uint32_t count = publication->entries.count;

    publication->changes = calloc(count, sizeof *publication->changes);
    publication->now = calloc(count, sizeof *publication->now);
    publication->notes = calloc(count, sizeof *publication->notes);
    for (uint32_t i = 0; publication->now && i < count; i++)
        publication->now[i] = RF_DIFF_NONE;
    if (!publication->changes || !publication->now || !publication->notes)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", count);
    return RF_OK;
}

static void end_looks(struct publication *publication)
{
    for (uint32_t i = 0; i < publication->entries.count; i++) {
        if (publication->changes)
            rf_export_changes_free(&publication->changes[i]);
        if (publication->now)
            rf_diff_close(&publication->now[i]);
        if (publication->notes)
            rf_buf_free(&publication->notes[i]);
    }
    free(publication->changes);
    free(publication->now);
    free(publication->notes);
}

static rf_status publish_to_postgres(struct publication *publication, const struct target *target,
                                     const rf_export_options *options, rf_err *err)
{
    uint32_t count = publication->entries.count;
    const rf_sink_postgres_options sink = {
        .schema = options->schema,
        .form = options->as == RF_EXPORT_AS_BEFORE ? RF_PUBLIC_AS_BEFORE
                : options->as == RF_EXPORT_AS_VIEW ? RF_PUBLIC_VIEW
                                                   : RF_PUBLIC_TABLE,
        .replace = options->replace,
        .changes_only = options->changes_only,
        .load_all = options->load_all,
        .keep = options->keep,
        .wait_readers_s = options->wait_readers_s,
        .source = {look, find_changes, publication},
        .run = &options->run,
    };

    rf_sink_model *models = calloc(count, sizeof *models);
    if (!models)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", count);
    for (uint32_t i = 0; i < count; i++) {
        const rf_export_entry *entry = &publication->entries.items[i];
        models[i] = (rf_sink_model){
            .reader = publication->readers[i],
            .public_name = entry->public_name,
            .version_of = entry->version_of[0] ? entry->version_of : NULL,
            .shows = entry->shows,
            .beside = entry->beside,
            .has_colours = entry->has_colours,
        };
    }
    rf_status status = begin_looks(publication, err);
    if (status == RF_OK)
        status = rf_sink_postgres(target->place, models, count, &sink, &publication->target, err);
    if (status == RF_OK)
        status = note_models(publication, models, err);
    end_looks(publication);
    free(models);
    return status;
}

static rf_status publish(struct publication *publication, const struct target *target,
                         const rf_export_options *options, rf_err *err)
{
    rf_status status = RF_OK;
    const char **names = NULL;

    switch (target->kind) {
    case TARGET_POSTGRES:
        return publish_to_postgres(publication, target, options, err);
    case TARGET_SQLITE:
        names = calloc(publication->entries.count, sizeof *names);
        if (!names)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for names of tables");
        for (uint32_t i = 0; i < publication->entries.count; i++)
            names[i] = publication->entries.items[i].public_name;
        status = rf_sink_sqlite(target->place, publication->readers, publication->entries.count,
                                &(rf_sink_sqlite_options){.decimals_text = options->decimals_text,
                                                          .names = names,
                                                          .replace = options->replace,
                                                          .run = &options->run},
                                &publication->report.bytes, err);
        free(names);
        break;
    case TARGET_CSV:
    case TARGET_JSON_LINES:
        status = rf_sink_lines(publication->readers[0], target->place,
                               target->kind == TARGET_CSV ? RF_LINES_CSV : RF_LINES_JSON,
                               &options->run, &publication->report.bytes, err);
        break;
    case TARGET_PARQUET:
        status = rf_sink_parquet(publication->readers[0], target->place, &options->run,
                                 &publication->report.bytes, err);
        break;
    }
    publication->target = strdup(target->place);
    if (status == RF_OK && !publication->target)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory; all was published");
    return status == RF_OK ? note_all(publication, err) : status;
}

rf_status rf_export(rf_store *store, const char *const *names, uint32_t name_count,
                    const char *target_text, const rf_export_options *options,
                    rf_export_report **report_out, rf_err *err)
{
    double start = rf_clock_seconds();
    struct target target;

    rf_status status = parse_target(target_text, options, &target, err);
    if (status == RF_OK)
        status = check_options(name_count, &target, options, err);
    if (status == RF_OK)
        status = check_names(names, name_count, err);
    if (status != RF_OK)
        return status;
    struct publication *publication = calloc(1, sizeof *publication);
    if (!publication)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for an export");
    publication->store = store;
    publication->run = &options->run;
    status = rf_export_entries_make(store, names, name_count, options->generation,
                                    target.kind == TARGET_POSTGRES, &publication->entries, err);
    uint32_t count = publication->entries.count;
    if (status == RF_OK) {
        publication->report.models = calloc(count, sizeof *publication->report.models);
        publication->readers = calloc(count, sizeof *publication->readers);
        if (!publication->report.models || !publication->readers)
            status = rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", count);
    }
    if (status == RF_OK)
        status = open_readers(publication, store, options->generation, err);
    if (status == RF_OK)
        status = publish(publication, &target, options, err);
    close_readers(publication);
    rf_export_entries_free(&publication->entries);
    publication->report.target = publication->target;
    publication->report.seconds = rf_clock_seconds() - start;
    if (status == RF_OK)
        *report_out = &publication->report;
    else
        rf_export_report_free(&publication->report);
    return status;
}

void rf_export_report_free(rf_export_report *report)
{
    if (!report)
        return;
    /* The report is the first member of what was allocated. */
    _Static_assert(offsetof(struct publication, report) == 0, "a report is its publication");
    for (uint32_t i = 0; i < report->model_count; i++) {
        free((void *)(uintptr_t)report->models[i].name);
        free((void *)(uintptr_t)report->models[i].note);
    }
    free(report->models);
    free(((struct publication *)report)->target);
    free(report);
}
