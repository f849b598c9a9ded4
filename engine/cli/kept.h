/* What stays beside the live generations whatever gc is told to keep, colours and pinned ones: with its size,
 * since it takes disk, and the command that ends it. */
#ifndef RF_CLI_KEPT_H
#define RF_CLI_KEPT_H

#include "cli/json.h"

/* Lines for people: of `name`, or of all read models (NULL). `store_path` as it was given. */
rf_status cli_kept_print(rf_store *store, const char *store_path, const char *name, rf_err *err);
/* The member "kept", a list, of an object that is open. */
rf_status cli_kept_json(cli_json *json, rf_store *store, const char *name, rf_err *err);

#endif
