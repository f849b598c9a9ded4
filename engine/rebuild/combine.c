/* See combine.h. */
#include "rebuild/combine.h"

#include <stdlib.h>

/* How a value is held. */
typedef enum form { FORM_SUM, FORM_WORD, FORM_FLOAT, FORM_BOOL, FORM_TEXT } form;

struct rf_combined_column {
    rf_combine combine;
    form form;
    uint32_t row_offset;
    uint32_t offset; /* in the accumulator */
    int64_t unset;   /* FORM_WORD: what a handler gets; the bits of it, FORM_FLOAT */
};

/* Text in an accumulator: written over where it fits. */
typedef struct held_text {
    char *data; /* NULL: unset */
    uint32_t size, capacity;
} held_text;

/* first and last: where the value came from; 0: nowhere yet. */
typedef struct held_value {
    uint64_t position;
    union {
        int64_t word;
        double number;
        bool boolean;
        held_text text;
    };
} held_value;

enum { UNSET_BOOL = 2, TEXT_ROOM_MIN = 16 };

static form form_of(const rf_column *column)
{
    switch (column->kind) {
    case RF_FLOAT:
        return FORM_FLOAT;
    case RF_BOOL:
        return FORM_BOOL;
    case RF_TEXT:
    case RF_JSON:
        return FORM_TEXT;
    case RF_INT:
    case RF_DECIMAL:
    case RF_TIME:
    case RF_DATE:
        break;
    }
    bool adds = column->combine == RF_COMBINE_SUM || column->combine == RF_COMBINE_COUNT;
    return adds ? FORM_SUM : FORM_WORD;
}

static bool by_position(rf_combine combine)
{
    return combine == RF_COMBINE_FIRST || combine == RF_COMBINE_LAST;
}

/* What a handler finds in the column: no value that it writes. */
static int64_t unset_of(const rf_column *column)
{
    double number = column->combine == RF_COMBINE_MIN ? __builtin_inf() : -__builtin_inf();
    int64_t bits = 0x7ff8000000726f77; /* a NaN that nobody computes */

    if (column->kind == RF_FLOAT) {
        if (!by_position((rf_combine)column->combine))
            memcpy(&bits, &number, sizeof bits);
        return bits;
    }
    if (column->kind == RF_TIME || column->kind == RF_DATE)
        return RF_TIME_NONE;
    return column->combine == RF_COMBINE_MIN ? INT64_MAX : INT64_MIN;
}

static void put_template(const rf_combiner *combiner, const struct rf_combined_column *column)
{
    char *at = combiner->row_template + column->row_offset;

    if (column->form == FORM_WORD || column->form == FORM_FLOAT)
        memcpy(at, &column->unset, sizeof column->unset);
    if (column->form == FORM_BOOL)
        *at = column->combine == RF_COMBINE_ALL ? 1 : by_position(column->combine) ? UNSET_BOOL : 0;
}

static size_t held_size(const struct rf_combined_column *column)
{
    if (by_position(column->combine))
        return sizeof(held_value);
    if (column->form == FORM_SUM)
        return sizeof(__int128);
    return column->form == FORM_TEXT ? sizeof(held_text) : sizeof(int64_t);
}

bool rf_combiner_begin(rf_combiner *combiner, const rf_definition *definition)
{
    *combiner = (rf_combiner){
        .definition = definition,
        .columns = calloc(definition->column_count, sizeof *combiner->columns),
        .sums = calloc(definition->column_count, sizeof *combiner->sums),
        .others = calloc(definition->column_count, sizeof *combiner->others),
        .row_size = (definition->row_size + 7u) & ~(size_t)7,
    };
    combiner->row_template = calloc(1, combiner->row_size);
    if (!combiner->columns || !combiner->sums || !combiner->others || !combiner->row_template)
        return false;
    memcpy(combiner->row_template, definition->row_template, definition->row_size);
    for (int wide = 1; wide >= 0; wide--) /* sums first: they are aligned to 16 */
        for (uint32_t i = 0; i < definition->column_count; i++) {
            struct rf_combined_column *column = &combiner->columns[i];
            form held = form_of(&definition->columns[i]);
            if ((held == FORM_SUM) != wide)
                continue;
            *column = (struct rf_combined_column){
                .combine = (rf_combine)definition->columns[i].combine,
                .form = held,
                .row_offset = definition->columns[i].offset,
                .offset = (uint32_t)combiner->size,
                .unset = unset_of(&definition->columns[i]),
            };
            combiner->size += held_size(column);
            if (wide)
                combiner->sums[combiner->sum_count++] = column->row_offset;
            else
                combiner->others[combiner->other_count++] = *column;
            put_template(combiner, column);
        }
    combiner->size = (combiner->size + 15) & ~(size_t)15;
    return true;
}

