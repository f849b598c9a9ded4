/* arena.h: pieces stay, limits hold, reset forgets. */
#include "base/arena.h"
#include "base/bytes.h"

#include <criterion/criterion.h>

Test(arena, pieces_are_aligned_and_stay_where_they_are)
{
    rf_arena arena;
    char *pieces[1000];

    rf_arena_init(&arena, 64 << 20);
    for (size_t i = 0; i < 1000; i++) {
        pieces[i] = rf_arena_alloc(&arena, i * 7 % 5000 + 1);
        cr_assert_not_null(pieces[i]);
        cr_assert_eq((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i & 0xff), i * 7 % 5000 + 1);
    }
    for (size_t i = 0; i < 1000; i++)
        for (size_t at = 0; at < i * 7 % 5000 + 1; at++)
            cr_assert_eq((unsigned char)pieces[i][at], i & 0xff);
    rf_arena_free(&arena);
}

Test(arena, gives_nothing_past_its_limit_and_again_after_a_reset)
{
    rf_arena arena;

    rf_arena_init(&arena, 1 << 20);
    cr_assert_null(rf_arena_alloc(&arena, (1 << 20) + 1));
    cr_assert_null(rf_arena_alloc(&arena, SIZE_MAX));
    size_t given = 0;
    while (rf_arena_alloc(&arena, 1000))
        given++;
    cr_assert_geq(given, 500);
    cr_assert_leq(arena.bytes, arena.bytes_max);
    rf_arena_reset(&arena);
    cr_assert_not_null(rf_arena_alloc(&arena, 1000));
    rf_arena_free(&arena);
}

Test(arena, is_filled_again_from_the_same_chunks_after_a_rewind_and_keeps_its_limit)
{
    rf_arena arena;
    size_t first = 0;

    rf_arena_init(&arena, 4 << 20);
    char *begin = rf_arena_alloc(&arena, 1000);
    while (rf_arena_alloc(&arena, 1000))
        first++;
    for (int round = 0; round < 3; round++) {
        size_t given = 0;
        rf_arena_rewind(&arena);
        cr_assert_eq(arena.bytes, 0);
        cr_assert_eq(rf_arena_alloc(&arena, 1000), begin, "the oldest chunk comes first");
        while (rf_arena_alloc(&arena, 1000)) {
            given++;
            cr_assert_leq(arena.bytes + arena.spare_bytes, arena.bytes_max);
        }
        cr_assert_eq(given, first);
    }
    /* a large piece does not fit beside the spare chunks: they go */
    rf_arena_rewind(&arena);
    cr_assert_gt(arena.spare_bytes, 2 << 20);
    cr_assert_not_null(rf_arena_alloc(&arena, 3 << 20));
    cr_assert_leq(arena.bytes + arena.spare_bytes, arena.bytes_max);
    rf_arena_free(&arena);
}

Test(arena, a_copy_ends_with_nul_and_empty_text_is_not_null)
{
    rf_arena arena;

    rf_arena_init(&arena, 1 << 20);
    rf_slice copy = rf_arena_copy(&arena, RF_SLICE("order-1"));
    cr_assert_str_eq(copy.data, "order-1");
    copy = rf_arena_copy(&arena, (rf_slice){NULL, 0});
    cr_assert_not_null(copy.data);
    cr_assert_eq(copy.size, 0);
    rf_arena_free(&arena);
}

Test(arena, takes_over_the_pieces_of_another)
{
    rf_arena to, from;

    rf_arena_init(&to, 1 << 20);
    rf_arena_init(&from, 1 << 20);
    rf_arena_adopt(&to, &from);
    cr_assert_eq(to.bytes, 0);
    for (int round = 0; round < 3; round++) {
        rf_slice mine = rf_arena_copy(&to, RF_SLICE("mine"));
        rf_slice yours = rf_arena_copy(&from, RF_SLICE("yours"));
        size_t bytes = to.bytes + from.bytes;
        rf_arena_adopt(&to, &from);
        cr_assert_eq(to.bytes, bytes);
        cr_assert_eq(from.bytes, 0);
        cr_assert(rf_slice_equal(mine, RF_SLICE("mine")) && rf_slice_equal(yours, RF_SLICE("yours")));
    }
    rf_arena_free(&to);
    rf_arena_free(&from);
}
