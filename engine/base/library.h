/* A shared library that is loaded when it is first needed: what a process of the tool never uses need not
 * make each of them start later.
 *
 * The functions that are used are listed, and called through pointers that load fills in. A library is
 * not unloaded. Any thread; callers see to it that their pointers are filled in once.
 */
#ifndef RF_BASE_LIBRARY_H
#define RF_BASE_LIBRARY_H

#include "base/error.h"

/* Finds `count` functions by their names, and stores their addresses one after another in
 * *pointers_out, an array or struct of function pointers. RF_ERR_USAGE with what the loader says. */
rf_status rf_library_load(const char *file, const char *const *names, uint32_t count,
                          void *pointers_out, rf_err *err);

#endif
