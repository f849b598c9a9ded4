/* The charts of a bench's page: inline SVG, coloured by the page's style. */
#ifndef RF_CLI_BENCH_CHARTS_H
#define RF_CLI_BENCH_CHARTS_H

#include "refold/refold.h"

/* Events a second by number of workers: medians as columns, every run as a dot, and what perfect
 * scaling would be. */
void cli_bench_chart_throughput(rf_text *page, const rf_bench_report *report);
/* Seconds of replay and floor. */
void cli_bench_chart_floor(rf_text *page, const rf_bench_report *report);
/* What the workers' time went into. */
void cli_bench_chart_shares(rf_text *page, const rf_bench_report *report);

enum { CLI_SHORT_SIZE = 32 };
/* "14.2 M" */
const char *cli_bench_short(double value, char out[CLI_SHORT_SIZE]);
/* "in line" for 0, else "2 workers" */
const char *cli_bench_workers(uint32_t workers, char out[CLI_SHORT_SIZE]);

#endif
