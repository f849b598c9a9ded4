/* Standard output: results, and the numbers in them.
 *
 * Writes are buffered and checked: a full disk or a closed pipe shows at the next cli_output_failed
 * or, at the latest, in cli_output_finish. Only the main thread prints results.
 */
#ifndef RF_CLI_OUTPUT_H
#define RF_CLI_OUTPUT_H

#include "refold/refold.h"

__attribute__((format(printf, 1, 2))) void cli_print(const char *format, ...);
void cli_print_bytes(rf_slice bytes);
/* A text from outside in a line for people: control characters are escaped. */
void cli_print_safe(rf_slice text);
/* Whether a write failed: a long command stops then. */
bool cli_output_failed(void);
/* Flushes. A closed pipe ends the process by SIGPIPE, as it does other tools; anything else that
 * kept results from being written is RF_ERR_IO. */
rf_status cli_output_finish(rf_err *err);

enum { CLI_NUMBER_SIZE = 40 };
/* "1,204"; all return `out`. */
const char *cli_format_count(uint64_t count, char out[CLI_NUMBER_SIZE]);
/* "1.2 MiB" */
const char *cli_format_bytes(uint64_t bytes, char out[CLI_NUMBER_SIZE]);
/* "0.043 s", "12.3 s", "4 min 10 s" */
const char *cli_format_seconds(double seconds, char out[CLI_NUMBER_SIZE]);
/* Events per second, with thousands; "-" where no time passed. */
const char *cli_format_rate(uint64_t count, double seconds, char out[CLI_NUMBER_SIZE]);
/* "" for one, "s" for any other number. */
const char *cli_plural(uint64_t count);

#endif
