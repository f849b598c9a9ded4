/* append.h: identity, gaps, late events, blocks and commits, merges of small segments. */
#include "log_fixture.h"

#include "log/identity.h"
#include "log/record.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

TestSuite(append, .init = fixture_make, .fini = fixture_remove);

Test(append, gives_positions_in_the_order_of_the_events)
{
    for (int i = 0; i < 10; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "order-%d", i);
        (void)fixture_event(name, 1, "OrderPlaced", "{\"total\":12}");
    }
    rf_append_counts counts = fixture_append();
    cr_assert_eq(counts.added, 10);
    cr_assert_eq(counts.streams, 10);
    cr_assert_eq(counts.position, 10);
    cr_assert_eq(fixture_verify(), RF_OK);
    (void)fixture_event("order-0", 2, "ItemAdded", "{\"qty\":1}");
    counts = fixture_append();
    cr_assert_eq(counts.position, 11);
    cr_assert_eq(counts.streams, 0);
    cr_assert_eq(fixture_verify(), RF_OK);
}

Test(append, accepts_a_stream_that_begins_at_version_0_or_1)
{
    (void)fixture_event("a", 0, "T", "{}");
    (void)fixture_event("a", 1, "T", "{}");
    (void)fixture_event("b", 1, "T", "{}");
    cr_assert_eq(fixture_append().added, 3);
}

Test(append, refuses_a_stream_that_begins_at_version_2)
{
    (void)fixture_event("a", 2, "T", "{}");
    fixture_refuse(false, "events.jsonl:1: stream a: it begins at version 2, not 0 or 1");
    cr_assert_eq(fixture_position(), 0);
}

Test(append, refuses_a_gap_and_keeps_nothing_of_the_batch)
{
    (void)fixture_event("order-7", 1, "T", "{}");
    (void)fixture_event("order-7", 5, "T", "{}");
    fixture_refuse(false, "events.jsonl:2: stream order-7: version 5 after 1 (a gap)");
    cr_assert_eq(fixture_position(), 0);
    cr_assert_eq(fixture_verify(), RF_OK);
}

Test(append, records_gaps_where_they_are_allowed)
{
    (void)fixture_event("a", 3, "T", "{}");
    (void)fixture_event("a", 9, "T", "{}");
    rf_appender *appender = fixture_begin(NULL, true);
    fixture_add(appender);
    fixture_finish(appender);
    cr_assert_eq(fixture_position(), 2);
    cr_assert_eq(fixture_verify(), RF_OK);
    (void)fixture_event("a", 5, "T", "{}");
    fixture_refuse(true, "version 5 is not stored, but 9 is already");
}

Test(append, refuses_a_version_that_is_out_of_range)
{
    (void)fixture_event("a", -3, "T", "{}");
    fixture_refuse(true, "version -3 is out of range");
    (void)fixture_event("a", INT64_MAX, "T", "{}");
    fixture_refuse(true, "is out of range");
}

Test(append, ignores_and_counts_a_duplicate_of_a_committed_event)
{
    fixture_event("a", 1, "T", "{\"x\":1}")->time = 5;
    (void)fixture_append();
    fixture_event("a", 1, "T", "{\"x\":1}")->time = 5;
    rf_append_counts counts = fixture_append();
    cr_assert_eq(counts.added, 0);
    cr_assert_eq(counts.duplicates, 1);
    cr_assert_eq(counts.position, 1);
}

Test(append, refuses_other_content_for_a_stored_version_in_every_member)
{
    static const char stored[] = "stream a, version 1 is stored with other content (position 1)";

    (void)fixture_event("a", 1, "T", "{\"x\":1}");
    (void)fixture_append();
    (void)fixture_event("a", 1, "T", "{\"x\":2}");
    fixture_refuse(false, stored);
    (void)fixture_event("a", 1, "U", "{\"x\":1}");
    fixture_refuse(false, stored);
    fixture_event("a", 1, "T", "{\"x\":1}")->schema = 2;
    fixture_refuse(false, stored);
    fixture_event("a", 1, "T", "{\"x\":1}")->time = 0;
    fixture_refuse(false, stored);
    rf_event *event = fixture_event("a", 1, "T", "{\"x\":1}");
    event->metadata = event->data;
    event->metadata_nodes = event->data_nodes;
    event->metadata_node_count = event->data_node_count;
    fixture_refuse(false, stored);
    cr_assert_eq(fixture_position(), 1);
}

