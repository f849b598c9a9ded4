/* See kept.h. */
#include "store/kept.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct entry {
    rf_definition *definition; /* NULL: free */
    uint64_t number;
    uint64_t asked; /* when, by `clock` */
} entry;

struct rf_kept {
    pthread_mutex_t lock;
    /* guarded by `lock` */
    entry entries[RF_KEPT_MAX];
    uint64_t clock; /* of asking */
};

rf_status rf_kept_new(rf_kept **kept_out, rf_err *err)
{
    rf_kept *kept = calloc(1, sizeof *kept);

    if (!kept)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for definitions");
    RF_ASSERT(pthread_mutex_init(&kept->lock, NULL) == 0);
    *kept_out = kept;
    return RF_OK;
}

void rf_kept_free(rf_kept *kept)
{
    if (!kept)
        return;
    for (uint32_t i = 0; i < RF_KEPT_MAX; i++)
        rf_definition_free(kept->entries[i].definition);
    (void)pthread_mutex_destroy(&kept->lock);
    free(kept);
}

rf_definition *rf_kept_find(rf_kept *kept, const char *name, uint64_t number)
{
    rf_definition *found = NULL;

    pthread_mutex_lock(&kept->lock);
    for (uint32_t i = 0; !found && i < RF_KEPT_MAX; i++) {
        entry *at = &kept->entries[i];
        if (!at->definition || at->number != number || strcmp(at->definition->name, name) != 0)
            continue;
        at->asked = ++kept->clock;
        found = rf_definition_share(at->definition);
    }
    pthread_mutex_unlock(&kept->lock);
    return found;
}

/* Where a definition goes: the place of what was kept of its read model and version, a free one, or that of the one which nobody asked for
 * longest. */
static entry *place_of(rf_kept *kept, const rf_definition *definition)
{
    entry *oldest = &kept->entries[0];

    for (uint32_t i = 0; i < RF_KEPT_MAX; i++) {
        entry *at = &kept->entries[i];
        if (at->definition && at->definition->version == definition->version &&
            strcmp(at->definition->name, definition->name) == 0)
            return at;
        if (at->asked < oldest->asked)
            oldest = at;
    }
    return oldest;
}

void rf_kept_put(rf_kept *kept, uint64_t number, rf_definition *definition)
{
    pthread_mutex_lock(&kept->lock);
    entry *place = place_of(kept, definition);
    rf_definition *gone = place->definition;
    *place = (entry){rf_definition_share(definition), number, ++kept->clock};
    pthread_mutex_unlock(&kept->lock);
    rf_definition_free(gone);
}
