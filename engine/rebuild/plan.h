/* The plan: which columns of which types a pass has to decode, per segment and once.
 *
 *     new -> bind (once a segment) -> event … -> free
 *
 * The plan binds the types that it meets to the handlers of all definitions (by name, "*" included)
 * and remembers that by name. For each segment it decodes the columns that the handlers of its
 * types name, each (type, path) once however many read it; kinds are converted on the way
 * (convert.h). Paths without column and json fields are read from the payload, with the same
 * result. Types that nobody handles cost nothing.
 *
 * Columns are never turned into arrays of event structs. A call has one struct, and a list of moves
 * that fill it when the turn of an event comes: most are eight bytes of a column, as it was
 * decoded. So an event's values are read once, in order, from memory that fits the caches, and
 * nothing is cleared or sorted. (Order log: arrays of structs took 40 instructions an event more,
 * and 0.5 MB a segment.)
 *
 * A plan is confined to one worker. What bind gives is valid until the next bind, but for text:
 * that lives in the arena of the caller, and type names as long as the plan.
 */
#ifndef RF_REBUILD_PLAN_H
#define RF_REBUILD_PLAN_H

#include "log/log.h"
#include "projection/definition.h"

typedef struct rf_plan rf_plan;

/* What a column's values are counted by. */
typedef enum rf_plan_by { RF_BY_EVENT, RF_BY_ORDINAL, RF_BY_STREAM } rf_plan_by;

/* Fills eight bytes of an event struct from a column that has all values, as most moves do. There
 * are always as many as a multiple of RF_PLAN_UNROLL, some of which fill nothing: so events of
 * different types take the same branches, and a processor need not guess the type. (Order log: 9 %
 * of a rebuild's processor time.) */
typedef struct rf_plan_word {
    const char *from;
    uint32_t by_event, by_ordinal; /* bytes from one value to the next; one of them is 0 */
    uint32_t offset;               /* of the member */
} rf_plan_word;
enum { RF_PLAN_UNROLL = 4 };

/* Fills any other member. */
typedef struct rf_plan_move {
    const char *from;      /* values of `size` bytes */
    const uint32_t *codes; /* which value; NULL: that of the index itself */
    uint32_t offset;       /* of the member */
    uint8_t size;          /* 1, 8 or 16 */
    uint8_t by;            /* rf_plan_by */
} rf_plan_move;

/* One handler bound to a type. */
typedef struct rf_plan_call {
    rf_handler_fn fold;
    char *event; /* the struct, and eight bytes more for words that fill nothing */
    rf_plan_word *words;
    rf_plan_move *moves;
    uint32_t word_count, move_count;
    uint32_t definition; /* index */
    const rf_definition_handler *handler;
    int64_t schema; /* that events have there; 0: the stored one */
    /* of the handler's field that takes numbers, by ordinal; NULL: it is in the struct */
    const rf_text_numbers *numbers;
} rf_plan_call;

typedef struct rf_plan_type {
    rf_slice name;
    const rf_plan_call *calls; /* by definition, then in its order */
    uint32_t call_count;
    uint32_t count;         /* events in the segment */
    uint32_t ordinal_count; /* events of its stored type in the segment: ordinals are below it */
    uint32_t events_before; /* of these before `begin`; unless event_ordinals says */
} rf_plan_type;

typedef struct rf_plan_input {
    const rf_segment *segment;
    uint32_t begin, end;     /* events in range: only their values can be faults */
    uint32_t stream_count;   /* stream numbers in range are below it */
    /* What is asked for of these: upcasters are run for no other. */
    uint32_t stream_first, stream_end;
    /* By number, below stream_count: a segment without handled events of these is bound as one of which none is
     * handled. NULL: all. */
    const uint8_t *wanted;
    const rf_slice *streams; /* names, from that of stream_first on, for definitions that read them; else NULL */
    const rf_slice *categories; /* likewise */
    rf_arena *text;          /* keeps what event structs refer to */
} rf_plan_input;

/* An event that a definition cannot take. */
typedef struct rf_plan_faulty {
    uint32_t event;
    uint32_t definition;
    rf_slice reason;
    uint32_t rank; /* of several reasons the first counts */
    uint64_t marks; /* of all fields that have no value for it; all where that cannot be told */
} rf_plan_faulty;

