/* See error.h. */
#include "base/error.h"

#include "base/bytes.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int rf_status_exit_code(rf_status status)
{
    switch (status) {
    case RF_OK:
        return 0;
    case RF_ERR_USAGE:
        return 2;
    case RF_ERR_NO_ROW:
    case RF_ERR_NOTHING:
        return 3;
    case RF_ERR_REFUSED:
        return 4;
    case RF_ERR_LOCKED:
        return 5;
    case RF_ERR_DAMAGED:
        return 6;
    case RF_ERR_UNREACHABLE:
        return 75;
    case RF_ERR_INTERRUPTED:
        return 130;
    case RF_ERR_IO:
    case RF_ERR_MEMORY:
    case RF_ERR_INPUT:
    case RF_ERR_ABSENT:
    case RF_ERR_FORMAT:
    case RF_ERR_PLUGIN:
        return 1;
    }
    return 1;
}

/* Copies `text` into the message, escaping what could break the line or the terminal, and cutting
 * at a character's border when it is too long. */
static void message_set(rf_err *err, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    size_t size = strlen(text);
    size_t used = 0;

    for (size_t i = 0; i < size;) {
        unsigned char byte = (unsigned char)text[i];
        size_t width = rf_utf8_width((rf_slice){text + i, size - i});
        bool escaped = width == 0 || byte < 0x20 || byte == 0x7f;
        if (used + (escaped ? 4 : width) + 4 > sizeof err->message) {
            memcpy(err->message + used, "...", 3);
            used += 3;
            break;
        }
        if (escaped) {
            err->message[used++] = '\\';
            err->message[used++] = 'x';
            err->message[used++] = hex[byte >> 4];
            err->message[used++] = hex[byte & 15];
            i += 1;
        } else {
            memcpy(err->message + used, text + i, width);
            used += width;
            i += width;
        }
    }
    err->message[used] = '\0';
}

static rf_status fail_with(rf_err *err, rf_status status, int cause, const char *text)
{
    RF_ASSERT(status != RF_OK);
    if (err) {
        err->status = status;
        err->cause = cause;
        err->position = 0;
        message_set(err, text);
    }
    return status;
}

rf_status rf_fail(rf_err *err, rf_status status, const char *format, ...)
{
    char text[2 * RF_ERR_MESSAGE_SIZE];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return fail_with(err, status, 0, text);
}

rf_status rf_fail_errno(rf_err *err, const char *format, ...)
{
    char text[2 * RF_ERR_MESSAGE_SIZE];
    int cause = errno;
    va_list args;

    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof text)
        size = (int)sizeof text - 1;
    char reason[128];
    const char *known = strerror_r(cause, reason, sizeof reason);
    (void)snprintf(text + size, sizeof text - (size_t)size, ": %s", known);
    return fail_with(err, cause == ENOMEM ? RF_ERR_MEMORY : RF_ERR_IO, cause, text);
}

rf_status rf_err_context(rf_err *err, const char *format, ...)
{
    char text[2 * RF_ERR_MESSAGE_SIZE];
    va_list args;

    if (!err)
        return RF_ERR_IO;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= sizeof text)
        size = (int)sizeof text - 1;
    (void)snprintf(text + size, sizeof text - (size_t)size, ": %s", err->message);
    message_set(err, text);
    return err->status;
}

rf_status rf_err_suffix(rf_err *err, const char *format, ...)
{
    enum { CUT = 16 }; /* room for "; ", "..." and a character that is escaped */
    char suffix[RF_ERR_MESSAGE_SIZE / 2];
    char text[2 * RF_ERR_MESSAGE_SIZE];
    va_list args;

    if (!err)
        return RF_ERR_IO;
    va_start(args, format);
    (void)vsnprintf(suffix, sizeof suffix, format, args);
    va_end(args);
    size_t room = sizeof err->message - CUT - strlen(suffix);
    size_t size = strlen(err->message);
    (void)snprintf(text, sizeof text, "%.*s%s; %s", (int)(size > room ? room : size), err->message,
                   size > room ? "..." : "", suffix);
    message_set(err, text);
    return err->status;
}

void rf_assert_failed(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "refold: programmer's error: %s does not hold (%s:%d)\n", condition, file,
                  line);
    abort();
}
