/* A comparison of two generations as one page of HTML, for whoever reviews a changed projection. */
#ifndef RF_CLI_DIFF_HTML_H
#define RF_CLI_DIFF_HTML_H

#include "cli/page.h"

/* `command` is shown as what made the page. */
rf_status cli_diff_page_write(cli_page *page, const rf_diff_report *report, const char *command,
                              rf_err *err);

/* "decimal(2)"; also for the text. `out` has room for CLI_KIND_SIZE. */
enum { CLI_KIND_SIZE = 24 };
const char *cli_diff_kind(const rf_reader_column *column, char out[CLI_KIND_SIZE]);

#endif