Test(append, finds_duplicates_within_a_block_within_a_batch_and_in_pending_segments)
{
    rf_appender *appender = fixture_begin(NULL, false);
    rf_append_counts counts;

    (void)fixture_event("a", 1, "T", "{\"x\":1}");
    (void)fixture_event("a", 1, "T", "{\"x\":1}"); /* of the same block */
    (void)fixture_event("a", 2, "T", "{\"x\":2}");
    fixture_add(appender);
    (void)fixture_event("a", 2, "T", "{\"x\":2}"); /* of the open builder, which is finished */
    (void)fixture_event("a", 3, "T", "{\"x\":3}");
    fixture_add(appender);
    (void)fixture_event("a", 1, "T", "{\"x\":1}"); /* of a finished segment */
    (void)fixture_event("a", 3, "T", "{\"x\":3}");
    fixture_add(appender);
    cr_assert_eq(rf_appender_commit(appender, NULL), RF_OK);
    rf_appender_get_counts(appender, &counts);
    cr_assert_eq(counts.added, 3);
    cr_assert_eq(counts.duplicates, 4);
    (void)fixture_event("a", 2, "T", "{\"x\":2}");
    fixture_add(appender);
    fixture_finish(appender);
    cr_assert_eq(fixture_position(), 3);
    cr_assert_eq(fixture_verify(), RF_OK);
}

Test(append, refuses_other_content_within_a_block_and_names_both_lines)
{
    (void)fixture_event("a", 1, "T", "{\"x\":1}");
    (void)fixture_event("a", 1, "T", "{\"x\":2}");
    fixture_refuse(false, "events.jsonl:2: stream a, version 1 is stored with other content "
                          "(events.jsonl:1)");
}

Test(append, finds_the_changed_one_among_duplicates_in_another_order)
{
    for (int i = 1; i <= 300; i++)
        (void)fixture_event("a", i, "T", i % 2 ? "{\"x\":1}" : "{\"x\":2}");
    (void)fixture_append();
    for (int i = 300; i > 0; i--)
        (void)fixture_event("a", i, "T", i % 2 ? "{\"x\":1}" : "{\"x\":2}");
    cr_assert_eq(fixture_append().duplicates, 300);
    for (int i = 300; i > 0; i--)
        (void)fixture_event("a", i, "T", i % 2 || i == 120 ? "{\"x\":1}" : "{\"x\":2}");
    fixture_refuse(false, "events.jsonl:181: stream a, version 120 is stored with other content "
                          "(position 120)");
}

/* Equal fingerprints of unequal events are too rare to make, so the comparison is called by itself.
 */
Test(append, compares_bytes_where_fingerprints_are_equal)
{
    uint32_t partition;
    rf_stream_name name;
    rf_kv_txn *txn;
    bool found;
    bool same = true;

    (void)fixture_event("a", 1, "T", "{\"x\":1}");
    (void)fixture_append();
    cr_assert_eq(rf_log_find_stream(fixture_log, RF_SLICE("a"), &partition, &name, &found, NULL),
                 RF_OK);
    rf_identity *identity = rf_identity_new(partition, RF_LOG_SEGMENTS, 1 << 20);
    cr_assert_eq(rf_kv_begin(rf_log_kv(fixture_log), false, &txn, NULL), RF_OK);
    cr_assert_eq(
        rf_identity_same(identity, txn, 1, fixture_event("a", 1, "T", "{\"x\":2}"), &same, NULL),
        RF_OK);
    cr_assert_not(same);
    cr_assert_eq(
        rf_identity_same(identity, txn, 1, fixture_event("a", 1, "T", "{\"x\":1}"), &same, NULL),
        RF_OK);
    cr_assert(same);
    cr_assert_eq(rf_identity_same(identity, txn, 2, fixture_event("a", 1, "T", "{}"), &same, NULL),
                 RF_ERR_DAMAGED);
    rf_kv_abort(txn);
    rf_identity_free(identity);
}

Test(append, refuses_other_content_within_a_batch)
{
    rf_appender *appender = fixture_begin(NULL, false);
    rf_err err = {0};

    (void)fixture_event("a", 1, "T", "{\"x\":1}");
    fixture_add(appender);
    (void)fixture_event("a", 1, "T", "{\"x\":2}");
    cr_assert_eq(fixture_try(appender, &err), RF_ERR_INPUT);
    cr_assert_eq(err.position, 1);
    rf_appender_free(appender);
    cr_assert_eq(fixture_position(), 0);
}

