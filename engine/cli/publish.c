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

/* As rf_rebuild tells them from names. */
static bool is_path(const char *operand)
{
    size_t size = strlen(operand);
    return strchr(operand, '/') || (size > 3 && strcmp(operand + size - 3, ".so") == 0) ||
           (size > 4 && strcmp(operand + size - 4, ".lua") == 0);
}

rf_status cli_names_of_run(rf_store *store, const rf_rebuild_report *report, bool all,
                           const char *const *operands, uint32_t operand_count, cli_names *out,
                           rf_err *err)
{
    rf_status_report *live = NULL;
    rf_status status = RF_OK;
    uint32_t count = report ? report->projection_count : operand_count;

    if (!report && all) {
        status = rf_store_status(store, &live, err);
        if (status != RF_OK)
            return status;
        count = live->model_count;
    }
    *out = (cli_names){.items = calloc(count + 1, sizeof *out->items)};
    if (!out->items)
        status = cli_fail(err, RF_ERR_MEMORY, "out of memory");
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        if (report && report->projections[i].live)
            status = add_name(out, report->projections[i].name, err);
        else if (!report && live)
            status = add_name(out, live->models[i].name, err);
        else if (!report && !is_path(operands[i]))
            status = add_name(out, operands[i], err);
    }
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

rf_status cli_publish_check(rf_store *store, const char *target, bool all, uint32_t operand_count,
                            rf_err *err)
{
    rf_export_options options = {0};
    rf_status_report *live = NULL;
    uint32_t count = operand_count;
    rf_status status = RF_OK;

    if (all) {
        status = rf_store_status(store, &live, err);
        if (status == RF_OK)
            count = live->model_count;
        rf_status_report_free(live);
    }
    return status == RF_OK && count > 0 ? rf_export_check(target, count, &options, err) : status;
}

rf_status cli_publish(rf_store *store, const cli_names *names, const char *target,
                      const rf_run *run, bool rebuilt, rf_export_report **report_out, rf_err *err)
{
    rf_export_options options = {.run = *run};

    if (names->count == 0)
        return RF_OK;
    rf_status status = rf_export(store, (const char *const *)names->items, names->count, target,
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
