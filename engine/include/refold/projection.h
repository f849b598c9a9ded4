/* Projections as C plugins: everything that a plugin sees. Compile with -fPIC -shared, link
 * nothing.
 *
 * A plugin is a shared object with one symbol, `refold_projection`: a constant rf_projection that
 * describes the read model and its handlers. It folds each stream's events, in position
 * order, into one row; with a key of its own, the events of each key. The smallest example is
 * projections/case_summary.c; copy that.
 *
 * A handler gets its row and the event's declared fields as two structs whose layouts the plugin
 * itself declares (offsets in `columns` and `fields`). It changes the row and says what it did. It
 * sees nothing else: no other row, clock, file or randomness, no state of its own, so that a
 * rebuild is deterministic. Handlers run on several threads at once, each on rows of its own; they
 * must not use mutable statics.
 *
 * Text in a row is UTF-8, which is checked; a json column holds one JSON value, for which the
 * handler answers.
 *
 * Text in an event is borrowed and may be assigned to a row as it is: the engine keeps it alive as
 * long as the row needs it. Text that a handler makes comes from rf_fold_alloc. Literals are fine
 * too.
 *
 * A row begins with all columns unset: text NULL, times and dates RF_TIME_NONE, numbers 0, bools
 * false. The struct may have more members than columns (scratch for the fold); they begin as zero
 * bytes. Only columns may hold text from elsewhere: the engine moves the text that columns refer
 * to, and knows of no other member. Scratch takes whole words of 8 bytes that no column touches: by
 * these it is known that a row as it is stored does not tell all, and `follow` and catch-up fold its
 * events anew. Scratch in what lies between two columns of a word would be lost there.
 */
#ifndef REFOLD_PROJECTION_H
#define REFOLD_PROJECTION_H

#include "refold/types.h"

/* Raised whenever a struct below changes; a plugin of another ABI is refused before any call. */
#define RF_PROJECTION_ABI 2u
#define RF_PROJECTION_MAGIC 0x646c6f6665720001u

/* How partial values of a column are combined, in a projection whose columns all say so. Such a
 * column does not depend on the order of events, but for first and last, which go by position. */
typedef enum rf_combine {
    RF_COMBINE_NONE = 0,
    RF_COMBINE_SUM = 1, /* int, decimal: 128 bits wide in between */
    RF_COMBINE_MIN = 2, /* int, decimal, float, time, date, text; unset yields */
    RF_COMBINE_MAX = 3,
    RF_COMBINE_COUNT = 4, /* int: a sum of what handlers add */
    RF_COMBINE_FIRST = 5, /* any kind */
    RF_COMBINE_LAST = 6,
    RF_COMBINE_ANY = 7, /* bool */
    RF_COMBINE_ALL = 8,
} rf_combine;

/* A column of the row: `offset` into the row struct, where a value of the kind's C type stands. */
typedef struct rf_column {
    const char *name; /* [a-z][a-z0-9_]{0,62}; not key, exists, delete */
    rf_kind kind;
    uint8_t scale;   /* RF_DECIMAL: 0 to 18 */
    uint8_t combine; /* rf_combine */
    uint32_t offset;
} rf_column;

/* Where a field of the event struct comes from. */
typedef enum rf_field_source {
    RF_PAYLOAD = 0, /* `path` in data; "metadata.user_id" reads metadata; quotes around a name with
                       a dot or blank */
    RF_EVENT_STREAM = 1, /* text */
    RF_EVENT_CATEGORY = 2,
    RF_EVENT_TYPE = 3,
    RF_EVENT_VERSION = 4, /* int */
    RF_EVENT_SCHEMA = 5,
    RF_EVENT_POSITION = 6,
    RF_EVENT_TIME = 7, /* time */
    RF_CARRIED = 8,    /* `path` is the name of a carry of the projection */
} rf_field_source;

/* A field of the event: `offset` into the event struct. A payload field that is missing or null
 * reads as zero, false, NULL or RF_TIME_NONE. */
