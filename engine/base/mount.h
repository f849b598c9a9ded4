/* What kind of file system a file is on, as far as the system tells (/proc/self/mountinfo). */
#ifndef RF_BASE_MOUNT_H
#define RF_BASE_MOUNT_H

#include <stdbool.h>

/* Whether nobody can change the file while it is mounted: the whole file system is read-only, not only this view of it
 * (a bind mount, beside which there is one that can be written), and no other machine has it. False where that is
 * not known. */
bool rf_mount_is_unchanging(const char *path);

#endif
