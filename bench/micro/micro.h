/* Micro-benches: one stage of the engine at a time, on one thread.
 *
 *     micro LOG PROJECTION FOLDER RUNS      LOG: JSON Lines of orders.c; FOLDER does not exist yet
 *
 * A case is run RUNS times after a run that is not counted, and printed as a line: median and
 * spread, nanoseconds an item, bytes a second. A floor is a case of its own, printed before what it
 * is the floor of; it does the least that a stage could do (copying as many bytes, reading the
 * file, writing and fsyncing), and the ratio of a stage to its floor stands in its line.
 */
#ifndef RF_MICRO_H
#define RF_MICRO_H

#include "base/error.h"

#include <stdint.h>

typedef struct micro {
    const char *log, *projection, *folder;
    uint32_t runs;
    double floor; /* median seconds of the floor at hand; 0: none */
} micro;

typedef struct micro_case {
    const char *name;
    const char *item; /* what is counted: "value", "event", "row" */
    uint64_t items;   /* of one run */
    uint64_t bytes;   /* of one run; 0: not told */
    bool is_floor;    /* of the cases that follow, until the next floor */
    /* One run. Adds what is to be counted to *seconds_out, which begins as 0; leaves it 0 where the
     * whole call counts. */
    rf_status (*run)(void *arg, double *seconds_out, rf_err *err);
    void *arg;
} micro_case;

void micro_title(const char *title);
rf_status micro_measure(micro *bench, const micro_case *one, rf_err *err);
/* Prints a case whose seconds were measured elsewhere, `bench->runs` of them; sorts them. */
void micro_print(micro *bench, const micro_case *one, double *seconds);

rf_status micro_columns(micro *bench, rf_err *err);
rf_status micro_import(micro *bench, rf_err *err);
rf_status micro_replay(micro *bench, rf_err *err);

#endif
