/* log.h: opening and its witness, scans, times, verify. */
#include "log/names.h"
#include "copy_file.h"
#include "log_fixture.h"

#include "log/record.h"

TestSuite(log, .init = fixture_make, .fini = fixture_remove);

static void append_timed(const char *stream, int64_t time)
{
    fixture_event(stream, RF_VERSION_NONE, "T", "{\"x\":1}")->time = time;
}

static rf_status reopen(rf_err *err)
{
    rf_log *log;
    rf_log_close(fixture_log);
    fixture_log = NULL;
    rf_status status = rf_log_open(fixture_log_path, FIXTURE_PARTITIONS, false, &log, err);
    if (!status)
        fixture_log = log;
    return status;
}

static void file_of_log(const char *name, char path_out[RF_PATH_SIZE])
{
    cr_assert_eq(rf_path_format(path_out, "%s/%s", NULL, fixture_log_path, name), RF_OK);
}

Test(log, is_empty_at_first_and_stays_open_for_more)
{
    rf_log_info info;

    cr_assert_eq(rf_log_get_info(fixture_log, &info, NULL), RF_OK);
    cr_assert_eq(info.position, 0);
    cr_assert_eq(info.events, 0);
    cr_assert_eq(fixture_verify(), RF_OK);
    cr_assert_eq(reopen(NULL), RF_OK);
}

Test(log, counts_by_partition_and_in_all)
{
    rf_log_info info;
    uint64_t events = 0, streams = 0;

    append_timed("a", 1);
    append_timed("b", 1);
    append_timed("a", 1);
    (void)fixture_append();
    cr_assert_eq(reopen(NULL), RF_OK);
    cr_assert_eq(rf_log_get_info(fixture_log, &info, NULL), RF_OK);
    cr_assert_eq(info.events, 3);
    cr_assert_eq(info.streams, 2);
    cr_assert_eq(info.raw_bytes, 3 * strlen("{\"x\":1}"));
    rf_log_partition all[FIXTURE_PARTITIONS];
    cr_assert_eq(rf_log_get_partitions(fixture_log, all, NULL), RF_OK);
    for (uint32_t i = 0; i < FIXTURE_PARTITIONS; i++) {
        rf_log_partition partition;
        cr_assert_eq(rf_log_get_partition(fixture_log, i, &partition, NULL), RF_OK);
        cr_expect_eq(all[i].events, partition.events);
        cr_expect_eq(all[i].streams, partition.streams);
        cr_expect_eq(all[i].last_position, partition.last_position);
        events += partition.events;
        streams += partition.streams;
    }
    cr_assert_eq(events, 3);
    cr_assert_eq(streams, 2);
}

Test(log, finds_a_stream_or_says_that_there_is_none)
{
    uint32_t partition;
    rf_stream_name name;
    bool found;

    append_timed("a", 1);
    (void)fixture_append();
    cr_assert_eq(rf_log_find_stream(fixture_log, RF_SLICE("a"), &partition, &name, &found, NULL),
                 RF_OK);
    cr_assert(found);
    cr_assert_eq(name.last_version, 1);
    cr_assert_eq(rf_log_find_stream(fixture_log, RF_SLICE("b"), &partition, &name, &found, NULL),
                 RF_OK);
    cr_assert_not(found);
}

Test(log, refuses_to_open_where_none_is)
{
    rf_log *log;
    char path[RF_PATH_SIZE];

    file_of_log("elsewhere", path);
    cr_assert_neq(rf_log_open(path, FIXTURE_PARTITIONS, false, &log, NULL), RF_OK);
}

Test(log, refuses_another_number_of_partitions)
{
    rf_log *log;
    rf_err err = {0};

    cr_assert_eq(rf_log_open(fixture_log_path, 8, false, &log, &err), RF_ERR_DAMAGED);
    cr_assert_not_null(strstr(err.message, "4 partitions"), "%s", err.message);
}

