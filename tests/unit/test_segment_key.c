/* Keys of segments (log/record.h), and scans that go by what they tell. */
#include "log_fixture.h"

#include "log/record.h"

TestSuite(segment_key, .init = fixture_make, .fini = fixture_remove);

/* Appends an event of each stream named, which all are of partition 0, as a segment of its own. */
static void append_segment(const char *first, const char *second)
{
    const char *streams[] = {first, second};

    for (size_t i = 0; i < 2 && streams[i]; i++) {
        cr_assert_eq(rf_partition_of(rf_slice_of(streams[i]), FIXTURE_PARTITIONS), 0);
        (void)fixture_event(streams[i], RF_VERSION_NONE, "T", "{}");
    }
    (void)fixture_append();
}

/* Names of partition 0, whose numbers rise. */
static const char *name_of(int wanted)
{
    static char names[3][16];

    for (int i = 0, found = 0; found <= wanted; i++) {
        (void)snprintf(names[wanted], sizeof names[wanted], "s-%d", i);
        found += rf_partition_of(rf_slice_of(names[wanted]), FIXTURE_PARTITIONS) == 0;
    }
    return names[wanted];
}

static bool has_number(const void *arg, uint32_t stream_min, uint32_t stream_max)
{
    const uint32_t *number = arg;

    return *number >= stream_min && *number <= stream_max;
}

Test(segment_key, gives_back_what_it_was_made_of)
{
    rf_segment_span span = {1023, 7, (uint64_t)1 << 40, 5, UINT32_MAX}, parsed;
    rf_segment_key key = rf_segment_key_of(&span);

    cr_assert_eq(rf_segment_key_parse(rf_segment_key_slice(&key), &parsed, NULL), RF_OK);
    cr_assert_eq(parsed.partition, span.partition);
    cr_assert_eq(parsed.first_position, span.first_position);
    cr_assert_eq(parsed.last_position, span.last_position);
    cr_assert_eq(parsed.stream_min, span.stream_min);
    cr_assert_eq(parsed.stream_max, span.stream_max);
}

Test(segment_key, of_another_size_is_damage)
{
    rf_segment_span span = {.partition = 9};
    rf_err err = {0};

    cr_assert_eq(rf_segment_key_parse(RF_SLICE("0123456789"), &span, &err), RF_ERR_DAMAGED);
    cr_assert_not_null(strstr(err.message, "a segment key of 10 bytes"), "%s", err.message);
    cr_assert_eq(span.partition, 9);
}

Test(segment_key, sorts_by_partition_and_first_position_whatever_else_it_tells)
{
    rf_segment_span before = {1, 255, UINT64_MAX, UINT32_MAX, UINT32_MAX}, after = {1, 256, 256, 0, 0};
    rf_segment_key keys[] = {rf_segment_key_from(1, 255), rf_segment_key_of(&before),
                             rf_segment_key_up_to(1, 255), rf_segment_key_from(1, 256),
                             rf_segment_key_of(&after), rf_segment_key_up_to(1, 256),
                             rf_segment_key_from(2, 1)};

    for (size_t i = 1; i < sizeof keys / sizeof *keys; i++)
        cr_assert_leq(memcmp(keys[i - 1].bytes, keys[i].bytes, sizeof keys[i].bytes), 0, "%zu", i);
}

Test(segment_key, lets_a_scan_meet_only_segments_that_may_have_a_stream)
{
    static const uint64_t met[3][3] = {{1, 3, 0}, {2, 3, 0}, {0}};
    rf_log_scan *scan;

    append_segment(name_of(0), NULL);          /* position 1, number 0 */
    append_segment(name_of(1), NULL);          /* position 2, number 1 */
    append_segment(name_of(0), name_of(1));    /* positions 3 and 4 */
    cr_assert_eq(rf_log_scan_open(fixture_log, 0, 1, 4, &scan, NULL), RF_OK);
    for (uint32_t number = 0; number < 3; number++) {
        rf_log_step step;
        bool found = true;
        cr_assert_eq(rf_log_scan_restart(scan, 0, 1, 4, NULL), RF_OK);
        rf_log_scan_only(scan, has_number, &number);
        for (int i = 0; found; i++) {
            cr_assert_eq(rf_log_scan_next(scan, &step, &found, NULL), RF_OK);
            cr_assert_eq(found ? step.segment.first_position : 0, met[number][i]);
        }
    }
    cr_assert_eq(rf_log_scan_restart(scan, 0, 2, 3, NULL), RF_OK); /* all again */
    for (uint64_t position = 2; position < 4; position++) {
        rf_log_step step;
        bool found;
        cr_assert_eq(rf_log_scan_next(scan, &step, &found, NULL), RF_OK);
        cr_assert(found && step.segment.first_position == position && step.begin == 0 && step.end == 1);
    }
    rf_log_scan_close(scan);
}

