/* event_block.h: structs that are put together ahead are those that rf_plan_event gives one by one. */
#include "rebuild/event_block.h"

#include <criterion/criterion.h>

enum { EVENTS = 300, TYPE_COUNT = 120, CODES = 7, SIZE = 64 };

struct event {
    int64_t number;
    rf_slice text;
    rf_slice coded;
    int64_t coded_number;
    int64_t time;
    bool present;
    uint8_t coded_byte;
    uint16_t constant;
};
_Static_assert(sizeof(struct event) == SIZE, "no hole but the constant's");

static int64_t numbers[TYPE_COUNT], times[EVENTS], coded_numbers[CODES];
static rf_slice texts[TYPE_COUNT], coded[CODES];
static uint32_t codes[TYPE_COUNT];
static char present[TYPE_COUNT], coded_bytes[CODES];
static const char letters[EVENTS];

static void fill_columns(void)
{
    for (uint32_t i = 0; i < TYPE_COUNT; i++) {
        numbers[i] = 1000 + i;
        texts[i] = (rf_slice){letters + i, i};
        codes[i] = i * 5 % CODES;
        present[i] = i % 3 == 0;
    }
    for (uint32_t i = 0; i < EVENTS; i++)
        times[i] = 50000 + i;
    for (uint32_t i = 0; i < CODES; i++) {
        coded[i] = (rf_slice){letters + i, 2 * i};
        coded_numbers[i] = -7 * (int64_t)i;
        coded_bytes[i] = (char)(i + 100);
    }
}

#define MEMBER(name) ((uint32_t)offsetof(struct event, name))
static rf_plan_word words[] = {
    {(const char *)numbers, 0, sizeof numbers[0], MEMBER(number)},
    {(const char *)texts, 0, sizeof texts[0], MEMBER(text)},
    {(const char *)texts + 8, 0, sizeof texts[0], MEMBER(text) + 8},
    {(const char *)times, sizeof times[0], 0, MEMBER(time)},
};
static rf_plan_move moves[] = {
    {(const char *)coded, codes, MEMBER(coded), sizeof(rf_slice), RF_BY_ORDINAL},
    {(const char *)coded_numbers, codes, MEMBER(coded_number), sizeof(int64_t), RF_BY_ORDINAL},
    {present, NULL, MEMBER(present), 1, RF_BY_ORDINAL},
    {coded_bytes, codes, MEMBER(coded_byte), 1, RF_BY_ORDINAL},
};
static char event[SIZE + 8];
static rf_definition_handler handler = {.event_size = SIZE};
static rf_plan_call call;

static void setup(void)
{
    const uint16_t constant = 4711;

    fill_columns();
    memset(event, 0, sizeof event);
    memcpy(event + MEMBER(constant), &constant, sizeof constant);
    handler.event_size = SIZE;
    moves[0].by = RF_BY_ORDINAL;
    call = (rf_plan_call){
        .event = event,
        .words = words,
        .word_count = 4,
        .moves = moves,
        .move_count = 4,
        .handler = &handler,
    };
}

TestSuite(event_block, .init = setup);

/* Events `first`, `first` + 2, … of the segment are of the type. */
static void compare(uint32_t ordinal)
{
    static char structs[RF_EVENT_BLOCK_BYTES];
    rf_event_block block;

    cr_assert_leq(rf_event_block_size(&call, TYPE_COUNT), sizeof structs);
    rf_event_block_begin(&block, &call, structs, ordinal, TYPE_COUNT);
    for (uint32_t i = ordinal; i < TYPE_COUNT; i++) {
        char expected[SIZE];
        memcpy(expected, rf_plan_event(&call, 2 * i, i, 0), SIZE);
        cr_assert_arr_eq(rf_event_block_next(&block, 2 * i), expected, SIZE, "event %u", i);
    }
}

Test(event_block, structs_are_those_of_the_plan)
{
    cr_assert_eq(rf_event_block_size(&call, TYPE_COUNT),
                 RF_EVENT_BLOCK_EVENTS * (SIZE + sizeof(int64_t)));
    compare(0);
}

Test(event_block, begins_behind_events_of_the_type)
{
    compare(1);
    compare(RF_EVENT_BLOCK_EVENTS + 1);
    compare(TYPE_COUNT - 1);
    compare(TYPE_COUNT);
}

Test(event_block, events_without_a_number_of_their_own_get_only_columns)
{
    words[3] = (rf_plan_word){letters, 0, 0, SIZE}; /* fills nothing */
    compare(0);
}

Test(event_block, large_structs_are_fewer_at_a_time)
{
    static char large[3000 + 8];

    handler.event_size = 3000;
    call.event = large;
    compare(0);
    handler.event_size = RF_EVENT_BLOCK_BYTES;
    cr_assert_eq(rf_event_block_size(&call, TYPE_COUNT), 0);
}

Test(event_block, what_needs_more_than_columns_has_none)
{
    cr_assert_eq(rf_event_block_size(&call, RF_EVENT_BLOCK_EVENTS - 1), 0);
    moves[0].by = RF_BY_STREAM;
    cr_assert_eq(rf_event_block_size(&call, TYPE_COUNT), 0);
    moves[0].by = RF_BY_EVENT;
    cr_assert_eq(rf_event_block_size(&call, TYPE_COUNT), 0);
    moves[0].by = RF_BY_ORDINAL;
    words[0] = (rf_plan_word){(const char *)times, sizeof times[0], 0, MEMBER(number)};
    cr_assert_eq(rf_event_block_size(&call, TYPE_COUNT), 0);
}
