/* A file that appears whole or not at all: written beside, fsynced, renamed into place.
 *
 *     rf_target_file_begin -> (write | another writer at `part`) -> rf_target_file_finish
 *                                                                -> rf_target_file_abandon
 *
 * The file beside is ".NAME.part" in the same directory. It is locked by flock() while it is
 * written, so that two exports do not meet in it; one that a killed run left is written over.
 * A target that is a symbolic link is followed: the link stays. The permissions of a file that is
 * replaced stay; a new one has those that the umask leaves.
 */
#ifndef RF_SINK_TARGET_FILE_H
#define RF_SINK_TARGET_FILE_H

#include "base/file.h"

typedef struct rf_target_file {
    char path[RF_PATH_SIZE];
    char part[RF_PATH_SIZE];
    char dir[RF_PATH_SIZE];
    int fd; /* of `part`, with the lock; -1: none */
    uint64_t size; /* written by rf_target_file_write */
} rf_target_file;

/* RF_ERR_LOCKED while another export writes it, RF_ERR_INPUT where the target is no regular file. */
rf_status rf_target_file_begin(rf_target_file *file, const char *path, rf_err *err);
rf_status rf_target_file_write(rf_target_file *file, rf_slice bytes, rf_err *err);
/* Durable when it returns. On failure the file beside is gone and the target what it was. */
rf_status rf_target_file_finish(rf_target_file *file, rf_err *err);
/* Removes the file beside. Also after finish, and where begin failed. */
void rf_target_file_abandon(rf_target_file *file);

#endif
