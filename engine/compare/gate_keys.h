/* Keys that a new generation must have: a file with one a line, as the command line takes keys.
 *
 *     rf_gate_keys_read -> rf_gate_keys_look … -> rf_gate_keys_free
 *
 * Blank lines are skipped. Read before anything is built, so that a line that is no key costs nothing.
 */
#ifndef RF_GATE_KEYS_H
#define RF_GATE_KEYS_H

#include "compare/diff.h"
#include "projection/definition.h"

enum { RF_GATE_SHOWN = 5 /* keys that are named where more are meant */ };

typedef struct rf_gate_keys {
    rf_buf text;    /* the file */
    rf_slice *keys; /* encoded; owned */
    size_t count;
    rf_arena memory; /* of encoded keys that are no single text */
} rf_gate_keys;

/* RF_ERR_INPUT with file and line where a line is no key of the definition. */
rf_status rf_gate_keys_read(const char *path, const rf_definition *definition,
                            rf_gate_keys *keys_out, rf_err *err);
void rf_gate_keys_free(rf_gate_keys *keys); /* a zeroed one too */

/* How many the side has no row of, and the first of these as rf_gate_show_key has them. */
rf_status rf_gate_keys_look(const rf_gate_keys *keys, const rf_definition *definition,
                            const rf_diff_side *side, char *shown_out, size_t size,
                            uint64_t *missing_out, rf_err *err);

/* Appends a key as JSON, cut where it is long, with a comma before all but the first, to the *used_io bytes of text
 * that stand at `out`; nothing where its `size` bytes are full. */
void rf_gate_show_key(rf_slice key, const rf_definition *definition, char *out, size_t size,
                      size_t *used_io);

#endif
