/* Events' own evolution: renamed types, upcasters from one schema of a type to the next, and schemas
 * that are taken as they are.
 *
 * A type's old names are followed to the end first; all else is declared of today's name. An event
 * of some schema then goes through the upcasters of its type, one schema after the other, up to the
 * current one or to one that is accepted as it is (rf_evolution_chain). An upcaster assigns fields,
 * by path; what it does not assign stays as it was. It is one of two:
 *
 *     moves      the engine knows what each assigned field is: another field, a default, a field
 *                read as some kind. Copies and defaults are resolved in the plan and cost nothing
 *                per event.
 *     function   run over the events of a batch (rf_upcast_ops). Which fields it may assign is
 *                declared.
 *
 * All moves of an upcaster read the event as it was before that upcaster. A number that an upcaster
 * assigns is in the unit of the field that reads it.
 *
 * An evolution is made of tables, checked as a whole, and immutable; threads share it. It knows of
 * no language: functions are behind rf_upcast_ops. trace.h finds where a field of a handler comes
 * from.
 */
#ifndef RF_PROJECTION_EVOLUTION_H
#define RF_PROJECTION_EVOLUTION_H

#include "base/arena.h"
#include "projection/definition.h"

/* ---- values ---- */

typedef enum rf_assigned_kind {
    RF_ASSIGNED_NOT = 0, /* left as it was */
    RF_ASSIGNED_NIL,     /* missing from now on */
    RF_ASSIGNED_INT,     /* a whole number, in the unit of the field that reads it */
    RF_ASSIGNED_FLOAT,
    RF_ASSIGNED_BOOL,
    RF_ASSIGNED_TEXT,
    RF_ASSIGNED_JSON, /* one JSON value; only json fields read it */
} rf_assigned_kind;

typedef struct rf_assigned {
    rf_assigned_kind kind;
    union {
        int64_t number;
        double real;
        bool truth;
        rf_slice text;
    } as;
} rf_assigned;

/* ---- tables, as a loader makes them ---- */

typedef struct rf_rename {
    const char *from;
    const char *to;
} rf_rename;

/* `to` becomes `from`; without `from` it becomes `fallback`. Where `from` is missing, `fallback`
 * stands in; from == to is a default. */
typedef struct rf_upcast_move {
    const char *to;
    const char *from;
    bool typed;     /* `from` is read as `kind`: what is of another kind is a fault */
    bool optional;  /* events without `from` are normal */
    rf_kind kind;   /* typed only, as the next two; not json */
    uint8_t scale;
    uint8_t rounding;
    rf_assigned fallback; /* RF_ASSIGNED_NOT: none */
} rf_upcast_move;

/* From `schema` of `type` to the next: either moves or a function. */
typedef struct rf_upcast {
    const char *type;
    int64_t schema;
    const rf_upcast_move *moves;
    uint32_t move_count; /* 0: a function */
    const rf_field *fields; /* what the function reads: an event struct, as handlers have it */
    uint32_t field_count;
    uint32_t event_size;
    const char *const *assigned; /* paths that the function may assign */
    uint32_t assigned_count;
} rf_upcast;

typedef struct rf_accepted {
    const char *type;
    const int64_t *schemas;
    uint32_t schema_count;
} rf_accepted;

/* Events that a function upcaster is run over. */
typedef struct rf_upcast_batch {
    const char *events; /* event structs, `event_size` bytes from one to the next */
    size_t event_size;
    uint32_t count;
    rf_assigned **assigned; /* by assigned path: `count` values, all RF_ASSIGNED_NOT at first */
    rf_arena *text;         /* keeps what is assigned */
    uint32_t failed;        /* out, on failure: index of the event */
} rf_upcast_batch;

