/* See library.h. */
#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

_Static_assert(sizeof(void *) == sizeof(void (*)(void)), "POSIX: an address is an address");

rf_status rf_library_load(const char *file, const char *const *names, uint32_t count,
                          void *pointers_out, rf_err *err)
{
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);

    if (!library) {
        const char *said = dlerror();
        return rf_fail(err, RF_ERR_USAGE, "a library cannot be loaded: %s", said ? said : file);
    }
    for (uint32_t i = 0; i < count; i++) {
        void *at = dlsym(library, names[i]);
        if (!at)
            return rf_fail(err, RF_ERR_USAGE, "the library %s has no %s", file, names[i]);
        memcpy((char *)pointers_out + i * sizeof at, &at, sizeof at);
    }
    return RF_OK;
}
