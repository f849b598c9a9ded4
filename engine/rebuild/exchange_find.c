/* The rows of keys, while events are scattered; see exchange.h.
 *
 * A key is hashed and its row is looked for once, as a rule: a memo leads from the bytes of a short
 * key, or from the hash of another, to the place that it had. Keys that the log has as numbers behind
 * one beginning lead there by their number, and need neither text nor memo after that. Where columns
 * are combined rows are the worker's own; else all workers add rows to those of a partition, under
 * its lock. A row never moves, and its key is never changed, so who has its address needs no lock to
 * read it.
 */
#include "rebuild/exchange_job.h"

#include <stdlib.h>

enum { NUMBERS = 8, BEGINNING_MAX = 32 };

/* Places by the number of keys that begin alike. */
typedef struct rf_exchange_numbers {
    char beginning[BEGINNING_MAX];
    size_t beginning_size;
    unsigned digits;
    bool hexadecimal;
    size_t count; /* of places; 0: this one is free */
    rf_exchange_place *places;
} rf_exchange_numbers;

enum { MEMO_BITS_MIN = 6, MEMO_BITS_MAX = 15, MEMO_KEY_MIN = 8, MEMO_KEY_MAX = 16 };

/* A key of 8 to 16 bytes, by its first and last eight; of another size its hash, and nothing. */
struct rf_exchange_memo {
    uint64_t first, last;
    uint64_t size; /* 0: none */
    rf_exchange_place place;
};

/* As many as there are events, if they are few: all are cleared, however many are used. */
static uint32_t memo_bits(uint64_t events)
{
    uint32_t bits = MEMO_BITS_MIN;

    while (bits < MEMO_BITS_MAX && (uint64_t)1 << bits < events)
        bits++;
    return bits;
}

bool rf_exchange_memo_begin(rf_exchange_worker *worker)
{
    worker->memo_bits = memo_bits(rf_exchange_event_count(worker->job));
    worker->memo = aligned_alloc(64, sizeof *worker->memo << worker->memo_bits);
    worker->numbers = calloc(NUMBERS, sizeof *worker->numbers);
    return worker->memo && worker->numbers;
}

void rf_exchange_memo_clear(rf_exchange_worker *worker)
{
    memset(worker->memo, 0, sizeof *worker->memo << worker->memo_bits);
    for (uint32_t i = 0; i < NUMBERS; i++) {
        free(worker->numbers[i].places);
        worker->numbers[i] = (rf_exchange_numbers){0};
    }
}

void rf_exchange_memo_end(rf_exchange_worker *worker)
{
    for (uint32_t i = 0; worker->numbers && i < NUMBERS; i++)
        free(worker->numbers[i].places);
    free(worker->numbers);
    free(worker->memo);
}

static inline bool is_short(rf_slice key)
{
    return key.size >= MEMO_KEY_MIN && key.size <= MEMO_KEY_MAX;
}

static inline struct rf_exchange_memo *memo_at(rf_exchange_worker *worker, uint64_t first,
                                               uint64_t last)
{
    const uint64_t factor = 0x9e3779b97f4a7c15u;
    uint64_t mixed = first * factor ^ last * 0xd6e8feb86659fd93u;

    return &worker->memo[((mixed ^ mixed >> 32) * factor) >> (64 - worker->memo_bits)];
}

static inline struct rf_exchange_memo *memo_of_short(rf_exchange_worker *worker, rf_slice key)
{
    return memo_at(worker, rf_load_u64(key.data), rf_load_u64(key.data + key.size - 8));
}

/* A key's second place, in the same line of the cache. */
static inline struct rf_exchange_memo *beside(rf_exchange_worker *worker,
                                              struct rf_exchange_memo *memo)
{
    return &worker->memo[(memo - worker->memo) ^ 1];
}

static inline bool has_short(const struct rf_exchange_memo *memo, rf_slice key)
{
    return memo->size == key.size && memo->first == rf_load_u64(key.data) &&
           memo->last == rf_load_u64(key.data + key.size - 8);
}

static inline bool has_long(const struct rf_exchange_memo *memo, rf_slice key, uint32_t hash)
{
    return memo->size == key.size && memo->first == hash &&
           rf_short_equal(rf_keyed_row_key(rf_exchange_place_row(memo->place)), key);
}

