/* See preflight.h; also rf_check of refold/rebuild.h. */
#include "pipeline/preflight.h"

#include "pipeline/estimate.h"

#include <stdlib.h>

#define ARENA_BYTES_MAX ((size_t)256 << 20)

/* Types without handler, but for what is put aside on record. */
static rf_status check_unknown(rf_store *store, const rf_definition *definition, rf_census *census,
                               const rf_preflight_options *options, rf_preflight *preflight,
                               rf_err *err)
{
    rf_left_out_list skips = {0};

    rf_status status = rf_catalog_skips(store->catalog, definition->name, &skips, err);
    const rf_check_unknown_options unknown = {options->until, !options->ignore_unknown, skips.items,
                                              skips.count};
    if (status == RF_OK)
        status = rf_check_unknown(definition, census, &unknown, &preflight->arena, &preflight->list,
                                  err);
    rf_left_out_list_free(&skips);
    return status;
}

rf_status rf_preflight_run(rf_store *store, const rf_resolved *resolved,
                           const rf_preflight_options *options, rf_preflight *preflight_out,
                           rf_err *err)
{
    rf_preflight preflight = {.time_last = RF_TIME_NONE};
    const rf_census_type *types = NULL;
    uint32_t type_count = 0;

    rf_arena_init(&preflight.arena, ARENA_BYTES_MAX);
    rf_census *census = rf_census_new();
    rf_status status = RF_OK;
    if (!census)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for the census");
    if (status == RF_OK)
        status = rf_log_census(store->log, census, err);
    if (status == RF_OK)
        status = rf_census_list(census, &types, &type_count, err);
    for (uint32_t i = 0; status == RF_OK && i < type_count; i++)
        if (types[i].time_max > preflight.time_last)
            preflight.time_last = types[i].time_max;
    for (uint32_t i = 0; status == RF_OK && i < resolved->count; i++)
        status = rf_check_definition(resolved->definitions[i], census, &preflight.arena,
                                     &preflight.list, err);
    preflight.unknown_first = preflight.list.finding_count;
    for (uint32_t i = 0; status == RF_OK && i < resolved->count; i++)
        status =
            check_unknown(store, resolved->definitions[i], census, options, &preflight, err);
    rf_census_free(census);
    if (status != RF_OK) {
        rf_preflight_free(&preflight);
        return status;
    }
    *preflight_out = preflight;
    return RF_OK;
}

void rf_preflight_free(rf_preflight *preflight)
{
    rf_arena_free(&preflight->arena);
}

rf_status rf_preflight_refusal(const rf_preflight *preflight, bool allow_missing, rf_err *err)
{
    const rf_finding *first = NULL;
    uint32_t more = 0;

    for (uint32_t i = allow_missing ? preflight->unknown_first : 0;
         i < preflight->list.finding_count; i++) {
        const rf_finding *finding = &preflight->list.findings[i];
        if (!finding->refuses)
            continue;
        if (first)
            more++;
        else
            first = finding;
    }
    if (!first)
        return RF_OK;
    if (more > 0)
        return rf_fail(err, RF_ERR_REFUSED, "%s (and %u more findings; nothing was built)",
                       first->text, more);
    return rf_fail(err, RF_ERR_REFUSED, "%s; nothing was built", first->text);
}

rf_status rf_preflight_version(rf_store *store, const rf_definition *definition, rf_err *err)
{
    rf_catalog_model model;
    rf_catalog_generation live;
    bool found = false;

    rf_status status =
        rf_catalog_get_model(store->catalog, definition->name, &model, &found, err);
    if (status != RF_OK || !found || model.live == 0)
        return status;
    status = rf_catalog_get_generation(store->catalog, definition->name, model.live, &live, &found,
                                       err);
    if (status != RF_OK || !found)
        return status;
    if (definition->version < live.version)
        return rf_fail(err, RF_ERR_REFUSED,
                       "%s: version %u is lower than the live version %u; nothing was built (--dev "
                       "allows it for trying out)",
                       definition->name, definition->version, live.version);
    bool same = definition->content_hash.low == live.content_hash.low &&
                definition->content_hash.high == live.content_hash.high;
    if (definition->version == live.version && !same)
        return rf_fail(err, RF_ERR_REFUSED,
                       "%s: version %u is live with other content; raise the version (--dev allows "
                       "it for trying out); nothing was built",
                       definition->name, definition->version);
    return RF_OK;
}

