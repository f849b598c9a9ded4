/* An evolution that stands in a Lua file of its own, for plugins: `rebuild … --evolution FILE`.
 *
 * It is a part of the definition: kept with a generation in the folder `evolution` beside the
 * plugin, and in the content hash. Immutable once it is loaded.
 */
#ifndef RF_PROJECTION_EVOLUTION_FILE_H
#define RF_PROJECTION_EVOLUTION_FILE_H

#include "projection/definition.h"

/* Loads PATH and gives it to a definition that has none, which owns it then. */
rf_status rf_evolution_file_load(const char *path, rf_definition *definition, rf_err *err);
/* Frees the definition's, after its evolution. Without one, nothing. */
void rf_evolution_file_free(rf_definition *definition);
/* The file's name; NULL: the definition has none. */
const char *rf_evolution_file_name(const rf_definition *definition);
/* New files in a new folder `evolution` in DIR, not durable. */
rf_status rf_evolution_file_save(const rf_definition *definition, const char *dir, rf_err *err);
/* Where save puts the file. `path_out` has RF_PATH_SIZE bytes. */
rf_status rf_evolution_file_path(const char *dir, const char *name, char *path_out, rf_err *err);
/* The content hash of a definition that was `hash` before it was given the file that was saved at
 * PATH. Runs nothing of it. */
rf_status rf_evolution_file_hash(const char *path, rf_hash128 *hash, rf_err *err);

#endif
