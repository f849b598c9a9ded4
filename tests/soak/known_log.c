/* See known_log.h. */
#include "known_log.h"

#include "roles.h"

#include <stdlib.h>
#include <string.h>

enum { VALUE_MAX = 10000, CHAIN_FACTOR = 31, CHAIN_MODULUS = 1000000007, ROOM_FIRST = 64 };

uint64_t known_mix(uint64_t seed, uint64_t first, uint64_t second)
{
    uint64_t mixed = seed + 0x9e3779b97f4a7c15u * (first + 1) + 0xbf58476d1ce4e5b9u * (second + 1);

    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

uint32_t known_random(uint64_t *state)
{
    *state += 1;
    return (uint32_t)(known_mix(*state, 0, 0) >> 32);
}

void known_init(known_log *log, uint64_t seed, uint32_t stream_count)
{
    *log = (known_log){.seed = seed, .stream_count = stream_count};
    log->states = calloc(stream_count, sizeof *log->states);
    log->known = calloc(stream_count, sizeof *log->known);
    log->room = calloc(stream_count, sizeof *log->room);
    log->written = calloc(stream_count, sizeof *log->written);
    CHECK(log->states && log->known && log->room && log->written);
}

void known_free(known_log *log)
{
    for (uint32_t i = 0; log->states && i < log->stream_count; i++)
        free(log->states[i]);
    free(log->states);
    free(log->known);
    free(log->room);
    free(log->written);
    *log = (known_log){0};
}

static int64_t value_of(const known_log *log, uint32_t stream, uint32_t version)
{
    return (int64_t)(known_mix(log->seed, stream, version) % VALUE_MAX);
}

static uint32_t owner_of(int64_t value)
{
    return (uint32_t)value % KNOWN_OWNERS;
}

void known_write(const known_log *log, FILE *file, uint32_t stream, uint32_t version)
{
    int64_t value = value_of(log, stream, version);

    CHECK(stream < log->stream_count && version > 0);
    CHECK(fprintf(file,
                  "{\"stream\":\"s-%06u\",\"version\":%u,\"type\":\"Added\","
                  "\"data\":{\"n\":%lld,\"owner\":\"o-%02u\"}}\n",
                  stream, version, (long long)value, owner_of(value)) > 0);
}

const known_state *known_fold(known_log *log, uint32_t stream, uint32_t events)
{
    CHECK(stream < log->stream_count && events > 0);
    while (log->known[stream] < events) {
        uint32_t known = log->known[stream];
        if (known == log->room[stream]) {
            log->room[stream] = known ? 2 * known : ROOM_FIRST;
            log->states[stream] =
                realloc(log->states[stream], log->room[stream] * sizeof(known_state));
            CHECK(log->states[stream]);
        }
        known_state state = known ? log->states[stream][known - 1] : (known_state){0};
        int64_t value = value_of(log, stream, known + 1);
        state.events++;
        state.sum += value;
        state.chain = (state.chain * CHAIN_FACTOR + value) % CHAIN_MODULUS;
        log->states[stream][known] = state;
        log->known[stream]++;
    }
    return &log->states[stream][events - 1];
}

known_state known_fold_owner(const known_log *log, const uint32_t *versions, uint32_t owner)
{
    known_state state = {0};

    for (uint32_t stream = 0; stream < log->stream_count; stream++)
        for (uint32_t version = 1; version <= versions[stream]; version++) {
            int64_t value = value_of(log, stream, version);
            if (owner_of(value) == owner) {
                state.events++;
                state.sum += value;
            }
        }
    return state;
}

static FILE *open_definition(const char *path)
{
    FILE *file = fopen(path, "w");

    CHECK(file);
    return file;
}

void known_write_definitions(const char *streams_path, const char *owners_path, uint32_t version)
{
    FILE *file = open_definition(streams_path);

    CHECK(fprintf(file,
                  "name \"soak_streams\"\nversion (%u)\nkey \"stream\"\n"
                  "columns { \"events int\", \"sum int\", \"chain int\", \"made_by int\" }\n"
                  "on (\"Added\", { \"n int\" }, function (row, e)\n"
                  "    row.events = row.events + 1\n    row.sum = row.sum + e.n\n"
                  "    row.chain = (row.chain * %d + e.n) %% %d\n    row.made_by = %u\nend)\n",
                  version, CHAIN_FACTOR, CHAIN_MODULUS, version) > 0);
    CHECK(fclose(file) == 0);
    file = open_definition(owners_path);
    CHECK(fprintf(file,
                  "name \"soak_owners\"\nversion (%u)\nkey { Added = \"owner text\" }\n"
                  "columns { \"events int\", \"sum int\", \"made_by int\" }\n"
                  "on (\"Added\", { \"n int\" }, function (row, e)\n"
                  "    row.events = row.events + 1\n    row.sum = row.sum + e.n\n"
                  "    row.made_by = %u\nend)\n",
                  version, version) > 0);
    CHECK(fclose(file) == 0);
}

/* The number at the end of a stream's name. */
static uint32_t stream_of(const known_log *log, rf_slice key)
{
    char text[16] = {0};

    CHECK(key.size == 8 && memcmp(key.data, "s-", 2) == 0);
    memcpy(text, (const char *)key.data + 2, 6);
    uint32_t stream = (uint32_t)strtoul(text, NULL, 10);
    CHECK(stream < log->stream_count);
    return stream;
}

uint64_t known_check_row(known_log *log, const rf_row *row, uint32_t version, const char *where)
{
    uint32_t stream = stream_of(log, row->key);
    int64_t events = row->values[0].integer, made_by = row->values[3].integer;

    CHECK(events > 0 && events < UINT32_MAX);
    const known_state *wanted = known_fold(log, stream, (uint32_t)events);
    if (row->values[1].integer != wanted->sum || row->values[2].integer != wanted->chain ||
        made_by != version) {
        (void)fprintf(stderr,
                      "%s: s-%06u after %lld events: sum %lld, chain %lld, made by version %lld; "
                      "the serial fold of version %u has %lld and %lld\n",
                      where, stream, (long long)events, (long long)row->values[1].integer,
                      (long long)row->values[2].integer, (long long)made_by, version,
                      (long long)wanted->sum, (long long)wanted->chain);
        abort();
    }
    return (uint64_t)events;
}
