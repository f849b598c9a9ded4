/* See libduckdb.h. */
#include "database/libduckdb.h"

#include "base/library.h"

#include <pthread.h>
#include <stdlib.h>

#define RF_LIBDUCKDB_NAME(name, result, arguments) "duckdb_" #name,

rf_libduckdb_functions rf_libduckdb;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static rf_err fault; /* of the load; fixed after it */

static void load(void)
{
    static const char *const names[] = {RF_LIBDUCKDB_FUNCTIONS(RF_LIBDUCKDB_NAME)};
    const char *file = getenv("REFOLD_DUCKDB_LIBRARY");

    (void)rf_library_load(file && *file ? file : "libduckdb.so", names, sizeof names / sizeof names[0],
                          &rf_libduckdb, &fault);
}

rf_status rf_libduckdb_load(rf_err *err)
{
    (void)pthread_once(&once, load);
    return fault.status == RF_OK ? RF_OK : rf_fail(err, fault.status, "%s", fault.message);
}
