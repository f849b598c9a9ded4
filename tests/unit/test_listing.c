/* listing.h: the same indexes with wide instructions and without, for any set of wanted kinds. */
#include "log/listing.h"

#include "log/bitpack.h"
#include "log/column.h"

#include <criterion/criterion.h>

enum { COUNT_MAX = 700, KINDS_MAX = 20 };

static uint32_t draw(uint32_t end)
{
    static uint64_t state = 88172645463325252u;

    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) % end);
}

Test(listing, lists_alike_with_wide_instructions_and_without)
{
    static uint32_t values[COUNT_MAX], wide[COUNT_MAX], plain[COUNT_MAX];

    for (int round = 0; round < 2000; round++) {
        uint8_t wanted[KINDS_MAX] = {0};
        size_t count = draw(COUNT_MAX + 1);
        uint32_t kinds = 1 + draw(KINDS_MAX - 1);
        size_t expected = 0;
        for (uint32_t i = 0; i < kinds; i++)
            wanted[i] = draw(4) == 0;
        for (size_t i = 0; i < count; i++)
            values[i] = draw(kinds + 1); /* one kind is none */
        size_t listed = rf_list_wanted(values, count, wanted, kinds, wide);
        cr_assert_eq(rf_list_wanted_plain(values, count, wanted, kinds, plain), listed);
        for (size_t i = 0; i < count; i++)
            if (values[i] < kinds && wanted[values[i]])
                cr_assert(wide[expected] == i && plain[expected++] == i);
        cr_assert_eq(expected, listed);
    }
}

Test(listing, decodes_the_listed_values_of_a_column_alone)
{
    static int64_t values[COUNT_MAX], scratch[COUNT_MAX];
    static uint32_t indexes[COUNT_MAX], some[COUNT_MAX];

    for (uint32_t span = 1; span < 1u << 25; span *= 3) {
        rf_arena arena;
        rf_buf out;
        size_t listed = 0;
        rf_arena_init(&arena, 1 << 20);
        rf_buf_init(&out, 1 << 20);
        for (uint32_t i = 0; i < COUNT_MAX; i++) {
            values[i] = 1000 + draw(span);
            if (draw(3) == 0 || i == COUNT_MAX - 1)
                indexes[listed++] = i;
        }
        rf_int_column_encode(values, COUNT_MAX, &arena, &out);
        cr_assert_eq(rf_int_column_decode_u32_at(rf_buf_slice(&out), COUNT_MAX, indexes, listed,
                                                 some, scratch, NULL),
                     RF_OK);
        for (size_t i = 0; i < listed; i++)
            cr_assert_eq(some[indexes[i]], values[indexes[i]]);
        rf_buf_free(&out);
        rf_arena_free(&arena);
    }
}
