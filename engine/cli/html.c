#include "cli/html.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { PIECE_SIZE = 4096 };

void cli_html_put(rf_text *page, const char *format, ...)
{
    char piece[PIECE_SIZE];
    va_list arguments;

    va_start(arguments, format);
    int size = vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    if (size > 0)
        rf_text_append(
            page, (rf_slice){piece, (size_t)size < sizeof piece ? (size_t)size : sizeof piece - 1});
}

void cli_html_value(rf_text *page, const char *value)
{
    for (const char *at = value; *at; at++) {
        const char *escaped = NULL;
        switch (*at) {
        case '&':
            escaped = "&amp;";
            break;
        case '<':
            escaped = "&lt;";
            break;
        case '>':
            escaped = "&gt;";
            break;
        case '"':
            escaped = "&quot;";
            break;
        case '\'':
            escaped = "&#39;";
            break;
        default:
            break;
        }
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            escaped = "?";
        if (escaped)
            rf_text_append(page, (rf_slice){escaped, strlen(escaped)});
        else
            rf_text_append(page, (rf_slice){at, 1});
    }
}
