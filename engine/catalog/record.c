/* See record.h. */
#include "catalog/record_key.h"

#include <stdlib.h>

enum { LIST_MAX = 1 << 20, FLAG_PINNED = 1 };
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

rf_record_key rf_record_key_of(const char *name, char kind)
{
    size_t size = strlen(name);
    rf_record_key key;

    RF_ASSERT(size < 64);
    memcpy(key.bytes, name, size);
    key.bytes[size] = '\0';
    key.bytes[size + 1] = kind;
    key.size = size + 2;
    return key;
}

rf_record_key rf_record_key_numbered(const char *name, char kind, uint64_t number)
{
    rf_record_key key = rf_record_key_of(name, kind);

    rf_store_u64_be(key.bytes + key.size, number);
    key.size += 8;
    return key;
}

bool rf_record_name_valid(const char *name)
{
    size_t size = strlen(name);

    if (size == 0 || size > 63 || *name < 'a' || *name > 'z')
        return false;
    for (; *name; name++)
        if (!(*name >= 'a' && *name <= 'z') && !(*name >= '0' && *name <= '9') && *name != '_')
            return false;
    return true;
}

static uint64_t record_checksum(rf_slice key, rf_slice payload)
{
    return rf_checksum_seeded(payload, rf_checksum(key));
}

rf_status rf_record_fail(rf_slice key, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED,
                   "live/: damaged: a catalog record of \"%.*s\" does not hold",
                   (int)strnlen(key.data, key.size), key.data);
}

rf_status rf_record_open(rf_slice key, rf_slice value, rf_bytes_reader *payload_out, rf_err *err)
{
    if (value.size < 8)
        return rf_record_fail(key, err);
    rf_slice payload = {value.data, value.size - 8};
    if (rf_load_u64(payload.data + payload.size) != record_checksum(key, payload))
        return rf_record_fail(key, err);
    *payload_out = rf_bytes_reader_of(payload);
    return RF_OK;
}

rf_status rf_record_get(rf_kv_txn *txn, const rf_record_key *key, rf_bytes_reader *payload_out,
                            bool *found_out, rf_err *err)
{
    rf_slice at = {key->bytes, key->size};
    rf_slice value;

    rf_status status = rf_kv_get(txn, RF_CATALOG_TABLE, at, &value, found_out, err);
    return status == RF_OK && *found_out ? rf_record_open(at, value, payload_out, err) : status;
}

rf_status rf_record_put(rf_kv_txn *txn, const rf_record_key *key, rf_buf *payload, rf_err *err)
{
    rf_slice at = {key->bytes, key->size};

    rf_buf_append_u64(payload, record_checksum(at, rf_buf_slice(payload)));
    rf_status status = rf_buf_check(payload, "a catalog record", err);
    if (status == RF_OK)
        status = rf_kv_put(txn, RF_CATALOG_TABLE, at, rf_buf_slice(payload), err);
    rf_buf_free(payload);
    return status;
}

rf_status rf_record_get_epoch(rf_kv_txn *txn, uint64_t *epoch_out, rf_err *err)
{
    rf_record_key key = rf_record_key_of("", 'e');
    rf_bytes_reader in;
    bool found;

    rf_status status = rf_record_get(txn, &key, &in, &found, err);
    if (status != RF_OK)
        return status;
    uint64_t epoch = found ? rf_read_u64(&in) : 0;
    if (found && in.failed)
        return rf_record_fail((rf_slice){key.bytes, key.size}, err);
    *epoch_out = epoch;
    return RF_OK;
}

rf_status rf_record_put_epoch(rf_kv_txn *txn, uint64_t epoch, rf_err *err)
{
    rf_record_key key = rf_record_key_of("", 'e');
    rf_buf payload;

    rf_buf_init(&payload, RF_RECORD_VALUE_SIZE_MAX);
    rf_buf_append_u64(&payload, epoch);
    return rf_record_put(txn, &key, &payload, err);
}

static bool read_model(rf_bytes_reader *in, rf_catalog_model *model)
{
    model->live = rf_read_u64(in);
    model->next_number = rf_read_u64(in);
    model->epoch = rf_read_u64(in);
    model->history_count = rf_read_u32(in);
    if (model->history_count > COUNT_OF(model->history))
        return false;
    for (uint32_t i = 0; i < model->history_count; i++)
        model->history[i] = rf_read_u64(in);
    model->held_count = rf_read_u32(in);
    if (model->held_count > COUNT_OF(model->held))
        return false;
    for (uint32_t i = 0; i < model->held_count; i++) {
        model->held[i].version = rf_read_u32(in);
        model->held[i].content.low = rf_read_u64(in);
        model->held[i].content.high = rf_read_u64(in);
    }
    model->colour_count = rf_read_u32(in);
    if (model->colour_count > COUNT_OF(model->colours))
        return false;
    for (uint32_t i = 0; i < model->colour_count; i++) {
        model->colours[i].version = rf_read_u32(in);
        model->colours[i].number = rf_read_u64(in);
    }
    return !in->failed && rf_bytes_left(in) == 0 && model->next_number > model->live;
}

