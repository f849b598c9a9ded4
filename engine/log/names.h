/* The names of a partition's streams in name order, a batch at a time.
 *
 *     open -> (restart -> next …) … -> close
 *
 * A walk over the runs of names (streams_merge.h) that holds a read transaction for one batch only.
 * While nobody commits, the next batch goes on where the last ended; after a commit the walk is
 * opened anew and steps over what it gave already. So any number of names takes the memory of a
 * batch. Confined to one thread.
 *
 * Few names are found by their numbers without walking over all: a commit leaves a run with the names
 * that it touched, so those of streams that have new events stand in the newest runs.
 */
#ifndef RF_LOG_NAMES_H
#define RF_LOG_NAMES_H

#include "log/log.h"

typedef struct rf_log_names_cursor rf_log_names_cursor;

enum { RF_LOG_NAMES_BATCH = 512 };

rf_status rf_log_names_open(rf_log *log, rf_log_names_cursor **cursor_out, rf_err *err);
/* Takes NULL. */
void rf_log_names_close(rf_log_names_cursor *cursor);
void rf_log_names_restart(rf_log_names_cursor *cursor, uint32_t partition);

/* Which numbers are asked for: those of [first, first + count), with `flags` those among them whose
 * flag has any bit of `mask`. */
typedef struct rf_log_names_wanted {
    uint32_t first, count;
    const uint8_t *flags; /* of `first` and on; NULL: all */
    uint8_t mask;
} rf_log_names_wanted;

/* The next of the wanted, at most RF_LOG_NAMES_BATCH: valid until the next call, as are the names.
 * *count_out is 0 at the end. */
rf_status rf_log_names_next(rf_log_names_cursor *cursor, const rf_log_names_wanted *wanted,
                            const rf_stream_name **names_out, uint32_t *count_out, rf_err *err);

/* Names by number: of `partition` those whose flags, of the numbers [0, number_end), are set. They are
 * cleared. Runs are read newest first, up to the one where the last is found: who asks for streams of
 * late events reads about what their commits wrote. `names_out` has room for as many as are flagged,
 * `count`, and gets them in name order, the names in `arena`. RF_ERR_DAMAGED where a number has no
 * name. Ends a walk. */
rf_status rf_log_names_find(rf_log_names_cursor *cursor, uint32_t partition, uint8_t *flags,
                            uint32_t number_end, uint32_t count, rf_arena *arena,
                            rf_stream_name *names_out, rf_err *err);

#endif
