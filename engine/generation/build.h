/* A build: one new generation on its way from the fold's rows to a sealed directory.
 *
 *     rf_build_begin -> rf_build_target -> (the fold runs) -> rf_build_end_rows -> rf_build_sync … ->
 *     rf_build_seal -> rf_build_record -> rf_build_free
 *
 * begin takes the next generation number, makes the directory and keeps the definition in it. The
 * fold's rows arrive per worker (rf_build_target gives the sinks): each worker encodes them, adds
 * them to its digest and collects finished blocks, which go to the base files about a MiB at a
 * time. sync fsyncs everything in pieces, those of all builds side by side, because each waits for
 * the disk; nothing is synced before. Then seal writes MANIFEST, and record tells the catalog of all
 * builds at once. free without that removes the directory.
 *
 * A scratch build goes the same way into a directory that is no generation: the catalog never hears
 * of it, and free always removes it. There is one of a name at a time.
 *
 * Threads: the sinks on any worker, each with its own slot; the pieces of sync on any threads, and
 * seal after them too. The rest on one thread.
 */
#ifndef RF_BUILD_H
#define RF_BUILD_H

#include "rebuild/check.h"
#include "rebuild/fold.h"
#include "store/store.h"

typedef struct rf_build rf_build;

/* How a build was folded: what its MANIFEST and QUARANTINE say of it. */
typedef struct rf_build_fold {
    uint64_t position;
    int64_t time_last; /* the largest event time in the log up to `position`, or RF_TIME_NONE */
    uint64_t events;   /* that handlers got, up to `position` */
    rf_on_error on_error;
    const rf_left_out *left_out; /* in position order */
    uint32_t left_out_count;
    const rf_digest *digest; /* of all rows, where they are stored ones; NULL: of those that the sinks got */
} rf_build_fold;

typedef struct rf_build_options {
    uint32_t worker_slots; /* of the pool that the fold runs on */
    bool scratch;
} rf_build_options;

/* `definition` is borrowed until free. */
rf_status rf_build_begin(rf_store *store, const rf_definition *definition,
                         const rf_build_options *options, rf_build **build_out, rf_err *err);
/* Its directory; valid until free. */
const char *rf_build_dir(const rf_build *build);
void rf_build_target(rf_build *build, rf_fold_target *target_out);
/* What MANIFEST says of the schemas of types: those of the build's definition. */
rf_status rf_build_keep_schemas(rf_build *build, const rf_check_schema *schemas, uint32_t count,
                                rf_err *err);
/* For a merge, in place of rf_build_target: rows as they are stored, in key order of a partition, one
 * partition of a worker at a time; a whole block that the caller verified; a row's entries in the
 * indexes, from the values of its columns; and the end of the partition. They are in no digest. */
rf_status rf_build_stored_row(rf_build *build, uint32_t worker, uint32_t partition, rf_slice key,
                              rf_slice row, rf_err *err);
rf_status rf_build_stored_block(rf_build *build, uint32_t worker, uint32_t partition,
                                const rf_block *block, rf_err *err);
rf_status rf_build_stored_entries(rf_build *build, uint32_t worker, rf_slice key,
                                  const rf_value *values, rf_err *err);
rf_status rf_build_stored_end(rf_build *build, uint32_t worker, uint32_t partition, rf_err *err);
/* What MANIFEST says of schemas is what that of another generation of the same definition says. */
rf_status rf_build_take_schemas(rf_build *build, const rf_manifest *from, rf_err *err);
/* Once the fold has ended: what MANIFEST will say, and QUARANTINE. */
rf_status rf_build_end_rows(rf_build *build, const rf_build_fold *fold, rf_err *err);
/* The pieces of what is to be durable before MANIFEST, each once. */
uint32_t rf_build_sync_count(const rf_build *build);
rf_status rf_build_sync(rf_build *build, uint32_t index, rf_err *err);
rf_status rf_build_seal(rf_build *build, rf_err *err);
/* All or none; for builds that are no scratch. */
rf_status rf_build_record(rf_build *const *builds, uint32_t count, uint64_t *set, rf_err *err);
/* Of one build: it is recorded to take another generation's place (rf_catalog_add_replacing). */
rf_status rf_build_record_replacing(rf_build *build, rf_err *err);
/* After seal; valid until free. */
const rf_manifest *rf_build_manifest(const rf_build *build);
/* Seconds that the sinks spent in writing, added over the workers. */
double rf_build_write_seconds(const rf_build *build);
/* Takes NULL. */
void rf_build_free(rf_build *build);

/* Sinks that only make the digest of the rows: what `verify --serial` compares. */
typedef struct rf_digest_sink rf_digest_sink;
rf_digest_sink *rf_digest_sink_new(const rf_definition *definition); /* NULL without memory */
void rf_digest_sink_target(rf_digest_sink *sink, rf_fold_target *target_out);
/* For a fold with one worker slot. */
const rf_digest *rf_digest_sink_digest(const rf_digest_sink *sink);
void rf_digest_sink_free(rf_digest_sink *sink);

#endif