rf_status rf_record_get_model(rf_kv_txn *txn, const char *name, rf_catalog_model *model_out,
                              bool *found_out, rf_err *err)
{
    rf_catalog_model model = {.next_number = 1};
    rf_bytes_reader in;
    bool found = false;

    if (rf_record_name_valid(name)) {
        rf_record_key key = rf_record_key_of(name, 'm');
        rf_status status = rf_record_get(txn, &key, &in, &found, err);
        if (status != RF_OK)
            return status;
        memcpy(model.name, name, strlen(name) + 1);
        if (found && !read_model(&in, &model))
            return rf_record_fail((rf_slice){key.bytes, key.size}, err);
    }
    *model_out = model;
    *found_out = found;
    return RF_OK;
}

rf_status rf_record_put_model(rf_kv_txn *txn, const rf_catalog_model *model, rf_err *err)
{
    rf_record_key key = rf_record_key_of(model->name, 'm');
    rf_buf payload;

    RF_ASSERT(model->next_number > model->live);
    rf_buf_init(&payload, RF_RECORD_VALUE_SIZE_MAX);
    rf_buf_append_u64(&payload, model->live);
    rf_buf_append_u64(&payload, model->next_number);
    rf_buf_append_u64(&payload, model->epoch);
    rf_buf_append_u32(&payload, model->history_count);
    for (uint32_t i = 0; i < model->history_count; i++)
        rf_buf_append_u64(&payload, model->history[i]);
    rf_buf_append_u32(&payload, model->held_count);
    for (uint32_t i = 0; i < model->held_count; i++) {
        rf_buf_append_u32(&payload, model->held[i].version);
        rf_buf_append_u64(&payload, model->held[i].content.low);
        rf_buf_append_u64(&payload, model->held[i].content.high);
    }
    rf_buf_append_u32(&payload, model->colour_count);
    for (uint32_t i = 0; i < model->colour_count; i++) {
        rf_buf_append_u32(&payload, model->colours[i].version);
        rf_buf_append_u64(&payload, model->colours[i].number);
    }
    return rf_record_put(txn, &key, &payload, err);
}

static bool read_generation(rf_bytes_reader *in, rf_catalog_generation *generation)
{
    generation->version = rf_read_u32(in);
    generation->content_hash.low = rf_read_u64(in);
    generation->content_hash.high = rf_read_u64(in);
    generation->position = generation->sealed_position = rf_read_u64(in);
    generation->rows = generation->sealed_rows = rf_read_u64(in);
    generation->manifest_checksum = rf_read_u64(in);
    generation->delta = rf_read_u32(in);
    uint8_t flags = rf_read_byte(in);
    generation->is_pinned = flags == FLAG_PINNED;
    generation->set = rf_read_u64(in);
    generation->replaced_by = rf_read_u64(in);
    generation->counts_as = rf_read_u64(in);
    return !in->failed && rf_bytes_left(in) == 0 && flags <= FLAG_PINNED &&
           generation->counts_as > 0 && generation->counts_as <= generation->number &&
           (generation->replaced_by == 0 || generation->replaced_by >= generation->number);
}

/* What a checkpoint says is newer than what was sealed. */
static rf_status advance(rf_kv_txn *txn, rf_catalog_generation *generation, rf_err *err)
{
    rf_checkpoint checkpoint = {0};
    bool found = false;

    rf_status status = rf_record_get_checkpoint(txn, generation->name, generation->number,
                                                &checkpoint, &found, err);
    if (status == RF_OK && found) {
        generation->position = checkpoint.position;
        generation->rows = checkpoint.digest.rows;
    }
    return status;
}

rf_status rf_record_get_generation(rf_kv_txn *txn, const char *name, uint64_t number,
                                   rf_catalog_generation *out, bool *found_out, rf_err *err)
{
    rf_catalog_generation generation = {.number = number};
    rf_bytes_reader in;
    bool found = false;

    if (rf_record_name_valid(name)) {
        rf_record_key key = rf_record_key_numbered(name, 'g', number);
        rf_status status = rf_record_get(txn, &key, &in, &found, err);
        if (status != RF_OK)
            return status;
        memcpy(generation.name, name, strlen(name) + 1);
        if (found && !read_generation(&in, &generation))
            return rf_record_fail((rf_slice){key.bytes, key.size}, err);
        if (found)
            status = advance(txn, &generation, err);
        if (status != RF_OK)
            return status;
    }
    if (found)
        *out = generation;
    *found_out = found;
    return RF_OK;
}