/* NONE where the memo does not know it. */
static inline rf_exchange_place recall_short(rf_exchange_worker *worker, rf_slice key)
{
    struct rf_exchange_memo *memo = memo_of_short(worker, key);

    if (has_short(memo, key))
        return memo->place;
    memo = beside(worker, memo);
    return has_short(memo, key) ? memo->place : RF_PLACE_NONE;
}

static rf_exchange_place recall_long(rf_exchange_worker *worker, rf_slice key, uint32_t hash)
{
    struct rf_exchange_memo *memo = memo_at(worker, hash, key.size);

    if (has_long(memo, key, hash))
        return memo->place;
    memo = beside(worker, memo);
    return has_long(memo, key, hash) ? memo->place : RF_PLACE_NONE;
}

static void remember(rf_exchange_worker *worker, rf_slice key, uint32_t hash,
                     rf_exchange_place place)
{
    struct rf_exchange_memo fresh = {hash, key.size, key.size, place};

    if (is_short(key)) {
        fresh.first = rf_load_u64(key.data);
        fresh.last = rf_load_u64(key.data + key.size - 8);
    }
    struct rf_exchange_memo *memo = memo_at(worker, fresh.first, fresh.last);
    if (memo->size > 0)
        memo = beside(worker, memo);
    *memo = fresh;
}

/* ---- rows ---- */

static rf_keyed_row *own_row(rf_exchange_worker *worker, uint32_t partition, uint32_t hash,
                             rf_slice key)
{
    rf_keyed_row *row = rf_key_table_take(&worker->own[partition].table, &worker->room, hash, key);

    if (row && row->flags == 0) {
        rf_combiner_clear(&worker->job->combiner, rf_keyed_row_data(row));
        row->flags = RF_STATE_TOUCHED;
    }
    return row;
}

static rf_keyed_row *shared_row(rf_exchange_worker *worker, uint32_t partition, uint32_t hash,
                                rf_slice key)
{
    rf_exchange *job = worker->job;

    (void)pthread_mutex_lock(&job->locks[partition].mutex);
    rf_keyed_row *row = rf_key_table_take(&job->rows[partition].table, &worker->room, hash, key);
    (void)pthread_mutex_unlock(&job->locks[partition].mutex);
    return row;
}

/* Of a key that the memo does not know, nor is told of. */
static rf_exchange_place take(rf_exchange_worker *worker, uint32_t hash, rf_slice key,
                              uint64_t position)
{
    rf_exchange *job = worker->job;
    uint32_t partition = hash & (job->partition_count - 1);

    if (!job->active[partition])
        return RF_PLACE_ELSEWHERE;
    rf_keyed_row *row = worker->own ? own_row(worker, partition, hash, key)
                                    : shared_row(worker, partition, hash, key);
    if (!row) {
        rf_exchange_fault(job, RF_ERR_MEMORY, position, 0, RF_SLICE(""), "out of memory for rows");
        return RF_PLACE_ELSEWHERE;
    }
    return (uint64_t)(uintptr_t)row | (uint64_t)partition << RF_PLACE_SHIFT;
}

/* Likewise, but it is known from then on. */
static rf_exchange_place take_up(rf_exchange_worker *worker, uint32_t hash, rf_slice key,
                                 uint64_t position)
{
    rf_exchange_place place = take(worker, hash, key, position);

    if (place >= RF_PLACE_ROWS)
        remember(worker, key, hash, place);
    return place;
}

rf_exchange_place rf_exchange_find_stream(rf_exchange_worker *worker, rf_slice key,
                                          uint32_t partition, uint64_t position)
{
    rf_exchange *job = worker->job;
    bool nul;
    uint32_t hash = rf_key_hash(key, &nul);

    (void)pthread_mutex_lock(&job->locks[partition].mutex);
    const rf_keyed_row *list = rf_key_table_take(&job->rows[partition].streams, NULL, hash, key);
    (void)pthread_mutex_unlock(&job->locks[partition].mutex);
    if (list)
        return (uint64_t)(uintptr_t)list | (uint64_t)partition << RF_PLACE_SHIFT;
    rf_exchange_fault(job, RF_ERR_MEMORY, position, 0, RF_SLICE(""), "out of memory for rows");
    return RF_PLACE_ELSEWHERE;
}

