/* A plugin file: read once, and exactly what was read is what runs.
 *
 * The bytes go into a memory file that the dynamic linker loads, so the file at the path may change
 * or go at any time: what was hashed, what runs and what is kept with a generation are the same
 * bytes. The memory file stays open while the plugin is loaded: the linker knows objects by name,
 * and the name is the descriptor's number.
 */
#ifndef RF_PROJECTION_PLUGIN_H
#define RF_PROJECTION_PLUGIN_H

#include "base/bytes.h"
#include "refold/projection.h"

enum { RF_PLUGIN_SIZE_MAX = 64 << 20 };

typedef struct rf_plugin rf_plugin;

/* RF_ERR_PLUGIN if the file is no shared object, has no tables, or is of another ABI; only the head
 * of the tables (magic, ABI, size) was looked at. */
rf_status rf_plugin_load(const char *path, rf_plugin **plugin_out, rf_err *err);
/* Takes NULL. Unloads the code: nothing of it may be called or read from then on. */
void rf_plugin_free(rf_plugin *plugin);
/* Valid until free. */
const rf_projection *rf_plugin_tables(const rf_plugin *plugin);
/* What was read from the file; valid until forgotten. */
rf_slice rf_plugin_bytes(const rf_plugin *plugin);
void rf_plugin_forget_bytes(rf_plugin *plugin);

#endif