Test(append, gives_versions_from_1_where_there_are_none)
{
    for (int i = 0; i < 3; i++)
        (void)fixture_event("a", RF_VERSION_NONE, "T", "{}");
    cr_assert_eq(fixture_append().added, 3);
    (void)fixture_event("a", RF_VERSION_NONE, "T", "{}"); /* without source position: always new */
    cr_assert_eq(fixture_append().added, 1);
    (void)fixture_event("a", 4, "T", "{}");
    cr_assert_eq(fixture_append().duplicates, 1);
    cr_assert_eq(fixture_verify(), RF_OK);
}

Test(append, knows_events_without_version_by_their_source_position)
{
    fixture_event("a", RF_VERSION_NONE, "T", "{\"x\":1}")->source_position = 10;
    fixture_event("a", RF_VERSION_NONE, "T", "{\"x\":2}")->source_position = 20;
    fixture_event("a", RF_VERSION_NONE, "T", "{\"x\":2}")->source_position = 20;
    rf_append_counts counts = fixture_append();
    cr_assert_eq(counts.added, 2);
    cr_assert_eq(counts.duplicates, 1);
    fixture_event("a", RF_VERSION_NONE, "T", "{\"x\":1}")->source_position = 10;
    cr_assert_eq(fixture_append().duplicates, 1);
    fixture_event("a", RF_VERSION_NONE, "T", "{\"x\":9}")->source_position = 20;
    fixture_refuse(false, "stream a, source position 20 is stored with other content (position 2)");
}

Test(append, knows_events_by_ids_which_are_no_positions)
{
    rf_log_source *sources;
    uint32_t count;

    fixture_event("a", RF_VERSION_NONE, "T", "{\"x\":1}")->source_position = RF_EVENT_ID | 77;
    fixture_event("a", RF_VERSION_NONE, "T", "{\"x\":2}")->source_position = RF_EVENT_ID | 5;
    fixture_event("b", RF_VERSION_NONE, "T", "{\"x\":1}")->source_position = RF_EVENT_ID | 77;
    fixture_event("a", RF_VERSION_NONE, "T", "{\"x\":1}")->source_position = RF_EVENT_ID | 77;
    rf_append_counts counts = fixture_append();
    cr_assert_eq(counts.added, 3);
    cr_assert_eq(counts.duplicates, 1);
    fixture_event("a", RF_VERSION_NONE, "T", "{\"x\":3}")->source_position = RF_EVENT_ID | 6;
    fixture_event("a", RF_VERSION_NONE, "T", "{\"x\":2}")->source_position = RF_EVENT_ID | 5;
    counts = fixture_append();
    cr_assert_eq(counts.added, 1);
    cr_assert_eq(counts.duplicates, 1);
    cr_assert_eq(counts.late, 0);
    cr_assert_eq(rf_log_sources(fixture_log, &sources, &count, NULL), RF_OK);
    cr_assert_eq(sources[0].mark, 0);
    free(sources);
    fixture_event("a", RF_VERSION_NONE, "T", "{\"x\":9}")->source_position = RF_EVENT_ID | 6;
    fixture_refuse(false, "stream a, an event with its id is stored with other content (position 4)");
    cr_assert_eq(fixture_verify(), RF_OK);
}

Test(append, knows_ids_wherever_their_events_are)
{
    enum { COUNT = 3000, BLOCK = 100 };

    /* Committed, in finished segments, in the builder and in the block; every event comes twice. */
    for (int round = 0; round < 3; round++) {
        rf_appender *appender = fixture_begin(NULL, false);
        for (int first = 0; first < COUNT; first += BLOCK) {
            for (int k = 0; k < BLOCK; k++) {
                int n = round < 2 ? round * (COUNT / 2) + (first + k) / 2 : first + k;
                char data[32];
                (void)snprintf(data, sizeof data, "{\"n\":%d}", n);
                fixture_event("a", RF_VERSION_NONE, "T", data)->source_position =
                    RF_EVENT_ID | ((uint64_t)n * UINT64_C(0x9e3779b97f4a7c15) >> 5);
            }
            fixture_add(appender);
            if (first % (10 * BLOCK) == 0)
                cr_assert_eq(rf_appender_commit(appender, NULL), RF_OK);
        }
        fixture_finish(appender);
        cr_assert_eq(fixture_position(), round == 0 ? COUNT / 2 : COUNT);
    }
    cr_assert_eq(fixture_verify(), RF_OK);
}

Test(append, counts_an_event_below_the_mark_as_late)
{
    fixture_event("a", 1, "T", "{}")->source_position = 10;
    (void)fixture_append();
    fixture_event("b", 1, "T", "{}")->source_position = 7;
    fixture_event("a", RF_VERSION_NONE, "T", "{}")->source_position = 8;
    rf_append_counts counts = fixture_append();
    cr_assert_eq(counts.added, 2);
    cr_assert_eq(counts.late, 2);
    cr_assert_eq(counts.position, 3);
}

