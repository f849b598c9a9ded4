/* A bench's report as one page of HTML: no scripts, nothing fetched, light and dark. */
#ifndef RF_CLI_BENCH_HTML_H
#define RF_CLI_BENCH_HTML_H

#include "refold/refold.h"

/* A file beside `path` that becomes it at the end, so that a failed bench leaves what was there. */
typedef struct cli_bench_page {
    const char *path;
    char *temporary;
    int fd;
} cli_bench_page;

/* Before the bench, so that a path that cannot be written fails first. RF_ERR_INPUT where `path` is
 * something else than a file. */
rf_status cli_bench_page_begin(cli_bench_page *page, const char *path, rf_err *err);
/* `command` is shown as what made the page. */
rf_status cli_bench_page_write(cli_bench_page *page, const rf_bench_report *report,
                               const char *command, rf_err *err);
/* Removes what was not written to its end. */
void cli_bench_page_end(cli_bench_page *page);

#endif
