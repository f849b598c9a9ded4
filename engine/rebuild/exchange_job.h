/* What the parts of an exchange share: the job, its workers, the partitions of log and rows. Private
 * to the files exchange*.c; see exchange.h. */
#ifndef RF_REBUILD_EXCHANGE_JOB_H
#define RF_REBUILD_EXCHANGE_JOB_H

#include "log/names.h"
#include "projection/runner.h"
#include "rebuild/carried.h"
#include "rebuild/combine.h"
#include "rebuild/exchange.h"
#include "rebuild/exchange_guard.h"
#include "rebuild/key_table.h"
#include "rebuild/keying.h"
#include "rebuild/state.h"
#include "rebuild/steps.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    RF_EXCHANGE_REASON_SIZE = 256,
    RF_EXCHANGE_PENDING = 64,
    RF_EXCHANGE_BATCH = 512, /* calls that a runner gets at once */
};

typedef struct rf_exchange rf_exchange;
typedef struct rf_exchange_worker rf_exchange_worker;

/* What handlers get; `fold` is first. */
typedef struct rf_exchange_context {
    rf_fold fold;
    rf_exchange_worker *worker;
    char reason[RF_EXCHANGE_REASON_SIZE];
} rf_exchange_context;

/* What a key leads to: the address of a row, with the partition of the rows above its 48 bits; or,
 * below RF_PLACE_ROWS, why it leads to none. */
typedef uint64_t rf_exchange_place;
enum {
    RF_PLACE_NONE,      /* there is no key */
    RF_PLACE_ELSEWHERE, /* the row is of another pass */
    RF_PLACE_HAS_NUL,   /* what cannot be a key, as the next */
    RF_PLACE_TOO_LONG,
    RF_PLACE_ROWS,
};
enum { RF_PLACE_SHIFT = 48 };

static inline rf_keyed_row *rf_exchange_place_row(rf_exchange_place place)
{
    return (rf_keyed_row *)(uintptr_t)(place & (((uint64_t)1 << RF_PLACE_SHIFT) - 1));
}

/* One call of a handler that waits for its turn; the event's struct stands behind it. */
typedef struct rf_exchange_record {
    uint64_t position;
    rf_exchange_place place; /* with the handler, by its index in the keying, for the partition */
} rf_exchange_record;

static inline rf_keyed_row *rf_exchange_record_row(const rf_exchange_record *record)
{
    return rf_exchange_place_row(record->place);
}

static inline uint32_t rf_exchange_record_handler(const rf_exchange_record *record)
{
    return (uint32_t)(record->place >> RF_PLACE_SHIFT);
}

/* Records one after another. */
typedef struct rf_exchange_chunk {
    struct rf_exchange_chunk *next;
    uint32_t used, size; /* `used` of all but a bucket's last */
    char bytes[];
} rf_exchange_chunk;

typedef struct rf_exchange_bucket {
    char *at, *end; /* room in the last chunk */
    rf_exchange_chunk *first, *last;
    uint32_t count; /* records */
} rf_exchange_bucket;

/* A partition of the log; confined to the worker that scatters it. */
typedef struct rf_exchange_source {
    uint32_t stream_count;
    rf_carried carried;
    uint64_t *row_sets; /* by stream: in which partitions (mod 64) it has rows; NULL: not asked for */
    /* of a fold that goes on: */
    bool *asked; /* by stream: its stored rows were listed; NULL as row_sets */
    bool idle;   /* it has no event that is folded */
} rf_exchange_source;

/* Marks of a row. */
enum {
    RF_EXCHANGE_DIRTY = 1,  /* called in this window: its texts are not its own yet */
    RF_EXCHANGE_LINKED = 2, /* in the list of its stream */
    /* under a policy: */
    RF_EXCHANGE_FRAMED = 4, /* the event at hand has it, and it was saved */
    RF_EXCHANGE_FAILED = 8, /* the event at hand failed with it */
    RF_EXCHANGE_SHUT = 16,  /* of combined columns: an event of its key failed */
    RF_EXCHANGE_STARTED = 32, /* it was asked how it stood before the first event that is folded */
};

/* Rows of one partition and their text; confined to the worker that folds it. */
typedef struct rf_exchange_rows {
    rf_key_table table;
    rf_key_table streams; /* of rows by their stream, for handlers of every row */
    rf_arena text;
    size_t text_live; /* bytes of it after it was last tidied */
} rf_exchange_rows;