void rf_combiner_end(rf_combiner *combiner)
{
    free(combiner->columns);
    free(combiner->sums);
    free(combiner->others);
    free(combiner->row_template);
}

void rf_combiner_clear(const rf_combiner *combiner, char *accumulator)
{
    memset(accumulator, 0, combiner->size);
    for (uint32_t i = 0; i < combiner->definition->column_count; i++) {
        const struct rf_combined_column *column = &combiner->columns[i];
        if (by_position(column->combine))
            continue;
        if (column->form == FORM_WORD || column->form == FORM_FLOAT)
            memcpy(accumulator + column->offset, &column->unset, sizeof column->unset);
        if (column->combine == RF_COMBINE_ALL)
            accumulator[column->offset] = 1;
    }
}

/* ---- texts ---- */

static bool hold_text(held_text *held, rf_slice text, rf_arena *arena)
{
    if (!held->data || text.size > held->capacity) {
        size_t room = 2 * text.size > TEXT_ROOM_MIN ? 2 * text.size : TEXT_ROOM_MIN;
        char *data = text.size > UINT32_MAX / 2 ? NULL : rf_arena_bytes(arena, room);
        if (!data)
            return false;
        held->data = data;
        held->capacity = (uint32_t)room;
    }
    if (text.size > 0)
        memcpy(held->data, text.data, text.size);
    held->size = (uint32_t)text.size;
    return true;
}

static rf_slice slice_of(const held_text *held)
{
    return (rf_slice){held->data, held->size};
}

static bool add_text(const struct rf_combined_column *column, char *at, rf_slice text,
                     rf_arena *arena)
{
    held_text *held = (held_text *)(void *)at;

    if (!text.data)
        return true;
    int order = held->data ? rf_slice_compare(text, slice_of(held)) : 0;
    bool takes = !held->data || (column->combine == RF_COMBINE_MIN ? order < 0 : order > 0);
    return !takes || hold_text(held, text, arena);
}

/* ---- values ---- */

static void add_word(const struct rf_combined_column *column, char *at, int64_t value)
{
    int64_t held;

    memcpy(&held, at, sizeof held);
    if (value == column->unset)
        return;
    if (held == column->unset || (column->combine == RF_COMBINE_MIN ? value < held : value > held))
        memcpy(at, &value, sizeof value);
}

static void add_float(const struct rf_combined_column *column, char *at, double value)
{
    double held;

    memcpy(&held, at, sizeof held);
    /* of 0 and -0 the least is -0, in whatever order they come */
    bool below = value < held || (value == held && __builtin_signbit(value) > __builtin_signbit(held));
    bool above = value > held || (value == held && __builtin_signbit(value) < __builtin_signbit(held));
    if (column->combine == RF_COMBINE_MIN ? below : above)
        memcpy(at, &value, sizeof value);
}

/* The value in a row, if the handler gave one. */
static bool given(const struct rf_combined_column *column, const char *from)
{
    rf_slice text;

    switch (column->form) {
    case FORM_TEXT:
        memcpy(&text, from, sizeof text);
        return text.data != NULL;
    case FORM_BOOL:
        return *(const unsigned char *)from != UNSET_BOOL;
    case FORM_WORD:
    case FORM_FLOAT:
        return memcmp(from, &column->unset, sizeof column->unset) != 0;
    case FORM_SUM:
        break;
    }
    return true;
}

static bool comes_before(const struct rf_combined_column *column, const held_value *held,
                         uint64_t position)
{
    if (held->position == 0)
        return true;
    return column->combine == RF_COMBINE_FIRST ? position < held->position
                                               : position >= held->position;
}

static bool add_by_position(const struct rf_combined_column *column, char *at, const char *from,
                            uint64_t position, rf_arena *arena)
{
    held_value *held = (held_value *)(void *)at;
    rf_slice text;

    if (!given(column, from) || !comes_before(column, held, position))
        return true;
    held->position = position;
    if (column->form == FORM_BOOL) {
        held->boolean = *from != 0;
    } else if (column->form == FORM_TEXT) {
        memcpy(&text, from, sizeof text);
        return hold_text(&held->text, text, arena);
    } else {
        memcpy(&held->word, from, sizeof held->word);
    }
    return true;
}