/* Puts the only segment under another key. */
static void put_under(rf_segment_key other)
{
    rf_kv_txn *txn;
    rf_kv_cursor *cursor;
    rf_slice key, value;
    bool found;

    cr_assert_eq(rf_kv_begin(rf_log_kv(fixture_log), true, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_cursor_open(txn, RF_LOG_SEGMENTS, &cursor, NULL), RF_OK);
    cr_assert_eq(rf_kv_cursor_seek(cursor, RF_KV_FIRST, (rf_slice){0}, &key, &value, &found, NULL),
                 RF_OK);
    cr_assert(found);
    char *copy = malloc(value.size);
    rf_segment_key old;
    cr_assert(copy && key.size == sizeof old.bytes);
    memcpy(copy, value.data, value.size);
    memcpy(old.bytes, key.data, sizeof old.bytes);
    rf_slice moved = {copy, value.size};
    rf_kv_cursor_close(cursor);
    cr_assert_eq(rf_kv_delete(txn, RF_LOG_SEGMENTS, rf_segment_key_slice(&old), NULL), RF_OK);
    cr_assert_eq(rf_kv_put(txn, RF_LOG_SEGMENTS, rf_segment_key_slice(&other), moved, NULL), RF_OK);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    free(copy);
}

static const char *looked_for;

static void count_found(void *arg, const rf_err *damage)
{
    *(int *)arg += strstr(damage->message, looked_for) != NULL;
}

/* A scan fails, and verify reports one damage, with these words. */
static void check_damage(const char *words)
{
    rf_log_scan *scan;
    rf_log_step step;
    bool found;
    int count = 0;
    rf_err err = {0};

    looked_for = words;
    cr_assert_eq(rf_log_scan_open(fixture_log, 0, 1, 2, &scan, NULL), RF_OK);
    cr_assert_eq(rf_log_scan_next(scan, &step, &found, &err), RF_ERR_DAMAGED);
    cr_assert_not_null(strstr(err.message, words), "%s", err.message);
    rf_log_scan_close(scan);
    cr_assert_eq(rf_log_verify(fixture_log, count_found, &count, NULL), RF_ERR_DAMAGED);
    cr_assert_eq(count, 1);
}

Test(segment_key, that_says_anything_else_than_its_segment_is_found_by_scans_and_by_verify)
{
    static const rf_segment_span lies[] = {
        {0, 1, 1, 0, 1}, {0, 1, 2, 0, 0}, {0, 1, 2, 1, 1}, {0, 1, 3, 0, 1}, {0, 2, 2, 0, 1}};

    append_segment(name_of(0), name_of(1));
    cr_assert_eq(fixture_verify(), RF_OK);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        put_under(rf_segment_key_of(&lies[i]));
        check_damage("is not what its key says");
    }
}

Test(segment_key, of_which_a_bit_has_changed_is_found_by_scans_and_by_verify)
{
    static const rf_segment_span truth = {0, 1, 2, 0, 1};

    append_segment(name_of(0), name_of(1));
    for (size_t at = 10; at < RF_SEGMENT_KEY_SIZE; at++) { /* before that another key is meant */
        rf_segment_key key = rf_segment_key_of(&truth);
        key.bytes[at] = (char)(key.bytes[at] ^ 0x10);
        put_under(key);
        check_damage("does not match its checksum");
    }
    put_under(rf_segment_key_of(&truth));
    cr_assert_eq(fixture_verify(), RF_OK);
}
