/* Which definitions a command means: paths of plugins and Lua files, names of live read models,
 * or all of these.
 *
 * A name stands for the definition that its live generation keeps; a path deploys the file's.
 */
#ifndef RF_RESOLVE_H
#define RF_RESOLVE_H

#include "projection/definition.h"
#include "store/store.h"

typedef struct rf_resolved {
    rf_definition **definitions; /* owned */
    uint32_t count;
} rf_resolved;

/* `all`: every live read model, and no projections are named. RF_ERR_USAGE for a name that is meant
 * twice, RF_ERR_ABSENT for a name that is not live. */
rf_status rf_resolve(rf_store *store, const char *const *projections, uint32_t projection_count,
                     bool all, rf_resolved *resolved_out, rf_err *err);
/* Gives plugins that were named by their path the evolution that stands in FILE; NULL: nothing.
 * `projections` as for rf_resolve. RF_ERR_USAGE where there is no such plugin. */
rf_status rf_resolve_evolution(const rf_resolved *resolved, const char *const *projections,
                               const char *file, rf_err *err);
void rf_resolved_free(rf_resolved *resolved);

/* Whether the definition that a generation keeps is the one that it was built with: RF_ERR_DAMAGED
 * otherwise. Runs nothing of it. `path_out` has RF_PATH_SIZE bytes. */
rf_status rf_resolve_check_kept(rf_store *store, const char *name, uint64_t number, char *path_out,
                                rf_err *err);
/* The definition that a sealed generation keeps, checked before it is loaded; a share of it where the store
 * has it loaded. */
rf_status rf_resolve_kept(rf_store *store, const char *name, uint64_t number,
                          rf_definition **definition_out, rf_err *err);

#endif
