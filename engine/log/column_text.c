/* Text columns, see column.h.
 *
 * Numbers behind one beginning are stored as numbers (column_numbered.h) where they are mostly
 * distinct. A dictionary is taken where at most half of the values are distinct: it decodes without
 * touching each text. The hash table that builds it gives up early where values are mostly distinct. Stored
 * form: flags, size of the text, for a dictionary the number of its values, lengths as an integer
 * column, for a dictionary the codes, then the text; compressed text is preceded by a checksum of
 * what it was before compression. */
#include "log/column.h"

#include "base/checksum.h"
#include "log/bitpack.h"
#include "log/column_numbered.h"

enum { TEXT_DICTIONARY = 1, TEXT_COMPRESSED = 2, TEXT_NUMBERED = 4, TEXT_HEXADECIMAL = 8 };

enum {
    DICTIONARY_MAX = 1 << RF_BITPACK_CODE_WIDTH_MAX,
    TRIAL = 256, /* after so many values, and again and again, mostly distinct ones end the try */
    COMPRESS_MIN = 128, /* shorter texts do not gain */
    COMPRESS_LEVEL = 3,
    TEXT_SIZE_MAX = 17 << 20,
};

typedef struct text_dictionary {
    uint32_t *codes;  /* one per value */
    uint32_t *firsts; /* code -> index of the value that brought it */
    uint32_t count;
} text_dictionary;

static uint32_t text_hash(rf_slice text)
{
    uint64_t hash;

    if (text.size <= 16) {
        uint64_t a = 0, b = 0;
        if (text.size >= 8) {
            a = rf_load_u64(text.data);
            b = rf_load_u64(text.data + text.size - 8);
        } else if (text.size >= 4) {
            a = rf_load_u32(text.data);
            b = rf_load_u32(text.data + text.size - 4);
        } else if (text.size > 0) {
            a = (uint8_t)text.data[0];
            b = (uint64_t)(uint8_t)text.data[text.size / 2] << 8 |
                (uint8_t)text.data[text.size - 1];
        }
        hash = (a ^ (uint64_t)text.size << 56) * UINT64_C(0x9e3779b97f4a7c15);
        hash = (hash ^ (hash >> 32) ^ b) * UINT64_C(0xc2b2ae3d27d4eb4f);
    } else {
        hash = rf_checksum(text);
    }
    return (uint32_t)(hash ^ (hash >> 32));
}

/* False where a dictionary is no gain, or where there is no memory for trying. */
static bool text_dictionary_build(text_dictionary *dictionary, const rf_slice *values, size_t count,
                                  rf_arena *scratch)
{
    size_t slots = 64;
    size_t distinct_max = count / 2 < DICTIONARY_MAX ? count / 2 : DICTIONARY_MAX;

    if (count < 2)
        return false;
    while (slots < count)
        slots *= 2;
    uint32_t *table = rf_arena_alloc(scratch, slots * sizeof *table);
    dictionary->codes = rf_arena_alloc(scratch, count * sizeof *dictionary->codes);
    dictionary->firsts = rf_arena_alloc(scratch, distinct_max * sizeof *dictionary->firsts);
    dictionary->count = 0;
    if (!table || !dictionary->codes || !dictionary->firsts)
        return false;
    memset(table, 0, slots * sizeof *table);
    for (size_t i = 0; i < count; i++) {
        size_t slot = text_hash(values[i]) & (slots - 1);
        while (table[slot] &&
               !rf_short_equal(values[dictionary->firsts[table[slot] - 1]], values[i]))
            slot = (slot + 1) & (slots - 1);
        if (!table[slot]) {
            if (dictionary->count == distinct_max)
                return false;
            if (i >= TRIAL && i % TRIAL == 0 && dictionary->count > i - i / 8)
                return false;
            dictionary->firsts[dictionary->count++] = (uint32_t)i;
            table[slot] = dictionary->count;
        }
        dictionary->codes[i] = table[slot] - 1;
    }
    return true;
}

/* All texts as one: as they lie, where they lie one behind the other, else copied to `scratch`. */
static bool texts_join(const rf_slice *texts, size_t count, size_t size, rf_arena *scratch,
                       rf_slice *joined_out)
{
    bool adjacent = count > 0;

    for (size_t i = 1; i < count && adjacent; i++)
        adjacent = texts[i - 1].data + texts[i - 1].size == texts[i].data;
    if (adjacent) {
        *joined_out = (rf_slice){texts[0].data, size};
        return true;
    }
    char *at = rf_arena_bytes(scratch, size + 1);
    if (!at)
        return false;
    *joined_out = (rf_slice){at, size};
    for (size_t i = 0; i < count; i++) {
        if (texts[i].size)
            memcpy(at, texts[i].data, texts[i].size);
        at += texts[i].size;
    }
    return true;
}

