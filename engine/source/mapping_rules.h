/* The compiled maps and zone of a mapping: private to mapping.c and mapping_rules.c.
 */
#ifndef RF_SOURCE_MAPPING_RULES_H
#define RF_SOURCE_MAPPING_RULES_H

#include "source/mapping.h"
#include "source/zone.h"

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

#endif
