/* See identity.h.
 *
 * One entry per known segment, in position order. An entry whose columns are decoded has two hash
 * tables over its events, made when first asked for: by (stream, version) and by (stream, source,
 * source position). Tables are open addressing with linear probing, of 32-bit indexes plus one.
 */
#include "log/identity.h"

#include "log/record.h"
#include "log/segment.h"

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
    int64_t *versions;
    uint32_t *fingerprints;
    uint64_t *positions;
    uint32_t *by_version; /* table_size slots */
    /* NULL until a search by source */
    uint32_t *sources;
    uint64_t *source_positions;
    uint32_t *by_source;
    uint32_t table_size;
} entry;

/* The segment that events are compared with. */
typedef struct current {
    rf_segment segment; /* count 0: none */
    char *bytes;        /* owned copy */
    rf_arena arena;
    int64_t *positions;
    int64_t *types;
    int64_t *schemas;
    int64_t *times;
    rf_payload_reader *reader;
} current;

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
    current now;
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
    rf_arena_init(&identity->now.arena, IDENTITY_ARENA_MAX);
    return identity;
}

static void entry_drop_tables(rf_identity *identity, entry *dropped)
{
    RF_ASSERT(identity->bytes >= dropped->bytes);
    identity->bytes -= dropped->bytes;
    dropped->bytes = 0;
    free(dropped->streams);
    free(dropped->versions);
    free(dropped->fingerprints);
    free(dropped->positions);
    free(dropped->by_version);
    free(dropped->sources);
    free(dropped->source_positions);
    free(dropped->by_source);
    dropped->streams = NULL;
    dropped->versions = NULL;
    dropped->fingerprints = NULL;
    dropped->positions = NULL;
    dropped->by_version = NULL;
    dropped->sources = NULL;
    dropped->source_positions = NULL;
    dropped->by_source = NULL;
}