rf_status rf_record_put_generation(rf_kv_txn *txn, const rf_catalog_generation *generation,
                                   rf_err *err)
{
    rf_record_key key = rf_record_key_numbered(generation->name, 'g', generation->number);
    rf_buf payload;

    rf_buf_init(&payload, RF_RECORD_VALUE_SIZE_MAX);
    rf_buf_append_u32(&payload, generation->version);
    rf_buf_append_u64(&payload, generation->content_hash.low);
    rf_buf_append_u64(&payload, generation->content_hash.high);
    rf_buf_append_u64(&payload, generation->sealed_position);
    rf_buf_append_u64(&payload, generation->sealed_rows);
    rf_buf_append_u64(&payload, generation->manifest_checksum);
    rf_buf_append_u32(&payload, generation->delta);
    rf_buf_append_byte(&payload, generation->is_pinned ? FLAG_PINNED : 0);
    rf_buf_append_u64(&payload, generation->set);
    rf_buf_append_u64(&payload, generation->replaced_by);
    rf_buf_append_u64(&payload, generation->counts_as);
    return rf_record_put(txn, &key, &payload, err);
}

/* Grows a list by one zeroed item of `size` bytes; NULL without memory. */
static void *list_add(void **list, uint32_t *count, size_t size)
{
    if ((*count & (*count - 1)) == 0) {
        size_t room = *count ? 2 * (size_t)*count : 1;
        void *grown = *count < LIST_MAX ? realloc(*list, room * size) : NULL;
        if (!grown)
            return NULL;
        *list = grown;
    }
    char *item = (char *)*list + (size_t)(*count)++ * size;
    memset(item, 0, size);
    return item;
}

/* One record into its list; other kinds are passed over. */
static rf_status list_record(rf_slice key, rf_slice value, char kind, void **list, uint32_t *count,
                             rf_err *err)
{
    size_t name_size = strnlen(key.data, key.size);
    rf_bytes_reader in;

    if (name_size == 0 || name_size > 63 || key.size < name_size + 2 ||
        key.data[name_size + 1] != kind)
        return RF_OK;
    rf_status status = rf_record_open(key, value, &in, err);
    if (status != RF_OK)
        return status;
    size_t size = kind == 'm' ? sizeof(rf_catalog_model) : sizeof(rf_catalog_generation);
    void *item = list_add(list, count, size);
    if (!item)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u records of the catalog", *count);
    if (kind == 'm') {
        rf_catalog_model *model = item;
        memcpy(model->name, key.data, name_size);
        return read_model(&in, model) ? RF_OK : rf_record_fail(key, err);
    }
    rf_catalog_generation *generation = item;
    memcpy(generation->name, key.data, name_size);
    if (key.size != name_size + 2 + 8)
        return rf_record_fail(key, err);
    generation->number = rf_load_u64_be(key.data + name_size + 2);
    return read_generation(&in, generation) ? RF_OK : rf_record_fail(key, err);
}

static rf_status list_records(rf_kv_txn *txn, const char *name, char kind, void **out,
                              uint32_t *count_out, rf_err *err)
{
    rf_kv_cursor *cursor;
    rf_slice key, value;
    rf_record_key start = rf_record_key_of(name ? name : "", name ? kind : '\0');
    void *list = NULL;
    uint32_t count = 0;
    bool found;

    rf_status status = rf_kv_cursor_open(txn, RF_CATALOG_TABLE, &cursor, err);
    if (status != RF_OK)
        return status;
    status = rf_kv_cursor_seek(cursor, RF_KV_AT_LEAST, (rf_slice){start.bytes, start.size}, &key,
                               &value, &found, err);
    while (status == RF_OK && found) {
        if (name && !rf_slice_starts_with(key, (rf_slice){start.bytes, start.size}))
            break;
        status = list_record(key, value, kind, &list, &count, err);
        if (status == RF_OK)
            status = rf_kv_cursor_seek(cursor, RF_KV_NEXT, key, &key, &value, &found, err);
    }
    rf_kv_cursor_close(cursor);
    if (status != RF_OK) {
        free(list);
        return status;
    }
    *out = list;
    *count_out = count;
    return RF_OK;
}