bool rf_combiner_add_others(const rf_combiner *combiner, char *accumulator, const char *row,
                            uint64_t position, rf_arena *text)
{
    bool added = true;

    for (uint32_t i = 0; added && i < combiner->other_count; i++) {
        const struct rf_combined_column *column = &combiner->others[i];
        const char *from = row + column->row_offset;
        char *at = accumulator + column->offset;
        int64_t word;
        double number;
        rf_slice slice;
        if (by_position(column->combine)) {
            added = add_by_position(column, at, from, position, text);
        } else if (column->form == FORM_WORD) {
            memcpy(&word, from, sizeof word);
            add_word(column, at, word);
        } else if (column->form == FORM_FLOAT) {
            memcpy(&number, from, sizeof number);
            add_float(column, at, number);
        } else if (column->form == FORM_TEXT) {
            memcpy(&slice, from, sizeof slice);
            added = add_text(column, at, slice, text);
        } else if (column->combine == RF_COMBINE_ANY) {
            *at |= *from != 0;
        } else {
            *at &= *from != 0;
        }
    }
    return added;
}

static bool merge_by_position(const struct rf_combined_column *column, char *at, const char *from,
                              rf_arena *arena)
{
    held_value *held = (held_value *)(void *)at;
    const held_value *other = (const held_value *)(const void *)from;

    if (other->position == 0 || !comes_before(column, held, other->position))
        return true;
    if (column->form == FORM_TEXT) {
        held->position = other->position;
        return hold_text(&held->text, slice_of(&other->text), arena);
    }
    *held = *other;
    return true;
}

bool rf_combiner_merge(const rf_combiner *combiner, char *accumulator, const char *other,
                       rf_arena *text)
{
    bool merged = true;

    for (uint32_t i = 0; merged && i < combiner->definition->column_count; i++) {
        const struct rf_combined_column *column = &combiner->columns[i];
        const char *from = other + column->offset;
        char *at = accumulator + column->offset;
        int64_t word;
        double number;
        if (column->form == FORM_SUM) {
            *(__int128 *)(void *)at += *(const __int128 *)(const void *)from;
        } else if (by_position(column->combine)) {
            merged = merge_by_position(column, at, from, text);
        } else if (column->form == FORM_WORD) {
            memcpy(&word, from, sizeof word);
            add_word(column, at, word);
        } else if (column->form == FORM_FLOAT) {
            memcpy(&number, from, sizeof number);
            add_float(column, at, number);
        } else if (column->form == FORM_TEXT) {
            merged = add_text(column, at, slice_of((const held_text *)(const void *)from), text);
        } else if (column->combine == RF_COMBINE_ANY) {
            *at |= *from;
        } else {
            *at &= *from;
        }
    }
    return merged;
}

/* ---- stored rows ---- */

/* The value of a column that is no sum, as first or last. */
static bool take_stored(const struct rf_combined_column *column, char *at, const char *from,
                        rf_arena *arena)
{
    held_value *held = (held_value *)(void *)at;
    rf_slice text;

    held->position = 1; /* before any other */
    if (column->form == FORM_TEXT) {
        memcpy(&text, from, sizeof text);
        held->text = (held_text){0};
        return hold_text(&held->text, text, arena);
    }
    if (column->form == FORM_BOOL)
        held->boolean = *from != 0;
    else
        memcpy(&held->word, from, sizeof held->word);
    return true;
}

/* Whether a stored value is one, or may be; of times, dates and texts it is known. */
static bool is_stored(const struct rf_combined_column *column, const rf_column *of, const char *from,
                      bool *known_out)
{
    rf_slice text;
    int64_t word = 0;

    *known_out = true;
    if (column->form == FORM_TEXT) {
        memcpy(&text, from, sizeof text);
        return text.data != NULL;
    }
    if (column->form == FORM_BOOL)
        word = *(const unsigned char *)from;
    else
        memcpy(&word, from, sizeof word);
    if (of->kind == RF_TIME || of->kind == RF_DATE)
        return word != RF_TIME_NONE;
    *known_out = word != 0;
    return word != 0;
}

