/* A bench's report as one page of HTML. */
#ifndef RF_CLI_BENCH_HTML_H
#define RF_CLI_BENCH_HTML_H

#include "cli/page.h"

/* `command` is shown as what made the page. */
rf_status cli_bench_page_write(cli_page *page, const rf_bench_report *report, const char *command,
                               rf_err *err);

#endif
