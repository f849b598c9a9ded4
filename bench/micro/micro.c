/* See micro.h. */
#include "micro.h"

#include "base/clock.h"
#include "base/machine.h"
#include "base/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS_MAX = 1000 };

void micro_title(const char *title)
{
    printf("\n%-44s %10s %21s %16s %11s %6s\n", title, "median", "spread", "an item", "bytes/s",
           "floor");
}

static int compare_doubles(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;

    return (a > b) - (a < b);
}

void micro_print(micro *bench, const micro_case *one, double *seconds)
{
    char rate[32] = "", ratio[32] = "";

    qsort(seconds, bench->runs, sizeof *seconds, compare_doubles);
    double median = seconds[bench->runs / 2];
    if (one->bytes && median > 0)
        snprintf(rate, sizeof rate, "%.0f MB/s", (double)one->bytes / median / 1e6);
    if (!one->is_floor && bench->floor > 0)
        snprintf(ratio, sizeof ratio, "%.1f", median / bench->floor);
    if (one->is_floor)
        bench->floor = median;
    printf("%-44s %7.2f ms %7.2f to %7.2f ms %7.2f ns/%-6s %11s %6s\n", one->name, median * 1e3,
           seconds[0] * 1e3, seconds[bench->runs - 1] * 1e3,
           one->items ? median * 1e9 / (double)one->items : 0, one->item, rate, ratio);
    fflush(stdout);
}

rf_status micro_measure(micro *bench, const micro_case *one, rf_err *err)
{
    double seconds[RUNS_MAX];
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i <= bench->runs; i++) {
        double counted = 0;
        double start = rf_clock_seconds();
        status = one->run(one->arg, &counted, err);
        double all = rf_clock_seconds() - start;
        if (i > 0)
            seconds[i - 1] = counted > 0 ? counted : all;
    }
    if (status == RF_OK)
        micro_print(bench, one, seconds);
    return status;
}

int main(int argc, char **argv)
{
    rf_machine machine;
    rf_err err = {0};

    if (argc != 5 || atoi(argv[4]) < 1 || atoi(argv[4]) > RUNS_MAX) {
        fputs("usage: micro LOG PROJECTION FOLDER RUNS\n", stderr);
        return 2;
    }
    micro bench = {argv[1], argv[2], argv[3], (uint32_t)atoi(argv[4]), 0};
    rf_machine_get(&machine);
    printf("machine: %s, %u processors, %s, load %.1f; %u runs, one thread\n", machine.processor,
           rf_processor_count(), machine.system, machine.load, bench.runs);
    rf_status status = micro_columns(&bench, &err);
    if (status == RF_OK)
        status = micro_import(&bench, &err);
    if (status == RF_OK)
        status = micro_replay(&bench, &err);
    if (status != RF_OK)
        fprintf(stderr, "micro: %s\n", err.message);
    return status == RF_OK ? 0 : 1;
}