/* How a call comes to its key. */
typedef enum rf_exchange_way {
    RF_EXCHANGE_CARRY, /* no key: it carries */
    RF_EXCHANGE_EVERY_ROW,
    RF_EXCHANGE_TEXT,       /* a text of the event */
    RF_EXCHANGE_CODED_TEXT, /* likewise, from a dictionary */
    RF_EXCHANGE_CARRIED,    /* a place that is carried */
    RF_EXCHANGE_ANY,
} rf_exchange_way;

/* A call of a type's events in the segment at hand. */
typedef struct rf_exchange_call {
    const rf_plan_call *plan;
    const rf_keying_handler *handler;
    const rf_slice *texts;    /* of the type's events; NULL: not at hand */
    const rf_text_numbers *numbers;      /* these, where they are numbered */
    struct rf_exchange_numbers *by_number; /* places by number; NULL: no room */
    const uint32_t *codes;    /* what texts are by, where they are in a dictionary */
    rf_exchange_place *known; /* by code: NONE until it is known */
    uint32_t key_offset;      /* of the text in the struct */
    uint32_t event_size;
    uint32_t word_count; /* of the plan's words, without those that fill nothing */
    uint16_t index; /* of the handler */
    uint8_t way;    /* rf_exchange_way */
    bool fills;     /* the plan has something to put into the struct */
} rf_exchange_call;

/* A type of the segment at hand. */
typedef struct rf_exchange_lane {
    rf_exchange_call *calls;
    uint32_t call_count;
    uint32_t ordinal;  /* of the next event of the type */
    bool is_handled;   /* not only carried from */
} rf_exchange_lane;

/* A record in the order of positions. */
typedef struct rf_exchange_entry {
    uint32_t position; /* less that of the window's begin */
    const rf_exchange_record *record;
} rf_exchange_entry;

/* On a line of the cache of its own. */
typedef struct rf_exchange_lock {
    _Alignas(64) pthread_mutex_t mutex;
} rf_exchange_lock;

/* Events of one call that are taken together. */
typedef struct rf_exchange_events {
    uint32_t count;
    const uint32_t *indexes; /* of the events in the segment */
    uint32_t ordinals[RF_EXCHANGE_PENDING];
    rf_exchange_place places[RF_EXCHANGE_PENDING];
} rf_exchange_events;

typedef struct rf_exchange_batch rf_exchange_batch; /* exchange_run.c */

/* Confined to its thread. */
struct rf_exchange_worker {
    rf_exchange *job;
    uint32_t index;
    rf_exchange_context context;
    rf_steps *steps;
    rf_log_names_cursor *names;
    rf_log_scan *scan;
    rf_arena text;    /* what records and event structs refer to; for one window */
    rf_arena scratch; /* for one segment */
    rf_arena made;    /* text that handlers make; for one partition's window */
    /* exchange_prior.c: of the partition's streams, which have events, or are chosen, how many have; and for one
     * segment of events before these */
    uint8_t *touched;
    uint32_t touched_count;
    struct rf_plan *prior_plan; /* NULL until needed */
    rf_arena prior_text;
    rf_key_room room; /* for rows that it adds */
    char *spare;      /* what alloc gives when there is no memory */
    bool out_of_memory;
    rf_exchange_batch *batch; /* of a definition whose handlers a runner runs, else NULL */
    rf_arena *alloc_from; /* text or made */
    /* scatter */
    rf_slice *names_by_number, *categories_by_number; /* of first_stream and on */
    uint32_t first_stream, stream_span;
    rf_exchange_lane *lanes; /* by type */
    uint32_t lane_capacity;
    int64_t *positions; /* of a segment's events */
    char *key_parts; /* what computed keys are put into */
    struct rf_exchange_memo *memo; /* exchange_find.c, as the next two */
    uint32_t memo_bits;
    struct rf_exchange_numbers *numbers;
    uint32_t *listed;              /* events of a type in the segment at hand */
    rf_exchange_place **carried;   /* by slot, then event of the segment: its place */
    rf_exchange_bucket *buckets;   /* by partition of the rows */
    rf_exchange_chunk *free_chunks;
    /* where columns are combined, else NULL: */
    rf_exchange_rows *own; /* by partition of the rows */
    char *pending;         /* records that wait, so that rows can be fetched for several at once */
    size_t pending_used;
    uint32_t pending_count;
    uint32_t drops_seen;
    char *row; /* for a handler whose columns are combined, and for emitting */
    bool lacks_key; /* the event at hand, for some handler */
    bool goes_on;   /* the call at hand has no key, which is no reason to stop */
    /* under a policy: */
    bool tried;         /* the event at hand is to be left out whatever comes of it */
    const char *spoilt; /* why its values are not of their kinds; NULL: they are */
    rf_exchange_spoilt_list spoilt_events; /* of the window */
    struct rf_exchange_frame *frame;       /* exchange_guarded_fold.c; NULL until needed */
    uint64_t events, keyless;
    rf_log_mapped mapped;
    /* fold */
    rf_exchange_entry *entries, *sorted;
    size_t entry_capacity;
    rf_keyed_row **dirty;
    size_t dirty_count, dirty_capacity;
    double last_progress, fold_s, emit_s;
};

