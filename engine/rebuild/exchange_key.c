/* The keys of an exchange's calls; see exchange.h.
 *
 * A key that is one text is the text as it lies: in what was decoded, or where it is carried, with
 * its hash. Any other is encoded into the worker's text. */
#include "rebuild/exchange_job.h"

#include <stdio.h>

/* An event without key: a fault, unless such events are ignored. */
static void refuse_nil(rf_exchange_worker *worker, const rf_keying_handler *handler, uint32_t part,
                       uint64_t position)
{
    rf_exchange *job = worker->job;
    const rf_definition *definition = job->keying.definition;
    char reason[RF_EXCHANGE_REASON_SIZE];

    if (definition->no_key_ignore) {
        worker->lacks_key = true;
        worker->goes_on = true;
        return;
    }
    (void)snprintf(reason, sizeof reason, "the event has no key: %s is unset",
                   definition->key_parts[part].name);
    rf_exchange_refuse_key(worker, RF_ERR_INPUT, position,
                           (uint32_t)(handler - job->keying.handlers), reason);
}

static void refuse_fault(rf_exchange_worker *worker, const rf_keying_handler *handler,
                         rf_key_fault fault, uint64_t position)
{
    rf_exchange_refuse_key(worker, RF_ERR_INPUT, position,
                           (uint32_t)(handler - worker->job->keying.handlers),
                           fault == RF_KEY_TOO_LONG ? "the event's key is longer than 480 bytes"
                                                    : "the event's key has a zero byte");
}

/* Encodes parts [0, count) that stand in `from`. */
static bool encode(rf_exchange_worker *worker, const rf_keying_handler *handler, const char *from,
                   uint32_t count, uint64_t position, rf_exchange_key *key_out)
{
    rf_key_bytes key = {.size = 0};
    bool ignored;

    for (uint32_t i = 0; i < count; i++) {
        rf_value value = rf_keying_value(&handler->parts[i], from);
        if (value.is_null) {
            refuse_nil(worker, handler, i, position);
            return false;
        }
        rf_key_fault fault = rf_key_add(&key, &value);
        if (fault != RF_KEY_FINE) {
            refuse_fault(worker, handler, fault, position);
            return false;
        }
    }
    char *copy = rf_arena_bytes(&worker->text, key.size);
    if (!copy) {
        rf_exchange_fault(worker->job, RF_ERR_MEMORY, position, 0, RF_SLICE(""),
                          "out of memory for keys");
        return false;
    }
    memcpy(copy, key.data, key.size);
    key_out->bytes = (rf_slice){copy, key.size};
    key_out->hash = rf_key_hash(key_out->bytes, &ignored);
    key_out->has_nul = false;
    return true;
}

static bool check_text(rf_exchange_worker *worker, const rf_keying_handler *handler,
                       uint64_t position, const rf_exchange_key *key)
{
    if (!key->bytes.data) {
        refuse_nil(worker, handler, 0, position);
        return false;
    }
    if (key->bytes.size > RF_KEY_BYTES_MAX || key->has_nul) {
        refuse_fault(worker, handler,
                     key->bytes.size > RF_KEY_BYTES_MAX ? RF_KEY_TOO_LONG : RF_KEY_HAS_NUL,
                     position);
        return false;
    }
    return true;
}

/* Lets the plugin's function make the parts, in the worker's own struct. */
static bool compute(rf_exchange_worker *worker, const rf_keying_handler *handler, const char *event,
                    uint64_t position)
{
    const int64_t none = RF_TIME_NONE;
    const rf_definition_key *key = handler->computed;

    memset(worker->key_parts, 0, key->parts_size);
    for (uint32_t i = 0; i < handler->part_count; i++)
        if (handler->parts[i].kind == RF_TIME || handler->parts[i].kind == RF_DATE)
            memcpy(worker->key_parts + handler->parts[i].offset, &none, sizeof none);
    worker->alloc_from = &worker->text;
    uint32_t index = (uint32_t)(handler - worker->job->keying.handlers);
    rf_fold_result result = RF_ROW_WRITTEN;
    event += handler->computed_offset;
    if (worker->batch && !rf_exchange_run_compute(worker, index, event, position))
        return false;
    if (!worker->batch)
        result = key->compute(&worker->context.fold, event, worker->key_parts);
    if (result == RF_ROW_UNCHANGED || result == RF_ROW_DELETED)
        result = (rf_fold_result)-1;
    if (result == RF_FOLD_FAILED && !worker->out_of_memory) {
        rf_exchange_refuse_key(worker, RF_ERR_PLUGIN, position, index, rf_exchange_reason(worker));
        worker->context.reason[0] = '\0';
        return false;
    }
    if (rf_exchange_refuse(worker, result, position, index, RF_SLICE("")))
        return false;
    for (uint32_t i = 0; i < handler->part_count; i++) {
        rf_value value = rf_keying_value(&handler->parts[i], worker->key_parts);
        if (value.kind == RF_TEXT && !value.is_null && !rf_utf8_valid(value.text)) {
            rf_exchange_refuse_key(worker, RF_ERR_PLUGIN, position, index,
                                   "a computed key is no UTF-8");
            return false;
        }
    }
    return true;
}

bool rf_exchange_make_key(rf_exchange_worker *worker, const rf_keying_handler *handler,
                          const rf_carried *carried, uint32_t stream, const char *event,
                          uint64_t position, rf_exchange_key *key_out)
{
    const char *from = event;

    if (handler->text_slot != UINT32_MAX) {
        const rf_carried_text *text = rf_carried_text_of(carried, handler->text_slot, stream);
        *key_out = (rf_exchange_key){{NULL, 0}, 0, false};
        if (text)
            *key_out = (rf_exchange_key){{text->bytes, text->size}, text->hash, text->has_nul};
        return check_text(worker, handler, position, key_out);
    }
    if (handler->computed) {
        if (!compute(worker, handler, event, position))
            return false;
        from = worker->key_parts;
    }
    bool is_text = handler->part_count == 1 && handler->parts[0].kind == RF_TEXT;
    if (!is_text)
        return encode(worker, handler, from, handler->part_count, position, key_out);
    memcpy(&key_out->bytes, from + handler->parts[0].offset, sizeof(rf_slice));
    key_out->has_nul = false;
    if (key_out->bytes.data)
        key_out->hash = rf_key_hash(key_out->bytes, &key_out->has_nul);
    return check_text(worker, handler, position, key_out);
}

bool rf_exchange_stream_key(rf_exchange_worker *worker, const rf_keying_handler *handler,
                            const char *event, uint64_t position, rf_exchange_key *key_out)
{
    RF_ASSERT(handler->parts[0].kind == RF_TEXT && !handler->computed);
    if (handler->part_count > 1)
        return encode(worker, handler, event, 1, position, key_out);
    memcpy(&key_out->bytes, event + handler->parts[0].offset, sizeof(rf_slice));
    key_out->hash = rf_key_hash(key_out->bytes, &key_out->has_nul);
    return check_text(worker, handler, position, key_out);
}