Test(append, keeps_marks_and_counts_by_source)
{
    rf_log_source *sources;
    uint32_t count;

    fixture_event("a", 1, "T", "{}")->source_position = 10;
    (void)fixture_append();
    rf_appender *appender = fixture_begin("billing", false);
    fixture_event("b", RF_VERSION_NONE, "T", "{}")->source_position = 10;
    fixture_add(appender);
    fixture_finish(appender);
    cr_assert_eq(rf_log_sources(fixture_log, &sources, &count, NULL), RF_OK);
    cr_assert_eq(count, 2);
    cr_assert_str_eq(sources[0].name, "main");
    cr_assert_str_eq(sources[1].name, "billing");
    cr_assert_eq(sources[1].mark, 10);
    cr_assert_eq(sources[1].events, 1);
    free(sources);
    cr_assert_eq(fixture_verify(), RF_OK);
}

Test(append, keeps_the_cursor_of_a_source_in_the_commit_with_its_events)
{
    rf_log_source *sources;
    uint32_t count;
    char longest[RF_LOG_CURSOR_SIZE_MAX];
    rf_append_counts counts;

    memset(longest, 'x', sizeof longest);
    fixture_event("a", 1, "T", "{}")->source_position = 10;
    rf_appender *appender = fixture_begin("shop", false);
    fixture_add(appender);
    cr_assert_eq(rf_appender_set_cursor(appender, RF_SLICE("10 abc"), NULL), RF_OK);
    rf_appender_free(appender); /* not committed */
    cr_assert_eq(rf_log_sources(fixture_log, &sources, &count, NULL), RF_OK);
    cr_assert_eq(count, 0);
    free(sources);

    fixture_event("a", 1, "T", "{}")->source_position = 10;
    appender = fixture_begin("shop", false);
    fixture_add(appender);
    cr_assert_eq(rf_appender_set_cursor(appender, RF_SLICE("10 abc"), NULL), RF_OK);
    fixture_finish(appender);
    cr_assert_eq(rf_log_sources(fixture_log, &sources, &count, NULL), RF_OK);
    cr_assert_str_eq(sources[0].cursor, "10 abc");
    free(sources);

    /* Without an event, as where all that was read is stored already, it is kept all the same. */
    fixture_event("a", 1, "T", "{}")->source_position = 10;
    appender = fixture_begin("shop", false);
    fixture_add(appender);
    cr_assert_eq(rf_appender_set_cursor(appender, (rf_slice){longest, sizeof longest}, NULL), RF_OK);
    cr_assert_eq(rf_appender_commit(appender, NULL), RF_OK);
    rf_appender_get_counts(appender, &counts);
    cr_assert_eq(counts.added, 0);
    cr_assert_eq(counts.duplicates, 1);
    rf_appender_free(appender);
    rf_log_close(fixture_log);
    fixture_open(false);
    cr_assert_eq(rf_log_sources(fixture_log, &sources, &count, NULL), RF_OK);
    cr_assert_eq(count, 1);
    cr_assert_eq(sources[0].mark, 10);
    cr_assert_eq(sources[0].events, 1);
    cr_assert_eq(sources[0].cursor_size, sizeof longest);
    cr_assert_eq(memcmp(sources[0].cursor, longest, sizeof longest), 0);
    free(sources);
    cr_assert_eq(fixture_verify(), RF_OK);
}

Test(append, begins_a_source_with_a_cursor_alone)
{
    rf_log_source *sources;
    uint32_t count;

    rf_appender *appender = fixture_begin("empty", false);
    cr_assert_eq(rf_appender_set_cursor(appender, RF_SLICE("nothing there yet"), NULL), RF_OK);
    fixture_finish(appender);
    (void)fixture_event("a", 1, "T", "{}");
    (void)fixture_append();
    cr_assert_eq(rf_log_sources(fixture_log, &sources, &count, NULL), RF_OK);
    cr_assert_eq(count, 2);
    cr_assert_str_eq(sources[0].name, "empty");
    cr_assert_str_eq(sources[0].cursor, "nothing there yet");
    cr_assert_eq(sources[0].events, 0);
    cr_assert_str_eq(sources[1].name, "main");
    free(sources);
    cr_assert_eq(fixture_verify(), RF_OK);
}

