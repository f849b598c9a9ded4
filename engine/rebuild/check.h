/* Checks of a rebuild against the census, before anything is folded.
 *
 * None of the handled types ever occurred; a declared field that no event of an occurring type ever
 * had (under "*" it suffices that one type has it): refusals, with the nearest name; so are events that
 * lack a field of their key, unless they are to be left out. Types that have not occurred yet and
 * fields that some events lack: notes.
 */
#ifndef RF_REBUILD_CHECK_H
#define RF_REBUILD_CHECK_H

#include "log/census.h"
#include "projection/definition.h"
#include "refold/rebuild.h"

typedef struct rf_check_list {
    rf_check_field *fields; /* text in `arena`, as that of the findings */
    uint32_t field_count;
    rf_finding *findings;
    uint32_t finding_count;
    uint64_t events_handled;
    bool refused;
} rf_check_list;

/* Adds what it finds for one definition to *list (arrays in `arena`). */
rf_status rf_check_definition(const rf_definition *definition, rf_census *census, rf_arena *arena,
                              rf_check_list *list, rf_err *err);

/* Edit distance of two names, for "did you mean"; Damerau-Levenshtein, restricted (optimal string
 * alignment). */
uint32_t rf_name_distance(rf_slice a, rf_slice b);

#endif
