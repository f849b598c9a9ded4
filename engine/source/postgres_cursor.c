/* See postgres_cursor.h. */
#include "source/postgres_cursor.h"

#include "base/checksum.h"
#include "source/lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { SQL_SIZE_MAX = 1 << 20, WAIT_MS = 1000 };

rf_postgres_last rf_postgres_last_of(rf_slice text, const rf_postgres_place *place)
{
    RF_ASSERT(place->begin <= place->fixed_end && place->fixed_end <= text.size);
    rf_slice fixed = {text.data + place->begin, place->fixed_end - place->begin};
    return (rf_postgres_last){place->mark, rf_checksum(fixed)};
}

rf_slice rf_postgres_cursor_write(const rf_postgres_layout *layout, const rf_postgres_last *last,
                                  char out[RF_LINE_CURSOR_SIZE])
{
    char transaction[32] = "";

    if (layout->is_unordered || last->mark.position < 0)
        return RF_SLICE("");
    if (layout->transaction)
        (void)snprintf(transaction, sizeof transaction, "%020" PRId64 ":", last->mark.transaction);
    int size = snprintf(out, RF_LINE_CURSOR_SIZE, "%s %s%0*" PRId64 " %016" PRIx64, layout->identity,
                        transaction, layout->transaction ? 20 : 1, last->mark.position,
                        last->fingerprint);
    RF_ASSERT(size > 0 && size < RF_LINE_CURSOR_SIZE);
    return (rf_slice){out, (size_t)size};
}

/* Reads "MARK ROW". */
static bool last_read(const char *text, rf_postgres_last *last_out, bool *has_transaction_out)
{
    rf_postgres_last last = {.mark = {0, 0}};
    int64_t *number = &last.mark.position;
    int end = -1;

    *has_transaction_out = strchr(text, ':') != NULL;
    if (*has_transaction_out) {
        char *behind;
        last.mark.transaction = strtoll(text, &behind, 10);
        if (behind == text || *behind != ':')
            return false;
        text = behind + 1;
    }
    if (sscanf(text, "%" SCNd64 " %" SCNx64 "%n", number, &last.fingerprint, &end) != 2 ||
        end < 0 || text[end] != '\0' || *number < 0)
        return false;
    *last_out = last;
    return true;
}

rf_status rf_postgres_cursor_read(const rf_postgres_layout *layout, rf_slice cursor,
                                  rf_postgres_last *last_out, bool *has_transaction_out, rf_err *err)
{
    char text[RF_LINE_CURSOR_SIZE + 1];
    size_t size = strlen(layout->identity);

    *last_out = RF_POSTGRES_LAST_NONE;
    *has_transaction_out = layout->transaction != NULL;
    if (cursor.size == 0 || layout->is_unordered)
        return RF_OK;
    if (cursor.size > RF_LINE_CURSOR_SIZE)
        return rf_fail(err, RF_ERR_DAMAGED, "the source's cursor is longer than any");
    memcpy(text, cursor.data, cursor.size);
    text[cursor.size] = '\0';
    if (strncmp(text, layout->identity, size) == 0 && text[size] == ' ' &&
        last_read(text + size + 1, last_out, has_transaction_out) &&
        (layout->transaction || !*has_transaction_out))
        return RF_OK;
    *last_out = RF_POSTGRES_LAST_NONE;
    return rf_fail(err, RF_ERR_USAGE,
                   "this source was read from '%s' so far, not from '%s': give another --source, or "
                   "--from-start",
                   text, layout->identity);
}

/* Asks for the row at the mark, whether it still counts as an event or not. */
static rf_status row_ask(rf_postgres *postgres, const rf_postgres_layout *layout,
                         rf_postgres_mark mark, rf_err *err)
{
    rf_buf sql;

    rf_buf_init(&sql, SQL_SIZE_MAX);
    rf_buf_append_format(&sql, "COPY (SELECT %s FROM %s WHERE %s = %" PRId64, layout->select,
                         layout->from, layout->position, mark.position);
    if (layout->transaction)
        rf_buf_append_format(&sql, " AND %s = '%" PRId64 "'::xid8", layout->transaction,
                             mark.transaction);
    rf_buf_append_format(&sql, ") TO STDOUT (FORMAT binary)");
    rf_buf_append_byte(&sql, '\0');
    rf_status status = rf_buf_check(&sql, "an SQL statement", err);
    if (status == RF_OK)
        status = rf_postgres_copy_out(postgres, sql.data, err);
    rf_buf_free(&sql);
    return status;
}

/* Reads all rows at the mark: of a query there may be several. */
static rf_status row_look(rf_postgres *postgres, const rf_postgres_layout *layout,
                          rf_eventsourcing *decoder, const rf_postgres_last *last, bool *any_out,
                          bool *is_same_out, rf_err *err)
{
    rf_postgres_copy copy = RF_POSTGRES_WAIT;
    bool is_begun = false, is_row, is_ready;
    rf_postgres_place place;
    rf_status status = RF_OK;
    rf_slice row;
    rf_buf text;

    rf_buf_init(&text, RF_LINES_BLOCK_SIZE + 2 * RF_LINES_LINE_MAX);
    while (status == RF_OK && copy != RF_POSTGRES_END) {
        status = rf_postgres_copy_poll(postgres, &copy, &row, err);
        if (status == RF_OK && copy == RF_POSTGRES_WAIT)
            status = rf_postgres_wait(&postgres, 1, WAIT_MS, &is_ready, err);
        if (status != RF_OK || copy != RF_POSTGRES_ROW)
            continue;
        rf_buf_clear(&text);
        status = rf_postgres_line_append(layout, decoder, row, &is_begun, &text, &place, &is_row, err);
        if (status == RF_OK && is_row) {
            *any_out = true;
            *is_same_out |= rf_postgres_last_of(rf_buf_slice(&text), &place).fingerprint ==
                            last->fingerprint;
        }
    }
    rf_buf_free(&text);
    return status;
}

rf_status rf_postgres_cursor_check(rf_postgres *postgres, const rf_postgres_layout *layout,
                                   rf_eventsourcing *decoder, const char *name,
                                   const rf_postgres_last *last, rf_err *err)
{
    bool any = false, is_same = false;

    if (last->mark.position < 0)
        return RF_OK;
    rf_status status = row_ask(postgres, layout, last->mark, err);
    if (status == RF_OK)
        status = row_look(postgres, layout, decoder, last, &any, &is_same, err);
    if (status != RF_OK)
        return rf_err_context(err, "%s", name);
    if (is_same)
        return RF_OK;
    return rf_fail(err, RF_ERR_INPUT,
                   "%s was read up to position %" PRId64 ", and the row there is %s: it was restored from an "
                   "older copy, or its last rows were deleted; --from-start reads it again, and adds what is new",
                   name, last->mark.position, any ? "another one now" : "not there any more");
}
