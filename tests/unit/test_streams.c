/* streams.h against a plain array, over many flushes and merges; damage; the bound on memory. */
#include "base/file.h"
#include "log/streams.h"
#include "log/streams_merge.h"
#include "log/streams_sort.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static rf_status find_or_add(rf_streams *streams, rf_kv_txn *txn, rf_slice name,
                             rf_stream **stream_out, rf_err *err)
{
    return rf_streams_find_or_add(streams, txn, name, rf_streams_hash(name), stream_out, err);
}

enum { PARTITION = 5, TABLE = 0 };

static char dir[64];
static rf_kv *kv;

static void make_store(void)
{
    static const rf_kv_options options = {.tables = {"streams"}, .create = true};
    rf_err err = {0};

    (void)snprintf(dir, sizeof dir, "/tmp/refold-streams-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(rf_kv_open(dir, &options, &kv, &err), RF_OK, "%s", err.message);
}

static void remove_store(void)
{
    rf_kv_close(kv);
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

TestSuite(streams, .init = make_store, .fini = remove_store);

static uint64_t seed = 1;
static uint32_t random_below(uint32_t end)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((seed >> 33) % end);
}

static rf_kv_txn *begin(bool write)
{
    rf_kv_txn *txn = NULL;
    rf_err err = {0};
    cr_assert_eq(rf_kv_begin(kv, write, &txn, &err), RF_OK, "%s", err.message);
    return txn;
}

/* The version the model has by number; names are made from the number's name index. */
typedef struct stream_model {
    char (*names)[64];
    int64_t *versions; /* -1: not made */
    uint32_t *numbers;
    uint32_t name_count;
    uint32_t made;
} stream_model;

static stream_model model_new(uint32_t name_count, void (*name_fn)(uint32_t, char[64]))
{
    stream_model made = {.names = calloc(name_count, 64),
                         .versions = malloc(name_count * sizeof(int64_t)),
                         .numbers = calloc(name_count, sizeof(uint32_t)),
                         .name_count = name_count};
    for (uint32_t i = 0; i < name_count; i++) {
        name_fn(i, made.names[i]);
        made.versions[i] = -1;
    }
    return made;
}

static void model_free(stream_model *model)
{
    free(model->names);
    free(model->versions);
    free(model->numbers);
}

static void order_name(uint32_t index, char name_out[64])
{
    (void)snprintf(name_out, 64, "order-%09u", index * 7919u % 1000003u);
}

static void mixed_name(uint32_t index, char name_out[64])
{
    uint32_t id = index * 2654435761u;
    int size = 0;

    switch (index % 7) {
    case 5:
        size = snprintf(name_out, 64, "order-%08x-%04x-4%03x-a%03x-%012llx", id, id >> 7 & 0xffff,
                        id >> 5 & 0xfff, id & 0xfff, id * 0x9e3779b97f4aull & 0xffffffffffff);
        break;
    case 6:
        size = snprintf(name_out, 64, "%08x-0000-4%03x-a000-%012x", id & 0xff, id & 3, id >> 16);
        break;
    case 0:
        size = snprintf(name_out, 64, "%u", id);
        break;
    case 1:
        size = snprintf(name_out, 64, "src/modules/deep/path/of-a-file-%u.c", id);
        break;
    case 2:
        size = snprintf(name_out, 64, "u-%08x", id);
        break;
    case 3:
        size = snprintf(name_out, 64, "a\xc3\xa4-%u-tail-that-is-not-shared", id);
        break;
    default:
        size = snprintf(name_out, 64, "src/%u", id);
    }
    if (index % 10 == 9) {
        memset(name_out + size, 'x', 63 - (size_t)size);
        name_out[63] = '\0';
    }
}

/* Merges what is due; returns the bytes written. */
static uint64_t merge_due(rf_kv_txn *txn)
{
    uint64_t bytes = 0;
    uint32_t count = 1;

    while (count > 0) {
        rf_err err = {0};
        rf_buf run;
        rf_buf_init(&run, (size_t)1 << 30);
        cr_assert_eq(rf_streams_merge(txn, TABLE, PARTITION, 0, &run, &count, &err), RF_OK, "%s",
                     err.message);
        cr_assert_eq(count > 0, run.size > 0);
        cr_assert_neq(count, 1);
        if (count > 0)
            cr_assert_eq(rf_streams_put_merged(txn, TABLE, PARTITION, rf_buf_slice(&run), count,
                                               &err),
                         RF_OK, "%s", err.message);
        bytes += run.size;
        rf_buf_free(&run);
    }
    return bytes;
}

/* Writes what the view has touched as a run, merges, ends the commit. */
static void commit(rf_streams *streams, bool merge)
{
    rf_err err = {0};
    rf_buf run;

    rf_buf_init(&run, (size_t)1 << 30);
    cr_assert_eq(rf_streams_flush(streams, &run, &err), RF_OK, "%s", err.message);
    rf_kv_txn *txn = begin(true);
    cr_assert_eq(rf_streams_put_run(txn, TABLE, PARTITION, rf_buf_slice(&run), &err), RF_OK, "%s",
                 err.message);
    if (merge)
        (void)merge_due(txn);
    cr_assert_eq(rf_kv_commit(txn, &err), RF_OK, "%s", err.message);
    rf_streams_flushed(streams);
    rf_buf_free(&run);
}

/* One event of a name; says whether view and model agreed. */
static bool touch(rf_streams *streams, rf_kv_txn *txn, stream_model *model, uint32_t index)
{
    rf_err err = {0};
    rf_stream *stream = NULL;
    int64_t before = model->versions[index];

    cr_assert_eq(find_or_add(streams, txn, rf_slice_of(model->names[index]), &stream, &err), RF_OK,
                 "%s", err.message);
    if (before < 0)
        model->numbers[index] = model->made++;
    bool agreed = stream->number == model->numbers[index] &&
                  stream->last_version == (before < 0 ? INT64_MIN : before);
    model->versions[index] = before < 0 ? random_below(2) : before + 1 + random_below(300);
    stream->last_version = model->versions[index];
    stream->touched = true;
    return agreed;
}

static const stream_model *sorting;
static int compare_names(const void *a, const void *b)
{
    return strcmp(sorting->names[*(const uint32_t *)a], sorting->names[*(const uint32_t *)b]);
}

static void expect_list(const stream_model *model, uint32_t number_end)
{
    rf_err err = {0};
    rf_arena arena;
    rf_stream_name *names = NULL;
    uint32_t count = 0;
    uint32_t expected = 0;
    uint32_t wrong = 0;
    uint32_t *order = malloc((model->name_count + 1) * sizeof *order);

    for (uint32_t i = 0; i < model->name_count; i++) {
        if (model->versions[i] >= 0 && model->numbers[i] < number_end)
            order[expected++] = i;
    }
    sorting = model;
    qsort(order, expected, sizeof *order, compare_names);
    rf_arena_init(&arena, (size_t)1 << 30);
    rf_kv_txn *txn = begin(false);
    cr_assert_eq(rf_streams_list(txn, TABLE, PARTITION, number_end, &arena, &names, &count, &err),
                 RF_OK, "%s", err.message);
    rf_kv_abort(txn);
    cr_assert_eq(count, expected);
    for (uint32_t i = 0; i < count; i++)
        wrong += !rf_slice_equal(names[i].name, rf_slice_of(model->names[order[i]])) ||
                 names[i].number != model->numbers[order[i]] ||
                 names[i].last_version != model->versions[order[i]];
    cr_assert_eq(wrong, 0);
    rf_arena_free(&arena);
    free(order);
}

static void expect_gets(const stream_model *model)
{
    rf_err err = {0};
    rf_kv_txn *txn = begin(false);

    for (uint32_t i = 0; i < 50; i++) {
        uint32_t index = random_below(model->name_count);
        rf_stream_name got = {0};
        bool found = false;
        cr_assert_eq(rf_streams_get(txn, TABLE, PARTITION, rf_slice_of(model->names[index]), &got,
                                    &found, &err),
                     RF_OK, "%s", err.message);
        cr_assert_eq(found, model->versions[index] >= 0);
        if (found) {
            cr_assert_eq(got.number, model->numbers[index]);
            cr_assert_eq(got.last_version, model->versions[index]);
        }
    }
    rf_kv_abort(txn);
}

static void expect_verified(uint32_t stream_count)
{
    rf_err err = {0};
    rf_kv_txn *txn = begin(false);
    cr_assert_eq(rf_streams_verify(txn, TABLE, PARTITION, stream_count, &err), RF_OK, "%s",
                 err.message);
    rf_kv_abort(txn);
}

static uint32_t run_count(void)
{
    rf_streams_run *runs = NULL;
    uint32_t count = 0;
    rf_kv_txn *txn = begin(false);
    cr_assert_eq(rf_streams_runs(txn, TABLE, PARTITION, &runs, &count, NULL), RF_OK);
    rf_kv_abort(txn);
    free(runs);
    return count;
}

/* What the end of an import does. Returns how many runs became one; 0: none. */
static uint32_t compact(void)
{
    rf_err err = {0};
    rf_buf run;
    uint32_t count = 0;

    rf_buf_init(&run, (size_t)1 << 30);
    rf_kv_txn *txn = begin(false);
    cr_assert_eq(rf_streams_merge(txn, TABLE, PARTITION, RF_STREAMS_TURN_LAST, &run, &count, &err), RF_OK, "%s",
                 err.message);
    rf_kv_abort(txn);
    cr_assert_eq(run.size > 0, count > 1);
    txn = begin(true);
    if (run.size > 0)
        cr_assert_eq(rf_streams_put_merged(txn, TABLE, PARTITION, rf_buf_slice(&run), count, &err),
                     RF_OK, "%s", err.message);
    cr_assert_eq(rf_kv_commit(txn, &err), RF_OK, "%s", err.message);
    rf_buf_free(&run);
    return count;
}

/* Commits of random size over random names, compared after each tenth. */
static void play(void (*name_fn)(uint32_t, char[64]), uint32_t name_count, uint32_t commits,
                 uint32_t events_max, size_t cache_bytes)
{
    stream_model model = model_new(name_count, name_fn);
    rf_streams *streams = rf_streams_new(PARTITION, TABLE, 0);

    rf_streams_set_cache_bytes(streams, cache_bytes);
    for (uint32_t i = 0; i < commits; i++) {
        rf_kv_txn *txn = begin(false);
        uint32_t events = 1 + random_below(random_below(4) == 0 ? events_max : 4);
        uint32_t window = 1 + random_below(name_count);
        uint32_t disagreed = 0;
        for (uint32_t k = 0; k < events; k++)
            disagreed += !touch(streams, txn, &model, random_below(window));
        rf_kv_abort(txn);
        cr_assert_eq(disagreed, 0);
        cr_assert_eq(rf_streams_count(streams), model.made);
        commit(streams, i % 3 != 0);
        if (i % 10 == 4)
            (void)compact();
        if (i % 10 == 9) {
            expect_list(&model, UINT32_MAX);
            expect_list(&model, random_below(model.made + 1));
            expect_gets(&model);
            expect_verified(model.made);
        }
        if (random_below(8) == 0) {
            rf_streams_free(streams);
            streams = rf_streams_new(PARTITION, TABLE, model.made);
            rf_streams_set_cache_bytes(streams, cache_bytes);
        }
    }
    rf_streams_free(streams);
    model_free(&model);
}

Test(streams, agree_with_a_model_over_many_commits_and_merges)
{
    play(order_name, 20000, 200, 3000, RF_STREAMS_CACHE_BYTES);
}

Test(streams, agree_with_a_model_when_nothing_stays_cached)
{
    play(mixed_name, 5000, 200, 2000, 0);
}

Test(streams, of_an_empty_partition_are_none)
{
    rf_err err = {0};
    rf_stream_name *names = NULL;
    rf_arena arena;
    uint32_t count = 7;
    bool found = true;
    rf_stream_name got;
    rf_kv_txn *txn = begin(false);

    rf_arena_init(&arena, 1 << 20);
    cr_assert_eq(rf_streams_list(txn, TABLE, PARTITION, 9, &arena, &names, &count, &err), RF_OK);
    cr_assert_eq(count, 0);
    cr_assert_eq(rf_streams_get(txn, TABLE, PARTITION, RF_SLICE("a"), &got, &found, &err), RF_OK);
    cr_assert_not(found);
    cr_assert_eq(rf_streams_verify(txn, TABLE, PARTITION, 0, &err), RF_OK);
    cr_assert_eq(rf_streams_verify(txn, TABLE, PARTITION, 1, &err), RF_ERR_DAMAGED);
    rf_kv_abort(txn);
    rf_arena_free(&arena);
}

Test(streams, of_ten_thousand_commits_of_one_name_lie_in_few_runs)
{
    stream_model model = model_new(10000, order_name);
    rf_streams *streams = rf_streams_new(PARTITION, TABLE, 0);
    uint64_t written = 0;
    uint32_t most = 0;

    for (uint32_t i = 0; i < model.name_count; i++) {
        rf_buf run;
        rf_kv_txn *txn = begin(false);
        cr_assert(touch(streams, txn, &model, i));
        rf_kv_abort(txn);
        rf_buf_init(&run, 1 << 20);
        cr_assert_eq(rf_streams_flush(streams, &run, NULL), RF_OK);
        txn = begin(true);
        cr_assert_eq(rf_streams_put_run(txn, TABLE, PARTITION, rf_buf_slice(&run), NULL), RF_OK);
        written += merge_due(txn);
        cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
        rf_streams_flushed(streams);
        rf_buf_free(&run);
        if (i % 97 == 0 && run_count() > most)
            most = run_count();
    }
    cr_assert_leq(most, 25);
    cr_assert_lt(written, 12 * 20 * 10000);
    expect_list(&model, UINT32_MAX);
    expect_verified(model.made);
    rf_streams_free(streams);
    model_free(&model);
}

Test(streams, stay_known_while_the_commit_that_writes_them_is_on_its_way)
{
    stream_model model = model_new(500, order_name);
    rf_streams *streams = rf_streams_new(PARTITION, TABLE, 0);
    rf_buf run;

    rf_streams_set_cache_bytes(streams, 0); /* each leave empties the table */
    for (int round = 0; round < 6; round++) {
        rf_kv_txn *txn = begin(false);
        for (uint32_t i = 0; i < model.name_count; i += 1 + (uint32_t)round % 3)
            cr_assert(touch(streams, txn, &model, i));
        rf_kv_abort(txn);
        rf_buf_init(&run, 1 << 20);
        cr_assert_eq(rf_streams_flush(streams, &run, NULL), RF_OK);
        rf_streams_leave(streams);
        /* Nothing is stored yet; half of them get an event more. */
        txn = begin(false);
        for (uint32_t i = 0; i < model.name_count; i += 2)
            cr_assert(touch(streams, txn, &model, i));
        rf_kv_abort(txn);
        txn = begin(true);
        cr_assert_eq(rf_streams_put_run(txn, TABLE, PARTITION, rf_buf_slice(&run), NULL), RF_OK);
        cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
        rf_streams_left(streams);
        rf_buf_free(&run);
        commit(streams, true);
    }
    expect_list(&model, UINT32_MAX);
    expect_verified(model.made);
    rf_streams_free(streams);
    model_free(&model);
}

Test(streams, of_an_import_become_one_run_and_stay_beside_a_much_larger_one)
{
    stream_model model = model_new(60000, mixed_name);
    rf_streams *streams = rf_streams_new(PARTITION, TABLE, 0);
    static const uint32_t ends[] = {10000, 20000, 30000, 50000, 50100, 50200};

    for (uint32_t i = 0, at = 0; i < 6; i++) {
        rf_kv_txn *txn = begin(false);
        for (; at < ends[i]; at++)
            (void)touch(streams, txn, &model, at);
        rf_kv_abort(txn);
        commit(streams, false);
        if (i == 3) {
            cr_assert_eq(compact(), 4);
            cr_assert_eq(run_count(), 1);
            cr_assert_eq(compact(), 0, "one run is what it should be");
        }
    }
    cr_assert_eq(compact(), 2, "not the large one");
    cr_assert_eq(run_count(), 2);
    expect_list(&model, UINT32_MAX);
    expect_gets(&model);
    expect_verified(model.made);
    rf_streams_free(streams);
    model_free(&model);
}

Test(streams, of_a_small_last_commit_do_not_keep_larger_runs_apart)
{
    stream_model model = model_new(21000, mixed_name);
    rf_streams *streams = rf_streams_new(PARTITION, TABLE, 0);
    static const uint32_t ends[] = {10000, 20000, 20100};

    for (uint32_t i = 0, at = 0; i < 3; i++) {
        rf_kv_txn *txn = begin(false);
        for (; at < ends[i]; at++)
            (void)touch(streams, txn, &model, at);
        rf_kv_abort(txn);
        commit(streams, false);
    }
    cr_assert_eq(compact(), 3);
    cr_assert_eq(run_count(), 1);
    expect_list(&model, UINT32_MAX);
    expect_verified(model.made);
    rf_streams_free(streams);
    model_free(&model);
}

Test(streams, of_many_no_more_than_half_are_merged_at_the_end_of_an_import)
{
    stream_model model = model_new(181000, order_name);
    rf_streams *streams = rf_streams_new(PARTITION, TABLE, 0);
    static const uint32_t ends[] = {60000, 120000, 150000, 180000, 181000};

    for (uint32_t i = 0, at = 0; i < 5; i++) {
        rf_kv_txn *txn = begin(false);
        for (; at < ends[i]; at++)
            (void)touch(streams, txn, &model, at);
        rf_kv_abort(txn);
        commit(streams, false);
    }
    cr_assert_eq(compact(), 3);
    cr_assert_eq(run_count(), 3);
    expect_list(&model, UINT32_MAX);
    expect_verified(model.made);
    rf_streams_free(streams);
    model_free(&model);
}

Test(streams, of_a_large_run_are_found_in_each_of_its_parts)
{
    stream_model model = model_new(300000, mixed_name);
    rf_streams *streams = rf_streams_new(PARTITION, TABLE, 0);
    rf_streams_run *runs = NULL;
    uint32_t count = 0;

    rf_streams_set_cache_bytes(streams, 0);
    for (uint32_t round = 0; round < 8; round++) {
        rf_kv_txn *txn = begin(false);
        for (uint32_t i = round; i < model.name_count; i += 8)
            (void)touch(streams, txn, &model, i);
        rf_kv_abort(txn);
        commit(streams, true);
    }
    rf_kv_txn *txn = begin(false);
    cr_assert_eq(rf_streams_runs(txn, TABLE, PARTITION, &runs, &count, NULL), RF_OK);
    cr_assert_eq(count, 1);
    cr_assert_gt(runs[0].parts, 3);
    cr_assert_eq(runs[0].entries, model.made);
    free(runs);
    uint32_t disagreed = 0;
    for (uint32_t i = 0; i < model.name_count; i += 3)
        disagreed += !touch(streams, txn, &model, i);
    rf_kv_abort(txn);
    cr_assert_eq(disagreed, 0);
    commit(streams, false);
    expect_list(&model, UINT32_MAX);
    expect_list(&model, 1000);
    expect_gets(&model);
    expect_verified(model.made);
    rf_streams_free(streams);
    model_free(&model);
}

Test(streams, of_a_run_that_was_replaced_meanwhile_are_found_again)
{
    stream_model model = model_new(1000, order_name);
    rf_streams *writer = rf_streams_new(PARTITION, TABLE, 0);

    for (uint32_t i = 0; i < 7; i++) {
        rf_kv_txn *txn = begin(false);
        (void)touch(writer, txn, &model, i);
        rf_kv_abort(txn);
        commit(writer, true);
    }
    rf_streams *reader = rf_streams_new(PARTITION, TABLE, 8);
    rf_kv_txn *txn = begin(false);
    stream_model copy = model;
    copy.made = 7;
    cr_assert(touch(reader, txn, &copy, 3));
    rf_kv_abort(txn);
    txn = begin(false);
    (void)touch(writer, txn, &model, 7);
    rf_kv_abort(txn);
    commit(writer, true);
    cr_assert_eq(run_count(), 1);
    txn = begin(false);
    cr_assert(touch(reader, txn, &copy, 7));
    cr_assert(touch(reader, txn, &copy, 4));
    rf_kv_abort(txn);
    rf_streams_free(reader);
    rf_streams_free(writer);
    model_free(&model);
}

Test(streams, stay_within_the_cache_bound_between_commits)
{
    stream_model model = model_new(20000, order_name);
    rf_streams *streams = rf_streams_new(PARTITION, TABLE, 0);
    rf_stream *kept = NULL;
    rf_stream *again = NULL;

    rf_streams_set_cache_bytes(streams, 64 << 10);
    rf_kv_txn *txn = begin(false);
    cr_assert(touch(streams, txn, &model, 0));
    rf_kv_abort(txn);
    commit(streams, false);
    txn = begin(false);
    cr_assert_eq(find_or_add(streams, txn, rf_slice_of(model.names[0]), &kept, NULL), RF_OK);
    cr_assert(!kept->is_new && !kept->touched);
    for (uint32_t i = 1; i < 20000; i++)
        (void)touch(streams, txn, &model, i);
    cr_assert_eq(find_or_add(streams, txn, rf_slice_of(model.names[0]), &again, NULL), RF_OK);
    cr_assert_eq(kept, again, "entries stay where they are until the flush");
    rf_kv_abort(txn);
    commit(streams, false);
    /* Emptied: a damaged store is noticed, because the name must be read again. */
    txn = begin(true);
    char key[RF_STREAMS_KEY_SIZE];
    rf_streams_key(key, PARTITION, 2, 0);
    cr_assert_eq(rf_kv_put(txn, TABLE, (rf_slice){key, sizeof key}, RF_SLICE("broken"), NULL),
                 RF_OK);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    txn = begin(false);
    cr_assert_eq(find_or_add(streams, txn, rf_slice_of(model.names[0]), &again, NULL),
                 RF_ERR_DAMAGED);
    rf_kv_abort(txn);
    rf_streams_free(streams);
    model_free(&model);
}

/* The only part of a store with one small run. */
static void store_small_run(stream_model *model, uint32_t count)
{
    rf_streams *streams = rf_streams_new(PARTITION, TABLE, 0);
    rf_kv_txn *txn = begin(false);

    for (uint32_t i = 0; i < count; i++)
        (void)touch(streams, txn, model, i);
    rf_kv_abort(txn);
    commit(streams, false);
    rf_streams_free(streams);
}

Test(streams, tell_of_every_flipped_bit)
{
    stream_model model = model_new(200, mixed_name);
    char key_bytes[RF_STREAMS_KEY_SIZE];
    rf_slice key = {key_bytes, sizeof key_bytes};
    rf_slice stored;
    bool found;
    char *copy;
    uint32_t missed = 0;
    uint32_t crashed_numbers = 0;

    store_small_run(&model, 200);
    rf_streams_key(key_bytes, PARTITION, 1, 0);
    rf_kv_txn *txn = begin(true);
    cr_assert_eq(rf_kv_get(txn, TABLE, key, &stored, &found, NULL), RF_OK);
    cr_assert(found);
    copy = malloc(stored.size);
    memcpy(copy, stored.data, stored.size);
    for (size_t i = 0; i < stored.size * 8; i += 3) {
        rf_err err = {0};
        rf_arena arena;
        rf_stream_name *names = NULL;
        uint32_t count = 0;
        rf_stream_name got;
        copy[i / 8] = (char)(copy[i / 8] ^ (1 << (i % 8)));
        cr_assert_eq(rf_kv_put(txn, TABLE, key, (rf_slice){copy, stored.size}, NULL), RF_OK);
        rf_status status = rf_streams_verify(txn, TABLE, PARTITION, 200, &err);
        missed += status != RF_ERR_DAMAGED && status != RF_ERR_FORMAT;
        /* What reads less may not see it, but gives the truth or an error. */
        rf_arena_init(&arena, 1 << 20);
        status = rf_streams_list(txn, TABLE, PARTITION, 200, &arena, &names, &count, NULL);
        crashed_numbers += status == RF_OK && count != 200;
        status =
            rf_streams_get(txn, TABLE, PARTITION, rf_slice_of(model.names[17]), &got, &found, NULL);
        crashed_numbers += status == RF_OK && (!found || got.number != model.numbers[17]);
        rf_arena_free(&arena);
        copy[i / 8] = (char)(copy[i / 8] ^ (1 << (i % 8)));
    }
    cr_assert_eq(missed, 0);
    cr_assert_eq(crashed_numbers, 0);
    rf_kv_abort(txn);
    free(copy);
    model_free(&model);
}

static rf_status verify_after_put(const char *names, const uint32_t *numbers, uint32_t count,
                                  uint32_t stream_count)
{
    rf_streams_writer writer;
    rf_buf run;

    rf_buf_init(&run, 1 << 20);
    rf_streams_writer_init(&writer, PARTITION);
    for (uint32_t i = 0; i < count; i++) {
        rf_slice name = {names + i, 1};
        rf_streams_writer_add(&writer, name, rf_streams_hash(name), numbers[i], 3);
    }
    cr_assert_eq(rf_streams_writer_finish(&writer, true, &run, NULL), RF_OK);
    rf_kv_txn *txn = begin(true);
    cr_assert_eq(rf_streams_put_run(txn, TABLE, PARTITION, rf_buf_slice(&run), NULL), RF_OK);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    txn = begin(false);
    rf_status status = rf_streams_verify(txn, TABLE, PARTITION, stream_count, NULL);
    rf_kv_abort(txn);
    rf_streams_writer_free(&writer);
    rf_buf_free(&run);
    return status;
}

Test(streams, verify_finds_a_number_that_no_name_has)
{
    cr_assert_eq(verify_after_put("abc", (uint32_t[]){0, 1, 3}, 3, 4), RF_ERR_DAMAGED);
    cr_assert_eq(verify_after_put("d", (uint32_t[]){2}, 1, 4), RF_OK);
}

Test(streams, verify_finds_a_number_given_twice)
{
    cr_assert_eq(verify_after_put("abc", (uint32_t[]){0, 1, 1}, 3, 3), RF_ERR_DAMAGED);
}

Test(streams, verify_finds_a_number_that_was_never_given)
{
    cr_assert_eq(verify_after_put("ab", (uint32_t[]){0, 2}, 2, 2), RF_ERR_DAMAGED);
}

Test(streams, verify_finds_a_stream_with_two_numbers)
{
    cr_assert_eq(verify_after_put("ab", (uint32_t[]){0, 1}, 2, 2), RF_OK);
    cr_assert_eq(verify_after_put("a", (uint32_t[]){1}, 1, 2), RF_ERR_DAMAGED);
}

Test(streams, verify_finds_names_out_of_order)
{
    cr_assert_eq(verify_after_put("ba", (uint32_t[]){0, 1}, 2, 2), RF_ERR_DAMAGED);
}

Test(streams, a_run_without_its_last_part_is_damage)
{
    stream_model model = model_new(150000, mixed_name);
    rf_streams_run *runs = NULL;
    uint32_t count = 0;
    char key[RF_STREAMS_KEY_SIZE];

    store_small_run(&model, 150000);
    rf_kv_txn *txn = begin(true);
    cr_assert_eq(rf_streams_runs(txn, TABLE, PARTITION, &runs, &count, NULL), RF_OK);
    cr_assert_gt(runs[0].parts, 1);
    rf_streams_key(key, PARTITION, runs[0].id, runs[0].parts - 1);
    cr_assert_eq(rf_kv_delete(txn, TABLE, (rf_slice){key, sizeof key}, NULL), RF_OK);
    cr_assert_eq(rf_streams_verify(txn, TABLE, PARTITION, model.made, NULL), RF_ERR_DAMAGED);
    rf_kv_abort(txn);
    free(runs);
    model_free(&model);
}

Test(streams, a_run_of_a_newer_format_is_refused)
{
    stream_model model = model_new(10, order_name);
    char key_bytes[RF_STREAMS_KEY_SIZE];
    rf_slice key = {key_bytes, sizeof key_bytes};
    rf_slice stored;
    bool found;
    char copy[1024];

    store_small_run(&model, 10);
    rf_streams_key(key_bytes, PARTITION, 1, 0);
    rf_kv_txn *txn = begin(true);
    cr_assert_eq(rf_kv_get(txn, TABLE, key, &stored, &found, NULL), RF_OK);
    cr_assert(found && stored.size <= sizeof copy);
    memcpy(copy, stored.data, stored.size);
    copy[4] = 3;
    cr_assert_eq(rf_kv_put(txn, TABLE, key, (rf_slice){copy, stored.size}, NULL), RF_OK);
    cr_assert_eq(rf_streams_verify(txn, TABLE, PARTITION, 10, NULL), RF_ERR_FORMAT);
    rf_kv_abort(txn);
    model_free(&model);
}

Test(streams, a_full_arena_ends_the_list)
{
    stream_model model = model_new(5000, order_name);
    rf_arena arena;
    rf_stream_name *names = NULL;
    uint32_t count = 0;

    store_small_run(&model, 5000);
    rf_kv_txn *txn = begin(false);
    for (size_t limit = 1 << 10; limit <= 128 << 10; limit *= 2) {
        rf_arena_init(&arena, limit);
        cr_assert_eq(rf_streams_list(txn, TABLE, PARTITION, 5000, &arena, &names, &count, NULL),
                     RF_ERR_MEMORY);
        rf_arena_free(&arena);
    }
    rf_kv_abort(txn);
    model_free(&model);
}

Test(streams, what_is_no_run_is_not_put)
{
    rf_kv_txn *txn = begin(true);
    cr_assert_eq(rf_streams_put_run(txn, TABLE, PARTITION, RF_SLICE("no run at all"), NULL),
                 RF_ERR_USAGE);
    rf_kv_abort(txn);
}

/* As the format's page says it, character by character. */
static size_t rest_by_hand(rf_slice name, uint32_t shared, char *out)
{
    static const char digits[] = "0123456789abcdef";
    size_t size = name.size - shared;
    bool is_uuid = name.size >= 36 && size <= 36;
    bool is_hexadecimal = size <= 86;
    size_t count = 0;

    for (size_t i = name.size >= 36 ? name.size - 36 : 0; is_uuid && i < name.size; i++) {
        size_t at = i + 36 - name.size;
        bool dash = at == 8 || at == 13 || at == 18 || at == 23;
        is_uuid = dash ? name.data[i] == '-' : name.data[i] && strchr(digits, name.data[i]);
    }
    for (size_t i = shared; is_hexadecimal && i < name.size; i++)
        is_hexadecimal = name.data[i] && strchr(digits, name.data[i]);
    if (size < 2 || (!is_uuid && !is_hexadecimal)) {
        size_t head = size < 128 ? 1 : 3;
        out[0] = (char)(size < 128 ? size : 255);
        out[1] = (char)(size & 255);
        out[2] = (char)(size >> 8);
        memcpy(out + head, name.data + shared, size);
        return head + size;
    }
    memset(out, 0, 1 + size);
    out[0] = (char)((is_uuid ? 0x80 : 0xa8) + size);
    for (size_t i = shared; i < name.size; i++) {
        const char *digit = strchr(digits, name.data[i]);
        if (!digit)
            continue;
        int value = (int)(digit - digits);
        out[1 + count / 2] = (char)(out[1 + count / 2] | (count % 2 ? value : value << 4));
        count++;
    }
    return 1 + (count + 1) / 2;
}

Test(streams_pack, rests_are_packed_as_the_format_says_and_come_back)
{
    static const char alphabet[] = "0123456789abcdef-AGg`:/z";
    char name[RF_STREAMS_NAME_BUFFER], back[RF_STREAMS_NAME_BUFFER + 40];
    char packed[512 + 16] = {0}, expected[512] = {0};

    for (uint32_t round = 0; round < 200000; round++) {
        bool uuid = random_below(3) > 0;
        uint32_t size = random_below(round % 50 ? 90 : RF_STREAM_NAME_SIZE_MAX) + 1;
        if (uuid && size < 36)
            size += 36;
        for (uint32_t i = 0; i < size; i++) {
            uint32_t at = i + 36 - size;
            bool dash = uuid && (at == 8 || at == 13 || at == 18 || at == 23);
            bool any = random_below(400) == 0 || (!uuid && round % 4 == 0);
            name[i] = dash && !any ? '-' : alphabet[random_below(any ? sizeof alphabet - 1 : 16)];
        }
        uint32_t shared = round % 3 ? random_below(size) : size > 33 ? size - 33 : 0;
        size_t packed_size = rf_streams_rest_pack((rf_slice){name, size}, shared, packed);
        cr_assert_eq(packed_size, rest_by_hand((rf_slice){name, size}, shared, expected));
        cr_assert_eq(memcmp(packed, expected, packed_size), 0);
        for (unsigned behind = 0; behind <= 16; behind += 16) {
            const char *at = packed;
            rf_streams_rest rest;
            cr_assert(rf_streams_rest_read(&at, packed + packed_size, &rest));
            cr_assert_eq(at, packed + packed_size);
            cr_assert_eq(rest.size, size - shared);
            memset(back, '#', sizeof back);
            memcpy(back, name, shared);
            rf_streams_rest_write(&rest, at + behind, back, shared);
            cr_assert_eq(memcmp(back, name, size), 0, "%.*s behind %u", (int)size, name, shared);
        }
        const char *cut = packed;
        rf_streams_rest rest;
        cr_assert_not(rf_streams_rest_read(&cut, packed + packed_size - 1, &rest));
    }
}

Test(streams, names_of_480_bytes_and_large_versions_come_back)
{
    rf_streams *streams = rf_streams_new(PARTITION, TABLE, 0);
    char name[480];
    rf_stream *stream;
    rf_stream_name got;
    bool found = false;

    rf_kv_txn *txn = begin(false);
    memset(name, 'n', sizeof name);
    for (uint32_t i = 0; i < 26; i++) {
        name[479] = (char)('a' + i);
        name[300] = (char)('A' + i % 3);
        cr_assert_eq(find_or_add(streams, txn, (rf_slice){name, 480 - i % 2}, &stream, NULL),
                     RF_OK);
        stream->last_version = INT64_MAX - i;
        stream->touched = true;
    }
    uint32_t made = rf_streams_count(streams);
    rf_kv_abort(txn);
    commit(streams, false);
    expect_verified(made);
    txn = begin(false);
    name[479] = 'e';
    name[300] = 'A' + 4 % 3;
    cr_assert_eq(rf_streams_get(txn, TABLE, PARTITION, (rf_slice){name, 480}, &got, &found, NULL),
                 RF_OK);
    cr_assert(found);
    cr_assert_eq(got.last_version, INT64_MAX - 4);
    rf_kv_abort(txn);
    rf_streams_free(streams);
}

static int compare_items(const void *a, const void *b)
{
    const rf_streams_item *left = a;
    const rf_streams_item *right = b;
    return rf_slice_compare((rf_slice){left->name, left->name_size},
                            (rf_slice){right->name, right->name_size});
}

Test(streams_sort, orders_names_as_bytes_do)
{
    enum { COUNT = 3000 };
    rf_streams_item *items = calloc(3 * COUNT, sizeof *items);
    rf_streams_item *expected = items + 2 * COUNT;
    char(*names)[64] = calloc(COUNT, 64);

    for (uint32_t round = 0; round < 30; round++) {
        uint32_t alphabet = 1 + random_below(4);
        uint32_t count = 1 + random_below(COUNT);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t size = 1 + random_below(40);
            for (uint32_t k = 0; k < size; k++)
                names[i][k] = (char)(random_below(2) ? 0xfe : random_below(alphabet));
            items[i] = (rf_streams_item){.name = names[i], .name_size = size, .index = i};
        }
        memcpy(expected, items, count * sizeof *items);
        qsort(expected, count, sizeof *items, compare_items);
        rf_streams_sort(items, items + COUNT, count);
        for (uint32_t i = 0; i < count; i++)
            cr_assert_eq(compare_items(&items[i], &expected[i]), 0);
    }
    free(items);
    free(names);
}

