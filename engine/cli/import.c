/* import: adds events from files, standard input, databases and programs. */
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/json.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "refold/url.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct import_options {
    cli_list maps;
    const char *source;
    const char *gaps;
    bool atomic;
    const char *time_unit;
    const char *time_zone;
    const char *preset;
    const char *query;
    const char *table;
    const char *decompress;
    const char *cipher_key_env;
    bool strict;
    int64_t wait_writers_ms;
    bool follow;
    bool apply;
    bool from_start;
    const char *exec;
    cli_count partitions;
    cli_count workers;
    int64_t wait_lock_ms;
    bool quiet;
    bool json;
} import_options;

static const cli_option table[] = {
    {"map", "MEMBER=PATH,...", "take MEMBER (position, schema, ...) from another name or path",
     CLI_LIST, offsetof(import_options, maps), 0, 0},
    {"source", "NAME", "where the events come from; each has its own positions (main)", CLI_TEXT,
     offsetof(import_options, source), 0, 0},
    {"gaps", "allow", "accept holes in the versions of a stream", CLI_CHOICE,
     offsetof(import_options, gaps), 0, 0},
    {"atomic", NULL, "add all events of all files, or none", CLI_FLAG,
     offsetof(import_options, atomic), 0, 0},
    {"time-unit", "s|ms|us|ns", "unit of times that are integers (ms)", CLI_CHOICE,
     offsetof(import_options, time_unit), 0, 0},
    {"time-zone", "ZONE", "for times without offset: +02:00, Z or Europe/Prague", CLI_TEXT,
     offsetof(import_options, time_zone), 0, 0},
    {"preset", "NAME", "what wrote the source: eventsourcing, emmett, cloudevents, ...", CLI_TEXT,
     offsetof(import_options, preset), 0, 0},
    {"query", "SQL", "of a database: its columns are the members of an event", CLI_TEXT,
     offsetof(import_options, query), 0, 0},
    {"table", "NAME", "of a database: the table that has the preset's events", CLI_TEXT,
     offsetof(import_options, table), 0, 0},
    {"decompress", "auto|none|zlib|gzip", "how preset eventsourcing's states are packed (auto)",
     CLI_CHOICE, offsetof(import_options, decompress), 0, 0},
    {"cipher-key-env", "NAME", "the environment's variable with the key of encrypted states",
     CLI_TEXT, offsetof(import_options, cipher_key_env), 0, 0},
    {"exec", "COMMAND", "run COMMAND by sh -c and read the events that it writes", CLI_TEXT,
     offsetof(import_options, exec), 0, 0},
    {"follow", NULL, "go on with what comes later, until interrupted", CLI_FLAG,
     offsetof(import_options, follow), 0, 0},
    {"apply", NULL, "end when the live read models have the events too", CLI_FLAG,
     offsetof(import_options, apply), 0, 0},
    {"from-start", NULL, "read a database anew, not from where the last import ended", CLI_FLAG,
     offsetof(import_options, from_start), 0, 0},
    {"strict", NULL, "PostgreSQL: keep writers out for a moment, to see how far may be read",
     CLI_FLAG, offsetof(import_options, strict), 0, 0},
    {"wait-writers", "[SECONDS]", "PostgreSQL: for open transactions, before giving up (60)",
     CLI_WAIT, offsetof(import_options, wait_writers_ms), 0, 0},
    {"partitions", "N", "of a new store: a power of two, 1 to 1024 (64)", CLI_COUNT,
     offsetof(import_options, partitions), 1, 1024},
    {"workers", "N", "threads; 0 does everything in line (one a processor)", CLI_COUNT,
     offsetof(import_options, workers), 0, 1024},
    {"wait-lock", "[SECONDS]", "wait while another import runs, or follows (--apply)", CLI_WAIT,
     offsetof(import_options, wait_lock_ms), 0, 0},
    {"quiet", NULL, "no progress", CLI_FLAG, offsetof(import_options, quiet), 0, 0},
    {"json", NULL, "the summary as one JSON object", CLI_FLAG, offsetof(import_options, json), 0,
     0},
};

