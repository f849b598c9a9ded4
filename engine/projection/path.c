/* Paths of fields as a definition writes them: parts between dots, in quotes where a name has a dot
 * or a blank.
 *
 *     path := ["metadata."] part ("." part)*      part := bare | '"' (char | '\' ('"' | '\'))* '"'
 *
 * A first part in quotes is a member of data whatever it is called. Brackets are reserved for
 * elements of lists, so a bare part has none.
 */
#include "projection/definition.h"

#include <stdlib.h>

enum { PATH_SIZE_MAX = 4096 };

static bool ends_bare(char byte)
{
    return byte == '.' || byte == ' ' || byte == '"' || byte == '[' || byte == ']';
}

/* One part from *at, unquoted to *to; both move on. */
static rf_status part_cut(const char *text, const char **at, char **to, rf_slice *part_out,
                          bool *quoted_out, rf_err *err)
{
    char *begin = *to;

    *quoted_out = **at == '"';
    if (!*quoted_out) {
        while (**at && !ends_bare(**at))
            *(*to)++ = *(*at)++;
        if (**at && **at != '.')
            return rf_fail(err, RF_ERR_PLUGIN, "path `%s`: a name with `%c` in it must be quoted",
                           text, **at);
    } else {
        ++*at;
        while (**at && **at != '"') {
            if (**at == '\\' && ((*at)[1] == '"' || (*at)[1] == '\\'))
                ++*at;
            *(*to)++ = *(*at)++;
        }
        if (!**at)
            return rf_fail(err, RF_ERR_PLUGIN, "path `%s`: a quote is not closed", text);
        ++*at;
    }
    *part_out = (rf_slice){begin, (size_t)(*to - begin)};
    if (part_out->size == 0 && !*quoted_out)
        return rf_fail(err, RF_ERR_PLUGIN, "path `%s`: a part is empty", text);
    if (**at && **at != '.')
        return rf_fail(err, RF_ERR_PLUGIN, "path `%s`: after a quoted part comes a dot or the end",
                       text);
    return RF_OK;
}

static rf_status parts_cut(const char *text, char *to, rf_slice parts[RF_PATH_PARTS_MAX],
                           rf_path *path, rf_err *err)
{
    const char *at = text;

    for (;;) {
        bool quoted;
        if (path->part_count == RF_PATH_PARTS_MAX)
            return rf_fail(err, RF_ERR_PLUGIN, "path `%s`: more than %d parts", text,
                           RF_PATH_PARTS_MAX);
        rf_slice *part = &parts[path->part_count];
        rf_status status = part_cut(text, &at, &to, part, &quoted, err);
        if (status != RF_OK)
            return status;
        if (path->part_count == 0 && !path->metadata && !quoted && *at == '.' &&
            rf_slice_equal(*part, RF_SLICE("metadata")))
            path->metadata = true;
        else
            path->part_count++;
        if (!*at)
            return RF_OK;
        at++;
    }
}

rf_status rf_path_parse(const char *text, rf_path *path_out, void **memory_out, rf_err *err)
{
    RF_ASSERT(text && path_out && memory_out);
    size_t size = strnlen(text, PATH_SIZE_MAX + 1);
    if (size > PATH_SIZE_MAX || !rf_utf8_valid((rf_slice){text, size}))
        return rf_fail(err, RF_ERR_PLUGIN, "a path is no UTF-8 of at most %d bytes", PATH_SIZE_MAX);
    rf_slice *parts = malloc(RF_PATH_PARTS_MAX * sizeof *parts + size + 1);
    if (!parts)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the path `%s`", text);
    rf_path path = {.parts = parts};
    rf_status status = parts_cut(text, (char *)(parts + RF_PATH_PARTS_MAX), parts, &path, err);
    if (status != RF_OK) {
        free(parts);
        return status;
    }
    *path_out = path;
    *memory_out = parts;
    return RF_OK;
}
