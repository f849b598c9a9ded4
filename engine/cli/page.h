/* A page of HTML as a file: no scripts, nothing fetched, light and dark.
 *
 *     begin -> (the work; its page as text: head, title, style, content) -> write -> end
 *
 * What is written stands beside the path until it is whole, so that a failure leaves what was there.
 */
#ifndef RF_CLI_PAGE_H
#define RF_CLI_PAGE_H

#include "refold/refold.h"

typedef struct cli_page {
    const char *path;
    char *temporary;
    int fd;
} cli_page;
#define CLI_PAGE_NONE ((cli_page){.fd = -1})

/* Before the work, so that a path that cannot be written fails first; `lost` says then what was not done:
 * "nothing was measured". RF_ERR_INPUT where `path` is something else than a file. */
rf_status cli_page_begin(cli_page *page, const char *path, const char *lost, rf_err *err);
rf_status cli_page_write(cli_page *page, const rf_text *text, rf_err *err);
/* Removes what was not written to its end. */
void cli_page_end(cli_page *page);

/* Up to where the title stands; then, after the title, what all pages look like and what this one adds,
 * up to where the content begins; then its end. */
void cli_page_head(rf_text *text);
void cli_page_style(rf_text *text, rf_slice more);
void cli_page_foot(rf_text *text);

#endif