static rf_status no_memory(rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "encoding a text column: out of memory");
}

/* The text itself and, before it, what the head says about it. */
static rf_status append_text(rf_slice text, uint8_t flags, rf_slice middle, rf_codec *codec,
                             rf_buf *out, rf_err *err)
{
    size_t begin = out->size;
    bool compressed = false;

    for (int attempt = codec && text.size >= COMPRESS_MIN; attempt >= 0; attempt--) {
        out->size = begin;
        rf_buf_append_byte(out, (uint8_t)(flags | (attempt ? TEXT_COMPRESSED : 0)));
        rf_buf_append_varint(out, text.size);
        rf_buf_append_slice(out, middle);
        if (!attempt) {
            rf_buf_append_slice(out, text);
            break;
        }
        rf_buf_append_u32(out, (uint32_t)rf_checksum(text));
        rf_status status = rf_codec_compress(codec, text, COMPRESS_LEVEL, out, &compressed, err);
        if (status != RF_OK)
            return status;
        if (compressed)
            break;
    }
    return rf_buf_check(out, "encoding a text column", err);
}

rf_status rf_text_column_encode(const rf_slice *values, size_t count, rf_codec *codec,
                                rf_arena *scratch, rf_buf *out, rf_err *err)
{
    text_dictionary dictionary;
    const rf_slice *texts = values;
    size_t text_count = count;
    rf_slice text = RF_SLICE("");
    size_t size = 0;

    if (count == 0)
        return RF_OK;
    rf_numbered numbered = {0};
    bool is_numbered = rf_numbered_measure(values, count, scratch, &numbered);
    bool has_dictionary = !(is_numbered && numbered.range >= count / 2) &&
                          text_dictionary_build(&dictionary, values, count, scratch);
    if (is_numbered && !has_dictionary) {
        rf_buf_append_byte(
            out, (uint8_t)(TEXT_NUMBERED | (numbered.hexadecimal ? TEXT_HEXADECIMAL : 0)));
        rf_numbered_append(&numbered, count, scratch, out);
        return rf_buf_check(out, "encoding a text column", err);
    }
    if (has_dictionary) {
        rf_slice *distinct = rf_arena_alloc(scratch, dictionary.count * sizeof *distinct);
        if (!distinct)
            return no_memory(err);
        for (uint32_t i = 0; i < dictionary.count; i++)
            distinct[i] = values[dictionary.firsts[i]];
        texts = distinct;
        text_count = dictionary.count;
    }
    int64_t *lengths = rf_arena_alloc(scratch, text_count * sizeof *lengths);
    if (!lengths)
        return no_memory(err);
    for (size_t i = 0; i < text_count; i++) {
        lengths[i] = (int64_t)texts[i].size;
        size += texts[i].size;
    }
    RF_ASSERT(size <= TEXT_SIZE_MAX);
    if (!texts_join(texts, text_count, size, scratch, &text))
        return no_memory(err);

    rf_buf middle, stored_lengths;
    rf_buf_init(&middle, 1 << 30);
    rf_buf_init(&stored_lengths, 1 << 30);
    rf_int_column_encode(lengths, text_count, scratch, &stored_lengths);
    if (has_dictionary)
        rf_buf_append_varint(&middle, text_count);
    rf_buf_append_varint(&middle, stored_lengths.size);
    rf_buf_append_slice(&middle, rf_buf_slice(&stored_lengths));
    if (has_dictionary)
        rf_bitpack_u32(dictionary.codes, count, rf_bit_width(text_count - 1), &middle);
    rf_status status = rf_buf_check(&stored_lengths, "encoding a text column", err);
    if (status == RF_OK)
        status = rf_buf_check(&middle, "encoding a text column", err);
    if (status == RF_OK)
        status = append_text(text, has_dictionary ? TEXT_DICTIONARY : 0, rf_buf_slice(&middle),
                             codec, out, err);
    rf_buf_free(&middle);
    rf_buf_free(&stored_lengths);
    return status;
}

static rf_status text_damaged(const char *what, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED, "a text column %s", what);
}

static rf_status decode_memory(rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "decoding a text column: out of memory, or over its limit");
}

