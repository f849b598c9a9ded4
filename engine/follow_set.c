/* See follow_set.h. */
#include "follow_set.h"

#include "base/clock.h"
#include "base/file.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { TAKE_MS = 200 /* between tries to take what another run follows on and on */ };

void rf_follow_tell(const rf_follow_options *options, const char *format, ...)
{
    char line[1024];
    va_list values;

    if (!options->report)
        return;
    va_start(values, format);
    (void)vsnprintf(line, sizeof line, format, values);
    va_end(values);
    options->report(options->report_arg, line);
}

void rf_follow_set_end(rf_follow_set *set)
{
    for (uint32_t i = 0; i < set->asked_count; i++)
        rf_lock_release(set->asked[i].lock);
    free(set->asked);
    free(set->models);
}

void rf_follow_set_forget(rf_follow_set *set)
{
    set->stamp = UINT64_MAX;
}

/* Takes FOLLOW. What another run follows is left to it where that is asked for, or it came later. */
static rf_status take_asked(rf_follow_set *set, const rf_named *named, bool may_share, rf_follow_asked **asked_out,
                            rf_err *err)
{
    int64_t wait_ms = may_share ? 0 : set->options->run.wait_lock_ms;
    rf_err failure = {0};
    int lock = -1;

    for (uint32_t i = 0; i < set->asked_count; i++) {
        *asked_out = &set->asked[i];
        if (rf_named_equal(&set->asked[i].named, named))
            return RF_OK;
    }
    rf_follow_asked *grown = realloc(set->asked, (set->asked_count + 1) * sizeof *grown);
    if (!grown)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", set->asked_count + 1);
    set->asked = grown;
    rf_status status = rf_catalog_lock_follow(set->store->catalog, named, wait_ms, &lock, &failure);
    if (status != RF_OK && !(status == RF_ERR_LOCKED && may_share)) {
        if (err)
            *err = failure;
        return status;
    }
    *asked_out = &set->asked[set->asked_count++];
    **asked_out = (rf_follow_asked){*named, lock};
    return RF_OK;
}

bool rf_follow_set_is_left(const rf_follow_set *set)
{
    for (uint32_t i = 0; i < set->asked_count; i++)
        if (set->asked[i].lock < 0)
            return true;
    return false;
}

/* Now and then: who followed what was left to it may have ended, or was killed. Who waits with once tries each
 * time, since most who hold it are no followers but other calls that end at once. */
rf_status rf_follow_set_take_free(rf_follow_set *set, bool *taken_out, rf_err *err)
{
    *taken_out = false;
    if (!rf_follow_set_is_left(set) || rf_clock_seconds() < set->take_due)
        return RF_OK;
    set->take_due = set->options->once ? 0 : rf_clock_seconds() + TAKE_MS / 1e3;
    for (uint32_t i = 0; i < set->asked_count; i++) {
        rf_follow_asked *at = &set->asked[i];
        rf_err failure = {0};
        if (at->lock >= 0)
            continue;
        rf_status status =
            rf_catalog_lock_follow(set->store->catalog, &at->named, 0, &at->lock, &failure);
        if (status == RF_OK) {
            *taken_out = true;
            rf_follow_set_forget(set);
        } else if (status != RF_ERR_LOCKED) {
            if (err)
                *err = failure;
            return status;
        }
    }
    return RF_OK;
}

/* What is followed from now on, while it is gathered. */
typedef struct looking {
    rf_followed *models;
    uint32_t count;
} looking;

static rf_status add_followed(rf_follow_set *set, looking *now, rf_followed model, rf_err *err)
{
    rf_catalog_suspension suspension;

    rf_followed *grown = realloc(now->models, (now->count + 1) * sizeof *grown);
    if (!grown)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", now->count + 1);
    now->models = grown;
    rf_status status = rf_catalog_get_suspension(set->store->catalog, model.named.name,
                                                 model.number, &suspension, &model.suspended, err);
    if (status == RF_OK)
        now->models[now->count++] = model;
    return status;
}

/* The live generation of a read model and its colours. */
static rf_status look_at(rf_follow_set *set, const rf_catalog_model *known, bool first, looking *now,
                         rf_err *err)
{
    rf_followed model = {.number = known->live};
    rf_follow_asked *taken = NULL;

    memcpy(model.named.name, known->name, sizeof model.named.name);
    rf_status status = take_asked(set, &model.named, set->options->share || !first, &taken, err);
    if (status != RF_OK)
        return status;
    model.is_left = taken->lock < 0;
    status = add_followed(set, now, model, err);
    model.may_fail = true;
    for (uint32_t i = 0; status == RF_OK && i < known->colour_count; i++) {
        model.named.version = known->colours[i].version;
        model.number = known->colours[i].number;
        status = add_followed(set, now, model, err);
    }
    return status;
}