rf_status rf_preflight_note(rf_preflight *preflight, const char *text, rf_err *err)
{
    rf_check_list *list = &preflight->list;
    size_t room = (size_t)list->finding_count + 1;
    rf_finding *findings = rf_arena_alloc(&preflight->arena, room * sizeof *findings);
    rf_slice kept = rf_arena_copy(&preflight->arena, rf_slice_of(text));

    if (!findings || !kept.data)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %zu findings", room);
    if (list->finding_count > 0)
        memcpy(findings, list->findings, list->finding_count * sizeof *findings);
    findings[list->finding_count++] = (rf_finding){.text = kept.data};
    list->findings = findings;
    return RF_OK;
}

struct check_report {
    rf_check_report report;
    rf_preflight preflight;
};

/* Adds the refusals of rf_preflight_version to the findings: a rebuild would trip over them too. */
static rf_status add_version_findings(rf_store *store, const rf_resolved *resolved,
                                      rf_preflight *preflight, rf_err *err)
{
    rf_check_list *list = &preflight->list;
    size_t room = list->finding_count + resolved->count;

    rf_finding *findings = rf_arena_alloc(&preflight->arena, room * sizeof *findings);
    if (!findings)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %zu findings", room);
    if (list->finding_count > 0)
        memcpy(findings, list->findings, list->finding_count * sizeof *findings);
    list->findings = findings;
    for (uint32_t i = 0; i < resolved->count; i++) {
        rf_err refusal;
        rf_status status = rf_preflight_version(store, resolved->definitions[i], &refusal);
        if (status == RF_OK)
            continue;
        if (status != RF_ERR_REFUSED) {
            if (err)
                *err = refusal;
            return status;
        }
        rf_slice text = rf_arena_copy(&preflight->arena, rf_slice_of(refusal.message));
        if (!text.data)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for a finding");
        findings[list->finding_count++] = (rf_finding){.refuses = true, .text = text.data};
        list->refused = true;
    }
    return RF_OK;
}

rf_status rf_check(rf_store *store, const char *const *projections, uint32_t projection_count,
                   const char *evolution, rf_check_report **report_out, rf_err *err)
{
    const rf_preflight_options options = {.until = UINT64_MAX};
    rf_resolved resolved = {0};
    rf_estimate estimate = {0};
    rf_log_info info;

    struct check_report *check = calloc(1, sizeof *check);
    if (!check)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the report");
    rf_arena_init(&check->preflight.arena, ARENA_BYTES_MAX);
    rf_status status =
        rf_resolve(store, projections, projection_count, projection_count == 0, &resolved, err);
    if (status == RF_OK)
        status = rf_resolve_evolution(&resolved, projections, evolution, err);
    if (status == RF_OK)
        status = rf_log_get_info(store->log, &info, err);
    if (status == RF_OK)
        status = rf_preflight_run(store, &resolved, &options, &check->preflight, err);
    if (status == RF_OK)
        status = add_version_findings(store, &resolved, &check->preflight, err);
    if (status == RF_OK)
        status = rf_estimate_run(store, &resolved, info.position, &check->preflight, &estimate,
                                 err);
    rf_resolved_free(&resolved);
    if (status != RF_OK) {
        rf_preflight_free(&check->preflight);
        free(check);
        return status;
    }
    const rf_check_list *list = &check->preflight.list;
    check->report = (rf_check_report){
        .position = info.position,
        .events = info.events,
        .events_handled = list->events_handled,
        .fields = list->fields,
        .field_count = list->field_count,
        .findings = list->findings,
        .finding_count = list->finding_count,
        .refused = list->refused,
        .bytes_to_read = estimate.bytes,
        .seconds = estimate.seconds,
        .workers = estimate.workers,
    };
    *report_out = &check->report;
    return RF_OK;
}

void rf_check_report_free(rf_check_report *report)
{
    if (!report)
        return;
    struct check_report *check = (struct check_report *)report;
    rf_preflight_free(&check->preflight);
    free(check);
}
