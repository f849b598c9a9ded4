/* catalog.h: numbers, flips, history, holds, the witness, pins and gc. */
#include "catalog/catalog.h"

#include "base/file.h"
#include "catalog/record.h"
#include "copy_file.h"
#include "generations_fixture.h"

#include <criterion/criterion.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static rf_catalog *catalog;

static void open_catalog(bool create)
{
    rf_err err = {0};
    cr_assert_eq(rf_catalog_open(dir, create, &catalog, &err), RF_OK, "%s", err.message);
}

static void make_store(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/refold-catalog-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    open_catalog(true);
}

static void remove_store(void)
{
    rf_catalog_close(catalog);
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

TestSuite(catalog, .init = make_store, .fini = remove_store);

static void reopen(void)
{
    rf_catalog_close(catalog);
    catalog = NULL;
    open_catalog(false);
}

static uint64_t add(const char *name, uint64_t content)
{
    return fixture_generation(catalog, name, content, 4, 10, 100);
}

static rf_status flip(const char *name, uint64_t to, bool is_rollback)
{
    rf_catalog_change change = {.name = name,
                                .to = to,
                                .expected = RF_CATALOG_ANY,
                                .is_rollback = is_rollback,
                                .lifts_hold = !is_rollback};
    uint64_t from;

    return rf_catalog_flip(catalog, &change, 1, 0, &from, NULL);
}

static rf_catalog_model model_of(const char *name)
{
    rf_catalog_model model;
    bool found;

    cr_assert_eq(rf_catalog_get_model(catalog, name, &model, &found, NULL), RF_OK);
    cr_assert(found);
    return model;
}

static void path_in(char path_out[RF_PATH_SIZE], const char *name)
{
    cr_assert_eq(rf_path_format(path_out, "%s/%s", NULL, dir, name), RF_OK);
}

Test(catalog, is_empty_at_first)
{
    rf_catalog_model model, *models;
    rf_catalog_generation *generations;
    uint32_t count;
    rf_err err;
    rf_pinned pinned;
    bool found;

    cr_assert_eq(rf_catalog_get_model(catalog, "orders", &model, &found, NULL), RF_OK);
    cr_assert_not(found);
    cr_assert_eq(rf_catalog_get_model(catalog, "../etc", &model, &found, NULL), RF_OK);
    cr_assert_not(found);
    cr_assert_eq(rf_catalog_models(catalog, &models, &count, NULL), RF_OK);
    cr_assert_eq(count, 0);
    free(models);
    cr_assert_eq(rf_catalog_generations(catalog, NULL, &generations, &count, NULL), RF_OK);
    cr_assert_eq(count, 0);
    free(generations);
    cr_assert_eq(rf_catalog_pin(catalog, "orders", 0, &pinned, &err), RF_ERR_ABSENT);
}

Test(catalog, never_gives_a_number_twice)
{
    char path[RF_PATH_SIZE];
    uint64_t number;

    cr_assert_eq(rf_catalog_new_generation(catalog, "orders", &number, path, NULL), RF_OK);
    cr_assert_eq(number, 1);
    cr_assert_eq(rf_dir_remove(path, NULL), RF_OK);
    reopen();
    cr_assert_eq(rf_catalog_new_generation(catalog, "orders", &number, path, NULL), RF_OK);
    cr_assert_eq(number, 2);
    path_in(path, "generations/orders/000041");
    cr_assert_eq(rf_dir_make(path, NULL), RF_OK);
    cr_assert_eq(rf_catalog_new_generation(catalog, "orders", &number, path, NULL), RF_OK);
    cr_assert_eq(number, 42, "above any directory that is there");
    cr_assert_eq(add("orders", 1), 43);
    cr_assert_eq(add("others", 1), 1, "each read model has its own");
    cr_assert_eq(rf_catalog_new_generation(catalog, "../x", &number, path, NULL), RF_ERR_INPUT);
}

Test(catalog, lists_models_and_generations_in_order)
{
    rf_catalog_model *models;
    rf_catalog_generation *generations;
    uint32_t count;

    (void)add("b", 1);
    (void)add("a_b", 1);
    (void)add("b", 1);
    (void)add("a", 1);
    cr_assert_eq(rf_catalog_models(catalog, &models, &count, NULL), RF_OK);
    cr_assert_eq(count, 3);
    cr_assert_str_eq(models[0].name, "a");
    cr_assert_str_eq(models[1].name, "a_b");
    cr_assert_str_eq(models[2].name, "b");
    free(models);
    cr_assert_eq(rf_catalog_generations(catalog, NULL, &generations, &count, NULL), RF_OK);
    cr_assert_eq(count, 4);
    cr_assert_eq(generations[3].number, 2);
    free(generations);
    cr_assert_eq(rf_catalog_generations(catalog, "a", &generations, &count, NULL), RF_OK);
    cr_assert_eq(count, 1, "a_b is another one");
    cr_assert_eq(generations[0].rows, 10);
    cr_assert_eq(generations[0].position, 100);
    free(generations);
}

Test(catalog, goes_back_along_its_history_further_each_time)
{
    for (uint64_t number = 1; number <= 3; number++) {
        cr_assert_eq(add("orders", 1), number);
        cr_assert_eq(flip("orders", number, false), RF_OK);
    }
    reopen();
    rf_catalog_model model = model_of("orders");
    cr_assert_eq(model.live, 3);
    cr_assert_eq(model.history_count, 2);
    cr_assert_eq(flip("orders", 2, true), RF_OK);
    cr_assert_eq(flip("orders", 3, true), RF_ERR_ABSENT, "it was not live before");
    cr_assert_eq(flip("orders", 1, true), RF_OK);
    model = model_of("orders");
    cr_assert_eq(model.live, 1);
    cr_assert_eq(model.history_count, 0);
    cr_assert_eq(model.held_count, 0, "the same content is not held");
    cr_assert_eq(flip("orders", 3, false), RF_OK);
    cr_assert_eq(flip("orders", 1, false), RF_OK);
    cr_assert_eq(flip("orders", 3, false), RF_OK);
    model = model_of("orders");
    cr_assert_eq(model.history_count, 1, "each stands in the history once");
    cr_assert_eq(model.history[0], 1);
}

Test(catalog, holds_a_content_that_a_rollback_left_until_a_swap_names_it)
{
    (void)add("orders", 1);
    (void)add("orders", 2);
    (void)add("orders", 2);
    cr_assert_eq(flip("orders", 1, false), RF_OK);
    cr_assert_eq(flip("orders", 2, false), RF_OK);
    cr_assert_eq(flip("orders", 1, true), RF_OK);
    rf_catalog_model model = model_of("orders");
    cr_assert_eq(model.held_count, 1);
    cr_assert_eq(model.held[0].content.low, 2);
    rf_catalog_change rebuild = {.name = "orders", .to = 1, .expected = 1};
    uint64_t from;
    cr_assert_eq(rf_catalog_flip(catalog, &rebuild, 1, 0, &from, NULL), RF_OK);
    cr_assert_eq(model_of("orders").held_count, 1, "a rebuild's flip lifts nothing");
    cr_assert_eq(flip("orders", 3, false), RF_OK);
    cr_assert_eq(model_of("orders").held_count, 0, "another generation of that content does");
}

Test(catalog, flips_several_models_together_or_not_at_all)
{
    rf_catalog_change changes[] = {{.name = "a", .to = 1, .expected = 0}, {.name = "b", .to = 1, .expected = 0}};
    uint64_t from[2] = {9, 9};
    rf_err err;

    (void)add("a", 1);
    (void)add("b", 1);
    changes[1].expected = 7;
    cr_assert_eq(rf_catalog_flip(catalog, changes, 2, 0, from, &err), RF_ERR_LOCKED);
    cr_assert_not_null(strstr(err.message, "another flip"));
    cr_assert_eq(model_of("a").live, 0);
    cr_assert_eq(from[0], 9);
    changes[1].expected = 0;
    changes[1].to = 2;
    cr_assert_eq(rf_catalog_flip(catalog, changes, 2, 0, from, &err), RF_ERR_ABSENT);
    cr_assert_eq(model_of("a").live, 0);
    changes[1].to = 1;
    cr_assert_eq(rf_catalog_flip(catalog, changes, 2, 0, from, &err), RF_OK);
    cr_assert_eq(model_of("a").live, 1);
    cr_assert_eq(model_of("b").live, 1);
    cr_assert_eq(model_of("a").epoch, model_of("b").epoch);
    cr_assert_eq(from[1], 0);
}

Test(catalog, flips_only_under_the_swap_lock)
{
    char path[RF_PATH_SIZE];
    rf_err err;
    uint64_t from;
    int fd;

    (void)add("a", 1);
    path_in(path, "live/SWAP");
    cr_assert_eq(rf_lock_acquire(path, RF_LOCK_EXCLUSIVE, 0, "test", &fd, NULL), RF_OK);
    rf_catalog_change change = {.name = "a", .to = 1, .expected = 0};
    cr_assert_eq(rf_catalog_flip(catalog, &change, 1, 0, &from, &err), RF_ERR_LOCKED);
    rf_lock_release(fd);
    cr_assert_eq(rf_catalog_flip(catalog, &change, 1, 0, &from, &err), RF_OK);
}

static void damage_file(const char *name, off_t at)
{
    char path[RF_PATH_SIZE];
    FILE *file;
    int byte;

    path_in(path, name);
    cr_assert_not_null(file = fopen(path, "r+b"));
    cr_assert_eq(fseek(file, at, SEEK_SET), 0);
    byte = fgetc(file);
    cr_assert_eq(fseek(file, at, SEEK_SET), 0);
    (void)fputc(byte ^ 1, file);
    cr_assert_eq(fclose(file), 0);
}

Test(catalog, makes_no_damaged_generation_live_and_pins_none)
{
    char path[RF_PATH_SIZE];
    rf_pinned pinned;
    rf_err err;

    for (int i = 0; i < 4; i++)
        (void)add("a", 1);
    cr_assert_eq(flip("a", 1, false), RF_OK);
    damage_file("generations/a/000002/MANIFEST", 60);
    cr_assert_eq(flip("a", 2, false), RF_ERR_DAMAGED);
    path_in(path, "generations/a/000003/base-00.mdb");
    cr_assert_eq(truncate(path, 8192), 0);
    cr_assert_eq(flip("a", 3, false), RF_ERR_DAMAGED);
    path_in(path, "generations/a/000004/MANIFEST");
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(flip("a", 4, false), RF_ERR_DAMAGED);
    for (uint64_t number = 2; number <= 4; number++)
        cr_assert_eq(rf_catalog_pin(catalog, "a", number, &pinned, &err), RF_ERR_DAMAGED, "%s", err.message);
    cr_assert_eq(model_of("a").live, 1);
    cr_assert_eq(rf_catalog_pin(catalog, "a", 5, &pinned, &err), RF_ERR_ABSENT);
}

/* A manifest that is whole, but of another generation. */
Test(catalog, tells_manifests_apart)
{
    char from[RF_PATH_SIZE], to[RF_PATH_SIZE];

    (void)add("a", 1);
    (void)add("a", 1);
    path_in(from, "generations/a/000001/MANIFEST");
    path_in(to, "generations/a/000002/MANIFEST");
    cr_assert_eq(unlink(to), 0);
    copy_file(from, to);
    cr_assert_eq(flip("a", 2, false), RF_ERR_DAMAGED);
}

static rf_status open_again(rf_err *err)
{
    rf_catalog *again;
    rf_status status;

    rf_catalog_close(catalog);
    catalog = NULL;
    status = rf_catalog_open(dir, false, &again, err);
    if (status == RF_OK)
        catalog = again;
    return status;
}

Test(catalog, refuses_to_go_back_behind_its_witness)
{
    char data[RF_PATH_SIZE], kept[RF_PATH_SIZE];
    rf_err err;

    (void)add("a", 1);
    (void)add("a", 1);
    cr_assert_eq(flip("a", 1, false), RF_OK);
    path_in(data, "live/data.mdb");
    path_in(kept, "kept.mdb");
    copy_file(data, kept);
    cr_assert_eq(flip("a", 2, false), RF_OK);
    rf_catalog_close(catalog);
    cr_assert_eq(rename(kept, data), 0);
    cr_assert_eq(rf_catalog_open(dir, false, &catalog, &err), RF_ERR_DAMAGED);
    cr_assert_not_null(strstr(err.message, "went back"), "%s", err.message);
    catalog = NULL;
}

Test(catalog, accepts_a_witness_that_a_crash_left_behind_and_renews_it)
{
    char current[RF_PATH_SIZE], kept[RF_PATH_SIZE];
    rf_buf before, after;
    rf_err err = {0};

    for (int i = 0; i < 3; i++)
        (void)add("a", 1);
    cr_assert_eq(flip("a", 1, false), RF_OK);
    path_in(current, "live/CURRENT");
    path_in(kept, "kept");
    copy_file(current, kept);
    cr_assert_eq(flip("a", 2, false), RF_OK);
    cr_assert_eq(rename(kept, current), 0);
    cr_assert_eq(open_again(&err), RF_OK, "%s", err.message);
    cr_assert_eq(model_of("a").live, 2);
    rf_buf_init(&before, 10000);
    rf_buf_init(&after, 10000);
    cr_assert_eq(rf_file_read(current, &before, NULL), RF_OK);
    cr_assert_eq(flip("a", 3, false), RF_OK);
    cr_assert_eq(rf_file_read(current, &after, NULL), RF_OK);
    rf_buf_append_byte(&after, 0);
    cr_assert_not_null(strstr(after.data, "epoch 3\na 3 "), "%s", after.data);
    rf_buf_free(&before);
    rf_buf_free(&after);
}

Test(catalog, looks_at_the_manifests_where_the_witness_is_missing)
{
    char current[RF_PATH_SIZE];
    rf_err err = {0};

    (void)add("a", 1);
    cr_assert_eq(flip("a", 1, false), RF_OK);
    path_in(current, "live/CURRENT");
    cr_assert_eq(unlink(current), 0);
    cr_assert_eq(open_again(&err), RF_OK, "%s", err.message);
    damage_file("generations/a/000001/MANIFEST", 70);
    cr_assert_eq(open_again(&err), RF_ERR_DAMAGED);
}

Test(catalog, refuses_a_damaged_witness_and_one_that_names_others)
{
    char current[RF_PATH_SIZE], kept[RF_PATH_SIZE];
    rf_buf text;
    rf_err err;

    (void)add("a", 1);
    (void)add("a", 1);
    cr_assert_eq(flip("a", 1, false), RF_OK);
    path_in(current, "live/CURRENT");
    path_in(kept, "kept");
    copy_file(current, kept);
    rf_buf_init(&text, 10000);
    cr_assert_eq(rf_file_read(current, &text, NULL), RF_OK);
    rf_catalog_close(catalog);
    catalog = NULL;
    for (size_t bit = 0; bit < 8 * text.size; bit += 3) {
        text.data[bit / 8] ^= (char)(1 << bit % 8);
        cr_assert_eq(rf_file_replace(current, rf_buf_slice(&text), NULL), RF_OK);
        text.data[bit / 8] ^= (char)(1 << bit % 8);
        rf_status status = rf_catalog_open(dir, false, &catalog, &err);
        cr_assert(status == RF_ERR_DAMAGED || status == RF_ERR_FORMAT, "bit %zu", bit);
        catalog = NULL;
    }
    const char *other = "epoch 1\na 2 0123456789abcdef\n";
    rf_buf_clear(&text);
    rf_buf_append_format(&text, "refold-current 1 %016llx\n%s",
                         (unsigned long long)rf_checksum(rf_slice_of(other)), other);
    cr_assert_eq(rf_file_replace(current, rf_buf_slice(&text), NULL), RF_OK);
    cr_assert_eq(rf_catalog_open(dir, false, &catalog, &err), RF_ERR_DAMAGED);
    cr_assert_not_null(strstr(err.message, "different live"), "%s", err.message);
    cr_assert_eq(rename(kept, current), 0);
    open_catalog(false);
    rf_buf_free(&text);
}

Test(catalog, finds_flipped_bits_in_its_records)
{
    rf_buf bytes;
    char data[RF_PATH_SIZE];
    rf_err err;
    int flipped = 0;

    (void)add("orders", 0x55aa55aa55aa55aa);
    cr_assert_eq(flip("orders", 1, false), RF_OK);
    path_in(data, "live/data.mdb");
    rf_catalog_close(catalog);
    catalog = NULL;
    rf_buf_init(&bytes, 64 << 20);
    cr_assert_eq(rf_file_read(data, &bytes, NULL), RF_OK);
    for (size_t at = 0; at + 16 < bytes.size; at++) {
        /* The content hash stands in generation records, of this and of pages that are free again. */
        if (memcmp(bytes.data + at, "\xaa\x55\xaa\x55\xaa\x55\xaa\x55", 8) != 0)
            continue;
        bytes.data[at + 3] ^= 1;
        at += 16;
        flipped++;
    }
    cr_assert_gt(flipped, 0);
    cr_assert_eq(rf_file_replace(data, rf_buf_slice(&bytes), NULL), RF_OK);
    cr_assert_eq(rf_catalog_open(dir, false, &catalog, &err), RF_ERR_DAMAGED);
    cr_assert_not_null(strstr(err.message, "orders"), "%s", err.message);
    catalog = NULL;
    rf_buf_free(&bytes);
}

static rf_gc_result collect(const char *name, uint32_t keep)
{
    rf_gc_result result = {0};
    rf_err err = {0};

    cr_assert_eq(rf_catalog_gc(catalog, name, keep, false, 0, &result, &err), RF_OK, "%s", err.message);
    return result;
}

static bool is_there(const char *name, uint64_t number)
{
    rf_catalog_generation generation;
    char path[RF_PATH_SIZE];
    bool found;

    cr_assert_eq(rf_catalog_get_generation(catalog, name, number, &generation, &found, NULL), RF_OK);
    cr_assert_eq(rf_catalog_path(catalog, name, number, path, NULL), RF_OK);
    cr_assert_eq(found, rf_path_exists(path));
    return found;
}

Test(catalog, gc_keeps_the_live_one_the_one_before_and_the_newest)
{
    for (uint64_t number = 1; number <= 8; number++)
        (void)add("a", 1);
    (void)add("b", 1);
    cr_assert_eq(flip("a", 2, false), RF_OK);
    cr_assert_eq(flip("a", 3, false), RF_OK);
    cr_assert_eq(flip("a", 5, false), RF_OK);
    rf_gc_result result = collect("a", 4);
    cr_assert_eq(result.removed, 4);
    cr_assert_eq(result.in_use, 0);
    cr_assert_gt(result.bytes, 4 * 4096);
    for (uint64_t number = 1; number <= 8; number++)
        cr_assert_eq(is_there("a", number), number == 5 || number == 3 || number == 7 || number == 8,
                     "%d", (int)number);
    cr_assert(is_there("b", 1), "the other one is left alone");
    rf_catalog_model model = model_of("a");
    cr_assert_eq(model.history_count, 1, "what is gone left the history");
    cr_assert_eq(model.history[0], 3);
    result = collect(NULL, 1);
    cr_assert_eq(result.removed, 3);
    cr_assert(is_there("a", 5));
    cr_assert(is_there("b", 1));
    reopen();
    cr_assert_eq(add("a", 1), 9, "numbers go on");
}

/* A sealed generation that the catalog does not know yet. */
static rf_manifest sealed_of(const char *name, uint64_t content, uint64_t position)
{
    char dir_of[RF_PATH_SIZE];
    rf_manifest manifest;
    rf_kv_txn *txn;
    uint64_t number = fixture_generation(catalog, name, content, 4, 10, position);

    cr_assert_eq(rf_catalog_path(catalog, name, number, dir_of, NULL), RF_OK);
    cr_assert_eq(rf_manifest_read(dir_of, &manifest, NULL), RF_OK);
    cr_assert_eq(rf_kv_begin(catalog->kv, true, &txn, NULL), RF_OK);
    cr_assert_eq(rf_record_delete_generation(txn, name, number, NULL), RF_OK);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    cr_assert_eq(rf_catalog_add_replacing(catalog, &manifest, NULL), RF_OK);
    return manifest;
}

static rf_status replace(const rf_manifest *manifest, uint64_t from)
{
    return rf_catalog_replace(catalog, manifest, from, NULL, NULL, 0, NULL);
}

static rf_catalog_generation generation_of(const char *name, uint64_t number)
{
    rf_catalog_generation generation;
    bool found = false;

    cr_assert_eq(rf_catalog_get_generation(catalog, name, number, &generation, &found, NULL), RF_OK);
    cr_assert(found);
    return generation;
}

Test(catalog, gives_the_place_of_a_generation_to_one_with_the_same_rows)
{
    bool changed = false;

    for (uint32_t version = 1; version <= 3; version++) {
        cr_assert_eq(fixture_version(catalog, "a", version, version, 4, 10, 100), version);
        cr_assert_eq(flip("a", version, false), RF_OK);
    }
    cr_assert_eq(rf_catalog_set_pinned(catalog, "a", 2, true, &changed, NULL), RF_OK);
    rf_manifest live = sealed_of("a", 3, 100), colour = sealed_of("a", 2, 100);
    cr_assert_eq(replace(&live, 3), RF_OK);
    cr_assert_eq(replace(&colour, 2), RF_OK);
    rf_catalog_model model = model_of("a");
    cr_assert_eq(model.live, 4);
    cr_assert_eq(model.history_count, 2);
    cr_assert(model.history[0] == 1 && model.history[1] == 5, "it stands where the other one stood");
    cr_assert_eq(model.colour_count, 2);
    cr_assert(rf_catalog_colour_of(&model, 1) && rf_catalog_colour_of(&model, 5));
    cr_assert_eq(generation_of("a", 3).replaced_by, 4);
    cr_assert_eq(generation_of("a", 2).replaced_by, 5);
    cr_assert(!generation_of("a", 2).is_pinned && generation_of("a", 5).is_pinned);
    cr_assert_eq(flip("a", 3, false), RF_ERR_ABSENT, "nothing goes back to one without a place");
    reopen();
    cr_assert_eq(model_of("a").live, 4);
    rf_gc_result result = collect("a", 100);
    cr_assert_eq(result.removed, 2, "what was replaced is not among those that are kept");
    cr_assert(!is_there("a", 2) && !is_there("a", 3) && is_there("a", 1));
    cr_assert_eq(flip("a", 5, true), RF_OK, "a rollback goes to what has the place");
    rf_manifest_free(&live);
    rf_manifest_free(&colour);
}

/* After a rollback from 3 to 2 that one is merged: 4 has its place, and is no younger than 3 for it. */
Test(catalog, counts_a_generation_as_old_as_the_one_whose_place_it_has)
{
    uint64_t younger = 77;

    for (uint32_t i = 1; i <= 3; i++) {
        cr_assert_eq(fixture_version(catalog, "a", 1, i, 4, 10, 100), i);
        cr_assert_eq(flip("a", i, false), RF_OK);
    }
    cr_assert_eq(rf_catalog_get_younger(catalog, "a", 3, &younger, NULL), RF_OK);
    cr_assert_eq(younger, 0);
    cr_assert_eq(flip("a", 2, true), RF_OK);
    rf_manifest merged = sealed_of("a", 2, 100);
    cr_assert_eq(rf_catalog_get_younger(catalog, "a", 2, &younger, NULL), RF_OK);
    cr_assert_eq(younger, 3, "what a merge has not ended is no choice");
    cr_assert_eq(replace(&merged, 2), RF_OK);
    cr_assert_eq(model_of("a").live, 4);
    reopen();
    cr_assert_eq(generation_of("a", 4).counts_as, 2);
    cr_assert_eq(rf_catalog_get_younger(catalog, "a", 4, &younger, NULL), RF_OK);
    cr_assert_eq(younger, 3);
    cr_assert_eq(rf_catalog_get_younger(catalog, "a", 0, &younger, NULL), RF_OK);
    cr_assert_eq(younger, 3, "of all it is the youngest");
    cr_assert_eq(flip("a", 3, false), RF_OK);
    cr_assert_eq(fixture_version(catalog, "a", 1, 5, 4, 10, 100), 5);
    (void)collect("a", 3);
    cr_assert(is_there("a", 3) && is_there("a", 4) && is_there("a", 5), "4 is what a rollback goes to");
    cr_assert_eq(flip("a", 5, false), RF_OK);
    (void)collect("a", 2);
    cr_assert(is_there("a", 3) && !is_there("a", 4), "4 is older than 3");
    rf_manifest_free(&merged);
}

Test(catalog, gives_no_place_of_a_generation_that_moved_on_or_does_not_serve)
{
    (void)add("a", 1);
    (void)add("a", 1);
    cr_assert_eq(flip("a", 1, false), RF_OK);
    rf_manifest behind = sealed_of("a", 1, 99), other = sealed_of("a", 2, 100);
    rf_manifest same = sealed_of("a", 1, 100);
    uint64_t epoch = model_of("a").epoch;
    cr_assert_eq(replace(&behind, 1), RF_ERR_LOCKED);
    cr_assert_eq(replace(&other, 1), RF_ERR_LOCKED);
    cr_assert_eq(replace(&same, 2), RF_ERR_LOCKED);
    cr_assert_eq(model_of("a").epoch, epoch);
    cr_assert_eq(model_of("a").live, 1);
    cr_assert_eq(replace(&same, 1), RF_OK);
    cr_assert_eq(model_of("a").live, same.number);
    cr_assert_eq(flip("a", behind.number, false), RF_ERR_ABSENT, "it has no place");
    rf_gc_result result = collect("a", 100);
    cr_assert_eq(result.removed, 3, "what has no place, and what was replaced, goes");
    rf_manifest_free(&behind);
    rf_manifest_free(&other);
    rf_manifest_free(&same);
}

Test(catalog, gc_skips_what_a_reader_holds)
{
    rf_pinned pinned, twice;

    for (uint64_t number = 1; number <= 3; number++) {
        (void)add("a", 1);
        cr_assert_eq(flip("a", number, false), RF_OK);
    }
    cr_assert_eq(rf_catalog_pin(catalog, "a", 1, &pinned, NULL), RF_OK);
    cr_assert_eq(rf_catalog_pin(catalog, "a", 1, &twice, NULL), RF_OK);
    cr_assert_eq(pinned.base, twice.base, "they share the mapped files");
    rf_gc_result result = collect("a", 1);
    cr_assert_eq(result.removed, 1);
    cr_assert_eq(result.in_use, 1);
    cr_assert(is_there("a", 1));
    rf_catalog_unpin(&pinned);
    cr_assert_eq(collect("a", 1).in_use, 1);
    rf_catalog_unpin(&twice);
    result = collect("a", 1);
    cr_assert_eq(result.removed, 1);
    cr_assert_not(is_there("a", 1));
    cr_assert(is_there("a", 3));
}

Test(catalog, gc_skips_what_another_process_reads)
{
    rf_pinned pinned;
    int up[2], down[2];
    char byte;

    (void)add("a", 1);
    (void)add("a", 1);
    cr_assert_eq(flip("a", 2, false), RF_OK);
    rf_catalog_close(catalog); /* LMDB does not survive a fork */
    catalog = NULL;
    cr_assert_eq(pipe(up), 0);
    cr_assert_eq(pipe(down), 0);
    pid_t child = fork();
    if (child == 0) {
        if (rf_catalog_open(dir, false, &catalog, NULL) != RF_OK ||
            rf_catalog_pin(catalog, "a", 1, &pinned, NULL) != RF_OK || write(up[1], "x", 1) != 1 ||
            read(down[0], &byte, 1) != 1)
            _exit(1);
        _exit(0); /* the lock dies with the process */
    }
    cr_assert_eq(read(up[0], &byte, 1), 1);
    open_catalog(false);
    cr_assert_eq(collect("a", 1).in_use, 1);
    cr_assert_eq(write(down[1], "x", 1), 1);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert_eq(collect("a", 1).removed, 1);
}

Test(catalog, gc_removes_leftovers_and_nothing_that_it_does_not_know)
{
    char path[RF_PATH_SIZE], foreign[RF_PATH_SIZE], later[RF_PATH_SIZE];
    uint64_t number;
    rf_err err;
    rf_gc_result result;

    (void)add("a", 1);
    cr_assert_eq(rf_catalog_new_generation(catalog, "a", &number, path, NULL), RF_OK);
    path_in(foreign, "generations/a/notes");
    path_in(later, "generations/a/000099");
    cr_assert_eq(rf_dir_make(foreign, NULL), RF_OK);
    cr_assert_eq(rf_dir_make(later, NULL), RF_OK);
    (void)collect("a", 3);
    cr_assert_not(rf_path_exists(path));
    cr_assert(rf_path_exists(foreign));
    cr_assert(rf_path_exists(later));
    cr_assert(is_there("a", 1));
    cr_assert_eq(rf_catalog_gc(catalog, "b", 3, false, 0, &result, &err), RF_ERR_ABSENT);
}

Test(catalog, a_scratch_takes_no_number_and_gc_removes_it)
{
    char scratch[RF_PATH_SIZE], again[RF_PATH_SIZE], path[RF_PATH_SIZE];
    uint64_t first = add("a", 1);
    rf_err err = {0};

    cr_assert_eq(rf_catalog_new_scratch(catalog, "a", scratch, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_catalog_new_scratch(catalog, "a", again, &err), RF_OK, "%s", err.message);
    cr_assert_str_eq(scratch, again);
    cr_assert_eq(rf_path_format(path, "%s/definition", NULL, scratch), RF_OK);
    cr_assert(rf_path_is_dir(path));
    cr_assert_eq(rf_catalog_new_scratch(catalog, "../a", again, &err), RF_ERR_INPUT);
    cr_assert_eq(model_of("a").next_number, first + 1);
    collect("a", 3);
    path_in(path, "generations/.scratch");
    cr_assert_not(rf_path_exists(path));
    cr_assert(is_there("a", first));
    cr_assert_eq(rf_catalog_remove_scratch(catalog, &err), RF_OK, "%s", err.message);
}

Test(catalog, gc_removes_more_than_a_batch)
{
    for (int i = 0; i < 150; i++)
        (void)add("a", 1);
    cr_assert_eq(flip("a", 75, false), RF_OK);
    cr_assert_eq(collect("a", 2).removed, 148);
    cr_assert(is_there("a", 75));
    cr_assert(is_there("a", 150));
}

Test(catalog, refuses_a_generation_that_was_never_begun)
{
    rf_manifest manifest = {.name = "a", .number = 1, .partitions = 1};

    const rf_manifest *added = &manifest;

    cr_assert_eq(rf_catalog_add_generations(catalog, &added, 1, &(uint64_t){0}, NULL), RF_ERR_USAGE);
}

Test(catalog, adds_all_generations_or_none)
{
    rf_manifest known = {.name = "a", .number = 1, .partitions = 1};
    rf_manifest unknown = {.name = "b", .number = 1, .partitions = 1};
    const rf_manifest *both[] = {&known, &unknown};
    rf_catalog_generation *generations = NULL;
    char path[RF_PATH_SIZE];
    uint32_t count = 1;

    cr_assert_eq(rf_catalog_new_generation(catalog, "a", &known.number, path, NULL), RF_OK);
    cr_assert_eq(rf_catalog_add_generations(catalog, both, 2, &(uint64_t){0}, NULL), RF_ERR_USAGE);
    cr_assert_eq(rf_catalog_generations(catalog, NULL, &generations, &count, NULL), RF_OK);
    cr_assert_eq(count, 0);
    free(generations);
    cr_assert_eq(rf_catalog_add_generations(catalog, both, 1, &(uint64_t){0}, NULL), RF_OK);
    cr_assert_eq(rf_catalog_generations(catalog, NULL, &generations, &count, NULL), RF_OK);
    cr_assert_eq(count, 1);
    free(generations);
}

Test(catalog, is_absent_where_there_is_none)
{
    rf_catalog *none;

    cr_assert_eq(rf_catalog_open("/tmp/refold-no-such-store", false, &none, NULL), RF_ERR_ABSENT);
}

static void put_skip(const char *name, uint64_t position, const char *reason)
{
    const rf_left_out skip = {position, RF_CAUSE_ON_RECORD, RF_SLICE("order-1"), RF_SLICE("T"),
                              rf_slice_of(reason)};

    cr_assert_eq(rf_catalog_put_skip(catalog, name, &skip, NULL), RF_OK);
}

Test(catalog, keeps_skips_by_name_in_position_order)
{
    rf_left_out_list skips;
    bool found;

    put_skip("orders", 300, "third");
    put_skip("orders", 2, "first");
    put_skip("order", 1, "of another");
    put_skip("orders", 255, "x");
    put_skip("orders", 255, "second");
    reopen();
    cr_assert_eq(rf_catalog_skips(catalog, "orders", &skips, NULL), RF_OK);
    cr_assert_eq(skips.count, 3);
    cr_assert_eq(skips.items[0].position, 2);
    cr_assert_eq(skips.items[1].position, 255);
    cr_assert_eq(skips.items[2].position, 300);
    cr_assert_str_eq(skips.items[1].reason.data, "second");
    cr_assert_str_eq(skips.items[1].stream.data, "order-1");
    rf_left_out_list_free(&skips);
    cr_assert_eq(rf_catalog_remove_skip(catalog, "orders", 255, &found, NULL), RF_OK);
    cr_assert(found);
    cr_assert_eq(rf_catalog_remove_skip(catalog, "orders", 255, &found, NULL), RF_OK);
    cr_assert_not(found);
    cr_assert_eq(rf_catalog_skips(catalog, "orders", &skips, NULL), RF_OK);
    cr_assert_eq(skips.count, 2);
    rf_left_out_list_free(&skips);
    cr_assert_eq(rf_catalog_skips(catalog, "../etc", &skips, NULL), RF_ERR_USAGE);
}

Test(catalog, skips_make_no_read_model_and_survive_flips_and_gc)
{
    rf_left_out_list skips;
    rf_catalog_model *models;
    rf_gc_result removed;
    uint32_t count;

    put_skip("orders", 5, "early");
    cr_assert_eq(rf_catalog_models(catalog, &models, &count, NULL), RF_OK);
    cr_assert_eq(count, 0);
    free(models);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(flip("orders", add("orders", 1), false), RF_OK);
    cr_assert_eq(rf_catalog_gc(catalog, NULL, 1, false, 0, &removed, NULL), RF_OK);
    reopen();
    cr_assert_eq(rf_catalog_skips(catalog, "orders", &skips, NULL), RF_OK);
    cr_assert_eq(skips.count, 1);
    rf_left_out_list_free(&skips);
}
