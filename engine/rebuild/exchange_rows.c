/* Rows of a partition while they are folded: their texts, and which are of one stream; see
 * exchange.h. */
#include "rebuild/exchange_job.h"

#define TEXT_BYTES_MAX ((size_t)1 << 40)
enum { TIDY_BYTES_MIN = 1 << 16 };

void rf_exchange_rows_init(rf_exchange_rows *rows, size_t row_size)
{
    *rows = (rf_exchange_rows){0};
    rf_key_table_init(&rows->table, row_size);
    rf_key_table_init(&rows->streams, sizeof(uint32_t));
    rf_arena_init(&rows->text, TEXT_BYTES_MAX);
}

void rf_exchange_rows_free(rf_exchange_rows *rows, rf_key_room *room)
{
    rf_key_table_free(&rows->table, room);
    rf_key_table_free(&rows->streams, NULL);
    rf_arena_free(&rows->text);
    rows->text_live = 0;
}

size_t rf_exchange_rows_bytes(const rf_exchange_rows *rows)
{
    return rf_key_table_bytes(&rows->table) + rf_key_table_bytes(&rows->streams) +
           rows->text.bytes;
}

static bool move_text(char *at, rf_arena *to)
{
    rf_slice text;

    memcpy(&text, at, sizeof text);
    if (!text.data)
        return true;
    char *copy = rf_arena_bytes(to, text.size ? text.size : 1);
    if (!copy)
        return false;
    if (text.size > 0)
        memcpy(copy, text.data, text.size);
    memcpy(at, &(rf_slice){copy, text.size}, sizeof text);
    return true;
}

static bool move_texts(rf_keyed_row *row, const rf_definition *definition, rf_arena *to)
{
    bool moved = true;

    for (uint32_t i = 0; moved && i < definition->column_count; i++) {
        const rf_column *column = &definition->columns[i];
        if (column->kind == RF_TEXT || column->kind == RF_JSON)
            moved = move_text(rf_keyed_row_data(row) + column->offset, to);
    }
    return moved;
}

static bool tidy(rf_exchange_rows *rows, const rf_definition *definition)
{
    rf_arena fresh;
    bool moved = true;

    if (rows->text.bytes <= TIDY_BYTES_MIN || rows->text.bytes <= 2 * rows->text_live)
        return true;
    rf_arena_init(&fresh, TEXT_BYTES_MAX);
    for (uint32_t i = 0; moved && i < rows->table.row_count; i++) {
        rf_keyed_row *row = rf_key_table_row(&rows->table, i);
        if (row->flags & RF_STATE_TOUCHED)
            moved = move_texts(row, definition, &fresh);
    }
    rf_arena_free(&rows->text);
    rows->text = fresh;
    rows->text_live = fresh.bytes;
    return moved;
}

bool rf_exchange_rows_keep_texts(rf_exchange_rows *rows, const rf_definition *definition,
                                 rf_keyed_row **dirty, size_t dirty_count)
{
    bool moved = true;

    for (size_t i = 0; moved && i < dirty_count; i++) {
        dirty[i]->marks &= (uint8_t)~RF_EXCHANGE_DIRTY;
        if (dirty[i]->flags & RF_STATE_TOUCHED)
            moved = move_texts(dirty[i], definition, &rows->text);
    }
    return moved && tidy(rows, definition);
}

bool rf_exchange_rows_link(rf_exchange_rows *rows, rf_slice stream, rf_keyed_row *row)
{
    bool nul;
    rf_keyed_row *list =
        rf_key_table_take(&rows->streams, NULL, rf_key_hash(stream, &nul), stream);

    if (!list)
        return false;
    /* the list's own `next` is its first row */
    row->next = list->next;
    row->marks |= RF_EXCHANGE_LINKED;
    list->next = row->index;
    return true;
}
