/* Read models as Parquet files, for what reads columns: DuckDB, Spark, pandas, Polars.
 *
 * One read model a file, its rows in key order, a column for each part of its key and each of its own
 * (layout.h). The file appears whole (target_file.h), and keeps beside the rows which generation it is, at which position:
 * refold_name, refold_generation, refold_version, refold_position, refold_rows, refold_digest.
 */
#ifndef RF_SINK_PARQUET_H
#define RF_SINK_PARQUET_H

#include "refold/read.h"

rf_status rf_sink_parquet(rf_reader *reader, const char *path, const rf_run *run, uint64_t *bytes_out,
                          rf_err *err);
/* Whether that can be done: RF_ERR_USAGE where DuckDB's library is not found. */
rf_status rf_sink_parquet_check(const char *path, rf_err *err);

#endif
