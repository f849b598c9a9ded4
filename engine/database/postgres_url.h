/* What a URL of PostgreSQL says, as far as it has to be known before libpq reads it: whether its
 * password can be told from the rest. Private to the postgres files.
 */
#ifndef RF_DATABASE_POSTGRES_URL_H
#define RF_DATABASE_POSTGRES_URL_H

#include "base/bytes.h"

/* Finds the `index`-th secret in the URL, as it is written there; false behind the last. */
bool rf_postgres_url_secret(const char *url, unsigned index, rf_slice *secret_out);
/* Whether the URL can be read in one way only. An '@', '/' or '?' of a password that is not
 * percent-encoded moves its end into host, port or database, which are no secrets. */
bool rf_postgres_url_is_clear(const char *url);
/* Writes '*' over each occurrence of `secret`, in place. */
void rf_postgres_mask(char *text, rf_slice secret);

#endif
