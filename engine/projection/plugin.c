/* See plugin.h. The only file that calls the dynamic linker. */
#include "projection/plugin.h"

#include "base/file.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct rf_plugin {
    rf_buf bytes;
    int fd; /* of the memory file, or -1 */
    void *handle;
    const rf_projection *tables;
};

static rf_status write_all(int fd, rf_slice bytes, const char *path, rf_err *err)
{
    while (bytes.size > 0) {
        ssize_t written = write(fd, bytes.data, bytes.size);
        if (written < 0)
            return rf_fail_errno(err, "%s: cannot be copied into memory", path);
        bytes.data += written;
        bytes.size -= (size_t)written;
    }
    return RF_OK;
}

/* What the linker says begins with its own name of the object, which is no name to anyone else. */
static const char *linker_reason(const char *name)
{
    const char *reason = dlerror();
    size_t size = strlen(name);

    if (!reason)
        return "no reason given";
    if (strncmp(reason, name, size) == 0 && strncmp(reason + size, ": ", 2) == 0)
        return reason + size + 2;
    return reason;
}

/* Bytes of the object that `symbol` names, by the plugin's own symbol table; 0 where it has no
 * size. */
static size_t symbol_size(const void *symbol)
{
    Dl_info info;
    const ElfW(Sym) *entry = NULL;
    void *extra = NULL;

    if (!dladdr1(symbol, &info, &extra, RTLD_DL_SYMENT) || !extra)
        return 0;
    entry = extra;
    return info.dli_saddr == symbol ? (size_t)entry->st_size : 0;
}

static rf_status check_tables(const void *symbol, const char *path, rf_err *err)
{
    const rf_projection *tables = symbol;
    size_t size = symbol_size(symbol);

    if (size < offsetof(rf_projection, name) || (uintptr_t)symbol % _Alignof(rf_projection) != 0 ||
        tables->magic != RF_PROJECTION_MAGIC)
        return rf_fail(err, RF_ERR_PLUGIN,
                       "%s: its `refold_projection` is not what refold/projection.h declares",
                       path);
    if (tables->abi != RF_PROJECTION_ABI)
        return rf_fail(err, RF_ERR_PLUGIN,
                       "%s: a plugin of ABI %u, and this refold has ABI %u; compile it again", path,
                       tables->abi, RF_PROJECTION_ABI);
    if (tables->struct_size != sizeof(rf_projection) || size < sizeof(rf_projection))
        return rf_fail(
            err, RF_ERR_PLUGIN,
            "%s: its tables have %u bytes, and those of ABI %u have %zu; compile it again", path,
            tables->struct_size, RF_PROJECTION_ABI, sizeof(rf_projection));
    return RF_OK;
}

static rf_status link_bytes(rf_plugin *plugin, const char *path, rf_err *err)
{
    char name[64];

    plugin->fd = memfd_create("refold-plugin", MFD_CLOEXEC);
    if (plugin->fd < 0)
        return rf_fail_errno(err, "%s: no memory file for the plugin", path);
    rf_status status = write_all(plugin->fd, rf_buf_slice(&plugin->bytes), path, err);
    if (status != RF_OK)
        return status;
    (void)snprintf(name, sizeof name, "/proc/self/fd/%d", plugin->fd);
    plugin->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (!plugin->handle)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: cannot be loaded: %s", path, linker_reason(name));
    const void *symbol = dlsym(plugin->handle, "refold_projection");
    if (!symbol)
        return rf_fail(err, RF_ERR_PLUGIN,
                       "%s: no projection: a shared object without the symbol `refold_projection`",
                       path);
    status = check_tables(symbol, path, err);
    if (status == RF_OK)
        plugin->tables = symbol;
    return status;
}

/* The linker maps what the program headers name and trusts that the file has it: a cut file would
 * raise SIGBUS inside dlopen. */
static bool elf_is_whole(rf_slice bytes)
{
    ElfW(Ehdr) header;

    if (bytes.size < sizeof header)
        return false;
    memcpy(&header, bytes.data, sizeof header);
    size_t sections = (size_t)header.e_shnum * header.e_shentsize;
    size_t programs = (size_t)header.e_phnum * sizeof(ElfW(Phdr));
    if (header.e_shoff > bytes.size || sections > bytes.size - header.e_shoff ||
        header.e_phoff > bytes.size || programs > bytes.size - header.e_phoff)
        return false;
    for (size_t i = 0; i < header.e_phnum; i++) {
        ElfW(Phdr) program;
        memcpy(&program, bytes.data + header.e_phoff + i * sizeof program, sizeof program);
        if (program.p_offset > bytes.size || program.p_filesz > bytes.size - program.p_offset)
            return false;
    }
    return true;
}

rf_status rf_plugin_load(const char *path, rf_plugin **plugin_out, rf_err *err)
{
    rf_plugin *plugin = calloc(1, sizeof *plugin);

    if (!plugin)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", path);
    plugin->fd = -1;
    rf_buf_init(&plugin->bytes, RF_PLUGIN_SIZE_MAX);
    rf_status status = rf_file_read(path, &plugin->bytes, err);
    if (status == RF_OK && (plugin->bytes.size < sizeof(ElfW(Ehdr)) ||
                            memcmp(plugin->bytes.data, ELFMAG, SELFMAG) != 0))
        status = rf_fail(err, RF_ERR_PLUGIN, "%s: no projection: not a shared object", path);
    if (status == RF_OK && !elf_is_whole(rf_buf_slice(&plugin->bytes)))
        status = rf_fail(err, RF_ERR_PLUGIN, "%s: no projection: a shared object that was cut off",
                         path);
    if (status == RF_OK)
        status = link_bytes(plugin, path, err);
    if (status != RF_OK) {
        rf_plugin_free(plugin);
        return status;
    }
    *plugin_out = plugin;
    return RF_OK;
}

void rf_plugin_free(rf_plugin *plugin)
{
    if (!plugin)
        return;
    bool unloaded = true;
    if (plugin->handle) {
        char name[64];
        (void)snprintf(name, sizeof name, "/proc/self/fd/%d", plugin->fd);
        (void)dlclose(plugin->handle);
        /* An object that insists on staying keeps its name, so the number must not be used again.
         */
        void *still = dlopen(name, RTLD_NOW | RTLD_NOLOAD);
        unloaded = still == NULL;
        if (still)
            (void)dlclose(still);
    }
    if (plugin->fd >= 0 && unloaded)
        (void)close(plugin->fd);
    rf_buf_free(&plugin->bytes);
    free(plugin);
}

const rf_projection *rf_plugin_tables(const rf_plugin *plugin)
{
    RF_ASSERT(plugin->tables);
    return plugin->tables;
}

rf_slice rf_plugin_bytes(const rf_plugin *plugin)
{
    return rf_buf_slice(&plugin->bytes);
}

void rf_plugin_forget_bytes(rf_plugin *plugin)
{
    rf_buf_free(&plugin->bytes);
}