struct rf_exchange {
    /* fixed after start */
    rf_log *log;
    rf_pool *pool;
    rf_fold_target *target;
    const rf_fold_options *options;
    rf_keying keying;
    rf_combiner combiner;
    rf_census *census;
    const rf_definition *derived; /* that of the keying, for plans */
    rf_definition carries;        /* of it the carries alone; for plans of events before the first */
    const rf_definition *carries_of;
    const rf_census_type *census_types;
    uint32_t census_type_count;
    rf_ahead *ahead;
    uint32_t *order; /* partitions of the log, largest first */
    uint32_t partition_count;
    uint32_t worker_count;
    rf_exchange_worker *workers;
    rf_exchange_source *sources;
    uint64_t window; /* positions at a time */
    uint32_t chunk_size;
    size_t rows_budget;
    uint64_t mapped_budget; /* of a worker, as the next */
    size_t text_budget;     /* that stays for the next window */
    size_t numbers_max;     /* of a worker: places that are known by number */
    bool reads_names;
    bool by_call;   /* rf_exchange_goes_by_call */
    bool row_texts; /* rows have columns of text */
    bool careful;   /* events that fail are looked for one by one: a policy, or faults show late */
    rf_exchange_guard guard;
    double start;
    /* fixed while tasks run */
    uint64_t from, until; /* of the window */
    bool counts;          /* the first pass counts events */
    size_t bytes_each;    /* of a partition's rows in the pass before; 0: none */
    uint32_t *fold_order; /* partitions of the rows, those with most records first */
    rf_exchange_rows *rows;
    /* each guards the keys of its partition's rows while events are scattered */
    struct rf_exchange_lock *locks;
    /* guarded by mutex */
    pthread_mutex_t mutex;
    bool has_mutex;
    rf_status fault; /* RF_OK: none */
    uint64_t fault_position;
    uint32_t fault_handler;
    rf_key_bytes fault_key;
    char fault_reason[2 * RF_EXCHANGE_REASON_SIZE];
    /* atomic */
    atomic_uint_fast64_t limit; /* position of the fault: what comes after it does not count */
    atomic_uint_fast64_t events_done;
    atomic_bool *active; /* by partition of the rows: in this pass */
    atomic_bool ambiguous; /* see rf_combiner_add_stored */
    atomic_uint drops;   /* times that partitions were left to another pass while workers ran */
};

/* Copies a struct of a multiple of 8 bytes: mostly a few, for which a call of memcpy is too much. */
static inline __attribute__((always_inline)) void rf_exchange_copy(void *to, const void *from,
                                                                   size_t size)
{
    char *at = to;
    const char *of = from;

    for (; size >= 16; size -= 16, at += 16, of += 16)
        memcpy(at, of, 16);
    if (size)
        memcpy(at, of, 8);
}

/* Has a row and its head fetched, `stride` bytes together, to be written to soon. */
static inline void rf_exchange_fetch_row(const rf_keyed_row *row, size_t stride)
{
    const char *at = (const char *)row;

    __builtin_prefetch(at, 1);
    if (stride > 64) /* else all is in one line of the cache */
        __builtin_prefetch(at + 64, 1);
}

/* exchange_worker.c */
/* Bytes of a row while it is folded. */
size_t rf_exchange_row_size(const rf_exchange *job);
/* After the job's budgets and `ahead` are set; end takes a zeroed one too, and one whose begin failed. */
rf_status rf_exchange_worker_begin(rf_exchange_worker *worker, rf_exchange *job, uint32_t index,
                                   rf_err *err);
