/* Records of what moves a generation after it was sealed; see record.h. */
#include "catalog/record_key.h"

static rf_status add_left_out(rf_slice key, size_t prefix, rf_slice value, rf_left_out_list *list,
                              rf_err *err)
{
    rf_left_out item = {0};
    rf_bytes_reader in;

    rf_status status = rf_record_open(key, value, &in, err);
    if (status != RF_OK)
        return status;
    uint8_t cause = rf_read_byte(&in);
    if (cause < RF_CAUSE_SKIPPED || cause > RF_CAUSE_ON_RECORD)
        return rf_record_fail(key, err);
    item.cause = (rf_cause)cause;
    return rf_record_read_left_out(key, prefix, &in, &item, list, err);
}

rf_status rf_record_take_number(rf_kv_txn *txn, rf_record_series series, uint64_t most,
                                uint64_t *number_out, rf_err *err)
{
    rf_record_key key = rf_record_key_of("", (char)series);
    rf_bytes_reader in;
    rf_buf payload;
    bool found;

    rf_status status = rf_record_get(txn, &key, &in, &found, err);
    if (status != RF_OK)
        return status;
    uint64_t last = found ? rf_read_u64(&in) : 0;
    if (found && (in.failed || last >= most))
        return rf_record_fail((rf_slice){key.bytes, key.size}, err);
    rf_buf_init(&payload, RF_RECORD_VALUE_SIZE_MAX);
    rf_buf_append_u64(&payload, last + 1);
    *number_out = last + 1;
    return rf_record_put(txn, &key, &payload, err);
}

rf_status rf_record_get_checkpoint(rf_kv_txn *txn, const char *name, uint64_t number,
                                   rf_checkpoint *checkpoint_out, bool *found_out, rf_err *err)
{
    rf_record_key key = rf_record_key_numbered(name, 'c', number);
    rf_checkpoint checkpoint;
    rf_bytes_reader in;
    bool found;

    rf_status status = rf_record_get(txn, &key, &in, &found, err);
    if (status != RF_OK)
        return status;
    *found_out = found;
    if (!found)
        return RF_OK;
    checkpoint.position = rf_read_u64(&in);
    checkpoint.digest.low = rf_read_u64(&in);
    checkpoint.digest.high = rf_read_u64(&in);
    checkpoint.digest.rows = rf_read_u64(&in);
    checkpoint.time_last = (int64_t)rf_read_u64(&in);
    checkpoint.delta_rows = rf_read_u64(&in);
    checkpoint.delta_bytes = rf_read_u64(&in);
    checkpoint.events = rf_read_u64(&in);
    if (in.failed || rf_bytes_left(&in) > 0)
        return rf_record_fail((rf_slice){key.bytes, key.size}, err);
    *checkpoint_out = checkpoint;
    return RF_OK;
}

rf_status rf_record_put_checkpoint(rf_kv_txn *txn, const char *name, uint64_t number,
                                   const rf_checkpoint *checkpoint, rf_err *err)
{
    rf_record_key key = rf_record_key_numbered(name, 'c', number);
    rf_buf payload;

    rf_buf_init(&payload, RF_RECORD_VALUE_SIZE_MAX);
    rf_buf_append_u64(&payload, checkpoint->position);
    rf_buf_append_u64(&payload, checkpoint->digest.low);
    rf_buf_append_u64(&payload, checkpoint->digest.high);
    rf_buf_append_u64(&payload, checkpoint->digest.rows);
    rf_buf_append_u64(&payload, (uint64_t)checkpoint->time_last);
    rf_buf_append_u64(&payload, checkpoint->delta_rows);
    rf_buf_append_u64(&payload, checkpoint->delta_bytes);
    rf_buf_append_u64(&payload, checkpoint->events);
    return rf_record_put(txn, &key, &payload, err);
}

rf_status rf_record_put_left_out(rf_kv_txn *txn, const char *name, uint64_t number,
                                 const rf_left_out *item, rf_err *err)
{
    rf_record_key key = rf_record_key_numbered(name, 'f', number);
    rf_buf payload;

    rf_store_u64_be(key.bytes + key.size, item->position);
    key.size += 8;
    rf_buf_init(&payload, RF_RECORD_VALUE_SIZE_MAX);
    rf_buf_append_byte(&payload, (uint8_t)item->cause);
    rf_record_append_text(&payload, item->stream);
    rf_record_append_text(&payload, item->type);
    rf_record_append_text(&payload, item->reason);
    return rf_record_put(txn, &key, &payload, err);
}