Test(append, refuses_names_of_sources_that_are_too_long_or_empty)
{
    rf_appender *appender;
    rf_append_options options = {"", false};
    char long_name[80];

    cr_assert_eq(rf_appender_begin(fixture_log, fixture_pool, &options, &appender, NULL),
                 RF_ERR_INPUT);
    memset(long_name, 'a', sizeof long_name);
    long_name[64] = '\0';
    options.source = long_name;
    cr_assert_eq(rf_appender_begin(fixture_log, fixture_pool, &options, &appender, NULL),
                 RF_ERR_INPUT);
}

Test(append, keeps_what_was_committed_before_a_refusal)
{
    rf_appender *appender = fixture_begin(NULL, false);
    rf_err err = {0};

    (void)fixture_event("a", 1, "T", "{}");
    fixture_add(appender);
    cr_assert_eq(rf_appender_commit(appender, NULL), RF_OK);
    (void)fixture_event("a", 2, "T", "{}");
    fixture_add(appender);
    (void)fixture_event("a", 9, "T", "{}");
    cr_assert_eq(fixture_try(appender, &err), RF_ERR_INPUT);
    rf_appender_free(appender);
    cr_assert_eq(fixture_position(), 1);
    (void)fixture_event("a", 2, "T", "{}");
    fixture_clear_events();
    (void)fixture_event("a", 2, "T", "{}");
    cr_assert_eq(fixture_append().added, 1);
}

Test(append, reports_the_lowest_refused_event_for_any_number_of_workers)
{
    for (uint32_t workers = 0; workers < 4; workers++) {
        rf_pool_free(fixture_pool);
        cr_assert_eq(rf_pool_new(workers, &fixture_pool, NULL), RF_OK);
        for (int i = 0; i < 200; i++) {
            char name[16];
            (void)snprintf(name, sizeof name, "s-%d", i);
            (void)fixture_event(name, i < 60 ? 1 : 3, "T", "{}");
        }
        fixture_refuse(false, "events.jsonl:61: stream s-60");
    }
}

Test(append, sees_what_another_appender_committed_in_between)
{
    rf_appender *first = fixture_begin(NULL, false);
    rf_append_counts counts;

    (void)fixture_event("a", 1, "T", "{}");
    fixture_add(first);
    cr_assert_eq(rf_appender_commit(first, NULL), RF_OK);
    (void)fixture_event("a", 2, "T", "{\"x\":2}");
    (void)fixture_event("b", 1, "T", "{}");
    (void)fixture_append();
    (void)fixture_event("a", 2, "T", "{\"x\":2}");
    (void)fixture_event("a", 3, "T", "{}");
    fixture_add(first);
    cr_assert_eq(rf_appender_commit(first, NULL), RF_OK);
    rf_appender_get_counts(first, &counts);
    cr_assert_eq(counts.duplicates, 1);
    cr_assert_eq(counts.position, 4);
    rf_appender_free(first);
    cr_assert_eq(fixture_verify(), RF_OK);
}

Test(append, refuses_to_go_on_from_a_log_that_another_appender_changed_under_it)
{
    rf_appender *first = fixture_begin(NULL, false);
    rf_append_counts counts;
    rf_err err = {0};

    (void)fixture_event("a", 1, "T", "{}");
    fixture_add(first);
    (void)fixture_event("a", 1, "T", "{}");
    (void)fixture_append();
    cr_assert_eq(rf_appender_commit(first, &err), RF_ERR_LOCKED);
    cr_assert_not_null(strstr(err.message, "another process appended"), "%s", err.message);
    rf_appender_get_counts(first, &counts);
    cr_assert_eq(counts.added, 0);
    rf_appender_free(first);
    cr_assert_eq(fixture_position(), 1);
    cr_assert_eq(fixture_verify(), RF_OK);
}

/* Has LMDB's write lock, which keeps a commit that was begun on its way. */
typedef struct holder {
    pthread_t thread;
    atomic_bool holds;
    atomic_bool may_end;
    long ms; /* that it keeps it; 0: until may_end */
} holder;

static void *hold(void *arg)
{
    holder *of = arg;
    rf_kv_txn *txn;
    const struct timespec step = {0, 1000000};

    if (rf_kv_begin(rf_log_kv(fixture_log), true, &txn, NULL) != RF_OK)
        return NULL;
    atomic_store(&of->holds, true);
    for (long ms = 0; of->ms ? ms < of->ms : !atomic_load(&of->may_end); ms++)
        (void)nanosleep(&step, NULL);
    rf_kv_abort(txn);
    return NULL;
}

static void hold_begin(holder *of)
{
    const struct timespec step = {0, 1000000};

    cr_assert_eq(pthread_create(&of->thread, NULL, hold, of), 0);
    while (!atomic_load(&of->holds))
        (void)nanosleep(&step, NULL);
}

