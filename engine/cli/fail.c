#include "cli/fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

rf_status cli_fail(rf_err *err, rf_status status, const char *format, ...)
{
    char line[RF_ERR_MESSAGE_SIZE];
    int cause = status == RF_ERR_IO ? errno : 0;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);

    size_t size = 0;
    for (const char *at = line; *at && size + 5 < sizeof err->message; at++) {
        unsigned char c = (unsigned char)*at;
        if (c < 0x20 || c == 0x7f)
            size += (size_t)snprintf(err->message + size, 5, "\\x%02x", c);
        else
            err->message[size++] = *at;
    }
    err->message[size] = '\0';
    err->status = status;
    err->cause = cause;
    err->position = 0;
    return status;
}
