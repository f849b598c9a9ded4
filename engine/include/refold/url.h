/* URLs of databases may hold a password, which belongs into no message and no list of processes.
 *
 * The library's own messages never hold one. These are for programs that were given a URL in their
 * arguments and print them.
 */
#ifndef REFOLD_URL_H
#define REFOLD_URL_H

#include "refold/types.h"

/* Where in `text` a URL of a database that can hold a password begins; NULL where there is none. */
RF_API const char *rf_url_find(const char *text);
/* Writes '*' over the password in such a URL, in place. Where it cannot be told which part of the
 * URL is the password, over all behind the scheme. */
RF_API void rf_url_hide(char *url);
/* Writes '*' over the password of `url` wherever it stands in `text`. */
RF_API void rf_url_redact(char *text, const char *url);

#endif
