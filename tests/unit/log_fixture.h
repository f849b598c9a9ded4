/* A log in a directory of its own, and events for it: shared by the tests of log and append. */
#ifndef RF_TEST_LOG_FIXTURE_H
#define RF_TEST_LOG_FIXTURE_H

#include "base/file.h"
#include "log/append.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIXTURE_PARTITIONS = 4, FIXTURE_EVENTS_MAX = 4096 };

static char fixture_dir[64];
static char fixture_log_path[96];
static rf_log *fixture_log;
static rf_pool *fixture_pool;
static rf_json_parser *fixture_parser;

static rf_event fixture_events[FIXTURE_EVENTS_MAX];
static size_t fixture_event_count;
static char *fixture_texts[2 * FIXTURE_EVENTS_MAX];
static size_t fixture_text_count;

static inline void fixture_open(bool create)
{
    rf_err err = {0};

    cr_assert_eq(rf_log_open(fixture_log_path, FIXTURE_PARTITIONS, create, &fixture_log, &err),
                 RF_OK, "%s", err.message);
}

static inline void fixture_make(void)
{
    rf_err err = {0};

    (void)snprintf(fixture_dir, sizeof fixture_dir, "/tmp/refold-log-XXXXXX");
    cr_assert_not_null(mkdtemp(fixture_dir));
    (void)snprintf(fixture_log_path, sizeof fixture_log_path, "%s/log", fixture_dir);
    fixture_open(true);
    cr_assert_eq(rf_pool_new(0, &fixture_pool, &err), RF_OK, "%s", err.message);
    fixture_parser = rf_json_parser_new();
    cr_assert_not_null(fixture_parser);
}

static inline void fixture_clear_events(void)
{
    for (size_t i = 0; i < fixture_text_count; i++)
        free(fixture_texts[i]);
    fixture_text_count = 0;
    fixture_event_count = 0;
    rf_json_parser_reset(fixture_parser);
}

static inline void fixture_remove(void)
{
    fixture_clear_events();
    rf_json_parser_free(fixture_parser);
    rf_pool_free(fixture_pool);
    rf_log_close(fixture_log);
    cr_assert_eq(rf_dir_remove(fixture_dir, NULL), RF_OK);
}

/* A copy that lives until the events are cleared, with the padding that the parser reads. */
static inline rf_slice fixture_text(const char *text)
{
    size_t size = strlen(text);
    char *copy = calloc(1, size + RF_JSON_PADDING);

    cr_assert_not_null(copy);
    cr_assert_lt(fixture_text_count, 2 * FIXTURE_EVENTS_MAX);
    memcpy(copy, text, size);
    fixture_texts[fixture_text_count++] = copy;
    return (rf_slice){copy, size};
}

/* Adds an event to the block at hand; the caller may change what it returns. */
static inline rf_event *fixture_event(const char *stream, int64_t version, const char *type,
                                      const char *data)
{
    rf_err err = {0};

    cr_assert_lt(fixture_event_count, FIXTURE_EVENTS_MAX);
    rf_event *event = &fixture_events[fixture_event_count++];
    *event = (rf_event){
        .stream = fixture_text(stream),
        .type = rf_slice_of(type),
        .version = version,
        .schema = 1,
        .time = RF_TIME_NONE,
        .data = fixture_text(data),
        .file = RF_SLICE("events.jsonl"),
        .line = fixture_event_count,
    };
    cr_assert_eq(rf_json_parse(fixture_parser, event->data, &event->data_nodes,
                               &event->data_node_count, &err),
                 RF_OK, "%s", err.message);
    return event;
}

static inline rf_appender *fixture_begin(const char *source, bool gaps_allow)
{
    rf_append_options options = {source, gaps_allow};
    rf_appender *appender;
    rf_err err = {0};

    cr_assert_eq(rf_appender_begin(fixture_log, fixture_pool, &options, &appender, &err), RF_OK,
                 "%s", err.message);
    return appender;
}

static inline rf_status fixture_try(rf_appender *appender, rf_err *err)
{
    static rf_event_note notes[FIXTURE_EVENTS_MAX];

    rf_event_notes_take(fixture_events, fixture_event_count, notes);
    return rf_appender_add(appender, fixture_events, notes, fixture_event_count, err);
}

static inline void fixture_add(rf_appender *appender)
{
    rf_err err = {0};

    cr_assert_eq(fixture_try(appender, &err), RF_OK, "%s", err.message);
    fixture_clear_events();
}

static inline void fixture_finish(rf_appender *appender)
{
    rf_err err = {0};

    cr_assert_eq(rf_appender_finish(appender, &err), RF_OK, "%s", err.message);
    rf_appender_free(appender);
}

/* Appends the block at hand in an appender of its own; gives its counts. */
static inline rf_append_counts fixture_append(void)
{
    rf_appender *appender = fixture_begin(NULL, false);
    rf_append_counts counts;
    rf_err err = {0};

    fixture_add(appender);
    cr_assert_eq(rf_appender_finish(appender, &err), RF_OK, "%s", err.message);
    rf_appender_get_counts(appender, &counts);
    rf_appender_free(appender);
    return counts;
}

/* Appends the block at hand, which must be refused with a message that contains `words`. */
static inline void fixture_refuse(bool gaps_allow, const char *words)
{
    rf_appender *appender = fixture_begin(NULL, gaps_allow);
    rf_err err = {0};

    cr_assert_eq(fixture_try(appender, &err), RF_ERR_INPUT);
    cr_assert_not_null(strstr(err.message, words), "%s", err.message);
    rf_appender_free(appender);
    fixture_clear_events();
}

static inline uint64_t fixture_position(void)
{
    rf_log_info info;
    rf_err err = {0};

    cr_assert_eq(rf_log_get_info(fixture_log, &info, &err), RF_OK, "%s", err.message);
    cr_assert_eq(info.events, info.position);
    return info.position;
}

static inline void fixture_report(void *arg, const rf_err *damage)
{
    (void)arg;
    (void)fprintf(stderr, "damage: %s\n", damage->message);
}

static inline rf_status fixture_verify(void)
{
    return rf_log_verify(fixture_log, fixture_report, NULL, NULL);
}

#endif