Test(log, that_went_back_behind_its_head_is_damage)
{
    char data[RF_PATH_SIZE], copy[RF_PATH_SIZE];
    rf_err err = {0};

    append_timed("a", 1);
    (void)fixture_append();
    rf_log_close(fixture_log);
    file_of_log("data.mdb", data);
    file_of_log("old.mdb", copy);
    copy_file(data, copy);
    fixture_open(false);
    append_timed("a", 2);
    (void)fixture_append();
    rf_log_close(fixture_log);
    cr_assert_eq(remove(data), 0);
    cr_assert_eq(rename(copy, data), 0);
    fixture_log = NULL;
    cr_assert_eq(rf_log_open(fixture_log_path, FIXTURE_PARTITIONS, false, &fixture_log, &err),
                 RF_ERR_DAMAGED);
    cr_assert_not_null(strstr(err.message, "went back: it ends at position 1, but 2"), "%s",
                       err.message);
}

Test(log, without_its_head_is_damage)
{
    char head[RF_PATH_SIZE];
    rf_err err = {0};

    append_timed("a", 1);
    (void)fixture_append();
    file_of_log("HEAD", head);
    cr_assert_eq(remove(head), 0);
    cr_assert_eq(reopen(&err), RF_ERR_DAMAGED);
    cr_assert_not_null(strstr(err.message, "HEAD is missing"), "%s", err.message);
}

Test(log, refuses_a_head_that_was_changed)
{
    char head[RF_PATH_SIZE];
    rf_err err = {0};

    file_of_log("HEAD", head);
    cr_assert_eq(rf_file_replace(head,
                                 RF_SLICE("refold-head 1\nposition 7\ntransaction 1\n"
                                          "checksum 0000000000000000\n"),
                                 NULL),
                 RF_OK);
    cr_assert_eq(reopen(&err), RF_ERR_DAMAGED);
    cr_assert_not_null(strstr(err.message, "HEAD is damaged"), "%s", err.message);
}

Test(log, ahead_of_its_head_renews_it_before_anything_is_acknowledged)
{
    rf_head head;
    bool found;

    append_timed("a", 1);
    append_timed("a", 2);
    (void)fixture_append();
    /* As after a crash between the commit and HEAD. */
    cr_assert_eq(rf_head_write(fixture_log_path, &(rf_head){1, 1}, NULL), RF_OK);
    cr_assert_eq(reopen(NULL), RF_OK);
    cr_assert_eq(fixture_position(), 2);
    rf_appender *appender = fixture_begin(NULL, false);
    rf_appender_free(appender);
    cr_assert_eq(rf_head_read(fixture_log_path, &head, &found, NULL), RF_OK);
    cr_assert(found);
    cr_assert_eq(head.position, 2);
}

Test(log, ahead_of_its_head_renews_it_for_an_import_of_duplicates_only)
{
    rf_head head;
    bool found;

    (void)fixture_event("a", 1, "T", "{}");
    (void)fixture_append();
    rf_appender *appender = fixture_begin(NULL, false);
    /* Another process committed while this one ran, and died before it wrote HEAD. */
    cr_assert_eq(rf_head_write(fixture_log_path, &(rf_head){0, 0}, NULL), RF_OK);
    (void)fixture_event("a", 1, "T", "{}");
    fixture_add(appender);
    fixture_finish(appender);
    cr_assert_eq(rf_head_read(fixture_log_path, &head, &found, NULL), RF_OK);
    cr_assert_eq(head.position, 1);
}

Test(log, head_never_goes_back)
{
    rf_head head;
    bool found;

    cr_assert_eq(rf_head_raise(fixture_log_path, 9, 3, NULL), RF_OK);
    cr_assert_eq(rf_head_raise(fixture_log_path, 4, 4, NULL), RF_OK);
    cr_assert_eq(rf_head_read(fixture_log_path, &head, &found, NULL), RF_OK);
    cr_assert_eq(head.position, 9);
    cr_assert_eq(rf_head_write(fixture_log_path, &(rf_head){0, 0}, NULL), RF_OK);
}