rf_exchange_place rf_exchange_find(rf_exchange_worker *worker, rf_slice key, uint64_t position)
{
    bool nul;

    RF_ASSERT(key.size <= RF_KEY_BYTES_MAX);
    rf_exchange_place place = is_short(key) ? recall_short(worker, key) : RF_PLACE_NONE;
    if (place != RF_PLACE_NONE)
        return place;
    uint32_t hash = rf_key_hash(key, &nul);
    if (!is_short(key))
        place = recall_long(worker, key, hash);
    return place != RF_PLACE_NONE ? place : take_up(worker, hash, key, position);
}

/* NONE where the text may be a key. */
static rf_exchange_place check_text(rf_slice text, uint32_t *hash_out)
{
    bool has_nul = false;

    if (!text.data)
        return RF_PLACE_NONE;
    if (text.size > RF_KEY_BYTES_MAX)
        return RF_PLACE_TOO_LONG;
    *hash_out = rf_key_hash(text, &has_nul);
    return has_nul ? RF_PLACE_HAS_NUL : RF_PLACE_NONE;
}

/* Of a text that is not in the memo of short ones. */
static __attribute__((noinline)) rf_exchange_place
find_other(rf_exchange_worker *worker, rf_slice text, uint64_t position)
{
    uint32_t hash = 0;
    rf_exchange_place place = check_text(text, &hash);

    if (!text.data || place != RF_PLACE_NONE)
        return place;
    if (!is_short(text))
        place = recall_long(worker, text, hash);
    return place != RF_PLACE_NONE ? place : take_up(worker, hash, text, position);
}

/* Of the text of a number that the worker knows by number: the memo is left to others. */
static rf_exchange_place find_numbered(rf_exchange_worker *worker, rf_slice text,
                                       uint64_t position)
{
    uint32_t hash = 0;
    rf_exchange_place place = check_text(text, &hash);

    return place != RF_PLACE_NONE ? place : take(worker, hash, text, position);
}

/* Has slots and rows of keys of the worker's own rows fetched. */
static void fetch_rows(const rf_exchange_worker *worker, const rf_slice *texts, uint32_t count)
{
    uint32_t hashes[RF_EXCHANGE_PENDING];
    uint32_t mask = worker->job->partition_count - 1;
    bool has_nul;

    for (uint32_t i = 0; i < count; i++) {
        hashes[i] = texts[i].data ? rf_key_hash(texts[i], &has_nul) : 0;
        rf_key_table_fetch_slot(&worker->own[hashes[i] & mask].table, hashes[i]);
    }
    for (uint32_t i = 0; i < count; i++)
        rf_key_table_fetch_row(&worker->own[hashes[i] & mask].table, hashes[i]);
}

rf_exchange_place rf_exchange_find_text(rf_exchange_worker *worker, rf_slice text,
                                        uint64_t position)
{
    rf_exchange_place place =
        text.data && is_short(text) ? recall_short(worker, text) : RF_PLACE_NONE;

    return place != RF_PLACE_NONE ? place : find_other(worker, text, position);
}

/* ---- numbers ---- */

static bool begins_alike(const rf_exchange_numbers *known, const rf_text_numbers *numbers)
{
    return known->digits == numbers->digits && known->hexadecimal == numbers->hexadecimal &&
           known->beginning_size == numbers->beginning.size &&
           memcmp(known->beginning, numbers->beginning.data, known->beginning_size) == 0;
}

/* More places, none of which is known; it stays as it is where there is no memory. */
static void grow_numbers(rf_exchange_numbers *known, size_t count)
{
    rf_exchange_place *places = realloc(known->places, count * sizeof *places);

    if (!places)
        return;
    memset(places + known->count, 0, (count - known->count) * sizeof *places);
    known->places = places;
    known->count = count;
}