void rf_exchange_worker_end(rf_exchange_worker *worker);

/* exchange_fault.c */
/* Keeps the first fault by position, then by handler, then by key: it ends the fold. */
void rf_exchange_fault(rf_exchange *job, rf_status status, uint64_t position, uint32_t handler,
                       rf_slice key, const char *reason);
/* The fault that was kept, with its event. */
rf_status rf_exchange_blame(rf_exchange *job, rf_err *err);
/* A call without key: a fault, or noted where a policy forgives it, and worker->goes_on tells. */
void rf_exchange_refuse_key(rf_exchange_worker *worker, rf_status status, uint64_t position,
                            uint32_t handler, const char *reason);
/* Why the handler that was called last says it failed. */
const char *rf_exchange_reason(const rf_exchange_worker *worker);
/* What a handler said, as a fault; false if it said that all is well. */
bool rf_exchange_refuse(rf_exchange_worker *worker, rf_fold_result result, uint64_t position,
                        uint32_t handler, rf_slice key);

/* exchange_key.c: what the key of a call leads to. */
/* Of a key that has to be made of the event's struct and of what is carried. ELSEWHERE where it
 * leads to no row; *fine_out is false where that is a fault. */
rf_exchange_place rf_exchange_make_key(rf_exchange_worker *worker, const rf_keying_handler *handler,
                                       const rf_carried *carried, uint32_t stream,
                                       const char *event, uint64_t position, bool *fine_out);
/* The same of all events of a call of which nothing is carried: the places of those before a fault,
 * which makes it false and ends the events there. */
bool rf_exchange_make_keys(rf_exchange_worker *worker, const rf_step *step,
                           const rf_exchange_call *call, rf_exchange_events *events);
/* The beginning of the keys of the event's stream. False at a fault. */
bool rf_exchange_stream_key(rf_exchange_worker *worker, const rf_keying_handler *handler,
                            const char *event, uint64_t position, rf_key_bytes *key_out);
/* A key that leads to no row: false where that is a fault that no policy forgives. */
bool rf_exchange_refuse_place(rf_exchange_worker *worker, const rf_keying_handler *handler,
                              rf_exchange_place place, uint64_t position);

/* exchange_find.c: the rows of keys, which are added if they are new. Without memory there is a
 * fault, and the row is elsewhere. */
rf_exchange_place rf_exchange_find(rf_exchange_worker *worker, rf_slice key, uint64_t position);
/* Of keys of events at once; one without data leads elsewhere. */
void rf_exchange_find_keys(rf_exchange_worker *worker, const rf_slice *keys,
                           rf_exchange_events *events);
/* Of a text that may be no key. */
rf_exchange_place rf_exchange_find_text(rf_exchange_worker *worker, rf_slice text,
                                        uint64_t position);
/* The list of a stream's rows that are of the partition. */
rf_exchange_place rf_exchange_find_stream(rf_exchange_worker *worker, rf_slice key,
                                          uint32_t partition, uint64_t position);
/* The same of one text of a column that is numbered, whose text is made where it has to be. */
rf_exchange_place rf_exchange_find_number(rf_exchange_worker *worker, const rf_exchange_call *call,
                                          uint32_t ordinal, uint64_t position);
/* Places for the call's numbers, as far as there is room. */
void rf_exchange_know_numbers(rf_exchange_worker *worker, rf_exchange_call *call);
/* Of a call's events whose texts or numbers are at hand. */
void rf_exchange_find_texts(rf_exchange_worker *worker, const rf_exchange_call *call,
                            rf_exchange_events *events);
/* Keys that were met lately are known again; what they lead to is forgotten with the rows. */
bool rf_exchange_memo_begin(rf_exchange_worker *worker);
void rf_exchange_memo_end(rf_exchange_worker *worker);
void rf_exchange_memo_clear(rf_exchange_worker *worker);
/* Of places that are carried: rows of partitions that are active no more are elsewhere. */
void rf_exchange_forget_places(const rf_exchange *job, rf_carried *carried);

/* exchange_names.c: names and categories of the streams that have events in the window; of the worker's
 * range of numbers. */
