/* Patterns: lines that are like lines before them are read by comparing.
 *
 * A program that writes events writes all that stands between the values in the same bytes each
 * time. A pattern is a line that was read in full (rf_mapping_read), cut at its numbers and
 * strings: literal, value, literal, value ... The type's value belongs to the literals. Patterns
 * are kept in a tree, in which patterns with the same beginning share it. A line that matches is
 * valid by construction: its literals are bytes of a valid line, and between them stand only
 * strings of printable ASCII without escapes and numbers by the grammar, of 18 digits at most. So
 * its structure, its members and their kinds are those of the first line, and nothing needs to be
 * found out but the values. Whatever else a line has (other characters, an escape, another blank, a
 * value out of range, a fault) makes it no match: then it is read in full, which also says what is
 * wrong with it.
 *
 * One set of patterns for each worker: confined to one thread. All events of a type and shape refer
 * to the same rf_event_shape, whichever worker read them.
 */
#ifndef RF_SOURCE_PATTERN_H
#define RF_SOURCE_PATTERN_H

#include "base/arena.h"
#include "source/mapping_rules.h"

typedef struct rf_patterns rf_patterns;

/* NULL without memory. Both are borrowed until rf_patterns_free. */
rf_patterns *rf_patterns_new(const rf_mapping *mapping, rf_event_shapes *shapes);
void rf_patterns_free(rf_patterns *patterns); /* takes NULL */
/* Reads the line at *at_ref, which ends at `end` at the latest, and moves *at_ref behind its
 * newline; false, and nothing changed, where no pattern matches. Behind `end` stand RF_JSON_PADDING
 * readable bytes, the first of which is no newline's continuation: a zero, or another line. The
 * event borrows from the text, from `memory` (until it is reset or rewound) and from the shapes. */
bool rf_patterns_read(rf_patterns *patterns, const char **at_ref, const char *end, rf_arena *memory,
                      rf_unused_members *unused, rf_event *event_out);
/* Forgets where in the arena values were put: before it is reset or rewound, or another is used. */
void rf_patterns_leave(rf_patterns *patterns);
/* Keeps the pattern of a line that was read in full, if it can have one and there is room. */
void rf_patterns_learn(rf_patterns *patterns, rf_slice line, const rf_line_members *members,
                       const rf_event *event);

#endif