rf_status rf_record_models(rf_kv_txn *txn, rf_catalog_model **out, uint32_t *count_out, rf_err *err)
{
    void *list = NULL;
    rf_status status = list_records(txn, NULL, 'm', &list, count_out, err);

    if (status == RF_OK)
        *out = list;
    return status;
}

rf_status rf_record_generations(rf_kv_txn *txn, const char *name, rf_catalog_generation **out,
                                uint32_t *count_out, rf_err *err)
{
    void *list = NULL;
    rf_status status = RF_OK;

    if (name && !rf_record_name_valid(name))
        *count_out = 0;
    else
        status = list_records(txn, name, 'g', &list, count_out, err);
    if (status != RF_OK)
        return status;
    rf_catalog_generation *generations = list;
    for (uint32_t i = 0; status == RF_OK && i < *count_out; i++)
        status = advance(txn, &generations[i], err);
    if (status != RF_OK) {
        free(list);
        return status;
    }
    *out = list;
    return RF_OK;
}

void rf_record_append_text(rf_buf *out, rf_slice text)
{
    rf_buf_append_u32(out, (uint32_t)text.size);
    rf_buf_append_slice(out, text);
}

rf_status rf_record_put_skip(rf_kv_txn *txn, const char *name, const rf_left_out *skip, rf_err *err)
{
    rf_record_key key = rf_record_key_numbered(name, 's', skip->position);
    rf_buf payload;

    rf_buf_init(&payload, RF_RECORD_VALUE_SIZE_MAX);
    rf_record_append_text(&payload, skip->stream);
    rf_record_append_text(&payload, skip->type);
    rf_record_append_text(&payload, skip->reason);
    return rf_record_put(txn, &key, &payload, err);
}

rf_status rf_record_delete_skip(rf_kv_txn *txn, const char *name, uint64_t position,
                                bool *found_out, rf_err *err)
{
    rf_record_key key = rf_record_key_numbered(name, 's', position);
    rf_slice at = {key.bytes, key.size};
    rf_slice value;

    rf_status status = rf_kv_get(txn, RF_CATALOG_TABLE, at, &value, found_out, err);
    return status == RF_OK && *found_out ? rf_kv_delete(txn, RF_CATALOG_TABLE, at, err) : status;
}

rf_status rf_record_read_left_out(rf_slice key, size_t prefix, rf_bytes_reader *in,
                               rf_left_out *item, rf_left_out_list *list, rf_err *err)
{
    item->stream = rf_read_slice(in, rf_read_u32(in));
    item->type = rf_read_slice(in, rf_read_u32(in));
    item->reason = rf_read_slice(in, rf_read_u32(in));
    if (in->failed || rf_bytes_left(in) > 0 || key.size != prefix + 8 ||
        !rf_utf8_valid(item->stream) || !rf_utf8_valid(item->type) || !rf_utf8_valid(item->reason))
        return rf_record_fail(key, err);
    item->position = rf_load_u64_be(key.data + prefix);
    return rf_left_out_list_add(list, item, err);
}

static rf_status add_skip(rf_slice key, size_t prefix, rf_slice value, rf_left_out_list *list,
                          rf_err *err)
{
    rf_left_out skip = {.cause = RF_CAUSE_ON_RECORD};
    rf_bytes_reader in;

    rf_status status = rf_record_open(key, value, &in, err);
    return status == RF_OK ? rf_record_read_left_out(key, prefix, &in, &skip, list, err) : status;
}

/* All records that begin with `start`. */
rf_status rf_record_add_all(rf_kv_txn *txn, const rf_record_key *start, rf_record_add_fn add,
                         rf_left_out_list *list, rf_err *err)
{
    rf_slice prefix = {start->bytes, start->size};
    rf_kv_cursor *cursor;
    rf_slice key, value;
    bool found;

    rf_status status = rf_kv_cursor_open(txn, RF_CATALOG_TABLE, &cursor, err);
    if (status != RF_OK)
        return status;
    status = rf_kv_cursor_seek(cursor, RF_KV_AT_LEAST, prefix, &key, &value, &found, err);
    while (status == RF_OK && found && rf_slice_starts_with(key, prefix)) {
        status = add(key, prefix.size, value, list, err);
        if (status == RF_OK)
            status = rf_kv_cursor_seek(cursor, RF_KV_NEXT, key, &key, &value, &found, err);
    }
    rf_kv_cursor_close(cursor);
    return status;
}

rf_status rf_record_skips(rf_kv_txn *txn, const char *name, rf_left_out_list *list, rf_err *err)
{
    rf_record_key start = rf_record_key_of(name, 's');

    return rf_record_add_all(txn, &start, add_skip, list, err);
}