rf_status rf_exchange_begin_names(rf_exchange_worker *worker, uint32_t partition, rf_err *err);
rf_status rf_exchange_read_names(rf_exchange_worker *worker, uint32_t partition, rf_err *err);
/* Of a range that is one stream, whose name is known, and stays. */
rf_status rf_exchange_know_name(rf_exchange_worker *worker, rf_slice name, rf_err *err);

/* exchange_bucket.c */
/* Makes the worker's buckets empty; between windows. */
void rf_exchange_empty_buckets(rf_exchange_worker *worker);
void rf_exchange_free_buckets(rf_exchange_worker *worker);
/* Puts a chunk with room for `size` bytes at the bucket's end; false without memory. */
bool rf_exchange_add_chunk(rf_exchange_worker *worker, rf_exchange_bucket *bucket, uint32_t size);

/* Puts a call at the end of the bucket of its row's partition. False without memory. */
static inline __attribute__((always_inline)) bool
rf_exchange_put(rf_exchange_worker *worker, const rf_exchange_call *call, uint64_t position,
                rf_exchange_place place)
{
    const uint64_t address = ((uint64_t)1 << RF_PLACE_SHIFT) - 1;
    rf_exchange_bucket *bucket = &worker->buckets[place >> RF_PLACE_SHIFT];
    uint32_t size = (uint32_t)sizeof(rf_exchange_record) + call->event_size;

    if (__builtin_expect(size > (size_t)(bucket->end - bucket->at), false) &&
        !rf_exchange_add_chunk(worker, bucket, size))
        return false;
    rf_exchange_record *record = (rf_exchange_record *)(void *)bucket->at;
    bucket->at += size;
    bucket->count++;
    record->position = position;
    record->place = (place & address) | (uint64_t)call->index << RF_PLACE_SHIFT;
    rf_exchange_copy(record + 1, call->plan->event, call->event_size);
    return true;
}

/* exchange.c: what the rows of those partitions may take that stay where others are left to another
 * pass, of which there is `room` for: they grow with the log, of which `done` events are behind. */
size_t rf_exchange_kept_max(const rf_exchange *job, size_t room, uint64_t done);

/* exchange_scatter.c: one partition of the log in the window at hand. */
rf_status rf_exchange_scatter(rf_exchange_worker *worker, uint32_t partition, rf_err *err);
/* Where an event stands. */
typedef struct rf_exchange_stand {
    uint64_t position;
    uint32_t stream; /* number */
    rf_exchange_source *source;
} rf_exchange_stand;
/* One call of an event, or all of them. False where it is a fault, or one before it. */
bool rf_exchange_scatter_call(rf_exchange_worker *worker, const rf_exchange_call *call,
                              const rf_exchange_stand *at, uint32_t index, uint32_t ordinal);
bool rf_exchange_scatter_event(rf_exchange_worker *worker, const rf_exchange_lane *lane,
                               const rf_exchange_stand *at, uint32_t index, uint32_t ordinal);
/* exchange_guarded_scatter.c: a segment's events of which some are left out. */
bool rf_exchange_scatter_guarded(rf_exchange_worker *worker, const rf_step *step,
                                 rf_exchange_source *source);
/* exchange_scatter.c: sets the worker's lanes to a segment that was bound; begin reads its positions too. */
rf_status rf_exchange_set_lanes(rf_exchange_worker *worker, const rf_step *step, rf_err *err);
rf_status rf_exchange_begin_segment(rf_exchange_worker *worker, const rf_step *step, rf_err *err);
/* Its pages may go where many were mapped. */
void rf_exchange_unload_log(rf_exchange_worker *worker, const rf_step *step);
/* Forgets what was decoded. */
void rf_exchange_drop_text(rf_exchange_worker *worker);
/* Says that there is no memory for a window's events, and is false. */
bool rf_exchange_no_memory(rf_exchange_worker *worker, uint64_t position);

/* exchange_calls.c: whether a segment's events may be taken call by call; then all of the step's at
 * once, after its lanes are set. False at a fault. */
bool rf_exchange_goes_by_call(const rf_exchange *job);
bool rf_exchange_take_segment(rf_exchange_worker *worker, const rf_step *step,
                              rf_exchange_source *source);

/* Puts the event's struct together: as rf_plan_event, but no branch depends on types here, so there
 * is nothing to be won by filling more words than there are. */
