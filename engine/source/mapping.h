/* A line of JSON becomes an event: which member is what, of which kind and range.
 *
 * Without maps each member of the envelope is the top-level member of its name. A map "position=id"
 * reads another top-level member instead; "schema=data.class_version" reads a value inside data or
 * metadata, which stays there. An event without the member counts as not having it; JSON null
 * counts as missing everywhere but in data. Quotes around a part of a path let it hold a dot.
 *
 * A mapping is immutable: usable by many threads, each with its own parser and counts.
 */
#ifndef RF_SOURCE_MAPPING_H
#define RF_SOURCE_MAPPING_H

#include "event/event.h"
#include "refold/import.h"

typedef struct rf_mapping rf_mapping;

/* Top-level members that nothing reads: the first RF_IMPORT_MEMBERS_MAX names, with counts. */
typedef struct rf_unused_members {
    rf_import_member members[RF_IMPORT_MEMBERS_MAX];
    uint32_t count;
} rf_unused_members;

/* RF_ERR_USAGE for a map or time zone that makes no sense. */
rf_status rf_mapping_new(const rf_import_options *options, rf_mapping **mapping_out, rf_err *err);
/* The name or path that the maps give for a member; its own name where none does. Borrowed from the options. */
rf_slice rf_mapping_path(const rf_import_options *options, const char *member);
void rf_mapping_free(rf_mapping *mapping); /* takes NULL */
/* Fills all of *event_out but `file` and `line`. It borrows from `line` and from `parser` until its
 * reset. `line` is followed by RF_JSON_PADDING readable bytes. Errors say nothing of file and line.
 */
rf_status rf_mapping_read(const rf_mapping *mapping, rf_json_parser *parser, rf_slice line,
                          rf_unused_members *unused, rf_event *event_out, rf_err *err);
/* The same; *members_out tells where the members stand, as long as the event is valid. */
typedef struct rf_line_members rf_line_members;
rf_status rf_mapping_read_members(const rf_mapping *mapping, rf_json_parser *parser, rf_slice line,
                                  rf_unused_members *unused, rf_line_members *members_out,
                                  rf_event *event_out, rf_err *err);
/* Adds `name`, `count` times, where there is room or it is known. */
void rf_unused_members_add(rf_unused_members *unused, rf_slice name, uint64_t count);

#endif
