/* See event_block.h. */
#include "rebuild/event_block.h"

enum { EVENTS_MIN = RF_EVENT_BLOCK_EVENTS };

static uint32_t stride_of(const rf_plan_call *call)
{
    /* with eight bytes more, for the word that fills nothing */
    return (call->handler->event_size + 8 + 7) & ~7u;
}

static bool is_by_event(const rf_plan_word *word)
{
    return word->by_event > 0;
}

size_t rf_event_block_size(const rf_plan_call *call, uint32_t count)
{
    uint32_t by_event = 0;
    uint32_t stride = stride_of(call);

    if (count < EVENTS_MIN || stride > RF_EVENT_BLOCK_BYTES)
        return 0;
    for (uint32_t i = 0; i < call->word_count; i++)
        by_event += is_by_event(&call->words[i]);
    if (by_event > 1)
        return 0;
    for (uint32_t i = 0; i < call->move_count; i++)
        if (call->moves[i].by != RF_BY_ORDINAL)
            return 0;
    uint32_t capacity = RF_EVENT_BLOCK_BYTES / stride;
    return (size_t)stride *
           (capacity < RF_EVENT_BLOCK_EVENTS ? capacity : (uint32_t)RF_EVENT_BLOCK_EVENTS);
}

void rf_event_block_begin(rf_event_block *block, const rf_plan_call *call, char *structs,
                          uint32_t ordinal, uint32_t count)
{
    static const char nothing[8];
    uint32_t stride = stride_of(call);
    size_t size = rf_event_block_size(call, count);

    RF_ASSERT(size > 0 && ordinal <= count);
    *block = (rf_event_block){
        .at = structs,
        .end = structs,
        .fold = call->fold,
        .call = call,
        .from = nothing,
        .offset = call->handler->event_size,
        .stride = stride,
        .next = ordinal,
        .structs = structs,
        .capacity = (uint32_t)(size / stride),
        .count = count,
    };
    for (uint32_t i = 0; i < call->word_count; i++) {
        const rf_plan_word *word = &call->words[i];
        if (!is_by_event(word))
            continue;
        block->from = word->from;
        block->step = word->by_event;
        block->offset = word->offset;
    }
    /* what is the same for all events */
    for (uint32_t i = 0; i < block->capacity; i++)
        memcpy(structs + (size_t)i * stride, call->event, call->handler->event_size);
}

static void put_words(char *to, size_t stride, const char *from, size_t step, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, to += stride, from += step)
        memcpy(to, from, 8);
}

/* Values that a column has once, and their numbers. */
static void put_coded(char *to, size_t stride, const rf_plan_move *move, const uint32_t *codes,
                      uint32_t count)
{
    if (move->size == sizeof(rf_slice))
        for (uint32_t i = 0; i < count; i++, to += stride)
            memcpy(to, move->from + codes[i] * sizeof(rf_slice), sizeof(rf_slice));
    else if (move->size == sizeof(int64_t))
        for (uint32_t i = 0; i < count; i++, to += stride)
            memcpy(to, move->from + codes[i] * sizeof(int64_t), sizeof(int64_t));
    else
        for (uint32_t i = 0; i < count; i++, to += stride)
            *to = move->from[codes[i]];
}

static void put_move(char *to, size_t stride, const rf_plan_move *move, uint32_t first,
                     uint32_t count)
{
    const char *from = move->from + (size_t)first * move->size;

    if (move->codes)
        put_coded(to, stride, move, move->codes + first, count);
    else if (move->size == 1)
        for (uint32_t i = 0; i < count; i++, to += stride)
            *to = from[i];
    else
        for (uint32_t at = 0; at < move->size; at += 8)
            put_words(to + at, stride, from + at, move->size, count);
}

void rf_event_block_fill(rf_event_block *block)
{
    const rf_plan_call *call = block->call;
    uint32_t left = block->count - block->next;
    uint32_t count = left < block->capacity ? left : block->capacity;

    RF_ASSERT(block->at == block->end && count > 0);
    for (uint32_t i = 0; i < call->word_count; i++) {
        const rf_plan_word *word = &call->words[i];
        if (word->by_ordinal > 0)
            put_words(block->structs + word->offset, block->stride,
                      word->from + (size_t)block->next * word->by_ordinal, word->by_ordinal, count);
    }
    for (uint32_t i = 0; i < call->move_count; i++)
        put_move(block->structs + call->moves[i].offset, block->stride, &call->moves[i], block->next,
                 count);
    block->at = block->structs;
    block->end = block->structs + (size_t)count * block->stride;
    block->next += count;
}
