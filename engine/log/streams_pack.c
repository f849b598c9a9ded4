/* See streams_pack.h. */
#include "log/streams_pack.h"

/* Eight characters as digits, the first in the highest bits; false where one is no small
 * hexadecimal digit. */
static bool digits_of_text(const char *text, uint32_t *digits_out)
{
    uint64_t characters = rf_load_u64(text);
    uint64_t values = (characters & 0x0f0f0f0f0f0f0f0fu) +
                      (characters >> 6 & 0x0101010101010101u) * 9; /* letters have bit 6 */
    uint64_t digits = __builtin_bswap64(values);

    digits = (digits | digits >> 4) & 0x00ff00ff00ff00ffu;
    digits = (digits | digits >> 8) & 0x0000ffff0000ffffu;
    *digits_out = (uint32_t)(digits | digits >> 16);
    return (values & 0xf0f0f0f0f0f0f0f0u) == 0 && rf_streams_digits_text(*digits_out) == characters;
}

/* The digits of a UUID, the first in the highest bits of *high_out. */
static bool uuid_digits(const char *text, uint64_t *high_out, uint64_t *low_out)
{
    char digits[RF_REST_UUID_DIGITS];
    uint32_t parts[4];

    if (text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-')
        return false;
    memcpy(digits, text, 8);
    memcpy(digits + 8, text + 9, 4);
    memcpy(digits + 12, text + 14, 4);
    memcpy(digits + 16, text + 19, 4);
    memcpy(digits + 20, text + 24, 12);
    for (unsigned i = 0; i < 4; i++)
        if (!digits_of_text(digits + 8 * (size_t)i, &parts[i]))
            return false;
    *high_out = (uint64_t)parts[0] << 32 | parts[1];
    *low_out = (uint64_t)parts[2] << 32 | parts[3];
    return true;
}

/* The last `size` characters of a UUID, whose digits are high and low. */
static size_t pack_uuid(uint64_t high, uint64_t low, uint32_t size, char *out)
{
    uint32_t digits = rf_streams_uuid_digits(size);
    uint32_t bits = 4 * (RF_REST_UUID_DIGITS - digits);
    char bytes[16];

    if (bits >= 64) {
        high = low << (bits - 64);
        low = 0;
    } else if (bits > 0) {
        high = high << bits | low >> (64 - bits);
        low <<= bits;
    }
    rf_store_u64(bytes, __builtin_bswap64(high));
    rf_store_u64(bytes + 8, __builtin_bswap64(low));
    *out = (char)(uint8_t)(RF_REST_UUID + size);
    memcpy(out + 1, bytes, (digits + 1) / 2);
    return 1 + (digits + 1) / 2;
}

/* The value of a small hexadecimal digit; 16 for none. */
static unsigned digit_value(char character)
{
    if (character >= '0' && character <= '9')
        return (unsigned)(character - '0');
    return character >= 'a' && character <= 'f' ? (unsigned)(character - 'a') + 10 : 16;
}

static bool pack_hexadecimal(const char *text, uint32_t size, char *out)
{
    for (uint32_t i = 0; i < size; i += 2) {
        unsigned high = digit_value(text[i]);
        unsigned low = i + 1 < size ? digit_value(text[i + 1]) : 0;
        if (high > 15 || low > 15)
            return false;
        out[1 + i / 2] = (char)(uint8_t)(high << 4 | low);
    }
    *out = (char)(uint8_t)(RF_REST_HEX + size);
    return true;
}

size_t rf_streams_rest_pack(rf_slice name, uint32_t shared, char *out)
{
    uint32_t size = (uint32_t)name.size - shared;
    const char *text = name.data + shared;
    uint64_t high, low;

    RF_ASSERT(shared <= name.size && name.size <= UINT16_MAX);
    if (size >= 2 && size <= RF_REST_UUID_SIZE && name.size >= RF_REST_UUID_SIZE &&
        uuid_digits(name.data + name.size - RF_REST_UUID_SIZE, &high, &low))
        return pack_uuid(high, low, size, out);
    if (size >= 2 && size <= RF_REST_HEX_MAX && pack_hexadecimal(text, size, out))
        return 1 + (size + 1) / 2;
    if (size < RF_REST_UUID) {
        *out = (char)(uint8_t)size;
        memcpy(out + 1, text, size);
        return 1 + size;
    }
    *out = (char)(uint8_t)RF_REST_LONG;
    rf_store_u16(out + 1, (uint16_t)size);
    memcpy(out + RF_REST_HEAD_MAX, text, size);
    return RF_REST_HEAD_MAX + size;
}

void rf_streams_rest_unpack(const rf_streams_rest *rest, char *out)
{
    RF_ASSERT(!rf_streams_rest_is_plain(rest));
    if (rest->form >= RF_REST_HEX) {
        for (uint32_t i = 0; i < rest->size; i++) {
            unsigned byte = (uint8_t)rest->stored[i / 2];
            out[i] = "0123456789abcdef"[i % 2 ? byte & 15 : byte >> 4];
        }
        return;
    }
    char stored[16] = {0};
    uint64_t words[5];
    memcpy(stored, rest->stored, rest->stored_size);
    rf_streams_uuid_text(stored, RF_REST_UUID_DIGITS - rf_streams_uuid_digits(rest->size), words);
    memcpy(out, (const char *)words + RF_REST_UUID_SIZE - rest->size, rest->size);
}
