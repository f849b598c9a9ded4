/* See identity.h.
 *
 * One entry per known segment, in position order. What follows the last hit is looked at first: a
 * file that is imported again has its events in the order of the log. Else an entry whose columns
 * are decoded has two hash tables over its events, made when first asked for: by (stream, version)
 * and by (stream, source, source position). Tables are open addressing with linear probing, of
 * indexes plus one. Numbers take 32 bits where a segment's are less than that apart.
 */
#include "log/identity.h"

#include "log/identity_current.h"
#include "log/identity_numbers.h"
#include "log/record.h"

#include <stdlib.h>

enum { IDENTITY_ARENA_MAX = 64 << 20 };

typedef struct entry {
    uint64_t first_position;
    uint64_t last_position;
    rf_slice pending; /* bytes of an uncommitted segment; data NULL once it is in the table */
    uint32_t stream_min, stream_max;
    uint32_t count;
    uint64_t used; /* clock of the last use */
    size_t bytes;  /* of what follows */
    /* NULL while not decoded */
    uint32_t *streams;
    uint16_t *fingerprints;
    rf_numbers versions;
    rf_numbers positions;
    uint16_t *by_version; /* table_size slots */
    /* NULL until a search by source */
    uint16_t *sources;
    rf_numbers source_positions;
    uint16_t *by_source;
    uint32_t table_size;
} entry;
_Static_assert(RF_SEGMENT_EVENTS_MAX < UINT16_MAX, "indexes plus one have 16 bits");
_Static_assert(RF_LOG_SOURCES_MAX <= UINT16_MAX, "numbers of sources have 16 bits");

struct rf_identity {
    uint32_t partition;
    uint32_t table;
    size_t bytes_max;
    size_t bytes;
    uint64_t clock;
    entry **entries; /* by first position; owned */
    size_t count;
    size_t room;
    entry *last; /* of the last hit; NULL: none */
    uint32_t last_index;
    rf_identity_current now;
    rf_arena arena;  /* headers while looking */
    int64_t *values; /* one column */
};

rf_identity *rf_identity_new(uint32_t partition, uint32_t table, size_t bytes_max)
{
    rf_identity *identity = calloc(1, sizeof *identity);

    if (!identity)
        return NULL;
    identity->partition = partition;
    identity->table = table;
    identity->bytes_max = bytes_max;
    rf_arena_init(&identity->arena, IDENTITY_ARENA_MAX);
    rf_identity_current_init(&identity->now);
    return identity;
}

static void entry_drop_tables(rf_identity *identity, entry *dropped)
{
    RF_ASSERT(identity->bytes >= dropped->bytes);
    identity->bytes -= dropped->bytes;
    dropped->bytes = 0;
    free(dropped->streams);
    free(dropped->fingerprints);
    rf_numbers_free(&dropped->versions);
    rf_numbers_free(&dropped->positions);
    free(dropped->by_version);
    free(dropped->sources);
    rf_numbers_free(&dropped->source_positions);
    free(dropped->by_source);
    dropped->streams = NULL;
    dropped->fingerprints = NULL;
    dropped->by_version = NULL;
    dropped->sources = NULL;
    dropped->by_source = NULL;
}

void rf_identity_forget(rf_identity *identity)
{
    size_t kept = 0;

    for (size_t i = 0; i < identity->count; i++) {
        entry *it = identity->entries[i];
        if (it->pending.data) {
            identity->entries[kept++] = it;
            continue;
        }
        entry_drop_tables(identity, it);
        free(it);
    }
    identity->count = kept;
    identity->last = NULL;
    rf_identity_current_clear(&identity->now);
}

void rf_identity_committed(rf_identity *identity)
{
    for (size_t i = 0; i < identity->count; i++)
        identity->entries[i]->pending = (rf_slice){NULL, 0};
}

void rf_identity_free(rf_identity *identity)
{
    if (!identity)
        return;
    rf_identity_committed(identity);
    rf_identity_forget(identity);
    rf_identity_current_free(&identity->now);
    rf_arena_free(&identity->arena);
    free(identity->values);
    free(identity->entries);
    free(identity);
}