/* One version, whether it is live or not. What is gone may come back. */
static rf_status look_at_version(rf_follow_set *set, const rf_named *named, bool first, looking *now,
                                 rf_err *err)
{
    rf_catalog_generation generation;
    rf_err failure = {0};
    rf_follow_asked *taken = NULL;

    rf_status status = rf_named_find(set->store->catalog, named, &generation, &failure);
    if (status == RF_ERR_ABSENT && !first)
        return RF_OK;
    if (status != RF_OK) {
        if (err)
            *err = failure;
        return status;
    }
    status = take_asked(set, named, set->options->share || !first, &taken, err);
    if (status != RF_OK)
        return status;
    const rf_followed model = {
        .named = *named, .number = generation.number, .is_left = taken->lock < 0};
    return add_followed(set, now, model, err);
}

static rf_status look_at_named(rf_follow_set *set, const char *text, const rf_catalog_model *known,
                               uint32_t count, bool first, looking *now, rf_err *err)
{
    rf_named named;

    rf_status status = rf_named_parse(text, &named, err);
    if (status != RF_OK)
        return status;
    if (named.version != 0)
        return look_at_version(set, &named, first, now, err);
    for (uint32_t i = 0; i < count; i++)
        if (known[i].live != 0 && strcmp(known[i].name, named.name) == 0)
            return look_at(set, &known[i], first, now, err);
    return first ? rf_fail(err, RF_ERR_ABSENT, "%s: no live read model of this name", named.name)
                 : RF_OK;
}

static rf_status look_at_all(rf_follow_set *set, bool first, looking *now, rf_err *err)
{
    const rf_follow_options *options = set->options;
    rf_catalog_model *known = NULL;
    uint32_t count = 0;

    rf_status status = rf_catalog_models(set->store->catalog, &known, &count, err);
    for (uint32_t i = 0; status == RF_OK && options->name_count == 0 && i < count; i++)
        if (known[i].live != 0)
            status = look_at(set, &known[i], first, now, err);
    for (uint32_t i = 0; status == RF_OK && i < options->name_count; i++)
        status = look_at_named(set, options->names[i], known, count, first, now, err);
    free(known);
    return status;
}

static const rf_followed *find_followed(const rf_followed *models, uint32_t count, const rf_named *named)
{
    for (uint32_t i = 0; i < count; i++)
        if (rf_named_equal(&models[i].named, named))
            return &models[i];
    return NULL;
}

/* What became of it since it was last looked. */
static void tell_changes(const rf_follow_set *set, const looking *now)
{
    char name[RF_NAMED_TEXT_SIZE];

    for (uint32_t i = 0; i < now->count; i++) {
        const rf_followed *model = &now->models[i];
        const rf_followed *before = find_followed(set->models, set->count, &model->named);
        rf_named_format(&model->named, name);
        if (!before && model->may_fail)
            rf_follow_tell(set->options, "%s: generation %" PRIu64 " is kept current beside the live one", name,
                 model->number);
        else if (before && before->number != model->number)
            rf_follow_tell(set->options, "%s: generation %" PRIu64 " is %s now", name, model->number,
                 model->named.version ? "the one of this version" : "live");
        else if (before && before->suspended && !model->suspended)
            rf_follow_tell(set->options, "%s: goes on", name);
    }
    for (uint32_t i = 0; i < set->count; i++) {
        rf_named_format(&set->models[i].named, name);
        if (set->models[i].named.version != 0 &&
            !find_followed(now->models, now->count, &set->models[i].named))
            rf_follow_tell(set->options, "%s: is not kept beside the live one any more", name);
    }
}

static bool is_same(const rf_follow_set *set, const looking *now)
{
    bool same = set->count == now->count;

    for (uint32_t i = 0; same && i < now->count; i++)
        same = set->models[i].number == now->models[i].number &&
               set->models[i].is_left == now->models[i].is_left &&
               set->models[i].suspended == now->models[i].suspended &&
               rf_named_equal(&set->models[i].named, &now->models[i].named);
    return same;
}

rf_status rf_follow_set_look(rf_follow_set *set, bool first, bool *changed_out, rf_err *err)
{
    looking now = {NULL, 0};
    uint64_t visible = 0;

    *changed_out = false;
    if (!first && rf_catalog_stamp(set->store->catalog) == set->stamp)
        return RF_OK;
    rf_status status = rf_kv_visible(rf_catalog_kv(set->store->catalog), &visible, err);
    if (status == RF_OK)
        status = look_at_all(set, first, &now, err);
    if (status != RF_OK) {
        free(now.models);
        return status;
    }
    *changed_out = !is_same(set, &now);
    if (*changed_out && !first)
        tell_changes(set, &now);
    free(set->models);
    set->models = now.models;
    set->count = now.count;
    set->stamp = visible;
    return RF_OK;
}