Test(log, scans_only_the_positions_that_were_asked_for)
{
    rf_log_scan *scan;
    rf_log_step step;
    bool found;
    uint32_t partition;
    rf_stream_name name;

    for (int i = 0; i < 20; i++)
        append_timed("a", i);
    (void)fixture_append();
    cr_assert_eq(rf_log_find_stream(fixture_log, RF_SLICE("a"), &partition, &name, &found, NULL),
                 RF_OK);
    cr_assert_eq(rf_log_scan_open(fixture_log, partition, 5, 9, &scan, NULL), RF_OK);
    cr_assert_eq(rf_log_scan_next(scan, &step, &found, NULL), RF_OK);
    cr_assert(found);
    cr_assert_eq(step.begin, 4);
    cr_assert_eq(step.end, 9);
    cr_assert_eq(rf_log_scan_next(scan, &step, &found, NULL), RF_OK);
    cr_assert_not(found);
    cr_assert_eq(rf_log_scan_restart(scan, partition, 21, 30, NULL), RF_OK);
    cr_assert_eq(rf_log_scan_next(scan, &step, &found, NULL), RF_OK);
    cr_assert_not(found);
    rf_log_scan_close(scan);
}

static uint64_t position_at(int64_t time)
{
    uint64_t position = 99;
    rf_err err = {0};

    cr_assert_eq(rf_log_position_at_time(fixture_log, time, &position, &err), RF_OK, "%s",
                 err.message);
    return position;
}

Test(log, position_at_a_time_is_the_longest_prefix_without_a_later_event)
{
    cr_assert_eq(position_at(5), 0);
    append_timed("a", 10);
    append_timed("b", RF_TIME_NONE);
    append_timed("c", 30);
    append_timed("d", 20); /* behind a later one */
    append_timed("e", 40);
    (void)fixture_append();
    append_timed("a", 50);
    append_timed("b", RF_TIME_NONE);
    (void)fixture_append();
    cr_assert_eq(position_at(9), 0);
    cr_assert_eq(position_at(10), 2);
    cr_assert_eq(position_at(29), 2);
    cr_assert_eq(position_at(30), 4);
    cr_assert_eq(position_at(49), 5);
    cr_assert_eq(position_at(50), 7);
}

static void change_segment(bool remove_it)
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
    char key_copy[RF_SEGMENT_KEY_SIZE];
    size_t size = value.size;
    memcpy(copy, value.data, size);
    memcpy(key_copy, key.data, sizeof key_copy);
    rf_kv_cursor_close(cursor);
    copy[size - 3] ^= 4;
    rf_slice changed_key = {key_copy, sizeof key_copy};
    cr_assert_eq(remove_it
                     ? rf_kv_delete(txn, RF_LOG_SEGMENTS, changed_key, NULL)
                     : rf_kv_put(txn, RF_LOG_SEGMENTS, changed_key, (rf_slice){copy, size}, NULL),
                 RF_OK);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    free(copy);
}

static void count_report(void *arg, const rf_err *damage)
{
    cr_assert_eq(damage->status, RF_ERR_DAMAGED);
    ++*(int *)arg;
}

Test(log, verify_finds_a_changed_byte_in_a_segment_and_goes_on)
{
    int damages = 0;

    append_timed("a", 1);
    append_timed("b", 1);
    append_timed("c", 1);
    (void)fixture_append();
    change_segment(false);
    cr_assert_eq(rf_log_verify(fixture_log, count_report, &damages, NULL), RF_ERR_DAMAGED);
    cr_assert_geq(damages, 1);
}

Test(log, verify_finds_a_segment_that_is_gone)
{
    int damages = 0;

    append_timed("a", 1);
    append_timed("b", 1);
    (void)fixture_append();
    change_segment(true);
    cr_assert_eq(rf_log_verify(fixture_log, count_report, &damages, NULL), RF_ERR_DAMAGED);
    cr_assert_geq(damages, 2); /* the directory's count, and the positions */
}

