/* Fuzz target of zone files: any bytes are refused or give a zone whose spans meet.
 *
 * The input stands in memory of exactly its size, so that the sanitizer sees a read past it.
 */
#include "event/zone.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_around(const rf_zone *zone, int64_t at_s)
{
    rf_zone_span span = rf_zone_span_at(zone, at_s);

    RF_ASSERT(span.begin_s <= at_s && at_s < span.end_s);
    RF_ASSERT(span.offset_s >= -26 * 3600 && span.offset_s <= 26 * 3600);
    if (span.end_s < INT64_C(1) << 50)
        RF_ASSERT(rf_zone_span_at(zone, span.end_s).begin_s == span.end_s);
    if (span.begin_s > -(INT64_C(1) << 50))
        RF_ASSERT(rf_zone_span_at(zone, span.begin_s - 1).end_s == span.begin_s);
    int32_t offset_s = rf_zone_offset(zone, at_s);
    RF_ASSERT(offset_s >= -26 * 3600 && offset_s <= 26 * 3600);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rf_zone *zone = NULL;
    rf_err err;
    char *copy = malloc(size ? size : 1);

    RF_ASSERT(copy);
    if (size > 0)
        memcpy(copy, data, size);
    if (rf_zone_of_file("fuzz", (rf_slice){copy, size}, &zone, &err) == RF_OK) {
        for (int64_t at_s = -INT64_C(9223372036854); at_s < INT64_C(9223372036854);
             at_s += INT64_C(461168601841))
            check_around(zone, at_s);
        for (int64_t year = -200; year < 700; year += 9)
            check_around(zone, year * 31556952);
    } else {
        RF_ASSERT(!zone && err.message[0] != '\0');
    }
    rf_zone_free(zone);
    free(copy);
    return 0;
}
