/* events: gives the events of the log back, as JSON Lines. */
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/interrupt.h"
#include "cli/output.h"

#include <string.h>

typedef struct events_options {
    const char *stream;
    const char *type;
    cli_count position;
    cli_moment from, until;
    cli_count limit;
    bool json;
} events_options;

static const cli_option table[] = {
    {"stream", "NAME", "only events of this stream", CLI_TEXT, offsetof(events_options, stream), 0,
     0},
    {"type", "NAME", "only events of this type", CLI_TEXT, offsetof(events_options, type), 0, 0},
    {"position", "N", "only the event at this position", CLI_COUNT,
     offsetof(events_options, position), 1, 0},
    {"from", "POSITION|TIME", "from here on, inclusive", CLI_MOMENT, offsetof(events_options, from),
     0, 0},
    {"until", "POSITION|TIME", "up to here, inclusive", CLI_MOMENT, offsetof(events_options, until),
     0, 0},
    {"limit", "N", "at most so many", CLI_COUNT, offsetof(events_options, limit), 0, 0},
    {"json", NULL, "accepted: events are JSON Lines anyway", CLI_FLAG,
     offsetof(events_options, json), 0, 0},
};

static rf_slice slice_of(const char *text)
{
    return text ? (rf_slice){text, strlen(text)} : (rf_slice){NULL, 0};
}

/* False where nothing can match. */
static bool make_query(const events_options *given, rf_event_query *query_out)
{
    rf_event_query query = {
        .stream = slice_of(given->stream),
        .type = slice_of(given->type),
        .from = given->from.position,
        .until = given->until.position,
        .has_time_from = given->from.is_time,
        .time_from = given->from.time,
        .has_time_until = given->until.is_time,
        .time_until = given->until.time,
        .limit = given->limit.value,
    };
    bool until_given = given->until.given && !given->until.is_time;
    if (given->position.given) {
        uint64_t position = given->position.value;
        if (query.from > position || (until_given && query.until < position))
            return false;
        query.from = query.until = position;
    } else if (until_given && (query.until == 0 || query.until < query.from)) {
        return false; /* to the library a zero is no limit */
    }
    *query_out = query;
    return !(given->limit.given && query.limit == 0);
}

static rf_status print_events(rf_events *events, rf_text *text, rf_err *err)
{
    rf_stored_event event;
    rf_status status = rf_events_next(events, &event, err);
    while (status == RF_OK && !cli_output_failed()) {
        rf_text_clear(text);
        rf_text_append_event_json(text, &event);
        rf_text_append(text, RF_SLICE("\n"));
        status = rf_text_check(text, err);
        if (status != RF_OK)
            return status;
        cli_print_bytes(rf_text_bytes(text));
        if (*cli_interrupt_flag())
            return cli_fail(err, RF_ERR_INTERRUPTED, "interrupted");
        status = rf_events_next(events, &event, err);
    }
    return status == RF_ERR_NO_ROW ? RF_OK : status;
}

static rf_status run(const cli_call *call, rf_err *err)
{
    rf_store *store = NULL;
    rf_events *events = NULL;
    rf_event_query query = {0};
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    if (status != RF_OK)
        return status;
    rf_text *text = rf_text_new();
    if (!text)
        status = cli_fail(err, RF_ERR_MEMORY, "out of memory");
    if (status == RF_OK && make_query(call->options, &query)) {
        status = rf_events_open(store, &query, &events, err);
        if (status == RF_OK)
            status = print_events(events, text, err);
        rf_events_close(events);
    }
    rf_text_free(text);
    rf_store_close(store);
    return status;
}

const cli_command cli_events = {
    .name = "events",
    .operands = "STORE",
    .summary = "Prints events as JSON Lines, in the order of their positions.",
    .details = "data and metadata are byte for byte what was imported; position is refold's own,\n"
               "source_position that of the source. Times are RFC 3339: 2024-07-10T12:00:00Z.\n",
    .options = table,
    .option_count = CLI_COUNT_OF(table),
    .options_size = sizeof(events_options),
    .operands_min = 1,
    .operands_max = 1,
    .orderly = true,
    .run = run,
};
