/* What the files that check a projection's tables share. Private to definition.c, which begins and
 * ends it, definition_fields.c and definition_keys.c. */
#ifndef RF_PROJECTION_DEFINITION_TABLES_H
#define RF_PROJECTION_DEFINITION_TABLES_H

#include "base/arena.h"
#include "projection/definition.h"

enum {
    RF_TABLE_TEXT_MAX = 4096,      /* of any string in the tables */
    RF_TABLE_STRUCT_MAX = 1 << 20, /* of a row or event struct */
};

/* Where to put things, and whom to blame. */
typedef struct rf_table_build {
    rf_arena *arena;
    const char *name;
    const rf_projection *tables; /* NULL: of an evolution, which carries nothing */
    bool runs;                   /* a runner has the handlers' functions */
} rf_table_build;

/* A struct that fields have places in. */
typedef struct rf_table_struct {
    const char *whose; /* a handler's type, "a key", … */
    uint32_t size;     /* RF_TABLE_NOWHERE: they have none */
} rf_table_struct;
#define RF_TABLE_NOWHERE UINT32_MAX

/* A string of the tables; data NULL if it is NULL or too long. */
rf_slice rf_table_text(const char *text);
rf_status rf_table_check_kind(rf_kind kind, uint8_t scale, const char *name, const char *what,
                              rf_slice whose, rf_err *err);
/* Whether a value of `kind` at `offset` lies inside a struct of `size` bytes, and aligned. */
bool rf_table_place_valid(rf_kind kind, uint32_t offset, uint32_t size);

rf_status rf_table_take_field(rf_table_build *build, const rf_table_struct *place,
                              const rf_field *field, rf_definition_field *out, rf_err *err);
/* Several, into the definition's arena. */
rf_status rf_table_take_fields(rf_table_build *build, const rf_table_struct *place,
                               const rf_field *fields, uint32_t count,
                               const rf_definition_field **out, rf_err *err);
/* Keys, carries and how columns combine; the handlers have been taken. */
rf_status rf_table_take_keys(rf_table_build *build, rf_definition *definition, rf_err *err);
rf_status rf_table_take_indexes(rf_table_build *build, rf_definition *definition, rf_err *err);

#endif
