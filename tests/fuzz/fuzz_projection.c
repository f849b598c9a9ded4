/* Fuzzes projections in Lua: the loader, and what loads is folded over a small log with several
 * schemas of a type, handlers, upcasters and keys included, strictly and leaving events out. The
 * limits on time and memory of a handler are the engine's own. Seeds: the projections of this
 * project, and some that upcast. */
#include "base/file.h"
#include "generation/build.h"
#include "projection/definition.h"
#include "rebuild/fold.h"
#include "refold/import.h"
#include "store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/tmp/refold-fuzz-XXXXXX";
static char definition_path[64];
static rf_store *store;
static rf_pool *pool;
static uint64_t position;

static void must(rf_status status, const rf_err *err)
{
    if (status == RF_OK)
        return;
    (void)fprintf(stderr, "%s\n", err->message);
    abort();
}

/* Removes the folder once this process is no more, however it ended: also by a signal to its whole
 * group, which this one is not of. */
static void remove_afterwards(void)
{
    int ends[2];
    char byte;

    if (pipe2(ends, O_CLOEXEC) != 0)
        abort();
    pid_t child = fork();
    if (child < 0)
        abort();
    if (child > 0) {
        (void)close(ends[0]);
        return;
    }
    (void)setsid();
    (void)close(ends[1]);
    while (read(ends[0], &byte, 1) > 0)
        ;
    (void)rf_dir_remove(dir, NULL);
    _exit(0);
}

static const char events[] =
    "{\"stream\":\"order-1\",\"type\":\"OrderPlaced\",\"data\":{\"customer\":\"c 1\"}}\n"
    "{\"stream\":\"order-1\",\"type\":\"ItemAdded\",\"data\":{\"qty\":2,\"unit_price\":\"1.50\"}}\n"
    "{\"stream\":\"order-1\",\"type\":\"ItemAdded\",\"schema\":2,\"time\":\"2024-07-10T12:00:00Z\","
    "\"data\":{\"qty\":3,\"price\":1.25,\"sku\":\"s\",\"tags\":[1,{\"a\":null}]}}\n"
    "{\"stream\":\"order-2\",\"type\":\"OrderPlaced\",\"data\":{\"customer\":\"\\u00e9\"}}\n"
    "{\"stream\":\"order-2\",\"type\":\"ItemPut\",\"schema\":3,\"data\":{\"qty\":9007199254740993,"
    "\"price\":0,\"sku\":\"t\"},\"metadata\":{\"user_id\":\"u\"}}\n"
    "{\"stream\":\"order-1\",\"type\":\"OrderCancelled\",\"data\":{}}\n";

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char path[80];
    const char *paths[] = {path};
    const rf_store_options create = {.create = true, .partitions = 2};
    rf_import_summary summary;
    rf_err err;

    (void)argc;
    (void)argv;
    (void)setenv("REFOLD_MAP_BYTES", "1073741824", 0);
    if (!mkdtemp(dir))
        abort();
    remove_afterwards();
    (void)snprintf(path, sizeof path, "%s/events.jsonl", dir);
    (void)snprintf(definition_path, sizeof definition_path, "%s/fuzzed.lua", dir);
    must(rf_file_create(path, RF_SLICE(events), &err), &err);
    char store_path[80];
    (void)snprintf(store_path, sizeof store_path, "%s/store", dir);
    must(rf_store_open(store_path, &create, &store, &err), &err);
    must(rf_import_files(store, paths, 1, NULL, &summary, &err), &err);
    position = summary.position;
    must(rf_pool_new(0, &pool, &err), &err);
    return 0;
}

static void fold(const rf_definition *definition, rf_on_error on_error)
{
    const rf_fold_options options = {.until = position, .memory_bytes = (uint64_t)16 << 20};
    rf_digest_sink *sink = rf_digest_sink_new(definition);
    rf_fold_target target;
    rf_fold_stats stats;
    rf_err err;

    if (!sink)
        abort();
    rf_digest_sink_target(sink, &target);
    target.policy = (rf_fault_policy){.on_error = on_error, .errors_max = 1000};
    (void)rf_fold_run(store->log, pool, &target, 1, &options, &stats, &err);
    rf_faults_free(&target.faults);
    rf_digest_sink_free(sink);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rf_definition *definition;
    rf_err err;
    FILE *file = fopen(definition_path, "wb");

    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0)
        abort();
    if (rf_definition_load(definition_path, &definition, &err) != RF_OK)
        return 0;
    fold(definition, RF_ON_ERROR_STOP);
    if (definition->by_stream)
        fold(definition, RF_ON_ERROR_SKIP);
    rf_definition_free(definition);
    return 0;
}