static void hold_end(holder *of)
{
    atomic_store(&of->may_end, true);
    cr_assert_eq(pthread_join(of->thread, NULL), 0);
}

static void use_workers(uint32_t workers)
{
    rf_pool_free(fixture_pool);
    cr_assert_eq(rf_pool_new(workers, &fixture_pool, NULL), RF_OK);
}

Test(append, adds_to_what_a_commit_on_its_way_writes)
{
    for (uint32_t workers = 1; workers < 4; workers++) {
        holder lock = {.holds = false};
        rf_append_counts counts;
        use_workers(workers);
        rf_appender *appender = fixture_begin(NULL, false);
        uint64_t before = fixture_position();
        char name[16];
        (void)snprintf(name, sizeof name, "a-%u", workers);
        hold_begin(&lock);
        (void)fixture_event(name, 1, "T", "{\"x\":1}");
        fixture_add(appender);
        cr_assert_eq(rf_appender_commit_begin(appender, NULL), RF_OK);
        cr_assert_gt(rf_appender_pending_bytes(appender), 0, "it is still in memory");
        (void)fixture_event(name, 2, "T", "{\"x\":2}");
        (void)fixture_event("b", RF_VERSION_NONE, "T", "{}");
        fixture_add(appender);
        rf_appender_get_counts(appender, &counts);
        cr_assert_eq(counts.added, 0, "what is not durable is not told of");
        cr_assert_eq(fixture_position(), before);
        hold_end(&lock);
        uint64_t bytes = rf_appender_pending_bytes(appender);
        cr_assert_eq(rf_appender_settle(appender, NULL), RF_OK);
        cr_assert_lt(rf_appender_pending_bytes(appender), bytes);
        rf_appender_get_counts(appender, &counts);
        cr_assert_eq(counts.added, 1);
        cr_assert_eq(counts.position, before + 1);
        cr_assert_eq(fixture_position(), before + 1);
        fixture_finish(appender);
        cr_assert_eq(fixture_position(), before + 3);
        cr_assert_eq(fixture_verify(), RF_OK);
    }
}

Test(append, finds_duplicates_of_what_a_commit_on_its_way_writes)
{
    for (uint32_t workers = 1; workers < 4; workers++) {
        holder lock = {.ms = 30};
        rf_append_counts counts;
        rf_err err = {0};
        use_workers(workers);
        rf_appender *appender = fixture_begin(NULL, false);
        char name[16];
        for (int k = 0; k < 20; k++) {
            (void)snprintf(name, sizeof name, "s-%u-%d", workers, k);
            (void)fixture_event(name, 1, "T", "{\"x\":1}");
        }
        fixture_add(appender);
        hold_begin(&lock);
        cr_assert_eq(rf_appender_commit_begin(appender, NULL), RF_OK);
        for (int k = 0; k < 20; k++) {
            (void)snprintf(name, sizeof name, "s-%u-%d", workers, k);
            (void)fixture_event(name, 1, "T", "{\"x\":1}");
            (void)fixture_event(name, 2, "T", "{\"x\":2}");
        }
        fixture_add(appender);
        hold_end(&lock);
        (void)fixture_event(name, 1, "T", "{\"x\":3}");
        cr_assert_eq(rf_appender_commit_begin(appender, NULL), RF_OK);
        cr_assert_eq(fixture_try(appender, &err), RF_ERR_INPUT);
        fixture_clear_events();
        cr_assert_not_null(strstr(err.message, "is stored with other content"), "%s", err.message);
        cr_assert_eq(rf_appender_settle(appender, NULL), RF_OK);
        rf_appender_get_counts(appender, &counts);
        cr_assert_eq(counts.added, 40);
        cr_assert_eq(counts.duplicates, 20);
        rf_appender_free(appender);
        cr_assert_eq(fixture_position(), (uint64_t)workers * 40);
        cr_assert_eq(fixture_verify(), RF_OK);
    }
}

Test(append, tells_of_a_commit_that_failed_on_its_way_before_all_that_came_after)
{
    rf_append_counts counts;
    rf_err err = {0};
    bool refused = false;

    use_workers(2);
    rf_appender *appender = fixture_begin(NULL, false);
    (void)fixture_event("a", 1, "T", "{}");
    fixture_add(appender);
    (void)fixture_event("z", 1, "T", "{}");
    (void)fixture_append();
    cr_assert_eq(rf_appender_commit_begin(appender, NULL), RF_OK);
    for (int64_t version = 2; version < 1000 && !refused; version++) {
        (void)fixture_event("a", version, "T", "{}");
        refused = fixture_try(appender, &err) != RF_OK;
        fixture_clear_events();
    }
    if (!refused)
        cr_assert_neq(rf_appender_settle(appender, &err), RF_OK);
    cr_assert_eq(err.status, RF_ERR_LOCKED, "%s", err.message);
    cr_assert_eq(rf_appender_settle(appender, NULL), RF_OK, "there is no other");
    rf_appender_get_counts(appender, &counts);
    cr_assert_eq(counts.added, 0);
    rf_appender_free(appender);
    cr_assert_eq(fixture_position(), 1);
}