rf_status rf_record_left_out(rf_kv_txn *txn, const char *name, uint64_t number,
                             rf_left_out_list *list, rf_err *err)
{
    rf_record_key start = rf_record_key_numbered(name, 'f', number);

    return rf_record_add_all(txn, &start, add_left_out, list, err);
}

/* All records that begin with `start` go. */
static rf_status delete_all(rf_kv_txn *txn, const rf_record_key *start, rf_err *err)
{
    rf_slice prefix = {start->bytes, start->size};
    rf_status status = RF_OK;
    bool found = true;

    while (status == RF_OK && found) {
        rf_kv_cursor *cursor;
        rf_slice key, value;
        char bytes[RF_RECORD_KEY_SIZE_MAX];
        size_t size = 0;
        status = rf_kv_cursor_open(txn, RF_CATALOG_TABLE, &cursor, err);
        if (status != RF_OK)
            return status;
        status = rf_kv_cursor_seek(cursor, RF_KV_AT_LEAST, prefix, &key, &value, &found, err);
        found = status == RF_OK && found && rf_slice_starts_with(key, prefix) &&
                key.size <= sizeof bytes;
        if (found)
            memcpy(bytes, key.data, size = key.size);
        rf_kv_cursor_close(cursor);
        if (found)
            status = rf_kv_delete(txn, RF_CATALOG_TABLE, (rf_slice){bytes, size}, err);
    }
    return status;
}

rf_status rf_record_delete_generation(rf_kv_txn *txn, const char *name, uint64_t number,
                                      rf_err *err)
{
    rf_record_key left_out = rf_record_key_numbered(name, 'f', number);
    rf_record_key checkpoint = rf_record_key_numbered(name, 'c', number);
    rf_record_key key = rf_record_key_numbered(name, 'g', number);

    rf_status status = delete_all(txn, &left_out, err);
    if (status == RF_OK)
        status = rf_record_delete_suspension(txn, name, number, err);
    if (status == RF_OK)
        status = rf_kv_delete(txn, RF_CATALOG_TABLE, (rf_slice){checkpoint.bytes, checkpoint.size},
                              err);
    return status == RF_OK
               ? rf_kv_delete(txn, RF_CATALOG_TABLE, (rf_slice){key.bytes, key.size}, err)
               : status;
}

/* ---- suspensions ---- */

rf_status rf_record_put_suspension(rf_kv_txn *txn, const char *name,
                                   const rf_catalog_suspension *suspension, rf_err *err)
{
    rf_record_key key = rf_record_key_numbered(name, 'x', suspension->generation);
    rf_buf payload;

    rf_buf_init(&payload, RF_RECORD_VALUE_SIZE_MAX);
    rf_buf_append_u64(&payload, suspension->position);
    rf_record_append_text(&payload, rf_slice_of(suspension->reason));
    return rf_record_put(txn, &key, &payload, err);
}

rf_status rf_record_get_suspension(rf_kv_txn *txn, const char *name, uint64_t number,
                                   rf_catalog_suspension *suspension_out, bool *found_out,
                                   rf_err *err)
{
    rf_record_key key = rf_record_key_numbered(name, 'x', number);
    rf_catalog_suspension suspension = {.generation = number};
    rf_bytes_reader in;
    bool found;

    rf_status status = rf_record_get(txn, &key, &in, &found, err);
    if (status != RF_OK)
        return status;
    *found_out = found;
    if (!found)
        return RF_OK;
    suspension.position = rf_read_u64(&in);
    rf_slice reason = rf_read_slice(&in, rf_read_u32(&in));
    if (in.failed || rf_bytes_left(&in) > 0 || reason.size >= sizeof suspension.reason ||
        !rf_utf8_valid(reason))
        return rf_record_fail((rf_slice){key.bytes, key.size}, err);
    memcpy(suspension.reason, reason.data, reason.size);
    *suspension_out = suspension;
    return RF_OK;
}

rf_status rf_record_delete_suspension(rf_kv_txn *txn, const char *name, uint64_t number,
                                      rf_err *err)
{
    rf_record_key key = number ? rf_record_key_numbered(name, 'x', number)
                               : rf_record_key_of(name, 'x');

    return delete_all(txn, &key, err);
}
