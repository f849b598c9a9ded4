/* Rows that are stored already, on their way into a build; see build.h. */
#include "generation/build_job.h"

#include <stdlib.h>
#include <string.h>

static rf_status slot_of(rf_build *build, uint32_t worker, uint32_t partition,
                         rf_build_slot **slot_out, rf_err *err)
{
    rf_build_slot *slot = &build->slots[worker];

    RF_ASSERT(worker < build->slot_count);
    *slot_out = slot;
    return slot->part ? RF_OK : rf_base_part_begin(build->writer, partition, &slot->part, err);
}

rf_status rf_build_stored_row(rf_build *build, uint32_t worker, uint32_t partition, rf_slice key,
                              rf_slice row, rf_err *err)
{
    rf_build_slot *slot;
    rf_status status = slot_of(build, worker, partition, &slot, err);

    return status == RF_OK ? rf_block_builder_add(slot->blocks, key, row, err) : status;
}

rf_status rf_build_stored_block(rf_build *build, uint32_t worker, uint32_t partition,
                                const rf_block *block, rf_err *err)
{
    rf_build_slot *slot;
    rf_status status = slot_of(build, worker, partition, &slot, err);

    return status == RF_OK ? rf_block_builder_add_block(slot->blocks, block, err) : status;
}

rf_status rf_build_stored_entries(rf_build *build, uint32_t worker, rf_slice key,
                                  const rf_value *values, rf_err *err)
{
    return rf_build_index_values(build->indexes, worker, key, values, err);
}

rf_status rf_build_stored_end(rf_build *build, uint32_t worker, uint32_t partition, rf_err *err)
{
    return rf_build_end_partition(build, worker, partition, err);
}

rf_status rf_build_take_schemas(rf_build *build, const rf_manifest *from, rf_err *err)
{
    rf_manifest *manifest = &build->manifest;
    size_t size = from->schema_count * sizeof *manifest->schemas;

    RF_ASSERT(!build->sealed && !manifest->schemas);
    manifest->schemas = calloc(from->schema_count + 1, sizeof *manifest->schemas);
    if (!manifest->schemas)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", build->definition->name);
    if (size > 0)
        memcpy(manifest->schemas, from->schemas, size);
    manifest->schema_count = from->schema_count;
    return RF_OK;
}
