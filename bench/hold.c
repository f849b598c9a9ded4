/* How long who follows is held: the time until the catalog's write transaction is had, once a millisecond.
 *
 *     hold STORE   until its input ends; prints one JSON object
 *
 * A follower's delta and checkpoint are such a transaction, and so is the end of a swap.
 */
#include "catalog/catalog.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <poll.h>

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool input_ended(void)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char byte;

    return poll(&input, 1, 1) > 0 && read(STDIN_FILENO, &byte, 1) <= 0;
}

int main(int argc, char **argv)
{
    const rf_store_options options = {0};
    unsigned long waits = 0, over = 0;
    double longest = 0;
    rf_store *store = NULL;
    rf_kv_txn *txn;
    rf_err err;

    if (argc != 2) {
        fputs("usage: hold STORE\n", stderr);
        return 2;
    }
    rf_status status = rf_store_open(argv[1], &options, &store, &err);
    while (status == RF_OK && !input_ended()) {
        double begun = now();
        status = rf_kv_begin(rf_catalog_kv(store->catalog), true, &txn, &err);
        if (status != RF_OK)
            break;
        rf_kv_abort(txn);
        double took = now() - begun;
        longest = took > longest ? took : longest;
        over += took > 0.1;
        waits++;
    }
    rf_store_close(store);
    if (status != RF_OK) {
        fprintf(stderr, "hold: %s\n", err.message);
        return 1;
    }
    printf("{\"waits\":%lu,\"longest_s\":%.6f,\"over_100ms\":%lu}\n", waits, longest, over);
    return 0;
}