typedef struct rf_field {
    rf_field_source source;
    rf_kind kind;
    uint8_t scale;    /* RF_DECIMAL */
    uint8_t optional; /* 1: events without it are normal, and a type that never had it passes the
                         checks */
    uint8_t rounding; /* RF_DECIMAL: rf_rounding */
    uint32_t offset;
    /* Of a bool that says whether the event has it; RF_NO_PRESENT for none. */
    uint32_t present_offset;
    const char *path;   /* RF_PAYLOAD, RF_CARRIED */
} rf_field;

#define RF_NO_PRESENT UINT32_MAX

typedef enum rf_fold_result {
    RF_ROW_WRITTEN = 0,   /* the row exists now */
    RF_ROW_UNCHANGED = 1, /* nothing written: creates no row */
    RF_ROW_DELETED = 2,   /* the row is gone; a later event begins a new one */
    RF_FOLD_FAILED = 3,   /* stops the rebuild; rf_fold_fail gave the reason */
} rf_fold_result;

/* What the engine offers a handler. */
typedef struct rf_fold rf_fold;
struct rf_fold {
    uint32_t abi;
    /* `size` bytes that live as long as the row needs them; never NULL with size <= 16 MiB. */
    char *(*alloc)(rf_fold *fold, size_t size);
    void (*fail)(rf_fold *fold, const char *reason);
};

/* `row` and `event` point at the plugin's own structs. */
typedef rf_fold_result (*rf_handler_fn)(rf_fold *fold, void *row, const void *event);

/* What rows are found by: a tuple of fields. A part that an event lacks makes the key nil, which is
 * an error unless the projection ignores such events. Keys are at most 480 bytes encoded. */
typedef struct rf_key {
    /* Source, kind, scale and path of each part; with `compute` only kind, scale and the offset into
     * the struct that it fills. Kinds: not float or json. */
    const rf_field *parts;
    uint32_t part_count;
    /* NULL: the parts are fields of the event. Else it makes them, into `parts`, which begin unset,
     * of an event struct of these fields: RF_ROW_WRITTEN, or RF_FOLD_FAILED. */
    rf_fold_result (*compute)(rf_fold *fold, const void *event, void *parts);
    const rf_field *fields;
    uint32_t field_count;
    uint32_t event_size;
    uint32_t parts_size;
} rf_key;

typedef struct rf_handler {
    const char *type; /* exact, or "*" for every type; several handlers of a type run in order */
    rf_handler_fn fold;
    const rf_field *fields;
    uint32_t field_count;
    uint32_t event_size; /* bytes of the event struct; 0 without fields */
    uint8_t every_row;   /* 1: gets every row of the event's stream, in key order; keys begin with
                            the stream then */
    const rf_key *key;   /* this handler's; NULL: the projection's */
} rf_handler;

/* The last value of a field in its stream, which later events of the stream read as a field with the
 * source RF_CARRIED. Several with one name and kind tell of several types. An event's own value
 * counts for its own handlers already. */
typedef struct rf_carry {
    const char *name;
    const char *type;
    rf_field field; /* RF_PAYLOAD or a member of the event; offsets unused */
} rf_carry;

/* A sorted secondary table of the read model. */
typedef struct rf_index {
    const char *const *columns;
    uint32_t column_count;
} rf_index;

enum {
    RF_PROJECTION_ALL_TYPES = 1,  /* a type without handler stops a rebuild */
    RF_PROJECTION_NO_KEY_IGNORE = 2, /* events without a key are left out and counted */
};

typedef struct rf_projection {
    uint64_t magic;       /* RF_PROJECTION_MAGIC */
    uint32_t abi;         /* RF_PROJECTION_ABI */
    uint32_t struct_size; /* sizeof(rf_projection) */
    const char *name;     /* [a-z][a-z0-9_]{0,62} */
    uint32_t version;     /* 1 and up; raise it with every change */
    uint32_t row_size;
    const char *key; /* "stream"; NULL with key_by */
    const rf_column *columns;
    const rf_handler *handlers;
    uint32_t column_count;
    uint32_t handler_count;
    uint32_t flags;      /* RF_PROJECTION_… */
    const rf_key *key_by; /* NULL: rows are keyed by stream */
    const rf_carry *carries;
    uint32_t carry_count;
    const rf_index *indexes;
    uint32_t index_count;
} rf_projection;

