/* See streams_pack.h. */
#include "log/streams_pack.h"

/* By the rules of docs/FORMAT.md; a test compares it with them. */
const rf_streams_form rf_streams_forms[256] = {
    {0, 0}, {1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}, {6, 6}, {7, 7}, {8, 8}, {9, 9}, {10, 10},
    {11, 11}, {12, 12}, {13, 13}, {14, 14}, {15, 15}, {16, 16}, {17, 17}, {18, 18}, {19, 19},
    {20, 20}, {21, 21}, {22, 22}, {23, 23}, {24, 24}, {25, 25}, {26, 26}, {27, 27}, {28, 28},
    {29, 29}, {30, 30}, {31, 31}, {32, 32}, {33, 33}, {34, 34}, {35, 35}, {36, 36}, {37, 37},
    {38, 38}, {39, 39}, {40, 40}, {41, 41}, {42, 42}, {43, 43}, {44, 44}, {45, 45}, {46, 46},
    {47, 47}, {48, 48}, {49, 49}, {50, 50}, {51, 51}, {52, 52}, {53, 53}, {54, 54}, {55, 55},
    {56, 56}, {57, 57}, {58, 58}, {59, 59}, {60, 60}, {61, 61}, {62, 62}, {63, 63}, {64, 64},
    {65, 65}, {66, 66}, {67, 67}, {68, 68}, {69, 69}, {70, 70}, {71, 71}, {72, 72}, {73, 73},
    {74, 74}, {75, 75}, {76, 76}, {77, 77}, {78, 78}, {79, 79}, {80, 80}, {81, 81}, {82, 82},
    {83, 83}, {84, 84}, {85, 85}, {86, 86}, {87, 87}, {88, 88}, {89, 89}, {90, 90}, {91, 91},
    {92, 92}, {93, 93}, {94, 94}, {95, 95}, {96, 96}, {97, 97}, {98, 98}, {99, 99}, {100, 100},
    {101, 101}, {102, 102}, {103, 103}, {104, 104}, {105, 105}, {106, 106}, {107, 107},
    {108, 108}, {109, 109}, {110, 110}, {111, 111}, {112, 112}, {113, 113}, {114, 114},
    {115, 115}, {116, 116}, {117, 117}, {118, 118}, {119, 119}, {120, 120}, {121, 121},
    {122, 122}, {123, 123}, {124, 124}, {125, 125}, {126, 126}, {127, 127}, {255, 0}, {1, 1},
    {1, 2}, {2, 3}, {2, 4}, {3, 5}, {3, 6}, {4, 7}, {4, 8}, {5, 9}, {5, 10}, {6, 11}, {6, 12},
    {6, 13}, {7, 14}, {7, 15}, {8, 16}, {8, 17}, {8, 18}, {9, 19}, {9, 20}, {10, 21}, {10, 22},
    {10, 23}, {11, 24}, {11, 25}, {12, 26}, {12, 27}, {12, 28}, {13, 29}, {13, 30}, {14, 31},
    {14, 32}, {15, 33}, {15, 34}, {16, 35}, {16, 36}, {255, 0}, {255, 0}, {255, 0}, {0, 0},
    {1, 1}, {1, 2}, {2, 3}, {2, 4}, {3, 5}, {3, 6}, {4, 7}, {4, 8}, {5, 9}, {5, 10}, {6, 11},
    {6, 12}, {7, 13}, {7, 14}, {8, 15}, {8, 16}, {9, 17}, {9, 18}, {10, 19}, {10, 20}, {11, 21},
    {11, 22}, {12, 23}, {12, 24}, {13, 25}, {13, 26}, {14, 27}, {14, 28}, {15, 29}, {15, 30},
    {16, 31}, {16, 32}, {17, 33}, {17, 34}, {18, 35}, {18, 36}, {19, 37}, {19, 38}, {20, 39},
    {20, 40}, {21, 41}, {21, 42}, {22, 43}, {22, 44}, {23, 45}, {23, 46}, {24, 47}, {24, 48},
    {25, 49}, {25, 50}, {26, 51}, {26, 52}, {27, 53}, {27, 54}, {28, 55}, {28, 56}, {29, 57},
    {29, 58}, {30, 59}, {30, 60}, {31, 61}, {31, 62}, {32, 63}, {32, 64}, {33, 65}, {33, 66},
    {34, 67}, {34, 68}, {35, 69}, {35, 70}, {36, 71}, {36, 72}, {37, 73}, {37, 74}, {38, 75},
    {38, 76}, {39, 77}, {39, 78}, {40, 79}, {40, 80}, {41, 81}, {41, 82}, {42, 83}, {42, 84},
    {43, 85}, {43, 86}, {255, 0},
};

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
