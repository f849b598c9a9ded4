/* Measuring replays: how fast projections fold the log, by number of workers, and how near that is
 * to what the machine can do.
 *
 * A replay is what a rebuild does from the first event to the sealed generation, by the same code:
 * decoding, folding, emitting, writing, fsyncing. Its files go to generations/.scratch in the
 * store, so to the same file system, and are removed; checks, gates, catalog and swap are not
 * part of it. Beside each replay its floor is measured: decoding the columns that the projections
 * need, plus writing and fsyncing as many bytes as the replay wrote, with as many workers.
 *
 * One replay warms the caches and is not counted. Then come rounds: each measures every number
 * of workers once, the fewest first, a replay and a floor, so that a disturbance falls on all
 * alike. Nothing in the store is changed. The store's LOCK is held: no rebuild runs beside it and
 * none is measured.
 */
#ifndef REFOLD_BENCH_H
#define REFOLD_BENCH_H

#include "refold/store.h"

enum { RF_BENCH_CASES_MAX = 64, RF_BENCH_RUNS_MAX = 1000 };

typedef struct rf_bench_options {
    const uint32_t *workers; /* numbers of workers to measure, each once, 0 to 256 */
    uint32_t worker_count;   /* of these; 0: 0, 1, 2, 4 ... up to one per processor */
    uint32_t runs;           /* rounds; 0: 5 */
    bool allow_missing;      /* as in rf_rebuild_options, and the next */
    uint64_t memory_bytes;
    const char *evolution;
    rf_run run; /* its workers are not used */
} rf_bench_options;

/* Shares of the workers' time (replay times workers), 0 to 1; together 1. */
typedef struct rf_bench_shares {
    double decode, fold, emit, write;
    double seal; /* the last fsyncs and MANIFEST, by one thread */
    double idle; /* workers that wait for others, above all while one seals */
} rf_bench_shares;

/* One number of workers. */
typedef struct rf_bench_case {
    uint32_t workers;            /* 0: everything in line */
    const double *seconds;       /* of each replay, in order of the rounds */
    const double *floor_seconds; /* of each floor */
    double median, fastest, slowest;
    double floor_median;
    double floor_ratio; /* median by floor_median; 0 if there is none */
    double speedup;     /* against `baseline_workers` */
    double events_per_second, payload_bytes_per_second; /* by the median */
    rf_bench_shares shares;                             /* over all its replays */
    /* Largest resident set of the process in the first round's replay, mapped files included; 0:
     * unknown. */
    uint64_t memory_peak;
} rf_bench_case;

typedef struct rf_bench_projection {
    const char *name;
    uint32_t version;
    uint64_t rows;
    uint64_t events; /* that its handlers got */
    uint64_t bytes;  /* of its base files */
    char digest[33]; /* the same in every replay */
} rf_bench_projection;

/* A report owns all that it points at. */
typedef struct rf_bench_report {
    const char *processor, *system; /* the machine */
    uint32_t processors;
    uint64_t machine_memory;
    double load;         /* of the machine in the minute before */
    int64_t measured_at; /* microseconds since 1970 UTC */
    const char *store;
    uint64_t position, events, streams;
    uint32_t partitions;
    uint64_t payload_bytes; /* of data and metadata as they came */
    uint64_t log_bytes;     /* on disk */
    uint64_t memory_bytes;  /* the budget */
    uint32_t runs;
    uint32_t baseline_workers;
    uint64_t bytes_decoded; /* by a replay: stored bytes of the columns that it reads */
    uint64_t bytes_written; /* by a replay: base files of all projections */
    const rf_bench_projection *projections;
    uint32_t projection_count;
    const rf_bench_case *cases; /* the fewest workers first */
    uint32_t case_count;
} rf_bench_report;

/* Projections are named as for rf_rebuild; versions are not compared with what is live.
 * RF_ERR_REFUSED where a rebuild's checks would refuse; RF_ERR_PLUGIN where two replays gave
 * different rows. *report_out is set on success only; free it. */
RF_API rf_status rf_bench(rf_store *store, const char *const *projections,
                          uint32_t projection_count, const rf_bench_options *options,
                          rf_bench_report **report_out, rf_err *err);
/* Takes NULL. */
RF_API void rf_bench_report_free(rf_bench_report *report);

#endif