/* The events [begin, end) of a made-up log. */
static void make_range(int begin, int end)
{
    for (int i = begin; i < end; i++) {
        char name[24];
        char data[64];
        (void)snprintf(name, sizeof name, "order-%d", i % 37);
        (void)snprintf(data, sizeof data, "{\"n\":%d,\"text\":\"event %d\"}", i, i);
        fixture_event(name, RF_VERSION_NONE, i % 3 ? "ItemAdded" : "OrderPlaced", data)->time =
            (int64_t)i * 1000;
        fixture_events[fixture_event_count - 1].source_position = (uint64_t)i + 1;
    }
}

/* Appends them, each call an import of its own. */
static void append_range(int begin, int end)
{
    make_range(begin, end);
    if (end > begin)
        (void)fixture_append();
}

/* One number for all that the log gives back, by stream name, in position order. */
static uint64_t log_digest(void)
{
    uint64_t sum = 0;
    rf_payload_reader *reader = NULL;
    rf_log_scan *scan;
    static int64_t columns[3][RF_SEGMENT_EVENTS_MAX];

    cr_assert_eq(rf_log_scan_open(fixture_log, 0, 1, UINT64_MAX, &scan, NULL), RF_OK);
    for (uint32_t p = 0; p < FIXTURE_PARTITIONS; p++) {
        cr_assert_eq(rf_log_scan_restart(scan, p, 1, UINT64_MAX - 1, NULL), RF_OK);
        while (true) {
            rf_log_step step;
            bool found;
            cr_assert_eq(rf_log_scan_next(scan, &step, &found, NULL), RF_OK);
            if (!found)
                break;
            static const rf_envelope which[] = {RF_ENVELOPE_POSITION, RF_ENVELOPE_VERSION,
                                                RF_ENVELOPE_TIME};
            for (int c = 0; c < 3; c++)
                cr_assert_eq(rf_segment_envelope(&step.segment, which[c], columns[c], NULL, NULL),
                             RF_OK);
            reader = rf_payload_reader_new();
            for (uint32_t i = step.begin; i < step.end; i++) {
                rf_slice data, metadata;
                cr_assert_eq(
                    rf_payload_read(reader, &step.segment, i, &data, &metadata, NULL, NULL), RF_OK);
                uint64_t hash = 14695981039346656037u;
                for (size_t b = 0; b < data.size; b++)
                    hash = (hash ^ (unsigned char)data.data[b]) * 1099511628211u;
                for (int c = 0; c < 3; c++)
                    hash = (hash ^ (uint64_t)columns[c][i]) * 1099511628211u;
                sum += hash * (p + 1);
            }
            rf_payload_reader_free(reader);
        }
    }
    rf_log_scan_close(scan);
    return sum;
}

static void start_anew(void)
{
    rf_log_close(fixture_log);
    cr_assert_eq(rf_dir_remove(fixture_log_path, NULL), RF_OK);
    fixture_open(true);
}

Test(append, gives_the_same_log_for_any_workers_and_any_cut_into_imports)
{
    enum { EVENTS = 2000 };
    append_range(0, EVENTS);
    uint64_t digest = log_digest();
    for (uint32_t workers = 0; workers < 4; workers++) {
        rf_pool_free(fixture_pool);
        cr_assert_eq(rf_pool_new(workers, &fixture_pool, NULL), RF_OK);
        start_anew();
        for (int at = 0; at < EVENTS; at += 333)
            append_range(at, at + 333 < EVENTS ? at + 333 : EVENTS);
        cr_assert_eq(log_digest(), digest);
    }
    cr_assert_eq(fixture_verify(), RF_OK);
}

Test(append, gives_the_same_log_where_only_some_partitions_of_a_block_have_duplicates)
{
    enum { EVENTS = 900, BLOCK = 3 };
    append_range(0, EVENTS);
    uint64_t digest = log_digest();
    for (uint32_t workers = 0; workers < 3; workers++) {
        use_workers(workers);
        start_anew();
        rf_appender *appender = fixture_begin(NULL, false);
        for (int at = 0; at < EVENTS; at += BLOCK) {
            /* One that is there, then new ones of other streams: their positions follow its lack. */
            make_range(at > 0 ? at - 1 : 0, at + BLOCK);
            fixture_add(appender);
        }
        fixture_finish(appender);
        cr_assert_eq(log_digest(), digest);
        cr_assert_eq(fixture_verify(), RF_OK);
    }
}

