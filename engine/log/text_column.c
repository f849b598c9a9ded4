/* Text columns: a dictionary of distinct texts, or plain; see column.h.
 *
 * Whether a dictionary pays is found while it is built: a hash table of the distinct texts is filled, and given
 * up as soon as too many of the values so far were new.
 */
#include "log/column.h"

#include "base/checksum.h"

enum {
    FORM_DICTIONARY = 0,
    FORM_PLAIN = 1,
    FLAG_COMPRESSED = 2,
    COMPRESS_MIN = 128, /* bytes of text below which zstd only costs */
    COMPRESS_LEVEL = 3,
    GIVE_UP_AFTER = 64, /* values seen before the share of new ones counts */
    TEXT_BYTES_MAX = 64 << 20,
};

struct dictionary {
    uint32_t *slots; /* index + 1 of a distinct text; 0: free */
    uint32_t mask;
    rf_slice *texts;
    int64_t *codes;
    uint32_t count;
};

/* False where a dictionary does not pay, or there is no memory for it. */
static bool build_dictionary(const rf_slice *values, size_t count, rf_arena *scratch,
                             struct dictionary *dictionary)
{
    uint32_t slot_count = 64;

    while (slot_count < count)
        slot_count *= 2;
    dictionary->mask = slot_count - 1;
    dictionary->slots = rf_arena_alloc(scratch, slot_count * sizeof *dictionary->slots);
    dictionary->texts = rf_arena_alloc(scratch, count * sizeof *dictionary->texts);
    dictionary->codes = rf_arena_alloc(scratch, count * sizeof *dictionary->codes);
    if (!dictionary->slots || !dictionary->texts || !dictionary->codes)
        return false;
    memset(dictionary->slots, 0, slot_count * sizeof *dictionary->slots);
    for (size_t i = 0; i < count; i++) {
        uint32_t slot = (uint32_t)rf_checksum(values[i]) & dictionary->mask;
        uint32_t at;
        while ((at = dictionary->slots[slot]) != 0 &&
               !rf_slice_equal(dictionary->texts[at - 1], values[i]))
            slot = (slot + 1) & dictionary->mask;
        if (at == 0) {
            dictionary->texts[dictionary->count++] = values[i];
            at = dictionary->slots[slot] = dictionary->count;
            if (i >= GIVE_UP_AFTER && dictionary->count > i - i / 4)
                return false;
        }
        dictionary->codes[i] = at - 1;
    }
    return dictionary->count <= count - count / 4;
}

static rf_status append_ints(const int64_t *values, size_t count, rf_arena *scratch, rf_buf *out,
                             rf_err *err)
{
    rf_buf ints;

    rf_buf_init(&ints, count * 8 + 4096);
    rf_int_column_encode(values, count, scratch, &ints);
    rf_status status = rf_buf_check(&ints, "a text column", err);
    if (status == RF_OK) {
        rf_buf_append_varint(out, ints.size);
        rf_buf_append_slice(out, rf_buf_slice(&ints));
    }
    rf_buf_free(&ints);
    return status;
}

/* Lengths, then raw and stored size, then the text itself. */
static rf_status append_texts(const rf_slice *texts, size_t count, rf_codec *codec, rf_arena *scratch,
                              size_t form_at, rf_buf *out, rf_err *err)
{
    size_t raw_size = 0;

    int64_t *sizes = rf_arena_alloc(scratch, count * sizeof *sizes);
    if (!sizes)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a text column");
    for (size_t i = 0; i < count; i++) {
        sizes[i] = (int64_t)texts[i].size;
        raw_size += texts[i].size;
    }
    rf_status status = append_ints(sizes, count, scratch, out, err);
    if (status != RF_OK)
        return status;
    char *raw = rf_arena_bytes(scratch, raw_size + 1);
    if (!raw)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a text column");
    char *at = raw;
    for (size_t i = 0; i < count; i++) {
        if (texts[i].size)
            memcpy(at, texts[i].data, texts[i].size);
        at += texts[i].size;
    }
    rf_buf_append_varint(out, raw_size);
    if (!codec || raw_size < COMPRESS_MIN) {
        rf_buf_append(out, raw, raw_size);
        return rf_buf_check(out, "a text column", err);
    }
    bool compressed = false;
    status = rf_codec_compress(codec, (rf_slice){raw, raw_size}, COMPRESS_LEVEL, out, &compressed,
                               err);
    if (status == RF_OK && compressed)
        out->data[form_at] = (char)(out->data[form_at] | FLAG_COMPRESSED);
    return status;
}

