/* Writing an rf_err: used by every file of the engine, at the place where the fault is found.
 *
 * Adding facts on the way up (rf_err_context) puts a prefix before the line; it never replaces it,
 * and it never changes the status.
 */
#ifndef RF_BASE_ERROR_H
#define RF_BASE_ERROR_H

#include "refold/error.h"
#include "refold/types.h"

/* Fills *err (which may be NULL) and returns `status`. Bytes outside printable UTF-8 are escaped.
 * Arguments of %.*s may hold any bytes. */
__attribute__((format(printf, 3, 4))) rf_status rf_fail(rf_err *err, rf_status status,
                                                        const char *format, ...);

/* As rf_fail for a failed system call: appends ": " and the text of errno, keeps it as cause. */
__attribute__((format(printf, 2, 3))) rf_status rf_fail_errno(rf_err *err, const char *format, ...);

/* Puts "PREFIX: " before the message of *err and returns its status. */
__attribute__((format(printf, 2, 3))) rf_status rf_err_context(rf_err *err, const char *format,
                                                               ...);

/* Puts "; SUFFIX" behind the message of *err, which is cut where both do not fit; returns its
 * status. Status, cause and position stay. */
__attribute__((format(printf, 2, 3))) rf_status rf_err_suffix(rf_err *err, const char *format, ...);

/* States a programmer's error; stays on in release builds. Never used on bytes from outside. */
#define RF_ASSERT(condition)                                                                       \
    ((condition) ? (void)0 : rf_assert_failed(#condition, __FILE__, __LINE__))

__attribute__((noreturn)) void rf_assert_failed(const char *condition, const char *file, int line);

#endif