/* What can be known before a store is made for files that are not there. Databases are met later. */
static rf_status check_files(const char *const *paths, uint32_t count, rf_err *err)
{
    for (uint32_t i = 0; i < count; i++) {
        struct stat found;
        if (strcmp(paths[i], "-") == 0)
            continue;
        if (strncmp(paths[i], "sqlite:", 7) == 0 || strstr(paths[i], "://") ||
            rf_url_find(paths[i]) == paths[i])
            continue;
        if (stat(paths[i], &found) != 0 || access(paths[i], R_OK) != 0)
            return cli_fail(err, RF_ERR_IO, "%s: %s; nothing was added", paths[i], strerror(errno));
        if (S_ISDIR(found.st_mode))
            return cli_fail(err, RF_ERR_INPUT, "%s is a directory; nothing was added", paths[i]);
    }
    return RF_OK;
}

static rf_status check_maps(const cli_list *maps, rf_err *err)
{
    for (uint32_t i = 0; i < maps->count; i++) {
        const char *equals = strchr(maps->items[i], '=');
        if (!equals || equals == maps->items[i] || !equals[1])
            return cli_fail(err, RF_ERR_USAGE, "--map takes MEMBER=PATH, not '%s'", maps->items[i]);
    }
    return RF_OK;
}

static rf_time_unit time_unit(const char *name)
{
    if (name && strcmp(name, "s") == 0)
        return RF_TIME_UNIT_S;
    if (name && strcmp(name, "us") == 0)
        return RF_TIME_UNIT_US;
    if (name && strcmp(name, "ns") == 0)
        return RF_TIME_UNIT_NS;
    return RF_TIME_UNIT_MS;
}

static void print_summary(const rf_import_summary *summary)
{
    char a[CLI_NUMBER_SIZE], b[CLI_NUMBER_SIZE], c[CLI_NUMBER_SIZE];
    cli_print("%s event%s added, %s new stream%s; the log is at position %s\n",
              cli_format_count(summary->added, a), cli_plural(summary->added),
              cli_format_count(summary->streams, b), cli_plural(summary->streams),
              cli_format_count(summary->position, c));
    if (summary->duplicates)
        cli_print("%s stored already, ignored\n", cli_format_count(summary->duplicates, a));
    if (summary->late)
        cli_print("%s late: below the source's highest position, added at the end\n",
                  cli_format_count(summary->late, a));
    for (uint32_t i = 0; i < summary->member_count; i++) {
        cli_print(i ? ", " : "members not used: ");
        cli_print_safe((rf_slice){summary->members[i].name, strlen(summary->members[i].name)});
        cli_print(" (%s)", cli_format_count(summary->members[i].count, a));
    }
    if (summary->member_count)
        cli_print("\n");
    if (summary->lines)
        cli_print("%s in %s: %s events/s\n", cli_format_bytes(summary->bytes, a),
                  cli_format_seconds(summary->seconds, b),
                  cli_format_rate(summary->lines, summary->seconds, c));
}

static rf_status print_json(const rf_import_summary *summary, rf_err *err)
{
    cli_json json;
    rf_status status = cli_json_begin(&json, err);
    if (status != RF_OK)
        return status;
    cli_json_count(&json, "lines", summary->lines);
    cli_json_count(&json, "bytes", summary->bytes);
    cli_json_count(&json, "added", summary->added);
    cli_json_count(&json, "duplicates", summary->duplicates);
    cli_json_count(&json, "late", summary->late);
    cli_json_count(&json, "streams", summary->streams);
    cli_json_count(&json, "position", summary->position);
    cli_json_number(&json, "seconds", summary->seconds);
    cli_json_open(&json, "members_not_used", '{');
    for (uint32_t i = 0; i < summary->member_count; i++)
        cli_json_count(&json, summary->members[i].name, summary->members[i].count);
    cli_json_close(&json, '}');
    return cli_json_finish(&json, err);
}

