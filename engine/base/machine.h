/* What the process runs on and how much memory it takes: measurements say it beside their figures.
 */
#ifndef RF_BASE_MACHINE_H
#define RF_BASE_MACHINE_H

#include "base/bytes.h"

typedef struct rf_machine {
    char processor[128];   /* as the kernel names it; "unknown" otherwise */
    char system[128];      /* "Linux 6.1.0 x86_64" */
    uint64_t memory_bytes; /* of the whole machine */
    double load;           /* of the last minute */
} rf_machine;
void rf_machine_get(rf_machine *machine_out);

/* The largest resident set of the process, pages of mapped files included, since the last reset; 0
 * if the kernel does not tell. Reset gives freed memory back first; false where the kernel does not
 * allow it: then the peak is that since the process began. */
bool rf_memory_peak_reset(void);
uint64_t rf_memory_peak(void);

#endif
