/* See state.h. */
#include "rebuild/state.h"

#include <stdlib.h>
#include <sys/mman.h>

static size_t stride_of(const rf_definition *definition)
{
    return (definition->row_size + 15u) & ~(size_t)15;
}

size_t rf_state_stream_bytes(const rf_definition *definition)
{
    return stride_of(definition) + sizeof(uint8_t);
}

void rf_state_begin(rf_state *state, const rf_definition *definition)
{
    *state = (rf_state){
        .definition = definition,
        .stride = stride_of(definition),
    };
    for (uint32_t i = 0; i < definition->column_count; i++) {
        const rf_column *column = &definition->columns[i];
        if (state->text_count < RF_STATE_TEXTS_MAX &&
            (column->kind == RF_TEXT || column->kind == RF_JSON))
            state->text_offsets[state->text_count++] = column->offset;
    }
}

void rf_state_end(rf_state *state)
{
    free(state->rows);
    free(state->flags);
}

/* Rows are visited in no order of memory, so a large array of them is asked for in large pages, where
 * the system has any. (Order log, four definitions: 9 % of a rebuild's processor time.) *size becomes
 * what was taken. */
static char *alloc_rows(size_t *size)
{
    enum { LARGE_PAGE = 2 << 20 };

    if (*size < LARGE_PAGE / 2)
        return malloc(*size);
    size_t taken = (*size + LARGE_PAGE - 1) & ~(size_t)(LARGE_PAGE - 1);
    char *rows = aligned_alloc(LARGE_PAGE, taken);
    if (rows)
        (void)madvise(rows, taken, MADV_HUGEPAGE);
    *size = taken;
    return rows;
}

rf_status rf_state_size(rf_state *state, uint32_t partition, uint32_t stream_count, rf_err *err)
{
    size_t rows_size = stream_count * state->stride;

    if (rows_size > state->rows_capacity) {
        free(state->rows);
        state->rows = alloc_rows(&rows_size);
        state->rows_capacity = state->rows ? rows_size : 0;
    }
    if (stream_count > state->flags_capacity) {
        free(state->flags);
        state->flags = malloc(stream_count);
        state->flags_capacity = state->flags ? stream_count : 0;
    }
    if (stream_count > 0 && (!state->rows || !state->flags))
        return rf_fail(err, RF_ERR_MEMORY,
                       "%s: out of memory for the rows of %u streams in partition %u: %zu bytes",
                       state->definition->name, stream_count, partition, rows_size);
    if (stream_count > 0)
        memset(state->flags, 0, stream_count);
    state->stream_count = stream_count;
    return RF_OK;
}

/* The text at `at`, which is moved. */
static bool move_text(char *at, rf_arena *fresh)
{
    rf_slice text;

    memcpy(&text, at, sizeof text);
    if (!text.data)
        return true;
    text = text.size > 0 ? rf_arena_copy(fresh, text) : RF_SLICE("");
    if (!text.data)
        return false;
    memcpy(at, &text, sizeof text);
    return true;
}

rf_status rf_state_move_texts(rf_state *state, rf_arena *fresh, rf_err *err)
{
    const rf_definition *definition = state->definition;

    for (uint32_t i = 0; i < definition->column_count; i++) {
        const rf_column *column = &definition->columns[i];
        if (column->kind != RF_TEXT && column->kind != RF_JSON)
            continue;
        for (uint32_t stream = 0; stream < state->stream_count; stream++) {
            if ((state->flags[stream] & RF_STATE_TOUCHED) &&
                !move_text(state->rows + stream * state->stride + column->offset, fresh))
                return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for the text of rows",
                               definition->name);
        }
    }
    return RF_OK;
}