static bool add_stored_by_position(const struct rf_combined_column *column, const rf_column *of,
                                   char *at, const char *from, rf_arena *arena, bool *ambiguous)
{
    const held_value *held = (const held_value *)(const void *)at;
    bool known;
    bool stored = is_stored(column, of, from, &known);

    if (column->combine == RF_COMBINE_LAST ? held->position != 0 : !stored) {
        *ambiguous |= column->combine == RF_COMBINE_FIRST && !known && held->position != 0;
        return true;
    }
    return !stored || take_stored(column, at, from, arena);
}

/* The least or greatest of numbers: a zero that may be none counts only where it would not show. */
static void add_stored_number(const struct rf_combined_column *column, const rf_column *of, char *at,
                              const char *from, bool *ambiguous)
{
    int64_t word, held;
    double number;
    bool known;
    bool stored = is_stored(column, of, from, &known);

    memcpy(&held, at, sizeof held);
    memcpy(&word, from, sizeof word);
    memcpy(&number, from, sizeof number);
    if (!known && held != column->unset) {
        double value = 0;
        memcpy(&value, &held, sizeof value);
        if (column->form == FORM_WORD)
            value = (double)held;
        bool below = column->form == FORM_WORD ? value < 0 : value <= 0; /* -0 is */
        *ambiguous |= column->combine == RF_COMBINE_MIN ? value > 0 : below;
    }
    if (!stored)
        return;
    if (column->form == FORM_WORD)
        add_word(column, at, word);
    else
        add_float(column, at, number);
}

bool rf_combiner_add_stored(const rf_combiner *combiner, char *accumulator, const char *row,
                            rf_arena *text, bool *ambiguous_out)
{
    bool added = true;

    for (uint32_t i = 0; added && i < combiner->definition->column_count; i++) {
        const struct rf_combined_column *column = &combiner->columns[i];
        const rf_column *of = &combiner->definition->columns[i];
        const char *from = row + column->row_offset;
        char *at = accumulator + column->offset;
        int64_t word;
        rf_slice slice;
        if (column->form == FORM_SUM) {
            memcpy(&word, from, sizeof word);
            *(__int128 *)(void *)at += word;
        } else if (by_position(column->combine)) {
            added = add_stored_by_position(column, of, at, from, text, ambiguous_out);
        } else if (column->form == FORM_TEXT) {
            memcpy(&slice, from, sizeof slice);
            added = add_text(column, at, slice, text);
        } else if (column->form == FORM_BOOL) {
            *at = column->combine == RF_COMBINE_ANY ? *at | (*from != 0) : *at & (*from != 0);
        } else {
            add_stored_number(column, of, at, from, ambiguous_out);
        }
    }
    return added;
}

/* ---- rows ---- */

/* Whether a value fits; a column that nothing was given stays as it is in an unset row. */
static bool finish_column(const struct rf_combined_column *column, const char *at, char *to)
{
    const held_value *held = (const held_value *)(const void *)at;

    if (column->form == FORM_SUM) {
        __int128 sum = *(const __int128 *)(const void *)at;
        int64_t word = (int64_t)sum;
        memcpy(to, &word, sizeof word);
        return word == sum;
    }
    if (by_position(column->combine)) {
        if (held->position == 0)
            return true;
        if (column->form == FORM_BOOL)
            *(bool *)to = held->boolean;
        else if (column->form == FORM_TEXT)
            memcpy(to, &(rf_slice){held->text.data, held->text.size}, sizeof(rf_slice));
        else
            memcpy(to, &held->word, sizeof held->word);
        return true;
    }
    if (column->form == FORM_TEXT) {
        rf_slice text = slice_of((const held_text *)(const void *)at);
        memcpy(to, &text, sizeof text);
    } else if (column->form == FORM_BOOL) {
        *(bool *)to = *at != 0;
    } else if (memcmp(at, &column->unset, sizeof column->unset) != 0) {
        memcpy(to, at, sizeof(int64_t));
    }
    return true;
}

const rf_column *rf_combiner_finish(const rf_combiner *combiner, const char *accumulator,
                                    char *row_out)
{
    const rf_definition *definition = combiner->definition;

    memcpy(row_out, definition->row_template, definition->row_size);
    for (uint32_t i = 0; i < definition->column_count; i++) {
        const struct rf_combined_column *column = &combiner->columns[i];
        if (!finish_column(column, accumulator + column->offset, row_out + column->row_offset))
            return &definition->columns[i];
    }
    return NULL;
}