Test(append, gives_the_same_log_where_commits_are_on_their_way_while_events_are_added)
{
    enum { EVENTS = 2000, BLOCK = 50 };
    append_range(0, EVENTS);
    uint64_t digest = log_digest();
    for (uint32_t workers = 0; workers < 4; workers++) {
        use_workers(workers);
        start_anew();
        rf_appender *appender = fixture_begin(NULL, false);
        for (int at = 0; at < EVENTS; at += BLOCK) {
            /* What comes a second time is in blocks that are built, on their way or stored. */
            make_range(at > 3 * BLOCK ? at - 3 * BLOCK : 0, at + BLOCK);
            fixture_add(appender);
            if (at % (2 * BLOCK) == 0)
                cr_assert_eq(rf_appender_commit_begin(appender, NULL), RF_OK);
        }
        fixture_finish(appender);
        cr_assert_eq(log_digest(), digest);
        cr_assert_eq(fixture_verify(), RF_OK);
    }
}

Test(append, merges_the_segments_of_2000_imports_of_one_event, .timeout = 100)
{
    enum { EVENTS = 2000 };
    rf_log_info info;

    append_range(0, EVENTS);
    uint64_t digest = log_digest();
    start_anew();
    for (int i = 0; i < EVENTS; i++)
        append_range(i, i + 1);
    cr_assert_eq(log_digest(), digest);
    cr_assert_eq(rf_log_get_info(fixture_log, &info, NULL), RF_OK);
    /* 500 a partition: at most 15 merged ones and 31 that wait for their merge. */
    cr_assert_leq(info.segments, FIXTURE_PARTITIONS * (EVENTS / FIXTURE_PARTITIONS / 32 + 2 + 31));
    cr_assert_eq(fixture_verify(), RF_OK);
    /* All of them are known, merged or not. */
    for (int i = 0; i < EVENTS; i++) {
        char name[24];
        char data[64];
        (void)snprintf(name, sizeof name, "order-%d", i % 37);
        (void)snprintf(data, sizeof data, "{\"n\":%d,\"text\":\"event %d\"}", i, i);
        fixture_event(name, i / 37 + 1, i % 3 ? "ItemAdded" : "OrderPlaced", data)->time =
            (int64_t)i * 1000;
    }
    cr_assert_eq(fixture_append().duplicates, EVENTS);
    cr_assert_eq(fixture_position(), EVENTS);
}

Test(append, walks_on_where_it_was_while_segments_are_merged_beside_it)
{
    rf_log_scan *scan;
    uint64_t next = 0;
    static int64_t positions[RF_SEGMENT_EVENTS_MAX];

    /* 31 imports of one event of one stream: one below the bound of finish. */
    for (int i = 0; i < 31; i++) {
        (void)fixture_event("a", RF_VERSION_NONE, "T", "{\"x\":1}");
        (void)fixture_append();
    }
    uint32_t partition;
    rf_stream_name name;
    bool found;
    cr_assert_eq(rf_log_find_stream(fixture_log, RF_SLICE("a"), &partition, &name, &found, NULL),
                 RF_OK);
    cr_assert(found);
    cr_assert_eq(name.last_version, 31);
    cr_assert_eq(rf_log_scan_open(fixture_log, partition, 1, 40, &scan, NULL), RF_OK);
    while (true) {
        rf_log_step step;
        cr_assert_eq(rf_log_scan_next(scan, &step, &found, NULL), RF_OK);
        if (!found)
            break;
        cr_assert_eq(
            rf_segment_envelope(&step.segment, RF_ENVELOPE_POSITION, positions, NULL, NULL), RF_OK);
        for (uint32_t i = step.begin; i < step.end; i++)
            cr_assert_eq((uint64_t)positions[i], ++next);
        if (next == 10) {
            rf_log_info info;
            for (int i = 0; i < 20; i++) {
                (void)fixture_event("a", RF_VERSION_NONE, "T", "{\"x\":1}");
                (void)fixture_append();
            }
            cr_assert_eq(rf_log_get_info(fixture_log, &info, NULL), RF_OK);
            cr_assert_lt(info.segments, 31);
        }
    }
    cr_assert_eq(next, 40);
    rf_log_scan_close(scan);
    cr_assert_eq(fixture_verify(), RF_OK);
}
