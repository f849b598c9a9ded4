/* Appending by a program; see refold/append.h.
 *
 * Events become lines and go the way of an import, so that they are parsed, checked and stored by the
 * same code; then whoever is not there yet is followed once.
 */
#include "refold/append.h"

#include "event/json.h"
#include "import_lines.h"
#include "refold/follow.h"
#include "refold/text.h"

#include <inttypes.h>
#include <stdio.h>

enum { JSON_BYTES_MAX = 64 << 20 };

static const rf_appending appending_default = {.run = {.wait_lock_ms = -1}};

static rf_status apply(rf_store *store, const rf_appending *appending, uint64_t position,
                       rf_err *err)
{
    const rf_follow_options options = {
        .names = appending->names,
        .name_count = appending->name_count,
        .once = true,
        .share = true,
        .merges_left = appending->merges_left,
        .run = appending->run,
    };

    rf_status status = appending->log_only ? RF_OK : rf_follow(store, &options, err);
    if (status != RF_OK)
        (void)rf_err_suffix(err, "the log has the events, up to position %" PRIu64, position);
    return status;
}

rf_status rf_append_lines(rf_store *store, rf_slice lines, const rf_appending *appending,
                          rf_appended *appended_out, rf_err *err)
{
    const rf_appending *given = appending ? appending : &appending_default;
    const rf_import_options import = {
        .source = given->source,
        .gaps_allow = given->gaps_allow,
        .atomic = true,
        .run = given->run,
    };
    rf_import_summary summary = {0};

    rf_status status = rf_import_lines(store, lines, &import, &summary, err);
    if (appended_out)
        *appended_out = status == RF_OK
                            ? (rf_appended){summary.position, summary.added, summary.duplicates}
                            : (rf_appended){.position = summary.position};
    return status == RF_OK ? apply(store, given, summary.position, err) : status;
}

/* Events on their way to lines. */
typedef struct writing {
    rf_text *text;
    rf_json_parser *parser;
    rf_buf copy; /* of a value, with padding behind */
} writing;

/* One value and nothing behind it: else it could be taken for more members of the event. */
static rf_status check_json(writing *run, rf_slice json, rf_err *err)
{
    const rf_json_node *nodes;
    uint32_t count;

    rf_buf_clear(&run->copy);
    rf_buf_append_slice(&run->copy, json);
    char *padding = rf_buf_reserve(&run->copy, RF_JSON_PADDING);
    if (padding)
        memset(padding, 0, RF_JSON_PADDING);
    rf_status status = rf_buf_check(&run->copy, "an event", err);
    rf_json_parser_reset(run->parser);
    return status == RF_OK
               ? rf_json_parse(run->parser, rf_buf_slice(&run->copy), &nodes, &count, err)
               : status;
}

/* On one line: what separates lines is no more than a blank outside of texts, and never inside. */
static rf_status append_json(writing *run, const char *member, rf_slice json, size_t index,
                             rf_err *err)
{
    rf_text *text = run->text;
    size_t begin = 0;

    rf_status status = check_json(run, json, err);
    if (status != RF_OK)
        return rf_err_context(err, "event %zu, %s", index + 1, member);
    rf_text_append(text, RF_SLICE(",\""));
    rf_text_append(text, rf_slice_of(member));
    rf_text_append(text, RF_SLICE("\":"));
    for (size_t i = 0; i < json.size; i++) {
        if (json.data[i] != '\n' && json.data[i] != '\r')
            continue;
        rf_text_append(text, (rf_slice){json.data + begin, i - begin});
        rf_text_append(text, RF_SLICE(" "));
        begin = i + 1;
    }
    rf_text_append(text, (rf_slice){json.data + begin, json.size - begin});
    return RF_OK;
}

static void append_number(rf_text *text, const char *name, int64_t value)
{
    char member[64];
    int size = snprintf(member, sizeof member, ",\"%s\":%lld", name, (long long)value);

    rf_text_append(text, (rf_slice){member, (size_t)size});
}

static rf_status append_event(writing *run, const rf_new_event *event, size_t index, rf_err *err)
{
    rf_text *text = run->text;

    if (!event->stream.data || !event->type.data || event->data.size == 0)
        return rf_fail(err, RF_ERR_USAGE, "event %zu lacks its stream, type or data", index + 1);
    rf_text_append(text, RF_SLICE("{\"stream\":"));
    rf_text_append_json_string(text, event->stream);
    rf_text_append(text, RF_SLICE(",\"type\":"));
    rf_text_append_json_string(text, event->type);
    if (event->has_version)
        append_number(text, "version", event->version);
    if (event->schema != 0)
        append_number(text, "schema", event->schema);
    if (event->has_time && event->time != RF_TIME_NONE) {
        rf_text_append(text, RF_SLICE(",\"time\":\""));
        rf_text_append_time(text, event->time);
        rf_text_append(text, RF_SLICE("\""));
    }
    rf_status status = append_json(run, "data", event->data, index, err);
    if (status == RF_OK && event->metadata.data)
        status = append_json(run, "metadata", event->metadata, index, err);
    rf_text_append(text, RF_SLICE("}\n"));
    return status == RF_OK ? rf_text_check(text, err) : status;
}

rf_status rf_append_events(rf_store *store, const rf_new_event *events, size_t count,
                           const rf_appending *appending, rf_appended *appended_out, rf_err *err)
{
    writing run = {rf_text_new(), rf_json_parser_new(), {0}};
    rf_status status = RF_OK;

    rf_buf_init(&run.copy, JSON_BYTES_MAX);
    if (!run.text || !run.parser)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for %zu events", count);
    if (appended_out)
        *appended_out = (rf_appended){0};
    for (size_t i = 0; status == RF_OK && i < count; i++)
        status = append_event(&run, &events[i], i, err);
    if (status != RF_OK)
        (void)rf_err_suffix(err, "nothing was added");
    else
        status = rf_append_lines(store, rf_text_bytes(run.text), appending, appended_out, err);
    rf_text_free(run.text);
    rf_json_parser_free(run.parser);
    rf_buf_free(&run.copy);
    return status;
}