void rf_exchange_know_numbers(rf_exchange_worker *worker, rf_exchange_call *call)
{
    const rf_text_numbers *numbers = call->numbers;
    size_t room = worker->job->numbers_max;
    rf_exchange_numbers *known = NULL;

    if (numbers->beginning.size > BEGINNING_MAX)
        return;
    for (uint32_t i = 0; !known && i < NUMBERS; i++) {
        if (worker->numbers[i].count == 0 || begins_alike(&worker->numbers[i], numbers))
            known = &worker->numbers[i];
        else
            room -= worker->numbers[i].count;
    }
    for (uint32_t i = 0; known && i < NUMBERS; i++)
        room -= &worker->numbers[i] > known ? worker->numbers[i].count : 0;
    if (!known || numbers->max >= room)
        return;
    if (known->count == 0) {
        memcpy(known->beginning, numbers->beginning.data, numbers->beginning.size);
        known->beginning_size = numbers->beginning.size;
        known->digits = numbers->digits;
        known->hexadecimal = numbers->hexadecimal;
    }
    if (numbers->max >= known->count) {
        size_t count = (size_t)numbers->max + 1;
        count = count + count / 8 < room ? count + count / 8 : room;
        grow_numbers(known, count);
    }
    call->by_number = known->count > numbers->max ? known : NULL;
}

/* Places of numbers that are known to be unknown, of at most RF_EXCHANGE_PENDING events at the
 * positions; their texts are made. */
static __attribute__((noinline)) void
find_new_numbers(rf_exchange_worker *worker, const rf_exchange_call *call, const int64_t *numbers,
                 const uint64_t *positions, uint32_t count, rf_exchange_place *places_out)
{
    rf_exchange_numbers *known = call->by_number;
    rf_arena *arena = &worker->scratch;
    const rf_slice *texts;

    if (rf_text_numbers_write(call->numbers, numbers, count, arena, arena, &texts, NULL) != RF_OK) {
        rf_exchange_fault(worker->job, RF_ERR_MEMORY, positions[0], 0, RF_SLICE(""),
                          "out of memory for keys");
        for (uint32_t i = 0; i < count; i++)
            places_out[i] = RF_PLACE_ELSEWHERE;
        return;
    }
    if (worker->own && count > 1)
        fetch_rows(worker, texts, count);
    for (uint32_t i = 0; i < count; i++) {
        places_out[i] = known ? find_numbered(worker, texts[i], positions[i])
                              : rf_exchange_find_text(worker, texts[i], positions[i]);
        if (known)
            known->places[numbers[i]] = places_out[i];
    }
}

rf_exchange_place rf_exchange_find_number(rf_exchange_worker *worker, const rf_exchange_call *call,
                                          uint32_t ordinal, uint64_t position)
{
    const int64_t *number = &call->numbers->numbers[ordinal];
    rf_exchange_place place = call->by_number ? call->by_number->places[*number] : RF_PLACE_NONE;

    if (place == RF_PLACE_NONE)
        find_new_numbers(worker, call, number, &position, 1, &place);
    return place;
}

static void find_numbers(rf_exchange_worker *worker, const rf_exchange_call *call,
                         rf_exchange_events *events)
{
    const int64_t *numbers = call->numbers->numbers;
    const rf_exchange_place *known = call->by_number ? call->by_number->places : NULL;
    rf_exchange_place places[RF_EXCHANGE_PENDING];
    uint64_t positions[RF_EXCHANGE_PENDING];
    int64_t fresh[RF_EXCHANGE_PENDING];
    uint32_t others[RF_EXCHANGE_PENDING];
    uint32_t count = 0;

    for (uint32_t i = 0; known && i < events->count; i++)
        __builtin_prefetch(&known[numbers[events->ordinals[i]]]);
    for (uint32_t i = 0; i < events->count; i++) {
        events->places[i] = known ? known[numbers[events->ordinals[i]]] : RF_PLACE_NONE;
        others[count] = i;
        count += events->places[i] == RF_PLACE_NONE;
    }
    if (count == 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        fresh[i] = numbers[events->ordinals[others[i]]];
        positions[i] = (uint64_t)worker->positions[events->indexes[others[i]]];
    }
    find_new_numbers(worker, call, fresh, positions, count, places);
    for (uint32_t i = 0; i < count; i++)
        events->places[others[i]] = places[i];
}

/* ---- many at once ---- */

static void find_codes(rf_exchange_worker *worker, const rf_exchange_call *call,
                       rf_exchange_events *events)
{
    for (uint32_t i = 0; i < events->count; i++) {
        uint32_t code = call->codes[events->ordinals[i]];
        if (call->known[code] == RF_PLACE_NONE)
            call->known[code] =
                rf_exchange_find_text(worker, call->texts[code],
                                      (uint64_t)worker->positions[events->indexes[i]]);
        events->places[i] = call->known[code];
    }
}

