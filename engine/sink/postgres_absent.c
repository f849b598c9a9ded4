/* What a build without libpq says of publishing into PostgreSQL. */
#include "sink/postgres.h"

rf_status rf_sink_postgres(const char *url, rf_sink_model *models, uint32_t model_count,
                           const rf_sink_postgres_options *options, char **target_out, rf_err *err)
{
    (void)url;
    (void)models;
    (void)model_count;
    (void)options;
    (void)target_out;
    return rf_fail(err, RF_ERR_USAGE, "this refold was built without PostgreSQL (libpq)");
}
