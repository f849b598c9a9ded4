/* Text for a page of HTML: markup as it stands, values escaped. */
#ifndef RF_CLI_HTML_H
#define RF_CLI_HTML_H

#include "refold/refold.h"

/* Markup; at most 4 KiB a call. Values from outside never go through here. */
__attribute__((format(printf, 2, 3))) void cli_html_put(rf_text *page, const char *format, ...);
/* A value: what HTML takes for markup is escaped, control characters become '?'. */
void cli_html_value(rf_text *page, const char *value);

#endif
