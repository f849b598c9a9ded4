/* Checks of a rebuild against the census, before anything is folded.
 *
 * None of the handled types ever occurred; a declared field that no event of an occurring type ever
 * had (under "*" it suffices that one type has it): refusals, with the nearest name; so are schemas
 * from which no upcaster leads to the current one, and events that lack a field of their key, unless
 * they are to be left out. Types that have not occurred yet, upcasters of schemas that have not, and
 * fields that some events lack: notes.
 */
#ifndef RF_REBUILD_CHECK_H
#define RF_REBUILD_CHECK_H

#include "log/census.h"
#include "projection/definition.h"
#include "refold/quarantine.h"
#include "refold/rebuild.h"

/* The schema that the handlers of a type are written for. */
typedef struct rf_check_schema {
    const rf_definition *definition;
    rf_slice type; /* today's name */
    int64_t schema;
} rf_check_schema;

typedef struct rf_check_list {
    rf_check_field *fields; /* text in `arena`, as that of the findings */
    uint32_t field_count;
    rf_finding *findings;
    uint32_t finding_count;
    rf_check_schema *schemas; /* of types whose handlers read payload fields */
    uint32_t schema_count;
    uint64_t events_handled;
    bool refused;
} rf_check_list;

/* Adds what it finds for one definition to *list (arrays in `arena`). */
rf_status rf_check_definition(const rf_definition *definition, rf_census *census, rf_arena *arena,
                              rf_check_list *list, rf_err *err);

typedef struct rf_check_unknown_options {
    uint64_t until; /* last position */
    bool refuses;
    const rf_left_out *skips; /* events that are put aside */
    uint32_t skip_count;
} rf_check_unknown_options;

/* Types of events that a definition which says that it handles all types has no handler for:
 * refusals, or notes. Not of types whose events are all put aside; nothing for other definitions. */
rf_status rf_check_unknown(const rf_definition *definition, rf_census *census,
                           const rf_check_unknown_options *options, rf_arena *arena,
                           rf_check_list *list, rf_err *err);

/* Edit distance of two names, for "did you mean"; Damerau-Levenshtein, restricted (optimal string
 * alignment). */
uint32_t rf_name_distance(rf_slice a, rf_slice b);

#endif
