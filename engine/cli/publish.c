#include "cli/publish.h"

#include "cli/fail.h"

#include <stdlib.h>
#include <string.h>

static rf_status add_name(cli_names *names, const char *name, rf_err *err)
{
    char *copy = strdup(name);
    if (!copy)
        return cli_fail(err, RF_ERR_MEMORY, "out of memory");
    names->items[names->count++] = copy;
    return RF_OK;
}

rf_status cli_names_of_run(const rf_rebuild_report *report, cli_names *out, rf_err *err)
{
    rf_status status = RF_OK;

    *out = (cli_names){.items = calloc(report->projection_count + 1, sizeof *out->items)};
    if (!out->items)
        status = cli_fail(err, RF_ERR_MEMORY, "out of memory");
    for (uint32_t i = 0; status == RF_OK && i < report->projection_count; i++)
        if (report->projections[i].live)
            status = add_name(out, report->projections[i].name, err);
    return status;
}

rf_status cli_names_of_all(rf_store *store, cli_names *out, rf_err *err)
{
    rf_status_report *live = NULL;

    *out = (cli_names){0};
    rf_status status = rf_store_status(store, &live, err);
    if (status != RF_OK)
        return status;
    out->items = calloc(live->model_count + 1, sizeof *out->items);
    if (!out->items)
        status = cli_fail(err, RF_ERR_MEMORY, "out of memory");
    for (uint32_t i = 0; status == RF_OK && i < live->model_count; i++)
        status = add_name(out, live->models[i].name, err);
    rf_status_report_free(live);
    return status;
}

void cli_names_free(cli_names *names)
{
    for (uint32_t i = 0; names->items && i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (cli_names){0};
}

static rf_export_options make_options(const cli_publication *given)
{
    return (rf_export_options){.schema = given->schema, .as = cli_export_as(given->as)};
}

rf_export_as cli_export_as(const char *given)
{
    if (!given)
        return RF_EXPORT_AS_BEFORE;
    return strcmp(given, "table") == 0 ? RF_EXPORT_AS_TABLE : RF_EXPORT_AS_VIEW;
}

rf_status cli_publish_check(rf_store *store, const cli_publication *given, bool all,
                            uint32_t operand_count, rf_err *err)
{
    const rf_export_options options = make_options(given);
    rf_status_report *live = NULL;
    uint32_t count = operand_count;
    rf_status status = RF_OK;

    if (all) {
        status = rf_store_status(store, &live, err);
        if (status == RF_OK)
            count = live->model_count;
        rf_status_report_free(live);
    }
    return status == RF_OK && count > 0 ? rf_export_check(given->target, count, &options, err) : status;
}

rf_status cli_publish(rf_store *store, const cli_names *names, const cli_publication *given,
                      const rf_run *run, bool rebuilt, rf_export_report **report_out, rf_err *err)
{
    rf_export_options options = make_options(given);

    options.run = *run;

    if (names->count == 0)
        return RF_OK;
    rf_status status = rf_export(store, (const char *const *)names->items, names->count,
                                 given->target,
                                 &options, report_out, err);
    if (status != RF_OK && rebuilt) {
        char line[RF_ERR_MESSAGE_SIZE];
        memcpy(line, err->message, sizeof line);
        cli_fail(err, status, "%s%s live in the store and not published: %s",
                 names->count == 1 ? names->items[0] : "the new generations",
                 names->count == 1 ? " is" : " are", line);
    }
    return status;
}