static void current_clear(current *now)
{
    free(now->bytes);
    free(now->positions);
    free(now->types);
    free(now->schemas);
    free(now->times);
    rf_payload_reader_free(now->reader);
    now->bytes = NULL;
    now->positions = NULL;
    now->types = NULL;
    now->schemas = NULL;
    now->times = NULL;
    now->reader = NULL;
    now->segment = (rf_segment){0};
    rf_arena_reset(&now->arena);
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
    current_clear(&identity->now);
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
    rf_arena_free(&identity->now.arena);
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

static rf_status column_i64(rf_identity *identity, const rf_segment *segment, rf_envelope column,
                            entry *owner, int64_t **out, rf_err *err)
{
    int64_t *values = column_alloc(identity, owner, segment->count, sizeof *values);
    if (!values)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to look for duplicates");
    *out = values;
    return rf_segment_envelope(segment, column, values, NULL, err);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    uint64_t hash = (a + 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;

    hash = (hash ^ (hash >> 29) ^ b) * 0x94d049bb133111ebu;
    return hash ^ (hash >> 32);
}

static rf_status table_fill(rf_identity *identity, entry *owner, bool by_source, uint32_t **out,
                            rf_err *err)
{
    uint32_t size = 16;

    while (size < 2 * owner->count)
        size *= 2;
    owner->table_size = size;
    uint32_t *table = column_alloc(identity, owner, size, sizeof *table);
    if (!table)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to look for duplicates");
    for (uint32_t i = 0; i < owner->count; i++) {
        uint64_t second = by_source ? owner->source_positions[i] : (uint64_t)owner->versions[i];
        if (by_source && second == 0)
            continue;
        uint32_t slot = (uint32_t)mix(owner->streams[i], second) & (size - 1);
        while (table[slot])
            slot = (slot + 1) & (size - 1);
        table[slot] = i + 1;
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
        rf_segment_key key = rf_segment_key_of(identity->partition, wanted->first_position);
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

static rf_status entry_decode(rf_identity *identity, rf_kv_txn *txn, entry *wanted, bool by_source,
                              rf_err *err)
{
    rf_segment segment;
    int64_t *positions = NULL;

    if (by_source ? wanted->by_source != NULL : wanted->by_version != NULL)
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
        status = column_u32(identity, &segment, RF_ENVELOPE_FINGERPRINT, wanted,
                            &wanted->fingerprints, err);
    if (!status && !wanted->positions) {
        status = column_i64(identity, &segment, RF_ENVELOPE_POSITION, wanted, &positions, err);
        wanted->positions = (uint64_t *)positions;
    }
    if (!status && !by_source) {
        if (!wanted->versions)
            status =
                column_i64(identity, &segment, RF_ENVELOPE_VERSION, wanted, &wanted->versions, err);
        if (!status)
            status = table_fill(identity, wanted, false, &wanted->by_version, err);
    }
    if (!status && by_source) {
        if (!wanted->sources)
            status =
                column_u32(identity, &segment, RF_ENVELOPE_SOURCE, wanted, &wanted->sources, err);
        if (!status && !wanted->source_positions) {
            status = column_i64(identity, &segment, RF_ENVELOPE_SOURCE_POSITION, wanted, &positions,
                                err);
            wanted->source_positions = (uint64_t *)positions;
        }
        if (!status)
            status = table_fill(identity, wanted, true, &wanted->by_source, err);
    }
    if (status)
        entry_drop_tables(identity, wanted);
    else
        entries_bound(identity, wanted);
    return status;
}

static bool entry_covers(const entry *it, const rf_identity_key *key)
{
    return key->stream >= it->stream_min && key->stream <= it->stream_max;
}

/* Looks into one entry, decoding it where needed. */
static rf_status entry_probe(rf_identity *identity, rf_kv_txn *txn, entry *it,
                             const rf_identity_key *key, rf_identity_hit *hit_out, bool *found_out,
                             rf_err *err)
{
    *found_out = false;
    if (!entry_covers(it, key))
        return RF_OK;
    rf_status status = entry_decode(identity, txn, it, key->by_source, err);
    if (status)
        return status;
    it->used = ++identity->clock;
    uint64_t second = key->by_source ? key->source_position : (uint64_t)key->version;
    const uint32_t *table = key->by_source ? it->by_source : it->by_version;
    uint32_t slot = (uint32_t)mix(key->stream, second) & (it->table_size - 1);
    for (; table[slot]; slot = (slot + 1) & (it->table_size - 1)) {
        uint32_t i = table[slot] - 1;
        bool equal = it->streams[i] == key->stream &&
                     (key->by_source ? it->source_positions[i] == key->source_position &&
                                           it->sources[i] == key->source
                                     : it->versions[i] == key->version);
        if (equal) {
            *hit_out = (rf_identity_hit){it->positions[i], it->fingerprints[i]};
            *found_out = true;
            identity->last = it;
            return RF_OK;
        }
    }
    return RF_OK;
}

/* The committed segment at or after `position` becomes an entry, if it is not one already.
 * *next_out NULL at the end of the partition. */
static rf_status entry_next(rf_identity *identity, rf_kv_cursor *cursor, uint64_t position,
                            entry **next_out, rf_err *err)
{
    rf_segment_key wanted = rf_segment_key_of(identity->partition, position);
    rf_slice key, value;
    bool found;
    uint32_t partition;
    uint64_t first;
    rf_segment segment;

    *next_out = NULL;
    rf_status status = rf_kv_cursor_seek(cursor, RF_KV_AT_LEAST, rf_segment_key_slice(&wanted),
                                         &key, &value, &found, err);
    if (status || !found)
        return status;
    if (!rf_segment_key_parse(key, &partition, &first))
        return rf_fail(err, RF_ERR_DAMAGED, "log: a segment key of %zu bytes", key.size);
    if (partition != identity->partition)
        return RF_OK;
    size_t at = entry_at_least(identity, first);
    if (at < identity->count && identity->entries[at]->first_position == first) {
        *next_out = identity->entries[at];
        return RF_OK;
    }
    rf_arena_reset(&identity->arena);
    status = rf_segment_open(value, &identity->arena, &segment, err);
    if (status)
        return status;
    if (segment.first_position != first || segment.count == 0 ||
        segment.count > RF_SEGMENT_EVENTS_MAX)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "log, partition %u: the segment at position %llu is not "
                       "what its key says",
                       partition, (unsigned long long)first);
    return entry_add(identity, &segment, (rf_slice){NULL, 0}, next_out, err);
}

static rf_status find_by_walk(rf_identity *identity, rf_kv_txn *txn, const rf_identity_key *key,
                              uint64_t from, bool only_one, rf_identity_hit *hit_out,
                              bool *found_out, rf_err *err)
{
    rf_kv_cursor *cursor = NULL;

    rf_status status = rf_kv_cursor_open(txn, identity->table, &cursor, err);
    while (!status && !*found_out) {
        entry *next;
        status = entry_next(identity, cursor, from, &next, err);
        if (status || !next)
            break;
        from = next->last_position + 1;
        status = entry_probe(identity, txn, next, key, hit_out, found_out, err);
        if (only_one)
            break;
    }
    rf_kv_cursor_close(cursor);
    return status;
}

rf_status rf_identity_find(rf_identity *identity, rf_kv_txn *txn, const rf_identity_key *key,
                           rf_identity_hit *hit_out, bool *found_out, rf_err *err)
{
    entry *last = identity->last;
    rf_status status = RF_OK;

    *found_out = false;
    if (last) {
        status = entry_probe(identity, txn, last, key, hit_out, found_out, err);
        if (!status && !*found_out)
            status = find_by_walk(identity, txn, key, last->last_position + 1, true, hit_out,
                                  found_out, err);
    }
    for (size_t i = 0; i < identity->count && !status && !*found_out; i++) {
        entry *it = identity->entries[i];
        if (it != last && (it->pending.data || it->by_version || it->by_source))
            status = entry_probe(identity, txn, it, key, hit_out, found_out, err);
    }
    if (!status && !*found_out)
        status = find_by_walk(identity, txn, key, 1, false, hit_out, found_out, err);
    return status;
}

static rf_status current_column(const current *now, rf_envelope column, int64_t **out, rf_err *err)
{
    *out = malloc(now->segment.count * sizeof **out);
    if (!*out)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to compare a duplicate");
    return rf_segment_envelope(&now->segment, column, *out, NULL, err);
}

/* Makes the segment that holds `position` the current one. */
static rf_status current_load(rf_identity *identity, rf_kv_txn *txn, uint64_t position, rf_err *err)
{
    current *now = &identity->now;
    rf_kv_cursor *cursor = NULL;
    rf_slice bytes = {NULL, 0};
    rf_status status = RF_OK;

    size_t at = entry_at_least(identity, position + 1);
    if (at > 0 && identity->entries[at - 1]->pending.data)
        bytes = identity->entries[at - 1]->pending;
    if (!bytes.data) {
        rf_segment_key wanted = rf_segment_key_of(identity->partition, position);
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
    current_clear(now);
    if (!status) {
        now->bytes = malloc(bytes.size);
        now->reader = rf_payload_reader_new();
        if (!now->bytes || !now->reader)
            status = rf_fail(err, RF_ERR_MEMORY, "log: no memory to compare a duplicate");
    }
    if (!status) {
        memcpy(now->bytes, bytes.data, bytes.size);
        status =
            rf_segment_open((rf_slice){now->bytes, bytes.size}, &now->arena, &now->segment, err);
    }
    rf_kv_cursor_close(cursor);
    if (!status)
        status = current_column(now, RF_ENVELOPE_POSITION, &now->positions, err);
    if (!status)
        status = current_column(now, RF_ENVELOPE_TYPE, &now->types, err);
    if (!status)
        status = current_column(now, RF_ENVELOPE_SCHEMA, &now->schemas, err);
    if (!status)
        status = current_column(now, RF_ENVELOPE_TIME, &now->times, err);
    if (status)
        current_clear(now);
    return status;
}

rf_status rf_identity_same(rf_identity *identity, rf_kv_txn *txn, uint64_t position,
                           const rf_event *event, bool *same_out, rf_err *err)
{
    current *now = &identity->now;
    rf_slice data, metadata;

    if (now->segment.count == 0 || position < now->segment.first_position ||
        position > now->segment.last_position) {
        rf_status status = current_load(identity, txn, position, err);
        if (status)
            return status;
    }
    uint32_t low = 0;
    uint32_t high = now->segment.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((uint64_t)now->positions[middle] < position)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == now->segment.count || (uint64_t)now->positions[low] != position ||
        now->types[low] < 0 || now->types[low] >= (int64_t)now->segment.type_count)
        return rf_fail(err, RF_ERR_DAMAGED, "log: the segment of position %llu does not hold it",
                       (unsigned long long)position);
    *same_out = false;
    if (now->schemas[low] != event->schema || now->times[low] != event->time ||
        !rf_slice_equal(now->segment.types[now->types[low]].name, event->type))
        return RF_OK;
    rf_status status =
        rf_payload_read(now->reader, &now->segment, low, &data, &metadata, NULL, err);
    if (status)
        return status;
    *same_out = rf_slice_equal(data, event->data) &&
                (metadata.data != NULL) == (event->metadata.data != NULL) &&
                rf_slice_equal(metadata, event->metadata);
    return RF_OK;
}