/* Index of the first entry whose first position is at least `position`. */
static size_t entry_at_least(const rf_identity *identity, uint64_t position)
{
    size_t low = 0;
    size_t high = identity->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (identity->entries[middle]->first_position < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static rf_status entry_add(rf_identity *identity, const rf_segment *segment, rf_slice pending,
                           entry **entry_out, rf_err *err)
{
    if (identity->count == identity->room) {
        size_t room = identity->room ? 2 * identity->room : 16;
        entry **grown = realloc(identity->entries, room * sizeof(entry *));
        if (!grown)
            return rf_fail(err, RF_ERR_MEMORY, "log: no memory to know %zu segments", room);
        identity->entries = grown;
        identity->room = room;
    }
    entry *added = calloc(1, sizeof *added);
    if (!added)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to know a segment");
    added->first_position = segment->first_position;
    added->last_position = segment->last_position;
    added->stream_min = segment->stream_min;
    added->stream_max = segment->stream_max;
    added->count = segment->count;
    added->pending = pending;
    size_t at = entry_at_least(identity, segment->first_position);
    memmove(identity->entries + at + 1, identity->entries + at,
            (identity->count - at) * sizeof(entry *));
    identity->entries[at] = added;
    identity->count++;
    *entry_out = added;
    return RF_OK;
}

rf_status rf_identity_add_pending(rf_identity *identity, rf_slice bytes, rf_err *err)
{
    rf_segment segment;
    entry *added;

    rf_arena_reset(&identity->arena);
    rf_status status = rf_segment_open(bytes, &identity->arena, &segment, err);
    if (status)
        return status;
    return entry_add(identity, &segment, bytes, &added, err);
}

/* Drops the tables used longest ago until the bound holds; never those of `kept` and the last hit.
 */
static void entries_bound(rf_identity *identity, const entry *kept)
{
    while (identity->bytes > identity->bytes_max) {
        entry *oldest = NULL;
        for (size_t i = 0; i < identity->count; i++) {
            entry *it = identity->entries[i];
            if (it->bytes > 0 && it != kept && it != identity->last &&
                (!oldest || it->used < oldest->used))
                oldest = it;
        }
        if (!oldest)
            return;
        entry_drop_tables(identity, oldest);
    }
}

static void *column_alloc(rf_identity *identity, entry *owner, size_t count, size_t size)
{
    void *column = calloc(count ? count : 1, size);

    if (column) {
        owner->bytes += count * size;
        identity->bytes += count * size;
    }
    return column;
}

static rf_status column_u32(rf_identity *identity, const rf_segment *segment, rf_envelope column,
                            entry *owner, uint32_t **out, rf_err *err)
{
    rf_status status = rf_segment_envelope(segment, column, identity->values, NULL, err);
    if (status)
        return status;
    uint32_t *values = column_alloc(identity, owner, segment->count, sizeof *values);
    if (!values)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to look for duplicates");
    for (uint32_t i = 0; i < segment->count; i++)
        values[i] = (uint32_t)identity->values[i];
    *out = values;
    return RF_OK;
}

static rf_status column_u16(rf_identity *identity, const rf_segment *segment, rf_envelope column,
                            entry *owner, uint16_t **out, rf_err *err)
{
    rf_status status = rf_segment_envelope(segment, column, identity->values, NULL, err);
    if (status)
        return status;
    uint16_t *values = column_alloc(identity, owner, segment->count, sizeof *values);
    if (!values)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to look for duplicates");
    for (uint32_t i = 0; i < segment->count; i++)
        values[i] = (uint16_t)identity->values[i];
    *out = values;
    return RF_OK;
}

static rf_status column_numbers(rf_identity *identity, const rf_segment *segment,
                                rf_envelope column, entry *owner, rf_numbers *out, rf_err *err)
{
    const int64_t *values = identity->values;
    uint64_t least = UINT64_MAX, most = 0;

    rf_status status = rf_segment_envelope(segment, column, identity->values, NULL, err);
    if (status)
        return status;
    for (uint32_t i = 0; i < segment->count; i++) {
        least = (uint64_t)values[i] < least ? (uint64_t)values[i] : least;
        most = (uint64_t)values[i] > most ? (uint64_t)values[i] : most;
    }
    bool narrow = most - least <= UINT32_MAX;
    void *made = column_alloc(identity, owner, segment->count,
                              narrow ? sizeof *out->more : sizeof *out->wide);
    if (!made)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to look for duplicates");
    *out = (rf_numbers){.least = least, .more = narrow ? made : NULL, .wide = narrow ? NULL : made};
    if (!narrow)
        memcpy(out->wide, values, segment->count * sizeof *values);
    for (uint32_t i = 0; i < segment->count && narrow; i++)
        out->more[i] = (uint32_t)((uint64_t)values[i] - least);
    return RF_OK;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t hash = (a + 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;

    hash = (hash ^ (hash >> 29) ^ b) * 0x94d049bb133111ebu;
    return hash ^ (hash >> 32);
}

static rf_status table_fill(rf_identity *identity, entry *owner, bool by_source, uint16_t **out,
                            rf_err *err)
{
    uint32_t size = 16;

    while (size < owner->count + owner->count / 2)
        size *= 2;
    owner->table_size = size;
    uint16_t *table = column_alloc(identity, owner, size, sizeof *table);
    if (!table)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to look for duplicates");
    for (uint32_t i = 0; i < owner->count; i++) {
        uint64_t second = rf_number_at(by_source ? &owner->source_positions : &owner->versions, i);
        if (by_source && second == 0)
            continue;
        uint32_t slot = (uint32_t)mix(owner->streams[i], second) & (size - 1);
        while (table[slot])
            slot = (slot + 1) & (size - 1);
        table[slot] = (uint16_t)(i + 1);
    }
    *out = table;
    return RF_OK;
}

/* Gives `segment`, the view of an entry: the pending bytes, or what the table holds at its key. */
static rf_status entry_segment(rf_identity *identity, rf_kv_txn *txn, const entry *wanted,
                               rf_segment *segment_out, rf_err *err)
{
    rf_slice bytes = wanted->pending;

    if (!bytes.data) {
        rf_segment_key key = rf_segment_key_of(
            &(rf_segment_span){identity->partition, wanted->first_position, wanted->last_position,
                               wanted->stream_min, wanted->stream_max});
        bool found;
        rf_status status =
            rf_kv_get(txn, identity->table, rf_segment_key_slice(&key), &bytes, &found, err);
        if (status)
            return status;
        if (!found)
            return rf_fail(err, RF_ERR_DAMAGED,
                           "log: partition %u lost its segment at position %llu",
                           identity->partition, (unsigned long long)wanted->first_position);
    }
    rf_arena_reset(&identity->arena);
    return rf_segment_open(bytes, &identity->arena, segment_out, err);
}

/* Decodes what a search needs, but for its table. */
static rf_status entry_columns(rf_identity *identity, rf_kv_txn *txn, entry *wanted,
                               bool by_source, rf_err *err)
{
    rf_segment segment;

    if (wanted->streams &&
        rf_numbers_known(by_source ? &wanted->source_positions : &wanted->versions))
        return RF_OK;
    if (!identity->values)
        identity->values = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *identity->values);
    if (!identity->values)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to look for duplicates");
    rf_status status = entry_segment(identity, txn, wanted, &segment, err);
    if (status)
        return status;
    RF_ASSERT(segment.count == wanted->count);
    if (!wanted->streams)
        status = column_u32(identity, &segment, RF_ENVELOPE_STREAM, wanted, &wanted->streams, err);
    if (!status && !wanted->fingerprints)
        status = column_u16(identity, &segment, RF_ENVELOPE_FINGERPRINT, wanted,
                            &wanted->fingerprints, err);
    if (!status && !rf_numbers_known(&wanted->positions))
        status = column_numbers(identity, &segment, RF_ENVELOPE_POSITION, wanted,
                                &wanted->positions, err);
    if (!status && !by_source && !rf_numbers_known(&wanted->versions))
        status = column_numbers(identity, &segment, RF_ENVELOPE_VERSION, wanted,
                                &wanted->versions, err);
    if (!status && by_source && !wanted->sources)
        status = column_u16(identity, &segment, RF_ENVELOPE_SOURCE, wanted, &wanted->sources, err);
    if (!status && by_source && !rf_numbers_known(&wanted->source_positions))
        status = column_numbers(identity, &segment, RF_ENVELOPE_SOURCE_POSITION, wanted,
                                &wanted->source_positions, err);
    return status;
}

static rf_status entry_decode(rf_identity *identity, rf_kv_txn *txn, entry *wanted, bool by_source,
                              bool with_table, rf_err *err)
{
    uint16_t **table = by_source ? &wanted->by_source : &wanted->by_version;
    size_t before = wanted->bytes;

    rf_status status = entry_columns(identity, txn, wanted, by_source, err);
    if (!status && with_table && !*table)
        status = table_fill(identity, wanted, by_source, table, err);
    if (status)
        entry_drop_tables(identity, wanted);
    else if (wanted->bytes > before)
        entries_bound(identity, wanted);
    return status;
}

static bool entry_covers(const entry *it, const rf_identity_key *key)
{
    return key->stream >= it->stream_min && key->stream <= it->stream_max;
}

static bool event_is(const entry *it, uint32_t index, const rf_identity_key *key)
{
    if (it->streams[index] != key->stream)
        return false;
    return key->by_source ? rf_number_at(&it->source_positions, index) == key->source_position &&
                                it->sources[index] == key->source
                          : rf_number_at(&it->versions, index) == (uint64_t)key->version;
}

static void hit(rf_identity *identity, entry *it, uint32_t index, rf_identity_hit *hit_out)
{
    *hit_out = (rf_identity_hit){rf_number_at(&it->positions, index), it->fingerprints[index]};
    it->used = ++identity->clock;
    identity->last = it;
    identity->last_index = index;
}

/* Looks into one entry, decoding it where needed. */
static rf_status entry_probe(rf_identity *identity, rf_kv_txn *txn, entry *it,
                             const rf_identity_key *key, rf_identity_hit *hit_out, bool *found_out,
                             rf_err *err)
{
    *found_out = false;
    if (!entry_covers(it, key))
        return RF_OK;
    rf_status status = entry_decode(identity, txn, it, key->by_source, true, err);
    if (status)
        return status;
    it->used = ++identity->clock;
    uint64_t second = key->by_source ? key->source_position : (uint64_t)key->version;
    const uint16_t *table = key->by_source ? it->by_source : it->by_version;
    uint32_t slot = (uint32_t)mix(key->stream, second) & (it->table_size - 1);
    for (; table[slot]; slot = (slot + 1) & (it->table_size - 1)) {
        uint32_t i = table[slot] - 1u;
        if (event_is(it, i, key)) {
            hit(identity, it, i, hit_out);
            *found_out = true;
            return RF_OK;
        }
    }
    return RF_OK;
}

/* Whether the event at a place of an entry is the one wanted: what a file that is imported again
 * asks next. */
static rf_status entry_guess(rf_identity *identity, rf_kv_txn *txn, entry *it, uint32_t index,
                             const rf_identity_key *key, rf_identity_hit *hit_out, bool *found_out,
                             rf_err *err)
{
    if (index >= it->count || !entry_covers(it, key))
        return RF_OK;
    rf_status status = entry_decode(identity, txn, it, key->by_source, false, err);
    if (status || !event_is(it, index, key))
        return status;
    hit(identity, it, index, hit_out);
    *found_out = true;
    return RF_OK;
}

/* The committed segment at or after `position` becomes an entry, if it is not one already.
 * *next_out NULL at the end of the partition. */
static rf_status entry_next(rf_identity *identity, rf_kv_cursor *cursor, uint64_t position,
                            entry **next_out, rf_err *err)
{
    rf_segment_key wanted = rf_segment_key_from(identity->partition, position);
    rf_slice key, value;
    bool found;
    rf_segment_span span;
    rf_segment segment;

    *next_out = NULL;
    rf_status status = rf_kv_cursor_seek(cursor, RF_KV_AT_LEAST, rf_segment_key_slice(&wanted),
                                         &key, &value, &found, err);
    if (status || !found)
        return status;
    status = rf_segment_key_parse(key, &span, err);
    if (status || span.partition != identity->partition)
        return status;
    size_t at = entry_at_least(identity, span.first_position);
    if (at < identity->count && identity->entries[at]->first_position == span.first_position) {
        *next_out = identity->entries[at];
        return RF_OK;
    }
    rf_arena_reset(&identity->arena);
    status = rf_segment_open(value, &identity->arena, &segment, err);
    if (!status)
        status = rf_segment_span_check(&span, &segment, err);
    return status ? status : entry_add(identity, &segment, (rf_slice){NULL, 0}, next_out, err);
}

/* The segment behind an entry; NULL in *next_out if there is none. */
static rf_status entry_after(rf_identity *identity, rf_kv_txn *txn, const entry *before,
                             entry **next_out, rf_err *err)
{
    rf_kv_cursor *cursor = NULL;
    size_t at = entry_at_least(identity, before->first_position + 1);

    *next_out = at < identity->count ? identity->entries[at] : NULL;
    if (*next_out && (*next_out)->pending.data)
        return RF_OK;
    rf_status status = rf_kv_cursor_open(txn, identity->table, &cursor, err);
    if (!status)
        status = entry_next(identity, cursor, before->last_position + 1, next_out, err);
    rf_kv_cursor_close(cursor);
    return status;
}

static rf_status find_by_walk(rf_identity *identity, rf_kv_txn *txn, const rf_identity_key *key,
                              rf_identity_hit *hit_out, bool *found_out, rf_err *err)
{
    rf_kv_cursor *cursor = NULL;
    uint64_t from = 1;

    rf_status status = rf_kv_cursor_open(txn, identity->table, &cursor, err);
    while (!status && !*found_out) {
        entry *next;
        status = entry_next(identity, cursor, from, &next, err);
        if (status || !next)
            break;
        from = next->last_position + 1;
        status = entry_probe(identity, txn, next, key, hit_out, found_out, err);
    }
    rf_kv_cursor_close(cursor);
    return status;
}

/* Where the last hit was: behind it, at the beginning of the next segment, then by table. */
static rf_status find_near(rf_identity *identity, rf_kv_txn *txn, const rf_identity_key *key,
                           rf_identity_hit *hit_out, bool *found_out, rf_err *err)
{
    entry *last = identity->last;
    entry *next = NULL;

    rf_status status = entry_guess(identity, txn, last, identity->last_index + 1, key, hit_out,
                                   found_out, err);
    if (status || *found_out)
        return status;
    if (identity->last_index + 1 == last->count) {
        status = entry_after(identity, txn, last, &next, err);
        if (!status && next)
            status = entry_guess(identity, txn, next, 0, key, hit_out, found_out, err);
        if (status || *found_out)
            return status;
    }
    status = entry_probe(identity, txn, last, key, hit_out, found_out, err);
    if (status || *found_out)
        return status;
    if (!next)
        status = entry_after(identity, txn, last, &next, err);
    if (!status && next)
        status = entry_probe(identity, txn, next, key, hit_out, found_out, err);
    return status;
}

rf_status rf_identity_find(rf_identity *identity, rf_kv_txn *txn, const rf_identity_key *key,
                           rf_identity_hit *hit_out, bool *found_out, rf_err *err)
{
    const entry *last = identity->last;
    rf_status status = RF_OK;

    *found_out = false;
    if (last)
        status = find_near(identity, txn, key, hit_out, found_out, err);
    for (size_t i = 0; i < identity->count && !status && !*found_out; i++) {
        entry *it = identity->entries[i];
        if (it != last && (it->pending.data || it->by_version || it->by_source))
            status = entry_probe(identity, txn, it, key, hit_out, found_out, err);
    }
    if (!status && !*found_out)
        status = find_by_walk(identity, txn, key, hit_out, found_out, err);
    return status;
}

/* Makes the segment that holds `position` the current one. */
static rf_status current_load(rf_identity *identity, rf_kv_txn *txn, uint64_t position, rf_err *err)
{
    rf_kv_cursor *cursor = NULL;
    rf_slice bytes = {NULL, 0};
    rf_status status = RF_OK;

    size_t at = entry_at_least(identity, position + 1);
    if (at > 0 && identity->entries[at - 1]->pending.data)
        bytes = identity->entries[at - 1]->pending;
    if (!bytes.data) {
        rf_segment_key wanted = rf_segment_key_up_to(identity->partition, position);
        rf_slice key;
        bool found = false;
        status = rf_kv_cursor_open(txn, identity->table, &cursor, err);
        if (!status)
            status = rf_kv_cursor_seek(cursor, RF_KV_AT_MOST, rf_segment_key_slice(&wanted), &key,
                                       &bytes, &found, err);
        if (!status && !found)
            status = rf_fail(err, RF_ERR_DAMAGED, "log: no segment holds position %llu",
                             (unsigned long long)position);
    }
    if (!status)
        status = rf_identity_current_load(&identity->now, bytes, err);
    rf_kv_cursor_close(cursor);
    return status;
}

rf_status rf_identity_same(rf_identity *identity, rf_kv_txn *txn, uint64_t position,
                           const rf_event *event, bool *same_out, rf_err *err)
{
    if (!rf_identity_current_holds(&identity->now, position)) {
        rf_status status = current_load(identity, txn, position, err);
        if (status)
            return status;
    }
    return rf_identity_current_same(&identity->now, position, event, same_out, err);
}
