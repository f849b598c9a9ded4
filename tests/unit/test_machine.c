/* machine.h: what the machine is, and the peak of memory. */
#include "base/machine.h"

#include <criterion/criterion.h>
#include <sys/mman.h>

Test(machine, says_what_it_is)
{
    rf_machine machine;

    rf_machine_get(&machine);
    cr_assert_neq(machine.processor[0], '\0');
    cr_assert_eq(strncmp(machine.system, "Linux ", 6), 0);
    cr_assert_gt(machine.memory_bytes, (uint64_t)16 << 20);
    cr_assert_geq(machine.load, 0);
}

/* Memory that is resident for a moment; not from malloc, which may keep it. */
static void take(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq(memory, MAP_FAILED);
    memset(memory, 1, size);
    cr_assert_eq(munmap(memory, size), 0);
}

Test(machine, the_peak_rises_with_what_is_taken_and_falls_with_a_reset)
{
    const size_t size = (size_t)64 << 20;

    take(size);
    uint64_t before = rf_memory_peak();
    cr_assert_gt(before, size);
    if (!rf_memory_peak_reset())
        cr_skip("the kernel does not allow it");
    cr_assert_lt(rf_memory_peak(), before - size / 2);
    take(size / 2);
    cr_assert_gt(rf_memory_peak(), size / 2);
    cr_assert_lt(rf_memory_peak(), before);
}