static inline void rf_exchange_fill(const rf_exchange_worker *worker, const rf_step *step,
                                    const rf_exchange_call *call, uint32_t index, uint32_t ordinal)
{
    const rf_plan_call *plan = call->plan;
    char *to = plan->event;

    for (uint32_t i = 0; i < call->word_count; i++) {
        const rf_plan_word *word = &plan->words[i];
        memcpy(to + word->offset,
               word->from + (size_t)index * word->by_event + (size_t)ordinal * word->by_ordinal, 8);
    }
    for (uint32_t i = 0; i < plan->move_count; i++)
        rf_plan_move_one(plan, &plan->moves[i], index, ordinal,
                         step->bound.event_streams[index] - worker->first_stream);
}

/* exchange_combine.c, where columns are combined. Both give false at a fault. */
/* The records that wait, into the worker's own rows. */
bool rf_exchange_combine(rf_exchange_worker *worker);
/* One more record that waits: its event's struct is the plan's. False at a fault. */
bool rf_exchange_wait(rf_exchange_worker *worker, const rf_exchange_call *call, uint64_t position,
                      rf_exchange_place place);
/* Events of a call whose rows are known. */
bool rf_exchange_combine_events(rf_exchange_worker *worker, const rf_step *step,
                                const rf_exchange_call *call, const rf_exchange_events *events);
/* Between segments: where the worker's rows are beyond its share of the budget, leaves the last
 * partitions to another pass; frees the rows of those that were left. */
void rf_exchange_bound_own(rf_exchange_worker *worker, rf_carried *carried);

/* exchange_fold.c: one partition of the rows in the window at hand. */
rf_status rf_exchange_fold(rf_exchange_worker *worker, uint32_t partition, rf_err *err);
/* The row's texts are not its own now. False without memory. */
bool rf_exchange_mark_dirty(rf_exchange_worker *worker, rf_keyed_row *row);
/* The record's row, in the list of its stream, as it stood before its first event. */
rf_status rf_exchange_take_row(rf_exchange_worker *worker, rf_exchange_rows *rows,
                               const rf_exchange_record *record, rf_keyed_row **row_out,
                               rf_err *err);
/* The rows of the record's stream that exist, in key order: malloc'ed. NULL without memory. */
rf_keyed_row **rf_exchange_rows_of_stream(rf_exchange_rows *rows, const rf_exchange_record *record,
                                          size_t *count_out);

/* exchange_guarded_fold.c: a partition's records, rising, where events that fail are left out. */
rf_status rf_exchange_fold_guarded(rf_exchange_worker *worker, rf_exchange_rows *rows,
                                   const rf_exchange_entry *entries, size_t count, rf_err *err);
void rf_exchange_frame_free(struct rf_exchange_frame *frame); /* takes NULL */

/* exchange_run.c: handlers that a runner runs, where the worker has a batch. False at a fault. */
rf_status rf_exchange_run_begin(rf_exchange_worker *worker, rf_err *err);
void rf_exchange_run_end(rf_exchange_worker *worker);
/* Text may have moved: at the begin of a segment, or of a partition of the rows. */
void rf_exchange_run_forget(rf_exchange_worker *worker);
/* One more call; they run when there are enough, at the latest at a flush. */
bool rf_exchange_run_add(rf_exchange_worker *worker, const rf_exchange_record *record,
                         rf_keyed_row *row);
bool rf_exchange_run_flush(rf_exchange_worker *worker);
/* The same where events that fail are left out: calls are gathered as long as there is room for more
 * than `calls`, then run. *failed_out: one failed, and rows are as it left them; then the calls are
 * taken out, to be tried one by one. */
bool rf_exchange_run_has_room(const rf_exchange_worker *worker, uint32_t calls);
void rf_exchange_run_gather(rf_exchange_worker *worker, const rf_exchange_record *record,
                            rf_keyed_row *row);
bool rf_exchange_run_try(rf_exchange_worker *worker, bool *failed_out);
uint32_t rf_exchange_run_take(rf_exchange_worker *worker,
                              const rf_exchange_record *const **records_out,
                              rf_keyed_row *const **rows_out);
/* Each record with an unset row of its own, which rf_exchange_run_row tells afterwards: NULL if
 * nothing was written. *failed_out: likewise. */
bool rf_exchange_run_combined(rf_exchange_worker *worker, const rf_exchange_record *const *records,
                              uint32_t count, bool *failed_out);
