/* Read models as text files: CSV by RFC 4180 or JSON Lines, the bytes that `scan` prints.
 *
 * One read model a file, its rows in key order. The file appears whole (target_file.h).
 */
#ifndef RF_SINK_LINES_H
#define RF_SINK_LINES_H

#include "refold/read.h"

typedef enum rf_lines_format { RF_LINES_JSON, RF_LINES_CSV } rf_lines_format;

rf_status rf_sink_lines(rf_reader *reader, const char *path, rf_lines_format format,
                        const rf_run *run, uint64_t *bytes_out, rf_err *err);

#endif
