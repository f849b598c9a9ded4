/* The compiled maps and zone of a mapping: private to mapping.c, mapping_rules.c and the patterns.
 */
#ifndef RF_SOURCE_MAPPING_RULES_H
#define RF_SOURCE_MAPPING_RULES_H

#include "event/value.h"
#include "source/mapping.h"
#include "event/zone.h"

typedef enum rf_target {
    RF_TARGET_POSITION,
    RF_TARGET_STREAM,
    RF_TARGET_VERSION,
    RF_TARGET_TYPE,
    RF_TARGET_SCHEMA,
    RF_TARGET_TIME,
    RF_TARGET_DATA,
    RF_TARGET_METADATA,
    RF_TARGET_COUNT,
} rf_target;

extern const char *const rf_target_names[RF_TARGET_COUNT];

enum {
    RF_MAPPING_NAME_SIZE_MAX = 255, /* of a member that a map reads */
    RF_MAPPING_PARTS_MAX = 16,
};

typedef struct rf_target_source {
    char *text;        /* owned: what the parts and `label` borrow from */
    const char *label; /* "schema", or "schema (data.class_version)" */
    rf_slice
        parts[RF_MAPPING_PARTS_MAX]; /* one: a top-level member; more: a path in data or metadata */
    uint32_t part_count;
} rf_target_source;

typedef struct rf_member_name {
    rf_slice name;
    uint32_t targets; /* a bit each */
} rf_member_name;

struct rf_mapping {
    rf_target_source sources[RF_TARGET_COUNT];
    rf_member_name names[RF_TARGET_COUNT];
    uint32_t name_count;
    rf_time_unit time_unit;
    rf_zone *zone; /* NULL: times need an offset */
};

/* Where the members of a line stand among its nodes. Nodes from found[RF_TARGET_DATA] on have
 * become the event's data_nodes, likewise those of metadata. */
#define RF_MEMBER_NONE UINT32_MAX
struct rf_line_members {
    const rf_json_node *nodes;
    uint32_t count;
    uint32_t found[RF_TARGET_COUNT]; /* index of the member that a target reads; RF_MEMBER_NONE */
};

/* A time as an integer, in the unit that was chosen; false outside the years 1900 to 2200. */
bool rf_mapping_time_of_integer(const rf_mapping *mapping, int64_t value, int64_t *us_out);
/* A time as a string; RF_VALUE_NO_ZONE, RF_VALUE_WRONG_KIND, or RF_VALUE_RANGE outside the years
 * 1900 to 2200. */
rf_value_fault rf_mapping_time_of_text(const rf_mapping *mapping, rf_slice text, int64_t *us_out);

#endif
