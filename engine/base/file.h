/* Files and directories, with what durability needs: every function that says "durable" has fsynced
 * the bytes and the directory entry when it returns. A failed fsync is never tried again. All
 * descriptors are close-on-exec. Lock files are flock()s: they die with their process.
 */
#ifndef RF_BASE_FILE_H
#define RF_BASE_FILE_H

#include "base/bytes.h"

/* Makes a directory (mode 0700) whose parent exists; RF_OK if it is there already. */
rf_status rf_dir_make(const char *path, rf_err *err);
rf_status rf_dir_sync(const char *path, rf_err *err);
/* Removes a directory and what is in it, without following symbolic links. RF_OK if absent. */
rf_status rf_dir_remove(const char *path, rf_err *err);
/* Calls `visit` for each entry but "." and ".."; stops at the first status that is not RF_OK. */
rf_status rf_dir_list(const char *path,
                      rf_status (*visit)(void *arg, const char *name, rf_err *err), void *arg,
                      rf_err *err);

bool rf_path_exists(const char *path);
bool rf_path_is_dir(const char *path);
/* Bytes that removing `path` gives back, as the disk allocates them (blocks); 0 if it is absent or has another
 * name too. */
uint64_t rf_file_freed(const char *path);

/* Reads a whole regular file into *buf_out (init'ed by the caller, whose maximum holds). */
rf_status rf_file_read(const char *path, rf_buf *buf_out, rf_err *err);
/* Durable: writes PATH.tmp, fsyncs it, renames it to `path`, fsyncs the directory. */
rf_status rf_file_replace(const char *path, rf_slice bytes, rf_err *err);
/* Durable: creates `path`, which must not exist, and fsyncs it and its directory. */
rf_status rf_file_create(const char *path, rf_slice bytes, rf_err *err);
/* The same, and not durable: rf_dir_sync_all of its directory makes it so. */
rf_status rf_file_write(const char *path, rf_slice bytes, rf_err *err);
/* fsyncs all files and directories below, then the directory. For many files: whatever else is
 * synced meanwhile waits with them for the disk, where one by one each waits by itself. */
rf_status rf_dir_sync_all(const char *path, rf_err *err);

/* Gives a regular file that never changes again a second name, or where the file system cannot, copies
 * it. The directory of `to` is not fsynced. */
rf_status rf_file_link(const char *from, const char *to, rf_err *err);

typedef enum rf_lock_mode { RF_LOCK_SHARED, RF_LOCK_EXCLUSIVE } rf_lock_mode;

/* Opens (and, unless shared, creates) `path` and flock()s it, waiting up to `wait_ms` (-1: without
 * limit). RF_ERR_LOCKED with `what`, and whom the system names, in the message when another holds it. Shows in rf_waiting_look. *fd_out is released by
 * rf_lock_release. */
rf_status rf_lock_acquire(const char *path, rf_lock_mode mode, int64_t wait_ms, const char *what,
                          int *fd_out, rf_err *err);
/* Takes -1 for none. */
void rf_lock_release(int fd);

/* Joins with snprintf into a buffer of RF_PATH_SIZE; RF_ERR_INPUT where it does not fit. */
enum { RF_PATH_SIZE = 4096 };
__attribute__((format(printf, 2, 4))) rf_status
rf_path_format(char path_out[RF_PATH_SIZE], const char *format, rf_err *err, ...);

#endif
