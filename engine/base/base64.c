/* See base64.h. */
#include "base/base64.h"

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool rf_base64_decode(rf_slice text, rf_buf *out)
{
    size_t begin = out->size;
    unsigned bits = 0;

    if (text.size % 4 != 0)
        return false;
    for (int i = 0; i < 2; i++)
        text.size -= text.size > 0 && text.data[text.size - 1] == '=';
    for (size_t i = 0; i < text.size; i++) {
        int digit = digit_of(text.data[i]);
        if (digit < 0) {
            out->size = begin;
            return false;
        }
        bits = (bits << 6 | (unsigned)digit) & 0xfff;
        if (i % 4 > 0)
            rf_buf_append_byte(out, (uint8_t)(bits >> (6 - 2 * (i % 4))));
    }
    return !out->failed;
}