/* What others follow is waited for. */
static rf_status apply(rf_store *store, const rf_run *with, rf_err *err)
{
    const rf_follow_options options = {.once = true, .share = true, .run = *with};
    return rf_follow(store, &options, err);
}

static rf_status run(const cli_call *call, rf_err *err)
{
    const import_options *given = call->options;
    static const char *const standard_input[] = {"-"};
    bool is_input = call->operand_count == 1 && !given->exec;
    const char *const *paths = is_input ? standard_input : call->operands + 1;
    uint32_t path_count = is_input ? 1 : call->operand_count - 1;
    uint64_t partitions = given->partitions.value;
    if (partitions & (partitions - 1))
        return cli_fail(err, RF_ERR_USAGE, "--partitions takes a power of two, not %u",
                        (unsigned)partitions);
    if (given->apply && given->follow)
        return cli_fail(err, RF_ERR_USAGE,
                        "--apply is for an import that ends; run `refold follow` beside --follow");
    if (is_input && isatty(STDIN_FILENO))
        return cli_fail(err, RF_ERR_USAGE, "no FILE given; - reads standard input");
    rf_import_options options = {
        .source = given->source,
        .maps = given->maps.items,
        .map_count = given->maps.count,
        .gaps_allow = given->gaps != NULL,
        .atomic = given->atomic,
        .time_unit = time_unit(given->time_unit),
        .time_zone = given->time_zone,
        .preset = given->preset,
        .query = given->query,
        .table = given->table,
        .decompress = given->decompress,
        .cipher_key_env = given->cipher_key_env,
        .strict = given->strict,
        .wait_ms = given->wait_writers_ms,
        .follow = given->follow,
        .from_start = given->from_start,
        .exec = given->exec,
        .run = {.workers = (uint32_t)given->workers.value,
                .workers_default = !given->workers.given,
                .wait_lock_ms = given->wait_lock_ms},
    };
    rf_status status = check_maps(&given->maps, err);
    if (status == RF_OK)
        status = rf_import_check(paths, path_count, &options, err);
    if (status == RF_OK)
        status = check_files(paths, path_count, err);
    if (status != RF_OK)
        return status;

    rf_store *store = NULL;
    cli_progress progress;
    rf_import_summary summary = {0};
    cli_progress_start(&progress, given->quiet, &options.run);
    status = rf_import_create(call->operands[0], (uint32_t)partitions, paths, path_count, &options,
                              &store, &summary, err);
    bool is_imported = status == RF_OK;
    if (is_imported && given->apply)
        status = apply(store, &options.run, err);
    cli_progress_end(&progress);
    rf_store_close(store);
    rf_status printed = RF_OK;
    if (is_imported && given->json)
        printed = print_json(&summary, err);
    else if (is_imported)
        print_summary(&summary);
    return printed == RF_OK ? status : printed; /* a read model that fails takes no event back */
}

const cli_command cli_import = {
    .name = "import",
    .operands = "STORE [FILE|-|URL]...",
    .summary = "Adds events, one JSON object a line, to the log of STORE.",
    .details =
        "A line is {\"stream\":\"order-1\",\"type\":\"ItemAdded\",\"data\":{...}} and may have\n"
        "version, position, schema, time and metadata. Files are read in their order, .zst and\n"
        ".gz are decompressed; - or no FILE is standard input. An event that is stored already is\n"
        "ignored. A refused line ends the import; what was committed before it stays.\n"
        "A URL is sqlite:PATH or postgresql://...: the events of the store that --preset names, or\n"
        "of a --query. A later import goes on where this one ended; --follow does not end.\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(import_options),
    .operands_min = 1,
    .operands_max = CLI_OPERANDS_MAX,
    .orderly = true,
    .run = run,
};
