/* What an application sees: gets a second, and how long a swap takes and holds up who reads.
 *
 *     reader STORE NAME gets RUNS [GETS]   so many gets of rows in random order, RUNS times, in a
 *                                          warm process, by one thread
 *     reader STORE NAME swaps COUNT        the two newest generations made live in turns, while a
 *                                          thread refreshes its reader and gets a row, for ever
 *
 * Only the public library. Prints one JSON object. The first pass over the keys of `gets` is not
 * counted: blocks are checked when they are first touched. A get of `swaps` is timed with the
 * refresh before it, which is where a swap can be felt.
 */
#include "refold/refold.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { GETS_DEFAULT = 1000000, GETS_MAX = 1000000000, KEYS_MAX = 20000000, COUNT_MAX = 100000 };

typedef struct keys {
    char *bytes;
    uint32_t *offsets; /* count + 1 */
    uint32_t count;
} keys;

static void fail(const rf_err *err)
{
    fprintf(stderr, "reader: %s\n", err->message);
    exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *need(void *memory)
{
    if (!memory) {
        fputs("reader: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;

    return (a > b) - (a < b);
}

static uint64_t draw(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Every key, in key order. */
static void read_keys(rf_reader *reader, keys *keys_out)
{
    uint64_t rows = rf_reader_get_info(reader)->rows;
    size_t size = 0, capacity = 0;
    rf_cursor *cursor = NULL;
    rf_row row;
    rf_err err;

    if (rows == 0 || rows > KEYS_MAX || rf_cursor_open(reader, NULL, &cursor, &err) != RF_OK) {
        fputs("reader: no rows, too many, or no cursor\n", stderr);
        exit(1);
    }
    *keys_out = (keys){.offsets = need(malloc((rows + 1) * sizeof(uint32_t)))};
    keys_out->offsets[0] = 0;
    while (keys_out->count < rows && rf_cursor_next(cursor, &row, &err) == RF_OK) {
        if (size + row.key.size > capacity) {
            capacity = 2 * capacity + row.key.size;
            keys_out->bytes = need(realloc(keys_out->bytes, capacity));
        }
        memcpy(keys_out->bytes + size, row.key.data, row.key.size);
        size += row.key.size;
        keys_out->offsets[++keys_out->count] = (uint32_t)size;
    }
    rf_cursor_close(cursor);
}

/* The same keys in random order: whoever gets them has each at hand, as an application has. */
static void shuffle(keys *all)
{
    uint64_t seed = 88172645463325252u;
    uint32_t *order = need(malloc(all->count * sizeof *order));
    keys shuffled = {
        .bytes = need(malloc(all->offsets[all->count])),
        .offsets = need(malloc(((size_t)all->count + 1) * sizeof(uint32_t))),
    };

    for (uint32_t i = 0; i < all->count; i++) {
        uint32_t other = (uint32_t)(draw(&seed) % (i + 1));
        order[i] = order[other];
        order[other] = i;
    }
    shuffled.offsets[0] = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        uint32_t begin = all->offsets[order[i]];
        uint32_t size = all->offsets[order[i] + 1] - begin;
        memcpy(shuffled.bytes + shuffled.offsets[i], all->bytes + begin, size);
        shuffled.offsets[++shuffled.count] = shuffled.offsets[i] + size;
    }
    free(order);
    free(all->bytes);
    free(all->offsets);
    *all = shuffled;
}

static rf_slice key_at(const keys *all, uint64_t index)
{
    uint32_t i = (uint32_t)(index % all->count);

    return (rf_slice){all->bytes + all->offsets[i], all->offsets[i + 1] - all->offsets[i]};
}

static void get(rf_reader *reader, rf_slice key)
{
    rf_row row;
    rf_err err;

    if (rf_reader_get(reader, key, &row, &err) != RF_OK)
        fail(&err);
}

/* ---- gets ---- */

static void measure_gets(rf_reader *reader, const keys *all, uint32_t runs, uint32_t gets)
{
    double *rates = need(malloc(runs * sizeof *rates));
    uint64_t next = 0;

    for (uint32_t i = 0; i < all->count; i++)
        get(reader, key_at(all, i));
    for (uint32_t run = 0; run < runs; run++) {
        double start = now();
        for (uint32_t i = 0; i < gets; i++)
            get(reader, key_at(all, next++));
        rates[run] = gets / (now() - start);
    }
    qsort(rates, runs, sizeof *rates, compare_doubles);
    printf("{\"rows\":%u,\"runs\":%u,\"gets_per_second\":%.0f,\"slowest\":%.0f,\"fastest\":%.0f}\n",
           all->count, runs, rates[runs / 2], rates[0], rates[runs - 1]);
    free(rates);
}

/* ---- swaps ---- */

struct watch {
    const char *path, *name;
    const keys *keys;
    atomic_bool stop;
    atomic_bool ready;
    /* by the reading thread, until it is joined */
    uint64_t gets, moves, over_1ms, over_5ms;
    double slowest, slowest_get;
};

static void *keep_reading(void *arg)
{
    struct watch *watch = arg;
    rf_store *store = NULL;
    rf_reader *reader = NULL;
    rf_err err;

    if (rf_store_open(watch->path, NULL, &store, &err) != RF_OK ||
        rf_reader_open(store, watch->name, 0, &reader, &err) != RF_OK)
        fail(&err);
    atomic_store(&watch->ready, true);
    while (!atomic_load(&watch->stop)) {
        bool moved = false;
        double start = now();
        if (rf_reader_refresh(reader, &moved, &err) != RF_OK)
            fail(&err);
        double refreshed = now();
        get(reader, key_at(watch->keys, watch->gets));
        double end = now();
        watch->gets++;
        watch->moves += moved;
        watch->over_1ms += end - start > 1e-3;
        watch->over_5ms += end - start > 5e-3;
        if (end - start > watch->slowest)
            watch->slowest = end - start;
        if (end - refreshed > watch->slowest_get)
            watch->slowest_get = end - refreshed;
    }
    rf_reader_close(reader);
    rf_store_close(store);
    return NULL;
}

/* The two newest generations. */
static void find_two(rf_store *store, const char *name, uint64_t numbers_out[2])
{
    rf_generations *list = NULL;
    rf_err err;
    uint32_t count = 0;

    if (rf_generations_list(store, name, &list, &err) != RF_OK)
        fail(&err);
    const rf_generation *items = rf_generations_items(list, &count);
    if (count < 2) {
        fputs("reader: swaps need two generations\n", stderr);
        exit(1);
    }
    numbers_out[0] = items[count - 2].number;
    numbers_out[1] = items[count - 1].number;
    rf_generations_free(list);
}

static void measure_swaps(rf_store *store, const char *name, const keys *all, uint32_t count)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    struct watch watch = {.path = rf_store_path(store), .name = name, .keys = all};
    double *seconds = need(malloc(count * sizeof *seconds));
    uint64_t numbers[2];
    pthread_t thread;
    rf_err err;

    find_two(store, name, numbers);
    if (pthread_create(&thread, NULL, keep_reading, &watch) != 0)
        need(NULL);
    while (!atomic_load(&watch.ready))
        nanosleep(&pause, NULL);
    for (uint32_t i = 0; i < count; i++) {
        rf_flip flip;
        double start = now();
        if (rf_swap(store, &name, 1, numbers[i % 2], 0, &flip, &err) != RF_OK)
            fail(&err);
        seconds[i] = now() - start;
        nanosleep(&pause, NULL);
    }
    atomic_store(&watch.stop, true);
    pthread_join(thread, NULL);
    qsort(seconds, count, sizeof *seconds, compare_doubles);
    printf("{\"rows\":%u,\"swaps\":%u,\"swap\":{", all->count, count);
    printf("\"fastest\":%.6f,\"median\":%.6f,", seconds[0], seconds[count / 2]);
    printf("\"nine_of_ten\":%.6f,\"slowest\":%.6f},", seconds[count * 9 / 10], seconds[count - 1]);
    printf("\"reader\":{\"gets\":%llu,\"generations_seen\":%llu,\"over_1ms\":%llu,"
           "\"over_5ms\":%llu,"
           "\"slowest\":%.6f,\"slowest_get\":%.6f}}\n",
           (unsigned long long)watch.gets, (unsigned long long)watch.moves,
           (unsigned long long)watch.over_1ms, (unsigned long long)watch.over_5ms, watch.slowest,
           watch.slowest_get);
    free(seconds);
}

/* A number from 1 to `most`; 0: it is none. */
static uint32_t read_count(const char *text, uint32_t most)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);

    return *end || value > most ? 0 : (uint32_t)value;
}

int main(int argc, char **argv)
{
    bool swaps = argc == 5 && strcmp(argv[3], "swaps") == 0;
    bool gets = (argc == 5 || argc == 6) && strcmp(argv[3], "gets") == 0;
    uint32_t count = gets || swaps ? read_count(argv[4], COUNT_MAX) : 0;
    uint32_t each = argc == 6 ? read_count(argv[5], GETS_MAX) : GETS_DEFAULT;
    rf_store *store = NULL;
    rf_reader *reader = NULL;
    keys all;
    rf_err err;

    if (count == 0 || each == 0) {
        fputs("usage: reader STORE NAME gets RUNS [GETS]\n"
              "       reader STORE NAME swaps COUNT\n",
              stderr);
        return 2;
    }
    if (rf_store_open(argv[1], NULL, &store, &err) != RF_OK ||
        rf_reader_open(store, argv[2], 0, &reader, &err) != RF_OK)
        fail(&err);
    read_keys(reader, &all);
    shuffle(&all);
    if (gets)
        measure_gets(reader, &all, count, each);
    rf_reader_close(reader);
    if (swaps)
        measure_swaps(store, argv[2], &all, count);
    free(all.bytes);
    free(all.offsets);
    rf_store_close(store);
    return 0;
}
