/* Definitions that generations keep, once they are loaded: for the next who moves one of these on.
 *
 *     new -> (find, or put what was loaded) … -> free
 *
 * To load one costs far more than to fold an event, and a program that appends moves its read models on with each call.
 * A generation's definition never changes and its number is never given again, so what was found once holds.
 * Nothing else is held: no lock, no file, no generation.
 *
 * Of a read model and version the generation that was put last is here; beyond RF_KEPT_MAX in all that which nobody asked
 * for longest goes. Who has a share of what goes keeps it.
 *
 * Threads: any.
 */
#ifndef RF_STORE_KEPT_H
#define RF_STORE_KEPT_H

#include "projection/definition.h"

enum { RF_KEPT_MAX = 64 };

typedef struct rf_kept rf_kept;

rf_status rf_kept_new(rf_kept **kept_out, rf_err *err);
void rf_kept_free(rf_kept *kept); /* takes NULL */
/* A share of the definition of generation `number` of `name`; NULL: it is not here. */
rf_definition *rf_kept_find(rf_kept *kept, const char *name, uint64_t number);
/* Takes a share of its own of a definition that is complete. */
void rf_kept_put(rf_kept *kept, uint64_t number, rf_definition *definition);

#endif