/* The rest of the column as text in the arena, decompressed. */
static rf_status read_text(rf_bytes_reader *reader, uint8_t flags, size_t size, rf_codec *codec,
                           rf_arena *arena, char **text_out, rf_err *err)
{
    uint32_t checksum = flags & TEXT_COMPRESSED ? rf_read_u32(reader) : 0;
    rf_slice stored = rf_read_slice(reader, rf_bytes_left(reader));

    if (reader->failed || (!(flags & TEXT_COMPRESSED) && stored.size != size))
        return text_damaged("is not as long as its text", err);
    char *text = rf_arena_bytes(arena, size + 1);
    if (!text)
        return decode_memory(err);
    if (!(flags & TEXT_COMPRESSED)) {
        memcpy(text, stored.data, size);
    } else {
        rf_status status = rf_codec_decompress(codec, stored, text, size, err);
        if (status != RF_OK)
            return status;
        if ((uint32_t)rf_checksum((rf_slice){text, size}) != checksum)
            return text_damaged("does not match its checksum", err);
    }
    *text_out = text;
    return RF_OK;
}

/* Codes of a dictionary of `value_count` texts. */
static rf_status read_codes(rf_bytes_reader *reader, size_t count, size_t value_count,
                            rf_arena *arena, const uint32_t **codes_out, rf_err *err)
{
    unsigned width = rf_bit_width(value_count - 1);
    size_t size = rf_bitpack_size(count, width);
    rf_slice packed = rf_read_slice(reader, size);

    if (reader->failed)
        return text_damaged("ends within its codes", err);
    uint32_t *codes = rf_arena_alloc(arena, count * sizeof *codes);
    if (!codes)
        return decode_memory(err);
    rf_bitunpack_u32(packed, count, 0, width, codes);
    uint32_t code_max = 0;
    for (size_t i = 0; i < count; i++)
        code_max = codes[i] > code_max ? codes[i] : code_max;
    if (code_max >= value_count)
        return text_damaged("names a text that its dictionary lacks", err);
    *codes_out = codes;
    return RF_OK;
}

rf_status rf_text_column_decode(rf_slice stored, size_t count, rf_codec *codec, rf_arena *arena,
                                rf_arena *text_arena, rf_text_column *column_out, rf_err *err)
{
    rf_bytes_reader reader = rf_bytes_reader_of(stored);
    const uint32_t *codes = NULL;
    char *text = NULL;

    if (count == 0) {
        *column_out = (rf_text_column){0};
        return stored.size == 0 ? RF_OK : text_damaged("without values is not empty", err);
    }
    uint8_t flags = rf_read_byte(&reader);
    if (flags == TEXT_NUMBERED || flags == (TEXT_NUMBERED | TEXT_HEXADECIMAL)) {
        const rf_text_numbers *numbered = NULL;
        const rf_slice *texts = NULL;
        rf_status status = rf_numbered_decode(&reader, count, flags & TEXT_HEXADECIMAL,
                                              TEXT_SIZE_MAX, arena, &numbered, err);
        if (status == RF_OK && text_arena)
            status = rf_text_numbers_write(numbered, numbered->numbers, count, arena, text_arena,
                                           &texts, err);
        if (status == RF_OK)
            *column_out = (rf_text_column){texts, NULL, (uint32_t)count, numbered};
        return status;
    }
    uint64_t size = rf_read_varint(&reader);
    uint64_t text_count = flags & TEXT_DICTIONARY ? rf_read_varint(&reader) : count;
    uint64_t lengths_size = rf_read_varint(&reader);
    if (reader.failed || flags > (TEXT_DICTIONARY | TEXT_COMPRESSED) || size > TEXT_SIZE_MAX ||
        text_count == 0 || text_count > count ||
        (flags & TEXT_DICTIONARY && text_count > DICTIONARY_MAX) ||
        lengths_size > rf_bytes_left(&reader))
        return text_damaged("has a wrong head", err);

    rf_slice stored_lengths = rf_read_slice(&reader, lengths_size);
    int64_t *lengths = rf_arena_alloc(arena, text_count * sizeof *lengths);
    rf_slice *values = rf_arena_alloc(arena, text_count * sizeof *values);
    if (!lengths || !values)
        return decode_memory(err);
    rf_status status = rf_int_column_decode(stored_lengths, text_count, lengths, err);
    if (status == RF_OK && flags & TEXT_DICTIONARY)
        status = read_codes(&reader, count, text_count, arena, &codes, err);
    if (status == RF_OK)
        status = read_text(&reader, flags, size, codec, text_arena ? text_arena : arena, &text, err);
    if (status != RF_OK)
        return status;

    size_t left = size;
    for (size_t i = 0; i < text_count; i++) {
        if (lengths[i] < 0 || (uint64_t)lengths[i] > left)
            return text_damaged("has lengths that are not those of its text", err);
        values[i] = (rf_slice){text, (size_t)lengths[i]};
        text += lengths[i];
        left -= (size_t)lengths[i];
    }
    if (left != 0)
        return text_damaged("has lengths that are not those of its text", err);
    *column_out = (rf_text_column){values, codes, (uint32_t)text_count, NULL};
    return RF_OK;
}
