/* Indexes in a projection's tables; see definition.h. */
#include "projection/definition_tables.h"

enum { INDEXES_MAX = 16 };

static bool find_column(const rf_definition *definition, rf_slice name, uint32_t *index_out)
{
    for (uint32_t i = 0; i < definition->column_count; i++)
        if (rf_slice_equal(rf_slice_of(definition->columns[i].name), name)) {
            *index_out = i;
            return true;
        }
    return false;
}

static rf_status take_index(rf_table_build *build, const rf_definition *definition,
                            const rf_index *index, rf_definition_index *out, rf_err *err)
{
    if (index->column_count < 1 || index->column_count > RF_KEY_PARTS_MAX || !index->columns)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: an index of %u columns; 1 to %d are possible",
                       build->name, index->column_count, RF_KEY_PARTS_MAX);
    uint32_t *columns = rf_arena_alloc(build->arena, index->column_count * sizeof *columns);
    if (!columns)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", build->name);
    for (uint32_t i = 0; i < index->column_count; i++) {
        rf_slice name = rf_table_text(index->columns[i]);
        if (!name.data || !find_column(definition, name, &columns[i]))
            return rf_fail(err, RF_ERR_PLUGIN, "%s: an index of the column %.*s, and there is none",
                           build->name, (int)name.size, name.data ? name.data : "");
        if (definition->columns[columns[i]].kind == RF_JSON)
            return rf_fail(err, RF_ERR_PLUGIN, "%s: an index of the column %.*s, which is json",
                           build->name, (int)name.size, name.data);
    }
    *out = (rf_definition_index){index->column_count, columns};
    return RF_OK;
}

static bool same_index(const rf_definition_index *a, const rf_definition_index *b)
{
    return a->column_count == b->column_count &&
           memcmp(a->columns, b->columns, a->column_count * sizeof *a->columns) == 0;
}

rf_status rf_table_take_indexes(rf_table_build *build, rf_definition *definition, rf_err *err)
{
    const rf_projection *tables = build->tables;
    rf_status status = RF_OK;

    if (tables->index_count > INDEXES_MAX || (tables->index_count > 0 && !tables->indexes))
        return rf_fail(err, RF_ERR_PLUGIN, "%s: %u indexes; at most %d are possible", build->name,
                       tables->index_count, INDEXES_MAX);
    rf_definition_index *indexes =
        rf_arena_alloc(build->arena, tables->index_count * sizeof *indexes);
    if (!indexes)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", build->name);
    for (uint32_t i = 0; status == RF_OK && i < tables->index_count; i++) {
        status = take_index(build, definition, &tables->indexes[i], &indexes[i], err);
        for (uint32_t k = 0; status == RF_OK && k < i; k++)
            if (same_index(&indexes[k], &indexes[i]))
                status = rf_fail(err, RF_ERR_PLUGIN, "%s: two indexes have the same columns",
                                 build->name);
    }
    definition->indexes = indexes;
    definition->index_count = tables->index_count;
    return status;
}