/* Why a call failed that was tried. */
const char *rf_exchange_run_reason(const rf_exchange_worker *worker);
const char *rf_exchange_run_row(const rf_exchange_worker *worker, uint32_t index);
/* Up to RF_EXCHANGE_PENDING computed keys: the parts of each, which the caller unsets first, then the
 * event's struct of each, then all in order up to the first that fails: *end_out, and
 * rf_exchange_run_reason tells why. */
char *rf_exchange_run_key_parts(const rf_exchange_worker *worker, uint32_t index);
void rf_exchange_run_add_key(rf_exchange_worker *worker, const rf_keying_handler *handler,
                             uint32_t index, const char *event);
rf_status rf_exchange_run_keys(rf_exchange_worker *worker, uint32_t begin, uint32_t end,
                               uint32_t *end_out);

static inline bool rf_exchange_goes_on(const rf_exchange *job)
{
    return job->options->from > 1;
}

/* Positions that are folded, which no more events have. */
static inline uint64_t rf_exchange_event_count(const rf_exchange *job)
{
    return job->options->until - (rf_exchange_goes_on(job) ? job->options->from - 1 : 0);
}

/* exchange_start.c, where the fold begins behind the first event: a row that is new becomes as the
 * target's source gives it; what is stored is combined with what its events gave. */
rf_status rf_exchange_start_row(rf_exchange_worker *worker, rf_exchange_rows *rows,
                                rf_keyed_row *row, rf_err *err);
rf_status rf_exchange_start_combined(rf_exchange_worker *worker, rf_exchange_rows *rows,
                                     rf_keyed_row *row, rf_err *err);

/* exchange_prior.c, likewise: marks the streams that have events at the positions. */
rf_status rf_exchange_mark_streams(rf_exchange_worker *worker, uint32_t partition, uint64_t from,
                                   uint64_t until, rf_err *err);
/* Where there are some: sets the worker's range of numbers to what has all of them. */
void rf_exchange_span_touched(rf_exchange_worker *worker, uint32_t stream_count);
/* What the marked ones, of which there are some, and all in that range, carry from before. */
rf_status rf_exchange_carry_prior(rf_exchange_worker *worker, uint32_t partition, rf_err *err);
/* Has the stored rows of the event's stream listed with it, once. False at a fault. */
bool rf_exchange_list_rows(rf_exchange_worker *worker, const rf_exchange_stand *at,
                           rf_slice stream_key);
/* A record that is no call, but has its row listed with its stream. */
static inline bool rf_exchange_only_lists(const rf_exchange *job, const rf_exchange_record *record)
{
    return rf_exchange_record_handler(record) == job->keying.derived.handler_count;
}

/* exchange_chosen.c, of a fold of chosen streams: whether a partition of the log has none of them, which is
 * never so of another fold. */
bool rf_exchange_leaves_out(const rf_exchange *job, uint32_t partition);
/* Sets the worker's range of numbers to what has them, with its names where a handler or a key reads these. */
rf_status rf_exchange_begin_chosen(rf_exchange_worker *worker, uint32_t partition, rf_err *err);
/* Lists the events of chosen streams, of a segment that has begun, in memory of the segment. False without. */
bool rf_exchange_list_chosen(rf_exchange_worker *worker, rf_step *step);

/* exchange_emit.c: the rows of a partition to the sink. */
rf_status rf_exchange_emit(rf_exchange_worker *worker, uint32_t partition, rf_err *err);

/* exchange_rows.c */
void rf_exchange_rows_init(rf_exchange_rows *rows, size_t row_size);
/* Gives chunks back to the room of the worker that calls. */
void rf_exchange_rows_free(rf_exchange_rows *rows, rf_key_room *room);
size_t rf_exchange_rows_bytes(const rf_exchange_rows *rows);
/* Copies the texts of rows to the rows' own arena: of those that are dirty, which are so no more.
 * Drops what nothing refers to where it is much. False without memory. */
bool rf_exchange_rows_keep_texts(rf_exchange_rows *rows, const rf_definition *definition,
                                 rf_keyed_row **dirty, size_t dirty_count);
/* The rows of a stream: adds a new one to their list. False without memory. */
bool rf_exchange_rows_link(rf_exchange_rows *rows, rf_slice stream, rf_keyed_row *row);

#endif
