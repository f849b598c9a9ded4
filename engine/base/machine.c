/* See machine.h. */
#include "base/machine.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The rest of the first line of a file of /proc that begins with `name`, without the blanks and the
 * colon after it. */
static bool find_line(const char *path, const char *name, char *out, size_t size)
{
    FILE *file = fopen(path, "re");
    char line[512];
    bool found = false;

    while (file && !found && fgets(line, sizeof line, file)) {
        if (strncmp(line, name, strlen(name)) != 0)
            continue;
        const char *at = line + strlen(name);
        at += strspn(at, " \t:");
        (void)snprintf(out, size, "%.*s", (int)strcspn(at, "\n"), at);
        found = true;
    }
    if (file)
        (void)fclose(file);
    return found;
}

void rf_machine_get(rf_machine *machine_out)
{
    rf_machine machine = {0};
    struct utsname system;
    long pages = sysconf(_SC_PHYS_PAGES);
    long page_size = sysconf(_SC_PAGESIZE);

    if (!find_line("/proc/cpuinfo", "model name", machine.processor, sizeof machine.processor))
        memcpy(machine.processor, "unknown", sizeof "unknown");
    if (uname(&system) == 0)
        (void)snprintf(machine.system, sizeof machine.system, "%.40s %.50s %.30s", system.sysname,
                       system.release, system.machine);
    if (pages > 0 && page_size > 0)
        machine.memory_bytes = (uint64_t)pages * (uint64_t)page_size;
    if (getloadavg(&machine.load, 1) != 1)
        machine.load = 0;
    *machine_out = machine;
}

bool rf_memory_peak_reset(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    (void)malloc_trim(0);
    bool done = write(fd, "5", 1) == 1; /* the kernel's number for the peak */
    (void)close(fd);
    return done;
}

uint64_t rf_memory_peak(void)
{
    char value[64];

    if (!find_line("/proc/self/status", "VmHWM", value, sizeof value))
        return 0;
    return strtoull(value, NULL, 10) * 1024;
}
