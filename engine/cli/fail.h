/* Writing the one line of an error, for what the tool itself refuses (the library writes its own).
 */
#ifndef RF_CLI_FAIL_H
#define RF_CLI_FAIL_H

#include "refold/error.h"

/* Fills *err and returns `status`. Control characters (of arguments, say) are escaped. */
__attribute__((format(printf, 3, 4))) rf_status cli_fail(rf_err *err, rf_status status,
                                                         const char *format, ...);

#endif
