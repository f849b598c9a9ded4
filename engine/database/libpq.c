/* See libpq.h. */
#include "database/libpq.h"

#include "base/library.h"

#include <pthread.h>

#define RF_LIBPQ_NAME(name) #name,

rf_libpq_functions rf_libpq;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static rf_err fault; /* of the load; fixed after it */

static void load(void)
{
    static const char *const names[] = {RF_LIBPQ_FUNCTIONS(RF_LIBPQ_NAME)};

    (void)rf_library_load("libpq.so.5", names, sizeof names / sizeof names[0], &rf_libpq, &fault);
}

rf_status rf_libpq_load(rf_err *err)
{
    (void)pthread_once(&once, load);
    return fault.status == RF_OK ? RF_OK : rf_fail(err, fault.status, "%s", fault.message);
}
