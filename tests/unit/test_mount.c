/* base/mount.c: what nobody can write to is read without locks. tests/cli/read_only_test.py has file systems of its own. */
#include "base/mount.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

Test(mount, a_file_system_that_can_be_written_is_not_unchanging)
{
    char path[] = "/tmp/refold-mount-XXXXXX";

    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_not(rf_mount_is_unchanging(path));
    (void)close(fd);
    (void)unlink(path);
}

Test(mount, what_is_not_known_is_not_unchanging)
{
    cr_assert_not(rf_mount_is_unchanging("/no/such/file"));
    cr_assert_not(rf_mount_is_unchanging("/proc/self/fd/0"));
}
