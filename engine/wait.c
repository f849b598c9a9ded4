/* Waiting until read models have what the log has, and letting those go on that were suspended; see refold/follow.h. */
#include "base/clock.h"
#include "base/holder.h"
#include "base/wait_note.h"
#include "catalog/named.h"
#include "refold/follow.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { IDLE_MS = 20 };

static void pause_idle(void)
{
    const struct timespec idle = {.tv_nsec = IDLE_MS * 1000000L};

    (void)nanosleep(&idle, NULL);
}

/* The first that is not there yet. */
struct laggard {
    char name[RF_NAMED_TEXT_SIZE]; /* empty: all are */
    rf_named named;
    uint64_t position;
};

/* One generation: *laggard stays as it is if it is far enough. */
static rf_status look_at(rf_store *store, const rf_named *named, uint64_t position, struct laggard *laggard,
                         rf_err *err)
{
    rf_catalog_generation served;
    rf_catalog_suspension suspension;
    char text[RF_NAMED_TEXT_SIZE];
    bool suspended = false;

    rf_status status = rf_named_find(store->catalog, named, &served, err);
    if (status == RF_OK)
        status = rf_catalog_get_suspension(store->catalog, named->name, served.number, &suspension,
                                           &suspended, err);
    if (status != RF_OK)
        return status;
    bool there = served.position >= position;
    rf_named_format(named, text);
    if (!there && suspended)
        return rf_fail(err, RF_ERR_REFUSED, "%s is suspended at position %llu: %s", text,
                       (unsigned long long)served.position, suspension.reason);
    if (!there && !*laggard->name) {
        memcpy(laggard->name, text, sizeof laggard->name);
        laggard->named = *named;
        laggard->position = served.position;
    }
    return RF_OK;
}

/* Every live one. */
static rf_status look_at_live(rf_store *store, uint64_t position, struct laggard *laggard, rf_err *err)
{
    rf_catalog_model *models = NULL;
    uint32_t count = 0;

    rf_status status = rf_catalog_models(store->catalog, &models, &count, err);
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        rf_named named = {.version = 0};
        memcpy(named.name, models[i].name, sizeof named.name);
        if (models[i].live != 0)
            status = look_at(store, &named, position, laggard, err);
    }
    free(models);
    return status;
}

static rf_status look(rf_store *store, const char *const *names, uint32_t name_count,
                      uint64_t position, struct laggard *laggard, rf_err *err)
{
    rf_status status = RF_OK;

    *laggard->name = '\0';
    if (name_count == 0)
        return look_at_live(store, position, laggard, err);
    for (uint32_t i = 0; status == RF_OK && i < name_count; i++) {
        rf_named named;
        status = rf_named_parse(names[i], &named, err);
        if (status == RF_OK)
            status = look_at(store, &named, position, laggard, err);
    }
    return status;
}

/* While it is waited: what for, so that it can be told. */
struct waiting {
    rf_wait_note wait; /* `what` NULL: none */
    char what[128];
    char path[RF_PATH_SIZE];
};

/* Of a version, FOLLOW of its own or its read model's, whichever is held. */
static void find_follower(rf_store *store, const rf_named *named, char path_out[RF_PATH_SIZE],
                          char holder_out[RF_HOLDER_TEXT_SIZE])
{
    rf_named all = *named;

    all.version = 0;
    *holder_out = '\0';
    if (rf_catalog_follow_path(store->catalog, named, path_out, NULL) != RF_OK) {
        *path_out = '\0';
        return;
    }
    if (!rf_holder_of_lock(path_out, holder_out) && named->version != 0 &&
        rf_catalog_follow_path(store->catalog, &all, path_out, NULL) == RF_OK)
        (void)rf_holder_of_lock(path_out, holder_out);
}

static void waiting_begin(struct waiting *waiting, rf_store *store, const struct laggard *laggard, uint64_t position,
                          uint64_t log_end)
{
    char holder[RF_HOLDER_TEXT_SIZE] = "";

    waiting->wait = (rf_wait_note){.what = waiting->what, .is_bounded = true};
    if (log_end < position) {
        (void)snprintf(waiting->what, sizeof waiting->what, "the log ends before position %" PRIu64, position);
    } else {
        find_follower(store, &laggard->named, waiting->path, holder);
        waiting->wait.path = *holder ? waiting->path : NULL;
        (void)snprintf(waiting->what, sizeof waiting->what, "%s is not at position %" PRIu64 " yet", laggard->name,
                       position);
    }
    rf_wait_note_begin(&waiting->wait);
}

static rf_status fail_late(rf_store *store, const struct laggard *laggard, uint64_t position, uint64_t log_end,
                           int64_t timeout_ms, rf_err *err)
{
    char path[RF_PATH_SIZE], holder[RF_HOLDER_TEXT_SIZE];
    double seconds = (double)timeout_ms / 1000;

    if (log_end < position)
        return rf_fail(err, RF_ERR_UNREACHABLE,
                       "the log ends at position %" PRIu64 ", so nothing is at %" PRIu64 " after %.3g s", log_end, position,
                       seconds);
    find_follower(store, &laggard->named, path, holder);
    return rf_fail(err, RF_ERR_UNREACHABLE,
                   "%s is at position %" PRIu64 ", not at %" PRIu64 ", after %.3g s (%s%s)", laggard->name,
                   laggard->position, position, seconds, *holder ? "followed by " : "does follow run?", holder);
}

static rf_status log_end(rf_store *store, uint64_t *position_out, rf_err *err)
{
    rf_log_info info;
    rf_status status = rf_log_get_info(store->log, &info, err);

    if (status == RF_OK)
        *position_out = info.position;
    return status;
}

rf_status rf_wait(rf_store *store, const char *const *names, uint32_t name_count, uint64_t position,
                  int64_t timeout_ms, const volatile int *cancel, rf_err *err)
{
    double end = rf_clock_seconds() + (double)timeout_ms / 1000;
    struct waiting waiting = {.wait = {.what = NULL}};
    struct laggard laggard;
    uint64_t log = 0;

    rf_status status = log_end(store, &log, err);
    if (position == 0)
        position = log;
    while (status == RF_OK) {
        status = look(store, names, name_count, position, &laggard, err);
        if (status != RF_OK || !*laggard.name)
            break;
        if (log < position)
            status = log_end(store, &log, err);
        if (status != RF_OK)
            break;
        if (!waiting.wait.what)
            waiting_begin(&waiting, store, &laggard, position, log);
        if (cancel && *cancel)
            status = rf_fail(err, RF_ERR_INTERRUPTED, "interrupted; nothing was changed");
        else if (timeout_ms >= 0 && rf_clock_seconds() >= end)
            status = fail_late(store, &laggard, position, log, timeout_ms, err);
        else
            pause_idle();
    }
    if (waiting.wait.what)
        rf_wait_note_end(&waiting.wait);
    return status;
}

rf_status rf_resume(rf_store *store, const char *name, rf_err *err)
{
    rf_catalog_generation generation = {.number = 0};
    rf_named named;

    rf_status status = rf_named_parse(name, &named, err);
    if (status == RF_OK && named.version != 0)
        status = rf_named_find(store->catalog, &named, &generation, err);
    return status == RF_OK
               ? rf_catalog_resume(store->catalog, named.name, generation.number, err)
               : status;
}
