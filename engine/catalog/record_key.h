/* How records of the catalog's table are found, read and written: shared by record*.c only. */
#ifndef RF_CATALOG_RECORD_KEY_H
#define RF_CATALOG_RECORD_KEY_H

#include "catalog/record.h"

enum { RF_RECORD_KEY_SIZE_MAX = 64 + 2 + 16, RF_RECORD_VALUE_SIZE_MAX = 4096 };

typedef struct rf_record_key {
    size_t size;
    char bytes[RF_RECORD_KEY_SIZE_MAX];
} rf_record_key;

rf_record_key rf_record_key_of(const char *name, char kind);
/* With a number behind it, big-endian. */
rf_record_key rf_record_key_numbered(const char *name, char kind, uint64_t number);

rf_status rf_record_fail(rf_slice key, rf_err *err);
/* What a value has before its checksum, which holds. */
rf_status rf_record_open(rf_slice key, rf_slice value, rf_bytes_reader *payload_out, rf_err *err);
rf_status rf_record_get(rf_kv_txn *txn, const rf_record_key *key, rf_bytes_reader *payload_out,
                        bool *found_out, rf_err *err);
/* Frees the payload. */
rf_status rf_record_put(rf_kv_txn *txn, const rf_record_key *key, rf_buf *payload, rf_err *err);

/* The position of an event is behind `prefix` bytes of the key; its texts are what is left of `in`. */
rf_status rf_record_read_left_out(rf_slice key, size_t prefix, rf_bytes_reader *in,
                                  rf_left_out *item, rf_left_out_list *list, rf_err *err);
void rf_record_append_text(rf_buf *out, rf_slice text);
/* All records that begin with `start`. */
typedef rf_status (*rf_record_add_fn)(rf_slice key, size_t prefix, rf_slice value,
                                      rf_left_out_list *list, rf_err *err);
rf_status rf_record_add_all(rf_kv_txn *txn, const rf_record_key *start, rf_record_add_fn add,
                            rf_left_out_list *list, rf_err *err);

#endif