Test(log, verify_finds_records_that_do_not_fit)
{
    rf_kv_txn *txn;
    int damages = 0;

    append_timed("a", 1);
    (void)fixture_append();
    cr_assert_eq(rf_kv_begin(rf_log_kv(fixture_log), true, &txn, NULL), RF_OK);
    cr_assert_eq(rf_meta_write(txn, FIXTURE_PARTITIONS, 2, NULL), RF_OK);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    cr_assert_eq(rf_log_verify(fixture_log, count_report, &damages, NULL), RF_ERR_DAMAGED);
    cr_assert_geq(damages, 2);
}

Test(log, refuses_a_directory_record_that_was_changed)
{
    rf_kv_txn *txn;
    rf_log_info info;
    static const char key[2] = {0, 0};
    rf_err err = {0};

    cr_assert_eq(rf_kv_begin(rf_log_kv(fixture_log), true, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_put(txn, RF_LOG_DIRECTORY, (rf_slice){key, 2}, RF_SLICE("nonsense"), NULL),
                 RF_OK);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    cr_assert_eq(rf_log_get_info(fixture_log, &info, &err), RF_ERR_DAMAGED);
    cr_assert_not_null(strstr(err.message, "directory record of partition 0"), "%s", err.message);
    cr_assert_eq(fixture_verify(), RF_ERR_DAMAGED);
}

/* ---- names in batches ---- */

static void append_names(int begin, int end)
{
    char name[32];

    for (int i = begin; i < end; i++) {
        (void)snprintf(name, sizeof name, "name-%06d", i * 7919 % 100003);
        (void)fixture_event(name, 1, "A", "{}");
        if (fixture_event_count == 1000)
            (void)fixture_append();
    }
    (void)fixture_append();
}

/* Walks the names of all partitions; appends more after each batch if asked. */
static uint64_t walk_names(const uint8_t *flags, uint32_t first, uint32_t count, bool append)
{
    rf_log_names_cursor *cursor;
    const rf_stream_name *names;
    uint32_t name_count;
    uint64_t seen = 0;
    int appended = 50000;
    rf_err err = {0};

    cr_assert_eq(rf_log_names_open(fixture_log, &cursor, &err), RF_OK);
    for (uint32_t p = 0; p < FIXTURE_PARTITIONS; p++) {
        rf_log_partition info;
        char last[32] = "";
        cr_assert_eq(rf_log_get_partition(fixture_log, p, &info, &err), RF_OK);
        rf_log_names_wanted wanted = {first, count < info.streams ? count : info.streams, flags, 2};
        rf_log_names_restart(cursor, p);
        do {
            cr_assert_eq(rf_log_names_next(cursor, &wanted, &names, &name_count, &err), RF_OK, "%s",
                         err.message);
            cr_assert_leq(name_count, RF_LOG_NAMES_BATCH);
            for (uint32_t i = 0; i < name_count; i++) {
                char name[32];
                (void)snprintf(name, sizeof name, "%.*s", (int)names[i].name.size, names[i].name.data);
                cr_assert_lt(strcmp(last, name), 0, "%s after %s", name, last);
                memcpy(last, name, sizeof last);
                cr_assert_eq(rf_partition_of(names[i].name, FIXTURE_PARTITIONS), p);
                cr_assert(names[i].number >= first && names[i].number - first < count);
                cr_assert(!flags || flags[names[i].number - first] & 2);
            }
            seen += name_count;
            if (append && appended < 50040)
                append_names(appended, appended + 10), appended += 10;
        } while (name_count > 0);
    }
    rf_log_names_close(cursor);
    return seen;
}

Test(log, gives_all_names_in_order_batch_by_batch)
{
    cr_assert_eq(walk_names(NULL, 0, UINT32_MAX, false), 0);
    append_names(0, 9000);
    cr_assert_eq(walk_names(NULL, 0, UINT32_MAX, false), 9000);
    append_names(9000, 12000);
    cr_assert_eq(walk_names(NULL, 0, UINT32_MAX, false), 12000);
}

Test(log, gives_the_names_that_are_asked_for)
{
    static uint8_t flags[1000];

    append_names(0, 9000);
    cr_assert_eq(walk_names(NULL, 100, 1000, false), 4 * 1000);
    for (int i = 0; i < 1000; i += 10)
        flags[i] = i % 20 ? 2 : 1;
    cr_assert_eq(walk_names(flags, 100, 1000, false), 4 * 50);
}

/* Finds every `stride`-th number of each partition. */
static void find_names(uint32_t stride)
{
    rf_log_names_cursor *cursor;
    rf_arena arena;
    rf_err err = {0};

    rf_arena_init(&arena, 16 << 20);
    cr_assert_eq(rf_log_names_open(fixture_log, &cursor, &err), RF_OK);
    for (uint32_t p = 0; p < FIXTURE_PARTITIONS; p++) {
        rf_log_partition info;
        cr_assert_eq(rf_log_get_partition(fixture_log, p, &info, &err), RF_OK);
        uint8_t *flags = calloc(info.streams, 1);
        uint8_t *asked = calloc(info.streams, 1);
        rf_stream_name *names = calloc(info.streams, sizeof *names);
        uint32_t count = 0;
        for (uint32_t i = 0; i < info.streams; i += stride, count++)
            flags[i] = asked[i] = 1;
        cr_assert_eq(rf_log_names_find(cursor, p, flags, info.streams, count, &arena, names, &err),
                     RF_OK, "%s", err.message);
        for (uint32_t i = 0; i < count; i++) {
            rf_stream_name stored;
            rf_kv_txn *txn;
            bool found = false;
            cr_assert(asked[names[i].number]);
            asked[names[i].number] = 0;
            cr_assert(i == 0 || rf_slice_compare(names[i - 1].name, names[i].name) < 0);
            cr_assert_eq(rf_kv_begin(rf_log_kv(fixture_log), false, &txn, &err), RF_OK);
            cr_assert_eq(rf_streams_get(txn, RF_LOG_STREAMS, p, names[i].name, &stored, &found,
                                        &err),
                         RF_OK);
            cr_assert(found && stored.number == names[i].number);
            rf_kv_abort(txn);
        }
        for (uint32_t i = 0; i < info.streams; i++)
            cr_assert(!asked[i] && !flags[i], "number %u", i);
        free(names);
        free(asked);
        free(flags);
    }
    rf_log_names_close(cursor);
    rf_arena_free(&arena);
}

Test(log, finds_names_by_their_numbers_in_whatever_run_they_stand)
{
    append_names(0, 9000);
    append_names(9000, 9400);
    find_names(7);
    append_names(9400, 9410);
    append_names(3, 8); /* stored already */
    for (int i = 9410; i < 9440; i++)
        append_names(i, i + 1); /* runs are merged now and then */
    find_names(1);
    find_names(1009);
}

Test(log, says_of_a_number_that_it_has_no_name)
{
    rf_log_names_cursor *cursor;
    rf_stream_name name;
    uint8_t flags[4000] = {0};
    rf_arena arena;
    rf_err err = {0};

    append_names(0, 100);
    rf_arena_init(&arena, 1 << 20);
    flags[3999] = 1;
    cr_assert_eq(rf_log_names_open(fixture_log, &cursor, &err), RF_OK);
    cr_assert_eq(rf_log_names_find(cursor, 0, flags, 4000, 1, &arena, &name, &err), RF_ERR_DAMAGED);
    cr_assert_not_null(strstr(err.message, "1 of 1 stream numbers have no name"), "%s", err.message);
    rf_log_names_close(cursor);
    rf_arena_free(&arena);
}

/* Names with and without a UUID, of which neighbours share much or little. */
static void name_of_kind(uint32_t i, char name_out[64])
{
    uint64_t bits = (i + 1) * 0x9e3779b97f4a7c15u;

    if (i % 3 == 0)
        (void)snprintf(name_out, 64, "cart-%u", i % 700 * 131);
    else if (i % 3 == 1)
        (void)snprintf(name_out, 64, "cart-%08x-%04x-%04x-9234-%012llx", (unsigned)(bits >> 40),
                       (unsigned)(bits >> 16 & 0xffff), i % 0xffff, (unsigned long long)i * 77777);
    else
        (void)snprintf(name_out, 64, "cart-%x%s", (unsigned)(bits >> 44), i % 2 ? "" : "-tail");
}

/* All names of a partition in the memory of `arena`, or those whose number has a flag. */
static uint32_t list_names(uint32_t partition, const uint8_t *flags, rf_arena *arena,
                           rf_stream_name *names_out)
{
    rf_log_names_cursor *cursor;
    const rf_stream_name *names;
    uint32_t count = 0;
    uint32_t some = 1;
    rf_err err = {0};
    rf_log_partition info;

    cr_assert_eq(rf_log_get_partition(fixture_log, partition, &info, &err), RF_OK);
    const rf_log_names_wanted wanted = {0, info.streams, flags, 2};
    cr_assert_eq(rf_log_names_open(fixture_log, &cursor, &err), RF_OK);
    rf_log_names_restart(cursor, partition);
    while (some > 0) {
        cr_assert_eq(rf_log_names_next(cursor, &wanted, &names, &some, &err), RF_OK, "%s",
                     err.message);
        for (uint32_t i = 0; i < some; i++, count++) {
            names_out[count] = names[i];
            names_out[count].name = rf_arena_copy(arena, names[i].name);
        }
    }
    rf_log_names_close(cursor);
    return count;
}

/* The plain twin of a walk that puts only names together that are asked for: all names, and then
 * those that are. */
Test(log, gives_few_names_of_a_run_as_it_gives_all)
{
    enum { NAMES = 3000 };
    static rf_stream_name all[NAMES], few[NAMES];
    static uint8_t flags[NAMES];
    char name[64];
    rf_arena arena;

    for (uint32_t i = 0; i < NAMES; i++) {
        name_of_kind(i, name);
        (void)fixture_event(name, 1, "A", "{}");
    }
    (void)fixture_append(); /* one commit, so a run a partition */
    rf_arena_init(&arena, 8 << 20);
    for (uint32_t every = 1; every < 200; every = every * 2 + 1)
        for (uint32_t p = 0; p < FIXTURE_PARTITIONS; p++) {
            uint32_t count = list_names(p, NULL, &arena, all);
            cr_assert_gt(count, NAMES / FIXTURE_PARTITIONS / 3);
            for (uint32_t i = 0; i < count; i++)
                flags[i] = (i * 2654435761u >> 7) % every == 0 ? 2 : 1;
            uint32_t given = list_names(p, flags, &arena, few);
            uint32_t at = 0;
            for (uint32_t i = 0; i < count; i++) {
                if (!(flags[all[i].number] & 2))
                    continue;
                cr_assert_lt(at, given);
                cr_assert_eq(few[at].number, all[i].number);
                cr_assert(rf_slice_equal(few[at].name, all[i].name), "%.*s is not %.*s",
                          (int)few[at].name.size, few[at].name.data, (int)all[i].name.size,
                          all[i].name.data);
                at++;
            }
            cr_assert_eq(at, given);
        }
    rf_arena_free(&arena);
}

Test(log, gives_names_once_while_others_append)
{
    append_names(0, 9000);
    /* the wanted are those that were there when their partition was begun */
    uint64_t seen = walk_names(NULL, 0, UINT32_MAX, true);
    cr_assert(seen >= 9000 && seen <= 9040, "%llu", (unsigned long long)seen);
}