rf_status rf_text_column_encode(const rf_slice *values, size_t count, rf_codec *codec,
                                rf_arena *scratch, rf_buf *out, rf_err *err)
{
    struct dictionary dictionary = {0};
    size_t form_at = out->size;

    if (count == 0)
        return RF_OK;
    if (count == 1 || !build_dictionary(values, count, scratch, &dictionary)) {
        rf_buf_append_byte(out, FORM_PLAIN);
        rf_status status = rf_buf_check(out, "a text column", err);
        return status == RF_OK ? append_texts(values, count, codec, scratch, form_at, out, err)
                               : status;
    }
    rf_buf_append_byte(out, FORM_DICTIONARY);
    rf_buf_append_varint(out, dictionary.count);
    rf_status status = append_ints(dictionary.codes, count, scratch, out, err);
    return status == RF_OK ? append_texts(dictionary.texts, dictionary.count, codec, scratch,
                                          form_at, out, err)
                           : status;
}

static rf_status damaged_text(rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED, "a column of text is damaged");
}

static rf_status read_ints(rf_bytes_reader *reader, size_t count, rf_arena *arena,
                           int64_t **values_out, rf_err *err)
{
    size_t size = (size_t)rf_read_varint(reader);
    rf_slice stored = rf_read_slice(reader, size);

    if (reader->failed)
        return damaged_text(err);
    int64_t *values = rf_arena_alloc(arena, count * sizeof *values);
    if (!values)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a text column");
    *values_out = values;
    return rf_int_column_decode(stored, count, values, err);
}

static rf_status read_texts(rf_bytes_reader *reader, size_t count, bool compressed, rf_codec *codec,
                            rf_arena *arena, rf_slice **texts_out, rf_err *err)
{
    int64_t *sizes = NULL;

    rf_status status = read_ints(reader, count, arena, &sizes, err);
    if (status != RF_OK)
        return status;
    uint64_t raw_size = rf_read_varint(reader);
    rf_slice stored = {reader->at, rf_bytes_left(reader)};
    if (reader->failed || raw_size > TEXT_BYTES_MAX || (!compressed && stored.size != raw_size))
        return damaged_text(err);
    char *raw = rf_arena_bytes(arena, (size_t)raw_size + 1);
    rf_slice *texts = rf_arena_alloc(arena, count * sizeof *texts);
    if (!raw || !texts)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a text column");
    if (compressed)
        status = rf_codec_decompress(codec, stored, raw, (size_t)raw_size, err);
    else
        memcpy(raw, stored.data, stored.size);
    if (status != RF_OK)
        return status;
    uint64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] < 0 || (uint64_t)sizes[i] > raw_size - at)
            return damaged_text(err);
        texts[i] = (rf_slice){raw + at, (size_t)sizes[i]};
        at += (uint64_t)sizes[i];
    }
    *texts_out = texts;
    return at == raw_size ? RF_OK : damaged_text(err);
}

rf_status rf_text_column_decode(rf_slice stored, size_t count, rf_codec *codec, rf_arena *arena,
                                rf_text_column *column_out, rf_err *err)
{
    rf_bytes_reader reader = rf_bytes_reader_of(stored);
    rf_text_column column = {.value_count = (uint32_t)count};
    rf_slice *texts = NULL;
    int64_t *codes = NULL;

    if (count == 0) {
        *column_out = column;
        return stored.size == 0 ? RF_OK : damaged_text(err);
    }
    unsigned form = rf_read_byte(&reader);
    bool compressed = form & FLAG_COMPRESSED;
    form &= ~(unsigned)FLAG_COMPRESSED;
    if (reader.failed || form > FORM_PLAIN)
        return damaged_text(err);
    if (form == FORM_DICTIONARY) {
        uint64_t distinct = rf_read_varint(&reader);
        if (reader.failed || distinct == 0 || distinct > count)
            return damaged_text(err);
        column.value_count = (uint32_t)distinct;
        rf_status status = read_ints(&reader, count, arena, &codes, err);
        if (status != RF_OK)
            return status;
    }
    rf_status status =
        read_texts(&reader, column.value_count, compressed, codec, arena, &texts, err);
    if (status != RF_OK)
        return status;
    column.values = texts;
    if (codes) {
        uint32_t *narrow = (uint32_t *)codes; /* in place: each index moves to the front half */
        for (size_t i = 0; i < count; i++) {
            if ((uint64_t)codes[i] >= column.value_count)
                return damaged_text(err);
            uint32_t code = (uint32_t)codes[i];
            memcpy(&narrow[i], &code, sizeof code);
        }
        column.codes = narrow;
    }
    *column_out = column;
    return RF_OK;
}
