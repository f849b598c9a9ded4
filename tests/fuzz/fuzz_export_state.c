/* Fuzz target of what a publication notes of its rows, which comes back from a database that others may write to: any bytes
 * give keys in order, or one error.
 *
 * The checksum is put right, so that what lies before it is reached.
 */
#include "base/checksum.h"
#include "export_state.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rf_delta_part part;
    rf_digest base;
    rf_err err;

    char *bytes = malloc(size + 8);
    if (!bytes)
        return 0;
    if (size > 0)
        memcpy(bytes, data, size);
    if (size >= 4)
        rf_store_u32(bytes, 0x31736672);
    rf_store_u64(bytes + size, rf_checksum((rf_slice){bytes, size}));
    if (rf_export_state_read((rf_slice){bytes, size + 8}, 4, &base, &part, &err) == RF_OK) {
        for (uint32_t i = 0; i < part.count; i++) {
            RF_ASSERT(i == 0 ||
                      rf_slice_compare(part.entries[i - 1].key, part.entries[i].key) < 0);
            RF_ASSERT(rf_export_state_has(&part, part.entries[i].key, (rf_slice){NULL, 0}) ==
                      !part.entries[i].row.data);
        }
        rf_delta_part_free(&part);
    }
    free(bytes);
    return 0;
}
