/* See diff_columns.h. */
#include "compare/diff_columns.h"


#include <stdlib.h>

static rf_reader_column *copy_columns(const rf_manifest *manifest)
{
    rf_reader_column *columns = calloc(manifest->column_count + 1, sizeof *columns);

    for (uint32_t i = 0; columns && i < manifest->column_count; i++)
        columns[i] = (rf_reader_column){
            manifest->columns[i].name, manifest->columns[i].kind, manifest->columns[i].scale};
    return columns;
}

static bool same_kind(const rf_reader_column *a, const rf_reader_column *b)
{
    return a->kind == b->kind && a->scale == b->scale;
}

static uint32_t find(const rf_reader_column *columns, uint32_t count, const char *name, uint32_t hint)
{
    if (hint < count && strcmp(columns[hint].name, name) == 0)
        return hint;
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(columns[i].name, name) == 0)
            return i;
    return RF_DIFF_NO_COLUMN;
}

static void pair_up(rf_diff_columns *columns)
{
    columns->same_columns = columns->before_count == columns->after_count;
    for (uint32_t i = 0; i < columns->after_count; i++) {
        uint32_t before = find(columns->before, columns->before_count, columns->after[i].name, i);
        columns->pairs[columns->pair_count++] = (rf_diff_pair){before, i};
        columns->same_columns = columns->same_columns && before == i &&
                                same_kind(&columns->before[before], &columns->after[i]);
    }
    for (uint32_t i = 0; i < columns->before_count; i++)
        if (find(columns->after, columns->after_count, columns->before[i].name, i) ==
            RF_DIFF_NO_COLUMN)
            columns->pairs[columns->pair_count++] = (rf_diff_pair){i, RF_DIFF_NO_COLUMN};
}

rf_status rf_diff_columns_of(const rf_manifest *before, const rf_manifest *after,
                             rf_diff_columns *columns_out, rf_err *err)
{
    rf_diff_columns columns = {
        .before = copy_columns(before),
        .after = copy_columns(after),
        .before_count = before->column_count,
        .after_count = after->column_count,
        .same_keys = before->key_part_count == after->key_part_count,
    };

    columns.pairs = calloc((size_t)before->column_count + after->column_count + 1,
                           sizeof *columns.pairs);
    if (!columns.before || !columns.after || !columns.pairs) {
        rf_diff_columns_free(&columns);
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for columns", before->name);
    }
    pair_up(&columns);
    for (uint32_t i = 0; columns.same_keys && i < before->key_part_count; i++)
        columns.same_keys = before->key[i].kind == after->key[i].kind &&
                            before->key[i].scale == after->key[i].scale;
    *columns_out = columns;
    return RF_OK;
}

void rf_diff_columns_free(rf_diff_columns *columns)
{
    free(columns->before);
    free(columns->after);
    free(columns->pairs);
    *columns = (rf_diff_columns){0};
}

rf_status rf_diff_values_new(const rf_diff_columns *columns, rf_diff_values *values_out, rf_err *err)
{
    rf_diff_values values = {
        .before = calloc(columns->before_count + 1, sizeof *values.before),
        .after = calloc(columns->after_count + 1, sizeof *values.after),
        .differs = calloc(columns->pair_count + 1, sizeof *values.differs),
        .text = {rf_text_new(), rf_text_new()},
    };

    if (!values.before || !values.after || !values.differs || !values.text[0] || !values.text[1]) {
        rf_diff_values_free(&values);
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a comparison");
    }
    *values_out = values;
    return RF_OK;
}

void rf_diff_values_free(rf_diff_values *values)
{
    free(values->before);
    free(values->after);
    free(values->differs);
    rf_text_free(values->text[0]);
    rf_text_free(values->text[1]);
    *values = (rf_diff_values){0};
}

static bool is_count(const rf_value *value)
{
    return value->kind == RF_INT || value->kind == RF_DECIMAL;
}

/* Both fit: 2^63 * 10^18 is below 2^127. */
static __int128 scaled(const rf_value *value, uint8_t scale)
{
    __int128 count = value->integer;

    for (uint8_t i = 0; i < scale; i++)
        count *= 10;
    return count;
}

static bool same_count(const rf_value *a, const rf_value *b)
{
    return scaled(a, b->kind == RF_DECIMAL ? b->scale : 0) ==
           scaled(b, a->kind == RF_DECIMAL ? a->scale : 0);
}

/* As it is printed, without quotes. */
static rf_slice printed(rf_text *text, const rf_value *value)
{
    rf_text_clear(text);
    rf_text_append_value_json(text, value);
    rf_slice shown = rf_text_bytes(text);
    if (shown.size >= 2 && shown.data[0] == '"')
        shown = (rf_slice){shown.data + 1, shown.size - 2};
    return shown;
}

static bool same_value(const rf_value *a, const rf_value *b, rf_text *const text[2])
{
    if (is_count(a) && is_count(b))
        return same_count(a, b);
    if (a->is_null || b->is_null)
        return a->is_null && b->is_null;
    if (a->kind != b->kind)
        return rf_slice_equal(printed(text[0], a), printed(text[1], b));
    switch (a->kind) {
    case RF_INT:
    case RF_DECIMAL:
    case RF_TIME:
    case RF_DATE:
        return a->integer == b->integer;
    case RF_FLOAT:
        return memcmp(&a->number, &b->number, sizeof a->number) == 0;
    case RF_BOOL:
        return a->boolean == b->boolean;
    case RF_TEXT:
    case RF_JSON:
        return rf_slice_equal(a->text, b->text);
    }
    return false;
}

rf_status rf_diff_columns_compare(const rf_diff_columns *columns, const rf_diff_row *row,
                                  rf_diff_values *values, bool *differs_out, rf_err *err)
{
    rf_status status = RF_OK;
    bool differs = !row->before.data || !row->after.data || !columns->same_keys;

    if (row->before.data)
        status = rf_row_decode(row->before, columns->before, columns->before_count, values->before,
                               err);
    if (status == RF_OK && row->after.data)
        status = rf_row_decode(row->after, columns->after, columns->after_count, values->after, err);
    if (status != RF_OK)
        return status;
    for (uint32_t i = 0; i < columns->pair_count; i++) {
        const rf_diff_pair *pair = &columns->pairs[i];
        values->differs[i] = row->before.data && row->after.data && columns->same_keys &&
                             pair->before != RF_DIFF_NO_COLUMN && pair->after != RF_DIFF_NO_COLUMN &&
                             !same_value(&values->before[pair->before], &values->after[pair->after],
                                         values->text);
        differs = differs || values->differs[i];
    }
    for (int i = 0; status == RF_OK && i < 2; i++)
        status = rf_text_check(values->text[i], err);
    *differs_out = differs;
    return status;
}
