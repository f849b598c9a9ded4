/* A log that is known from outside, and its serial fold. What event V of stream S says follows from a seed,
 * so whoever reads a row can tell what the first V events of its stream give, whatever was written between
 * them, and without asking the store. Each process has its own; confined to one thread.
 *
 *     known_write -> rf_import_files          known_check_row, known_check_owner: on what is read back
 */
#ifndef SOAK_KNOWN_LOG_H
#define SOAK_KNOWN_LOG_H

#include <refold/refold.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { KNOWN_OWNERS = 32, KNOWN_STREAM_COLUMNS = 4, KNOWN_OWNER_COLUMNS = 3 };

/* Of a row: how many events, what they add up to, and a number that tells their order. */
typedef struct known_state {
    int64_t events, sum, chain;
} known_state;

typedef struct known_log {
    uint64_t seed;
    uint32_t stream_count;
    known_state **states; /* of a stream after 1, 2, ... events */
    uint32_t *known;      /* of these, how many were folded */
    uint32_t *room;
    uint32_t *written; /* of a stream by this process; its own to count */
} known_log;

void known_init(known_log *log, uint64_t seed, uint32_t stream_count);
/* Takes one that was never begun, too. */
void known_free(known_log *log);

/* Writes event `version` (from 1) of `stream` as a line. */
void known_write(const known_log *log, FILE *file, uint32_t stream, uint32_t version);
/* The row after so many events of the stream, folded one by one. */
const known_state *known_fold(known_log *log, uint32_t stream, uint32_t events);
/* What the events 1..versions[S] of each stream S give the owner. */
known_state known_fold_owner(const known_log *log, const uint32_t *versions, uint32_t owner);

/* Two read models over it, of any version, that is a column too: whatever is read at once has one. */
void known_write_definitions(const char *streams_path, const char *owners_path, uint32_t version);

/* Ends the process where a row of "soak_streams" is not the fold of the first events of its stream, or not
 * of this version; gives the number of its events. */
uint64_t known_check_row(known_log *log, const rf_row *row, uint32_t version, const char *where);

/* A number that looks random and follows from three. */
uint64_t known_mix(uint64_t seed, uint64_t first, uint64_t second);
/* The next of a row of them. */
uint32_t known_random(uint64_t *state);

#endif
