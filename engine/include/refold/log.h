/* Asking the log: what it holds, by type, and the events themselves. Read-only. */
#ifndef REFOLD_LOG_H
#define REFOLD_LOG_H

#include "refold/store.h"

typedef struct rf_info {
    uint64_t position; /* of the last event; 0 while empty */
    uint64_t events;
    uint64_t streams;
    uint64_t segments;
    uint64_t bytes;     /* of the log on disk */
    uint64_t raw_bytes; /* of data and metadata as they came */
    uint32_t partitions;
    uint32_t source_count;
} rf_info;
RF_API rf_status rf_store_info(rf_store *store, rf_info *info_out, rf_err *err);

/* The last position of the longest prefix of the log that has no event later than `time` (microseconds
 * since 1970 UTC); 0 if already the first event is later. Events without a time do not end it. */
RF_API rf_status rf_store_position_at(rf_store *store, int64_t time, uint64_t *position_out,
                                      rf_err *err);

typedef struct rf_source_info {
    const char *name;
    uint64_t mark; /* highest source position; 0: none */
    uint64_t events;
    const char *cursor; /* of a database: how far it was read, in words of its kind; empty: none */
} rf_source_info;

/* What the smallest and largest value of a field are. */
typedef enum rf_values_kind {
    RF_VALUES_NONE = 0, /* it has none */
    RF_VALUES_NUMBER = 1,
    RF_VALUES_TIME = 2, /* all its texts are times, as the next ones dates */
    RF_VALUES_DATE = 3,
} rf_values_kind;

/* A text of a field. */
typedef struct rf_type_example {
    const char *text;  /* UTF-8, at most 60 bytes, and without what follows a NUL */
    bool cut;          /* there is more of it */
    uint64_t position; /* of the first event that has it */
} rf_type_example;

/* Counts of one field by the kind of its values. */
typedef struct rf_type_field {
    const char *path;
    uint64_t nulls, bools, ints, numbers, texts, arrays, objects;
    /* of rf_store_dictionary only */
    rf_values_kind values;
    const char *smallest, *largest; /* NULL without values: a number, RFC 3339 */
    const rf_type_example *examples; /* of its texts: the first distinct ones */
    uint32_t example_count;
    bool partial; /* some of its values were not looked at: they have no column */
} rf_type_field;

typedef struct rf_type_info {
    const char *type;
    int64_t schema;
    uint64_t events;
    uint64_t first_position, last_position;
    int64_t time_min, time_max; /* RF_TIME_NONE: none has a time */
    bool capped;                /* it has more fields than are listed */
    uint64_t streams;           /* of rf_store_dictionary only: that have such an event */
    const rf_type_field *fields;
    uint32_t field_count;
} rf_type_info;

/* A report owns all that it points at. */
typedef struct rf_types rf_types;
RF_API rf_status rf_store_types(rf_store *store, rf_types **types_out, rf_err *err);
/* The same with the values of the fields and the streams: reads all columns of the log. `run` NULL:
 * one worker a processor. */
RF_API rf_status rf_store_dictionary(rf_store *store, const rf_run *run, rf_types **types_out,
                                     rf_err *err);
RF_API void rf_types_free(rf_types *types);
RF_API const rf_type_info *rf_types_list(const rf_types *types, uint32_t *count_out);
RF_API const rf_source_info *rf_types_sources(const rf_types *types, uint32_t *count_out);

/* Which events. All members may be zero (all events). */
typedef struct rf_event_query {
    rf_slice stream;               /* data NULL: any */
    rf_slice type;                 /* data NULL: any */
    uint64_t from, until;          /* positions, inclusive; 0: no limit */
    int64_t time_from, time_until; /* with `has_time_…`; an event without time never matches */
    bool has_time_from, has_time_until;
    uint64_t limit; /* 0: no limit */
} rf_event_query;

typedef struct rf_stored_event {
    uint64_t position;
    uint64_t source_position; /* 0: none */
    rf_slice source;
    rf_slice stream;
    rf_slice type;
    int64_t version;
    int64_t schema;
    int64_t time;      /* RF_TIME_NONE: none */
    rf_slice data;     /* byte for byte as it came */
    rf_slice metadata; /* data NULL: none */
} rf_stored_event;

/* Events in position order. Confined to one thread; holds no transaction between calls. */
typedef struct rf_events rf_events;
RF_API rf_status rf_events_open(rf_store *store, const rf_event_query *query,
                                rf_events **events_out, rf_err *err);
RF_API void rf_events_close(rf_events *events);
/* Valid until the next call; RF_ERR_NO_ROW at the end. */
RF_API rf_status rf_events_next(rf_events *events, rf_stored_event *event_out, rf_err *err);

#endif