Test(streams, filters_answer_for_nearly_all_names_that_are_new)
{
    stream_model model = model_new(10000, order_name);
    char key[RF_STREAMS_KEY_SIZE];
    rf_slice stored;
    rf_streams_part part;
    bool found;
    uint32_t wrong = 0;

    store_small_run(&model, 10000);
    rf_kv_txn *txn = begin(false);
    rf_streams_key(key, PARTITION, 1, 0);
    cr_assert_eq(rf_kv_get(txn, TABLE, (rf_slice){key, sizeof key}, &stored, &found, NULL), RF_OK);
    cr_assert_eq(rf_streams_part_open(stored, PARTITION, false, &part, NULL), RF_OK);
    for (uint32_t i = 0; i < 100000; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "other-%u", i);
        wrong += rf_streams_part_may_have(&part, rf_streams_hash(rf_slice_of(name)));
    }
    cr_assert_lt(wrong, 1500, "%u of 100000", wrong);
    rf_kv_abort(txn);
    model_free(&model);
}

/* The table of forms against what reads one form by the rules. */
Test(streams, forms_of_rests_are_what_the_rules_say)
{
    for (unsigned form = 0; form < 256; form++) {
        char stored[256] = {(char)(uint8_t)form};
        const char *at = stored;
        rf_streams_rest rest;
        bool is_one = rf_streams_rest_read(&at, stored + sizeof stored, &rest);
        const rf_streams_form *sizes = &rf_streams_forms[form];
        if (!is_one || form == RF_REST_LONG) {
            cr_assert_eq(sizes->stored_size, RF_REST_UNUSUAL, "form %u", form);
            continue;
        }
        cr_assert_eq(sizes->stored_size, rest.stored_size, "form %u", form);
        cr_assert_eq(sizes->size, rest.size, "form %u", form);
    }
}