/* How functions are run. A state belongs to one thread at a time. */
typedef struct rf_upcast_ops {
    /* `cancel` is looked at now and then; NULL: never. */
    rf_status (*open)(void *arg, const volatile int *cancel, void **state_out, rf_err *err);
    void (*close)(void *state);
    /* Upcaster `index` of the tables. The message is the reason; the caller adds upcaster and event.
     */
    rf_status (*run)(void *state, uint32_t index, rf_upcast_batch *batch, rf_err *err);
} rf_upcast_ops;

typedef struct rf_evolution_tables {
    const char *name; /* of the file, for messages */
    const rf_rename *renames;
    const rf_upcast *upcasts;
    const rf_accepted *accepted;
    uint32_t rename_count, upcast_count, accepted_count;
    const rf_upcast_ops *ops; /* NULL where no upcaster is a function */
    void *ops_arg;
} rf_evolution_tables;

/* ---- what is made of them ---- */

enum { RF_SCHEMA_MAX = INT32_MAX, RF_EVOLUTION_ENTRIES_MAX = 10000 };

/* A path of an upcaster. */
typedef struct rf_evolution_path {
    rf_path path;
    rf_slice text; /* canonical */
} rf_evolution_path;

typedef struct rf_evolution_move {
    bool constant; /* no `from` */
    bool typed, optional;
    rf_evolution_path from;
    uint32_t input; /* typed: which field of `input` */
    rf_assigned fallback;
} rf_evolution_move;

typedef struct rf_evolution_upcast {
    rf_slice type;
    int64_t schema;
    uint32_t index; /* in the tables */
    bool function;
    /* The event struct: of the function, or of typed moves, in their order. Each field of typed moves
     * has a presence. */
    rf_definition_handler input;
    const rf_evolution_path *assigned;
    const rf_evolution_move *moves; /* by assigned path; NULL for a function */
    uint32_t assigned_count;
} rf_evolution_upcast;

/* Upcasters that an event goes through, in order. */
typedef struct rf_evolution_chain {
    const rf_evolution_upcast *steps;
    uint32_t count;
    int64_t schema; /* that it has at the end */
    bool broken;    /* neither the current schema nor one that is accepted */
} rf_evolution_chain;

/* RF_ERR_PLUGIN: loops, duplicates, names that were renamed away, fields that do not fit, paths of
 * which one upcaster assigns two that overlap. The tables' arrays are copied, texts of values are
 * not; `ops_arg` is borrowed. */
rf_status rf_evolution_new(const rf_evolution_tables *tables, rf_evolution **evolution_out,
                           rf_err *err);
void rf_evolution_free(rf_evolution *evolution); /* takes NULL */

/* All take NULL: nothing is renamed or upcast then. */
/* Today's name of a type. */
rf_slice rf_evolution_type(const rf_evolution *evolution, rf_slice stored);
/* One past the highest upcaster of a type, or the highest schema that is accepted if that is more;
 * 0 where the evolution says nothing of the type. `type` is today's name here and below. */
int64_t rf_evolution_current(const rf_evolution *evolution, rf_slice type);
bool rf_evolution_accepts(const rf_evolution *evolution, rf_slice type, int64_t schema);
rf_evolution_chain rf_evolution_chain_of(const rf_evolution *evolution, rf_slice type,
                                         int64_t schema);
/* All upcasters, by type, then schema. */
const rf_evolution_upcast *rf_evolution_upcasts(const rf_evolution *evolution, uint32_t *count_out);
const rf_upcast_ops *rf_evolution_ops(const rf_evolution *evolution, void **arg_out);

/* Gives a definition its evolution, which it owns from then on, also on failure. RF_ERR_PLUGIN for
 * handlers of a type that was renamed away, and for json fields of which an upcaster assigns a
 * part. `identity` becomes a part of the content hash; NULL: the evolution is in it already. */
rf_hash128 rf_evolution_hash(rf_hash128 definition, rf_slice identity); /* both in one */
rf_status rf_definition_evolve(rf_definition *definition, rf_evolution *evolution,
                               rf_slice identity, rf_err *err);

#endif
