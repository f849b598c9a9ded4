/* See mount.h. A line of mountinfo has the device of the file system, options of the mount, and, behind a lone dash, its
 * kind, its source and its own options:
 *
 *     63 43 0:39 / /mnt/copy ro,relatime - tmpfs none ro
 */
#include "base/mount.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* A server, the host of a virtual machine or a program may write to these while they are read-only here. */
static bool is_shared(const char *kind)
{
    static const char *const kinds[] = {"nfs", "nfs4", "cifs", "smb3", "9p", "virtiofs", "ceph", "glusterfs", "lustre",
                                        "afs", "gfs2", "ocfs2", "overlay"};

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    return strncmp(kind, "fuse", 4) == 0;
}

static bool has_option(const char *options, const char *wanted)
{
    size_t size = strlen(wanted);

    for (const char *at = options; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, wanted, size) == 0 && strchr(",\n ", at[size]))
            return true;
    }
    return false;
}

/* What the line says of the file system; false where it is another's. */
static bool look_at(const char *line, dev_t device, bool *unchanging_out)
{
    char kind[64], options[1024];
    unsigned major_number, minor_number;

    if (sscanf(line, "%*d %*d %u:%u", &major_number, &minor_number) != 2 || makedev(major_number, minor_number) != device)
        return false;
    const char *dash = strstr(line, " - ");
    *unchanging_out = dash && sscanf(dash, " - %63s %*s %1023s", kind, options) == 2 && has_option(options, "ro") &&
                      !is_shared(kind);
    return true;
}

bool rf_mount_is_unchanging(const char *path)
{
    struct stat info;
    char *line = NULL;
    size_t size = 0;
    bool unchanging = false;

    if (stat(path, &info) != 0)
        return false;
    FILE *file = fopen("/proc/self/mountinfo", "re");
    if (!file)
        return false;
    while (getline(&line, &size, file) > 0)
        if (look_at(line, info.st_dev, &unchanging))
            break;
    free(line);
    (void)fclose(file);
    return unchanging;
}