#if defined(_WIN32)
#define RF_PROJECTION_EXPORT
#else
#define RF_PROJECTION_EXPORT __attribute__((visibility("default")))
#endif

/* Short forms for the tables. */
#define RF_COUNT_OF(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))
#define RF_COLUMN(type, member, column_kind)                                                       \
    {                                                                                              \
#member, (column_kind), 0, 0, offsetof(type, member)                                          \
    }
#define RF_COLUMN_DECIMAL(type, member, column_scale)                                              \
    {                                                                                              \
#member, RF_DECIMAL, (column_scale), 0, offsetof(type, member)                                \
    }
#define RF_FIELD(type, member, field_kind)                                                         \
    {                                                                                              \
        RF_PAYLOAD, (field_kind), 0, 0, 0, offsetof(type, member), RF_NO_PRESENT, #member             \
    }
#define RF_FIELD_DECIMAL(type, member, field_scale)                                                \
    {                                                                                              \
        RF_PAYLOAD, RF_DECIMAL, (field_scale), 0, 0, offsetof(type, member), RF_NO_PRESENT, #member   \
    }
#define RF_FIELD_OPTIONAL(type, member, field_kind)                                                \
    {                                                                                              \
        RF_PAYLOAD, (field_kind), 0, 1, 0, offsetof(type, member), RF_NO_PRESENT, #member             \
    }
#define RF_FIELD_OF_EVENT(type, member, field_source, field_kind)                                  \
    {                                                                                              \
        (field_source), (field_kind), 0, 0, 0, offsetof(type, member), RF_NO_PRESENT, NULL            \
    }
/* A part of a key, or what is carried: it has no place in a struct. */
#define RF_KEY_PART(payload_path, part_kind)                                                       \
    {                                                                                              \
        RF_PAYLOAD, (part_kind), 0, 0, 0, 0, RF_NO_PRESENT, (payload_path)                         \
    }
/* `fields` is an array, `event_struct` the struct that they lie in. BARE: a handler that reads no
 * field. */
#define RF_HANDLER(event_type, function, event_struct, fields)                                     \
    {                                                                                              \
        (event_type), (function), (fields), RF_COUNT_OF(fields), sizeof(event_struct), 0, NULL     \
    }
#define RF_HANDLER_BARE(event_type, function)                                                      \
    {                                                                                              \
        (event_type), (function), NULL, 0, 0, 0, NULL                                              \
    }
/* The first members of a projection. */
#define RF_PROJECTION_HEAD                                                                         \
    .magic = RF_PROJECTION_MAGIC, .abi = RF_PROJECTION_ABI, .struct_size = sizeof(rf_projection)

static inline char *rf_fold_alloc(rf_fold *fold, size_t size)
{
    return fold->alloc(fold, size);
}
/* `return rf_fold_fail(fold, "total beyond 64 bits");`: the engine adds the event's place. */
static inline rf_fold_result rf_fold_fail(rf_fold *fold, const char *reason)
{
    fold->fail(fold, reason);
    return RF_FOLD_FAILED;
}
/* *sum += value, *sum -= value; false on overflow, and then *sum is unchanged. */
static inline bool rf_add(int64_t *sum, int64_t value)
{
    return !__builtin_add_overflow(*sum, value, sum);
}
static inline bool rf_subtract(int64_t *sum, int64_t value)
{
    return !__builtin_sub_overflow(*sum, value, sum);
}
static inline bool rf_multiply(int64_t a, int64_t b, int64_t *product_out)
{
    return !__builtin_mul_overflow(a, b, product_out);
}
/* Whether two texts are equal; an unset one equals an unset one only. */
static inline bool rf_slice_same(rf_slice a, rf_slice b)
{
    if (!a.data || !b.data)
        return !a.data && !b.data;
    return a.size == b.size && __builtin_memcmp(a.data, b.data, a.size) == 0;
}
static inline bool rf_slice_is(rf_slice text, const char *literal)
{
    return rf_slice_same(text, (rf_slice){literal, __builtin_strlen(literal)});
}

#endif
