/* A definition: a projection's code as the engine sees it, whichever way it was written.
 *
 * Loading checks all that can be checked without events: names, kinds, offsets inside the structs,
 * scales, duplicate columns, paths. A loaded definition is immutable and shared by threads, and by all who
 * have a share of it; it owns the plugin's handle until the last of them frees it. The content hash covers the bytes of the files.
 */
#ifndef RF_PROJECTION_DEFINITION_H
#define RF_PROJECTION_DEFINITION_H

#include "base/bytes.h"
#include "base/checksum.h"
#include "log/segment.h"
#include "projection/expectation.h"
#include "refold/projection.h"
#include "refold/read.h"

enum { RF_NAME_SIZE_MAX = 63, RF_COLUMNS_MAX = 1000 };

struct rf_arena;
typedef struct rf_evolution rf_evolution;           /* evolution.h */
typedef struct rf_evolution_file rf_evolution_file; /* evolution_file.h */

typedef struct rf_definition_field {
    rf_field field;     /* as the plugin gave it */
    rf_path path;       /* parsed; parts owned by the definition */
    rf_slice path_text; /* canonical, as the census writes it */
    uint64_t marks;     /* of whoever derives a definition; see rf_plan_faulty. 0 as loaded */
    bool as_numbers;    /* texts that are numbered may stay numbers (rf_plan_call) */
} rf_definition_field;

/* What rows are found by. Fields of a key that is computed have places in its struct. */
typedef struct rf_definition_key {
    uint32_t part_count;
    const rf_definition_field *parts;
    rf_fold_result (*compute)(rf_fold *fold, const void *event, void *parts); /* NULL: fields */
    const rf_definition_field *fields;
    uint32_t field_count;
    uint32_t event_size, parts_size;
} rf_definition_key;

typedef struct rf_definition_carry {
    rf_slice name;
    rf_slice type;
    rf_definition_field field;
} rf_definition_carry;

/* A secondary table, in the order of these columns. */
typedef struct rf_definition_index {
    uint32_t column_count;
    const uint32_t *columns; /* indexes of columns */
} rf_definition_index;

/* What holds for every row; a Lua file's. */
typedef struct rf_definition_expect {
    rf_expectation *expectation; /* owned by the definition */
    const char *text;
    const char *place; /* FILE:LINE */
} rf_definition_expect;

typedef struct rf_definition_handler {
    rf_slice type; /* "*" for all */
    bool every_type;
    bool every_row; /* all rows whose keys begin with the event's stream */
    const rf_definition_key *key; /* NULL: the stream */
    rf_handler_fn fold;
    uint32_t event_size; /* rounded up to 8: event structs stand in arrays, each aligned */
    uint32_t field_count;
    const rf_definition_field *fields;
} rf_definition_handler;

typedef struct rf_definition {
    char name[RF_NAME_SIZE_MAX + 1];
    uint32_t version;
    uint32_t row_size;
    uint32_t column_count;
    uint32_t handler_count;
    uint32_t flags; /* RF_PROJECTION_… */
    const rf_column *columns;
    const rf_definition_handler *handlers;
    const char *row_template; /* row_size bytes: all columns unset */
    rf_evolution *evolution;  /* of events; owned; NULL: none */
    rf_evolution_file *evolution_file; /* that it was loaded from; NULL: it is the definition's own */
    /* Parts of a row's key, the same for all handlers; one text "stream" where rows are those of
     * streams. */
    const rf_reader_column *key_parts;
    uint32_t key_part_count;
    bool of_streams; /* keys are the stream or begin with it: rows need events of their own stream only */
    bool by_stream;  /* keys are the stream alone, nothing is carried or combined, no handler gets every row */
    bool combines;  /* all columns say how partial values are combined */
    bool no_key_ignore;
    const rf_definition_carry *carries;
    uint32_t carry_count;
    const rf_definition_index *indexes;
    uint32_t index_count;
    const rf_definition_expect *expects;
    uint32_t expect_count;
    rf_hash128 content_hash; /* of its files */
    /* Of what they are run with: the ABI, where Lua is in it what runs that, and where they use the calendar
     * the zone table. Another one means that rows may be others, not that the definition is. */
    rf_hash128 engine_hash;
    bool uses_zones;
    char *path;       /* the file that it was loaded from */
    rf_slice content; /* the bytes that were loaded; owned */
    void *plugin;     /* dlopen handle, or NULL for definitions made in memory (tests) */
    struct rf_lua_file *lua; /* of a Lua projection: its files; handlers run by a runner then */
    bool faults_late; /* its runner may tell a row's fault of the last call that the row has in a batch */
} rf_definition;

/* Loads PATH (a .so, or a .lua with what it requires). Each file is read once and what was read is
 * what is loaded and hashed. RF_ERR_PLUGIN with the reason when it is no plugin, of another ABI, or
 * its tables do not hold. */
rf_status rf_definition_load(const char *path, rf_definition **definition_out, rf_err *err);
/* From tables in memory; `projection` must outlive it. The content hash is of `identity`. */
rf_status rf_definition_of(const rf_projection *projection, rf_slice identity,
                           rf_definition **definition_out, rf_err *err);
/* The same definition for one more, who frees it too. */
rf_definition *rf_definition_share(rf_definition *definition);
/* The last one's takes it away. Takes NULL. */
void rf_definition_free(rf_definition *definition);
/* When it is known whether handlers or upcasters use the calendar: then its zones count in the engine hash. */
void rf_definition_hash_engine(rf_definition *definition, bool uses_zones);
/* Whether the handler has a payload field. */
bool rf_definition_reads_payload(const rf_definition_handler *handler);
/* Writes the loaded bytes (not the file at `path`, which may have changed) to a new file, not durable;
 * those that a Lua file requires beside it. */
rf_status rf_definition_save(const rf_definition *definition, const char *path, rf_err *err);
/* The content hash of a definition that was saved at `path`; all files beside a Lua file belong to
 * it. Runs nothing of it. */
rf_status rf_definition_hash_file(const char *path, rf_hash128 *hash_out, rf_err *err);
/* The fields of an event struct: their kinds, places and paths are checked, paths parsed, all into
 * `arena`. `of` says whose they are, and has type, fields and event_size. */
rf_status rf_definition_take_fields(struct rf_arena *arena, const char *name, const rf_handler *of,
                                    const rf_definition_field **fields_out, rf_err *err);
/* A path, parsed, and as the census writes it; both in `arena`. */
rf_status rf_definition_take_path(struct rf_arena *arena, const char *name, const char *text,
                                  rf_path *path_out, rf_slice *text_out, rf_err *err);
/* "int", "decimal", … */
const char *rf_kind_name(rf_kind kind);
/* Whether `name` matches [a-z][a-z0-9_]{0,62}. */
bool rf_name_valid(rf_slice name);
/* Parses "customer.address.city", "metadata.user_id", '"org:group"' into parts in malloc'ed memory
 * (*memory_out). */
rf_status rf_path_parse(const char *text, rf_path *path_out, void **memory_out, rf_err *err);

#endif
