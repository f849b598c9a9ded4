/* See source.h. */
#include "source/source.h"

#include "database/postgres.h"
#include "source/document_feed.h"
#include "source/exec_feed.h"
#include "source/lines.h"
#include "source/postgres_feed.h"
#include "source/sqlite_feed.h"

#include <stdio.h>

#define KIND(kind) (1u << (kind))

typedef struct source_preset {
    const char *name;
    unsigned kinds; /* KIND(...), a bit each */
} source_preset;

static const source_preset presets[] = {
    {"cloudevents", KIND(RF_SOURCE_FILE) | KIND(RF_SOURCE_EXEC)},
    {"kurrentdb", KIND(RF_SOURCE_FILE) | KIND(RF_SOURCE_EXEC)},
    {"eventsourcing", KIND(RF_SOURCE_SQLITE) | KIND(RF_SOURCE_POSTGRES)},
    {"emmett", KIND(RF_SOURCE_SQLITE) | KIND(RF_SOURCE_POSTGRES)},
    {"marten", KIND(RF_SOURCE_POSTGRES)},
    {"messagedb", KIND(RF_SOURCE_POSTGRES)},
    {"railseventstore", KIND(RF_SOURCE_POSTGRES)},
    {"axon", KIND(RF_SOURCE_POSTGRES)},
};
enum { PRESET_COUNT = sizeof presets / sizeof presets[0] };

rf_source_kind rf_source_kind_of(const char *source)
{
    if (strncmp(source, "sqlite:", 7) == 0)
        return RF_SOURCE_SQLITE;
    if (rf_postgres_is_url(source))
        return RF_SOURCE_POSTGRES;
    return RF_SOURCE_FILE;
}

static const char *kind_name(rf_source_kind kind)
{
    switch (kind) {
    case RF_SOURCE_FILE:
        return "files and standard input";
    case RF_SOURCE_EXEC:
        return "--exec";
    case RF_SOURCE_SQLITE:
        return "SQLite";
    case RF_SOURCE_POSTGRES:
        return "PostgreSQL";
    }
    return "";
}

static rf_status preset_check(const char *name, rf_source_kind kind, rf_err *err)
{
    char known[256] = "";

    for (int i = 0; i < PRESET_COUNT; i++) {
        bool fits = (presets[i].kinds & KIND(kind)) != 0;
        if (strcmp(presets[i].name, name) == 0 && fits)
            return RF_OK;
        if (!fits)
            continue;
        size_t size = strlen(known);
        (void)snprintf(known + size, sizeof known - size, "%s%s", size ? ", " : "",
                       presets[i].name);
    }
    return rf_fail(err, RF_ERR_USAGE, "there is no preset '%.40s' for %s; there are %s", name,
                   kind_name(kind), known);
}

static bool decompress_is_known(const char *name)
{
    return strcmp(name, "auto") == 0 || strcmp(name, "none") == 0 || strcmp(name, "zlib") == 0 ||
           strcmp(name, "gzip") == 0;
}

/* Options that only databases have. */
static const char *database_option(const rf_import_options *options)
{
    return options->query                ? "--query"
           : options->table              ? "--table"
           : options->from_start         ? "--from-start"
           : options->strict             ? "--strict"
           : options->decompress         ? "--decompress"
           : options->cipher_key_env     ? "--cipher-key-env"
                                         : NULL;
}

rf_status rf_source_check(const char *source, const rf_import_options *options, rf_err *err)
{
    rf_source_kind kind = source ? rf_source_kind_of(source) : RF_SOURCE_EXEC;
    bool is_database = kind == RF_SOURCE_SQLITE || kind == RF_SOURCE_POSTGRES;
    const char *option = database_option(options);

    /* What stands behind the scheme may have a password. */
    const char *behind = kind == RF_SOURCE_FILE && source ? strstr(source, "://") : NULL;
    if (behind)
        return rf_fail(err, RF_ERR_USAGE,
                       "%.*s:// is no source that is known: import reads files, standard input, "
                       "sqlite:PATH and postgresql://",
                       (int)(behind - source < 40 ? behind - source : 40), source);
    if (kind == RF_SOURCE_SQLITE && !source[strlen("sqlite:")])
        return rf_fail(err, RF_ERR_USAGE, "sqlite: lacks the path of the database: sqlite:PATH");
    if (!is_database && option)
        return rf_fail(err, RF_ERR_USAGE, "%s is for databases, not for %s", option,
                       kind_name(kind));
    if (options->follow && kind == RF_SOURCE_FILE)
        return rf_fail(err, RF_ERR_USAGE, "--follow is for databases and --exec, not for %s",
                       kind_name(kind));
    if (options->follow && options->atomic)
        return rf_fail(err, RF_ERR_USAGE, "--follow has no end, so --atomic would add nothing");
    if (options->preset && options->query)
        return rf_fail(err, RF_ERR_USAGE, "--query is instead of a preset, not beside it");
    if (options->decompress && !decompress_is_known(options->decompress))
        return rf_fail(err, RF_ERR_USAGE, "--decompress takes auto, none, zlib or gzip, not '%.40s'",
                       options->decompress);
    return options->preset ? preset_check(options->preset, kind, err) : RF_OK;
}

/* Lines of a file or program, which a preset may have to turn into events first. */
static rf_status text_open(const char *source, const rf_import_options *options,
                           const rf_feed_start *start, rf_feed **feed_out, rf_err *err)
{
    rf_feed *lines = NULL;

    rf_status status = source ? rf_lines_open(source, options->run.cancel, &lines, err)
                              : rf_exec_feed_open(options->exec, options, start, &lines, err);
    if (status || !options->preset) {
        *feed_out = lines;
        return status;
    }
    status = rf_document_feed_open(lines, options, feed_out, err);
    if (status)
        rf_feed_close(lines);
    return status;
}

rf_status rf_source_open(const char *source, const rf_import_options *options,
                         const rf_feed_start *start, rf_feed **feed_out, rf_err *err)
{
    rf_source_kind kind = source ? rf_source_kind_of(source) : RF_SOURCE_EXEC;
    rf_status status = rf_source_check(source, options, err);

    if (status)
        return status;
    if (kind == RF_SOURCE_SQLITE)
        return rf_sqlite_feed_open(source + strlen("sqlite:"), options, start, feed_out, err);
    if (kind == RF_SOURCE_POSTGRES)
        return rf_postgres_feed_open(source, options, start, feed_out, err);
    return text_open(source, options, start, feed_out, err);
}