Test(streams, digits_become_text_alike_all_at_once_and_eight_at_a_time)
{
    for (int i = 0; i < 10000; i++) {
        uint64_t high = (uint64_t)random_below(UINT32_MAX) << 32 | random_below(UINT32_MAX);
        uint64_t low = (uint64_t)random_below(UINT32_MAX) << 32 | random_below(UINT32_MAX);
        uint64_t text[4];
        rf_streams_digits_text_all(high, low, text);
        cr_assert_eq(text[0], rf_streams_digits_text((uint32_t)(high >> 32)));
        cr_assert_eq(text[1], rf_streams_digits_text((uint32_t)high));
        cr_assert_eq(text[2], rf_streams_digits_text((uint32_t)(low >> 32)));
        cr_assert_eq(text[3], rf_streams_digits_text((uint32_t)low));
    }
}

/* Usual entries are read as any are. */
Test(streams, entries_are_read_alike_the_short_and_the_long_way)
{
    char bytes[256] = {0};

    for (int round = 0; round < 200000; round++) {
        for (int i = 0; i < 64 + 32; i++)
            bytes[i] = (char)(uint8_t)random_below(random_below(2) ? 256 : 48);
        bytes[1] = (char)(uint8_t)random_below(256);
        size_t size = 4 + random_below(sizeof bytes - 64);
        rf_streams_entry a = {.name_size = random_below(64)}, b = a;
        const char *at_a = bytes, *at_b = bytes;
        uint32_t shared_a = 0, shared_b = 0;
        rf_streams_rest rest_a = {0}, rest_b = {0};
        bool is_a = rf_streams_entry_next(&at_a, bytes + size, &a, &shared_a, &rest_a);
        bool is_b = rf_streams_entry_any(&at_b, bytes + size, &b, &shared_b, &rest_b);
        cr_assert_eq(is_a, is_b);
        if (!is_a)
            continue;
        cr_assert_eq(at_a, at_b);
        cr_assert_eq(a.number, b.number);
        cr_assert_eq(a.last_version, b.last_version);
        cr_assert_eq(a.name_size, b.name_size);
        cr_assert_eq(shared_a, shared_b);
        cr_assert_eq(rest_a.stored, rest_b.stored);
        cr_assert_eq(rest_a.stored_size, rest_b.stored_size);
        cr_assert_eq(rest_a.size, rest_b.size);
        cr_assert_eq(rest_a.form, rest_b.form);
    }
}