/* Those whose texts the memo does not know. */
static void find_others(rf_exchange_worker *worker, const rf_exchange_call *call,
                        rf_exchange_events *events, const uint32_t *others, uint32_t count)
{
    rf_slice texts[RF_EXCHANGE_PENDING];

    if (count == 0)
        return;
    for (uint32_t i = 0; i < count; i++)
        texts[i] = call->texts[events->ordinals[others[i]]];
    if (worker->own) /* else they are looked for one by one, under a lock */
        fetch_rows(worker, texts, count);
    for (uint32_t i = 0; i < count; i++)
        events->places[others[i]] = find_other(
            worker, texts[i], (uint64_t)worker->positions[events->indexes[others[i]]]);
}

void rf_exchange_find_texts(rf_exchange_worker *worker, const rf_exchange_call *call,
                            rf_exchange_events *events)
{
    uint32_t others[RF_EXCHANGE_PENDING];
    uint32_t count = 0;

    if (call->numbers) {
        find_numbers(worker, call, events);
        return;
    }
    if (call->codes) {
        find_codes(worker, call, events);
        return;
    }
    for (uint32_t i = 0; i < events->count; i++) {
        rf_slice text = call->texts[events->ordinals[i]];
        if (text.data && is_short(text))
            __builtin_prefetch(memo_of_short(worker, text));
    }
    for (uint32_t i = 0; i < events->count; i++) {
        rf_slice text = call->texts[events->ordinals[i]];
        events->places[i] =
            text.data && is_short(text) ? recall_short(worker, text) : RF_PLACE_NONE;
        others[count] = i;
        count += events->places[i] == RF_PLACE_NONE;
    }
    find_others(worker, call, events, others, count);
}

/* Has what the memo knows of long keys fetched: their rows, then the keys of these. */
static void fetch_known(rf_exchange_worker *worker, const rf_slice *keys, const uint32_t *hashes,
                        uint32_t count)
{
    const rf_keyed_row *rows[RF_EXCHANGE_PENDING] = {NULL};

    for (uint32_t i = 0; i < count; i++)
        if (keys[i].data)
            __builtin_prefetch(is_short(keys[i]) ? memo_of_short(worker, keys[i])
                                                 : memo_at(worker, hashes[i], keys[i].size));
    for (uint32_t i = 0; i < count; i++) {
        if (!keys[i].data || is_short(keys[i]))
            continue;
        const struct rf_exchange_memo *memo = memo_at(worker, hashes[i], keys[i].size);
        if (memo->size == keys[i].size && memo->first == hashes[i])
            rows[i] = rf_exchange_place_row(memo->place);
        __builtin_prefetch(rows[i]);
    }
    for (uint32_t i = 0; i < count; i++)
        if (rows[i])
            __builtin_prefetch(rf_keyed_row_key(rows[i]).data);
}

void rf_exchange_find_keys(rf_exchange_worker *worker, const rf_slice *keys,
                           rf_exchange_events *events)
{
    uint32_t hashes[RF_EXCHANGE_PENDING] = {0};
    bool nul;

    for (uint32_t i = 0; i < events->count; i++)
        if (keys[i].data)
            hashes[i] = rf_key_hash(keys[i], &nul);
    fetch_known(worker, keys, hashes, events->count);
    for (uint32_t i = 0; i < events->count; i++) {
        events->places[i] = RF_PLACE_ELSEWHERE;
        if (!keys[i].data)
            continue;
        events->places[i] = is_short(keys[i]) ? recall_short(worker, keys[i])
                                              : recall_long(worker, keys[i], hashes[i]);
        if (events->places[i] == RF_PLACE_NONE)
            events->places[i] = take_up(worker, hashes[i], keys[i],
                                        (uint64_t)worker->positions[events->indexes[i]]);
    }
}

void rf_exchange_forget_places(const rf_exchange *job, rf_carried *carried)
{
    for (uint32_t slot = 0; slot < carried->slot_count; slot++) {
        if (!carried->slots[slot].is_place)
            continue;
        for (uint32_t i = 0; i < carried->stream_count; i++) {
            rf_exchange_place place = (rf_exchange_place)carried->values[slot][i];
            if (place >= RF_PLACE_ROWS && !job->active[place >> RF_PLACE_SHIFT])
                carried->values[slot][i] = RF_PLACE_ELSEWHERE;
        }
    }
}