typedef struct rf_plan_segment {
    /* The segment's types; where upcasters tell schemas apart, there may be several of a name. */
    const rf_plan_type *types;
    uint32_t type_count;
    const uint32_t *event_types;   /* of each event: index of its type; NULL if none is handled */
    const uint32_t *event_streams; /* of each event: its stream's number */
    /* Where few events are of types that are handled: these, and no type or stream of another is
     * known. NULL: all are known. */
    const uint32_t *listed;
    uint32_t listed_count;
    bool payloads_read; /* whose pages are mapped then */
    /* Of each event: which of its type in the segment it is. NULL where counting the events of each
     * of `types` tells it. */
    const uint32_t *event_ordinals;
    const rf_plan_faulty *faults;  /* by event, then definition, each pair once; of a lenient plan */
    uint32_t fault_count;
} rf_plan_segment;

/* Which event a failure is about. */
typedef struct rf_plan_fault {
    uint32_t event;      /* UINT32_MAX: none */
    uint32_t definition; /* index */
} rf_plan_fault;

/* `census` tells where a path ever was an array or object: no column has these, so such fields are
 * looked for in the payload, where a wrong kind shows. Both are borrowed until free. NULL without
 * memory. */
rf_plan *rf_plan_new(const rf_definition *const *definitions, uint32_t count,
                     const rf_census_type *census, uint32_t census_count);
void rf_plan_free(rf_plan *plan);
/* From now on bind does not fail at a value that is not of its field's kind: it lists the event. */
void rf_plan_be_lenient(rf_plan *plan);
/* Upcasters end with RF_ERR_INTERRUPTED, which is no event's fault, when `cancel` says so. */
void rf_plan_set_cancel(rf_plan *plan, const volatile int *cancel);
/* Whether any handler reads the event's stream, or its category. */
bool rf_plan_reads_stream(const rf_plan *plan);
bool rf_plan_reads_category(const rf_plan *plan);
/* RF_ERR_INPUT for a value that is not of its field's kind, unless it is lenient; *fault_out says whose, and the caller
 * adds the event's place to the message. */
rf_status rf_plan_bind(rf_plan *plan, const rf_plan_input *input, rf_plan_segment *segment_out,
                       rf_plan_fault *fault_out, rf_err *err);
/* Stored bytes that were read so far. */
uint64_t rf_plan_bytes_decoded(const rf_plan *plan);

static inline void rf_plan_move_one(const rf_plan_call *call, const rf_plan_move *move,
                                    uint32_t event, uint32_t ordinal, uint32_t stream)
{
    size_t index = move->by == RF_BY_ORDINAL ? ordinal : move->by == RF_BY_EVENT ? event : stream;

    if (move->codes)
        index = move->codes[index];
    if (move->size == sizeof(rf_slice))
        memcpy(call->event + move->offset, move->from + index * sizeof(rf_slice), sizeof(rf_slice));
    else if (move->size == sizeof(int64_t))
        memcpy(call->event + move->offset, move->from + index * sizeof(int64_t), sizeof(int64_t));
    else
        call->event[move->offset] = move->from[index];
}

/* The event struct of event number `event` of the segment, of `stream`, the type's `ordinal`-th in
 * it. It is the call's own, until the next call. */
static inline const void *rf_plan_event(const rf_plan_call *call, uint32_t event, uint32_t ordinal,
                                        uint32_t stream)
{
    const rf_plan_word *word = call->words;
    const rf_plan_word *end = word + call->word_count;
    char *to = call->event;

    do {
#pragma GCC unroll 4
        for (int i = 0; i < RF_PLAN_UNROLL; i++)
            memcpy(to + word[i].offset,
                   word[i].from + (size_t)event * word[i].by_event +
                       (size_t)ordinal * word[i].by_ordinal,
                   8);
        word += RF_PLAN_UNROLL;
    } while (__builtin_expect(word < end, false));
    for (uint32_t i = 0; i < call->move_count; i++)
        rf_plan_move_one(call, &call->moves[i], event, ordinal, stream);
    return to;
}

#endif
