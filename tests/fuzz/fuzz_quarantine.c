/* Fuzz target of QUARANTINE: any bytes give a list in position order, or one error.
 *
 * The checksum is put right, so that what lies before it is reached. What is accepted and encoded
 * again gives a list of the same bytes when it is decoded and encoded once more.
 */
#include "base/checksum.h"
#include "catalog/quarantine.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool take(rf_slice bytes, rf_buf *again)
{
    rf_left_out_list list;
    uint64_t checksum = 0;
    rf_err err;

    rf_left_out_list_init(&list);
    bool taken = rf_quarantine_decode(bytes, &list, &checksum, &err) == RF_OK;
    if (taken) {
        for (uint32_t i = 0; i < list.count; i++)
            RF_ASSERT(i == 0 || list.items[i].position >= list.items[i - 1].position);
        RF_ASSERT(rf_quarantine_encode(list.items, list.count, again, &err) == RF_OK);
    }
    rf_left_out_list_free(&list);
    return taken;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rf_buf once, twice;

    char *bytes = malloc(size + 8);
    if (!bytes)
        return 0;
    if (size > 0)
        memcpy(bytes, data, size);
    rf_store_u64(bytes + size, rf_checksum((rf_slice){bytes, size}));
    rf_buf_init(&once, 2 * size + 1024);
    rf_buf_init(&twice, 2 * size + 1024);
    if (take((rf_slice){bytes, size + 8}, &once)) {
        RF_ASSERT(take(rf_buf_slice(&once), &twice));
        RF_ASSERT(rf_slice_equal(rf_buf_slice(&once), rf_buf_slice(&twice)));
    }
    rf_buf_free(&once);
    rf_buf_free(&twice);
    free(bytes);
    return 0;
}
