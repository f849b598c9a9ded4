/* Random evolutions and a slow, independent account of what they do to an event: a table of fields,
 * changed step by step. For test_upcast_random. */
#ifndef RF_TEST_UPCAST_MODEL_H
#define RF_TEST_UPCAST_MODEL_H

#include "projection/evolution.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { SCHEMAS = 4, MOVES_MAX = 8, INPUTS_MAX = 6 };

/* Fields of events. A parent's members are the two behind it. */
enum field { I0, I1, I2, I3, O, OX, OY, P, PX, PY, D0, D1, T0, T1, J0, J1, FIELDS };
static const char *const model_names[FIELDS] = {"i0",  "i1",  "i2", "i3", "o",  "o.x", "o.y", "p",
                                                "p.x", "p.y", "d0", "d1", "t0", "t1",  "j0",  "j1"};

/* How handlers read them; 0: not at all. */
static inline rf_kind model_kind(int field)
{
    if (field == O || field == P)
        return (rf_kind)0;
    return field >= J0 ? RF_JSON : field >= T0 ? RF_TEXT : field >= D0 ? RF_DECIMAL : RF_INT;
}

typedef struct model_value {
    enum { MISSING, STORED, ASSIGNED, OBJECT } state;
    int64_t number; /* texts and json have one too: "t7", [7] */
} model_value;

/* What a function does for one assigned field. */
typedef struct model_action {
    int field;
    enum { SET_CONSTANT, SET_SUM, SET_NIL, SET_IF_EVEN, SET_FLOAT } what;
    int64_t number;
} model_action;

/* One upcaster, for the engine and for the model. */
typedef struct model_step {
    bool present;
    bool function;
    int move_count;
    int to[MOVES_MAX], from[MOVES_MAX]; /* from -1: a constant */
    rf_upcast_move moves[MOVES_MAX];
    int action_count;
    model_action actions[MOVES_MAX];
    const char *assigned[MOVES_MAX];
    int input_count;
    int inputs[INPUTS_MAX];
    rf_field fields[INPUTS_MAX];
} model_step;

typedef struct model_input {
    int64_t number[INPUTS_MAX];
    bool present[INPUTS_MAX];
    bool even_position;
    int64_t position;
} model_input;

static model_step model_steps[SCHEMAS];
static int64_t model_accepted;
static uint64_t model_random;

static inline uint32_t pick(uint32_t below)
{
    model_random = model_random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(model_random >> 33) % below;
}

static inline bool is_parent(int field)
{
    return field == O || field == P;
}

/* ---- making one ---- */

/* Whether the step assigns the field, its parent or a member already. */
static inline bool taken(const int *fields, int count, int field)
{
    for (int i = 0; i < count; i++) {
        int other = fields[i];
        if (other == field || (is_parent(other) && (field == other + 1 || field == other + 2)) ||
            (is_parent(field) && (other == field + 1 || other == field + 2)))
            return true;
    }
    return false;
}

/* A field that reads as `to` does. */
static inline int pick_like(int to)
{
    int from;

    do
        from = (int)pick(FIELDS);
    while (model_kind(from) != model_kind(to) || is_parent(from) != is_parent(to));
    return from;
}

static inline void make_move(model_step *step)
{
    int to = (int)pick(FIELDS);
    int at = step->move_count;
    rf_upcast_move *move = &step->moves[at];
    rf_kind kind = model_kind(to);
    bool number = kind == RF_INT || kind == RF_DECIMAL;

    if (taken(step->to, at, to))
        return;
    int from = pick(3) ? pick_like(to) : to;
    *move = (rf_upcast_move){.to = model_names[to], .from = model_names[from]};
    if (number && pick(3) == 0) {
        move->typed = true;
        from = pick_like(pick(2) ? I0 : D0);
        move->from = model_names[from];
        move->kind = model_kind(from) == RF_INT && pick(2) ? RF_INT : RF_DECIMAL;
        move->scale = move->kind == RF_DECIMAL ? 2 : 0;
    }
    if (number && (from == to || pick(3) == 0))
        move->fallback = (rf_assigned){RF_ASSIGNED_INT, {.number = (int64_t)pick(100)}};
    if (number && !move->typed && move->fallback.kind && pick(4) == 0) {
        move->from = NULL;
        from = -1;
    }
    step->to[at] = to;
    step->from[at] = from;
    step->move_count++;
}

static inline void make_function(model_step *step)
{
    int assigned[MOVES_MAX];

    step->function = true;
    for (int i = 0; i < 4; i++) {
        int field = (int)pick(J0);
        if (taken(assigned, step->action_count, field))
            continue;
        model_action *action = &step->actions[step->action_count];
        *action = (model_action){.field = field,
                                 .what = (int)pick(SET_FLOAT + 1),
                                 .number = (int64_t)pick(50)};
        assigned[step->action_count] = field;
        step->assigned[step->action_count++] = model_names[field];
    }
    for (int i = 0; i < INPUTS_MAX - 1; i++) {
        step->inputs[i] = pick_like(pick(2) ? I0 : D0);
        rf_kind kind = model_kind(step->inputs[i]);
        step->fields[i] = (rf_field){
            .kind = kind,
            .scale = kind == RF_DECIMAL ? 2 : 0,
            .offset = (uint32_t)(offsetof(model_input, number) + 8 * (size_t)i),
            .present_offset = (uint32_t)(offsetof(model_input, present) + (size_t)i),
            .path = model_names[step->inputs[i]],
        };
    }
    step->fields[INPUTS_MAX - 1] = (rf_field){.source = RF_EVENT_POSITION,
                                              .kind = RF_INT,
                                              .offset = offsetof(model_input, position),
                                              .present_offset = RF_NO_PRESENT};
}

static inline rf_status model_run(void *state, uint32_t index, rf_upcast_batch *batch, rf_err *err);

static const rf_upcast_ops model_ops = {.run = model_run};

/* Upcasters of `New`, whose events were `Old` and `Older` before. */
static inline rf_evolution *make_evolution(uint64_t seed)
{
    static const rf_rename renames[] = {{"Older", "Old"}, {"Old", "New"}};
    rf_upcast upcasts[SCHEMAS];
    int64_t schemas[] = {SCHEMAS, 0};
    rf_accepted accepted = {"New", schemas, 1};
    rf_evolution *evolution;
    uint32_t count = 0;
    rf_err err = {0};

    model_random = seed;
    memset(model_steps, 0, sizeof model_steps);
    model_accepted = pick(3) ? SCHEMAS : 1 + pick(SCHEMAS);
    if (model_accepted < SCHEMAS)
        schemas[accepted.schema_count++] = model_accepted;
    for (int s = 1; s < SCHEMAS; s++) {
        model_step *step = &model_steps[s];
        if (s == model_accepted)
            continue;
        step->present = true;
        if (pick(2))
            make_function(step);
        else
            while (step->move_count < 4)
                make_move(step);
        upcasts[count++] = (rf_upcast){
            .type = "New",
            .schema = s,
            .moves = step->moves,
            .move_count = (uint32_t)step->move_count,
            .fields = step->fields,
            .field_count = step->function ? INPUTS_MAX : 0,
            .event_size = sizeof(model_input),
            .assigned = step->assigned,
            .assigned_count = (uint32_t)step->action_count,
        };
    }
    const rf_evolution_tables tables = {
        .renames = renames, .rename_count = 2, .upcasts = upcasts, .upcast_count = count,
        .accepted = &accepted, .accepted_count = 1, .ops = &model_ops, .ops_arg = model_steps,
    };
    cr_assert_eq(rf_evolution_new(&tables, &evolution, &err), RF_OK, "%s", err.message);
    return evolution;
}

/* ---- running one ---- */

/* A field as it is read in some unit. */
static inline int64_t read_as(model_value value, rf_kind kind)
{
    return value.state == STORED && kind == RF_DECIMAL ? 100 * value.number : value.number;
}

/* One action: false where the field is left as it was. */
static inline bool act(const model_action *action, const model_input *input, model_value *value)
{
    int64_t sum = action->number;

    for (int i = 0; i < INPUTS_MAX - 1; i++)
        sum += input->present[i] ? input->number[i] * (i + 1) : 1;
    *value = (model_value){ASSIGNED, action->number};
    switch (action->what) {
    case SET_CONSTANT:
        return true;
    case SET_FLOAT:
    case SET_SUM:
        value->number = sum;
        return true;
    case SET_NIL:
        value->state = MISSING;
        return input->position % 3 == 0;
    case SET_IF_EVEN:
        return input->position % 2 == 0;
    }
    return false;
}

/* The same function for the engine. */
static inline rf_status model_run(void *state, uint32_t index, rf_upcast_batch *batch, rf_err *err)
{
    const model_step *step = state;

    (void)err;
    for (uint32_t s = 0;; step++)
        if (step->present && s++ == index)
            break;
    for (uint32_t i = 0; i < batch->count; i++)
        for (int a = 0; a < step->action_count; a++) {
            const model_action *action = &step->actions[a];
            rf_assigned *to = &batch->assigned[a][i];
            model_value value;
            if (!act(action, (const void *)(batch->events + i * batch->event_size), &value))
                continue;
            *to = (rf_assigned){RF_ASSIGNED_INT, {.number = value.number}};
            if (value.state == MISSING) {
                to->kind = RF_ASSIGNED_NIL;
            } else if (model_kind(action->field) == RF_TEXT) {
                char text[32];
                (void)snprintf(text, sizeof text, "t%lld", (long long)value.number);
                *to = (rf_assigned){
                    RF_ASSIGNED_TEXT, {.text = rf_arena_copy(batch->text, rf_slice_of(text))}};
            } else if (action->what == SET_FLOAT) {
                *to = (rf_assigned){RF_ASSIGNED_FLOAT, {.real = (double)value.number}};
            }
        }
    return RF_OK;
}

static inline void set_field(model_value event[FIELDS], int field, model_value value,
                             const model_value members[2])
{
    event[field] = value;
    if (is_parent(field)) {
        event[field + 1] = members ? members[0] : (model_value){MISSING, 0};
        event[field + 2] = members ? members[1] : (model_value){MISSING, 0};
    }
}

static inline void model_move(const model_step *step, int m, const model_value before[FIELDS],
                              model_value event[FIELDS])
{
    const rf_upcast_move *move = &step->moves[m];
    model_value value = {MISSING, 0};
    const model_value *members = NULL;

    if (move->from) {
        value = before[step->from[m]];
        members = is_parent(step->to[m]) ? &before[step->from[m] + 1] : NULL;
    }
    if (move->typed && value.state != MISSING)
        value = (model_value){ASSIGNED, read_as(value, move->kind)};
    if (value.state == MISSING && move->fallback.kind)
        value = (model_value){ASSIGNED, move->fallback.as.number};
    set_field(event, step->to[m], value, members);
}

/* What an event of `schema` is in the end. */
static inline int64_t model_upcast(model_value event[FIELDS], int64_t schema, int64_t position)
{
    for (; schema < SCHEMAS && schema != model_accepted; schema++) {
        const model_step *step = &model_steps[schema];
        model_value before[FIELDS];
        model_input input = {.position = position};
        memcpy(before, event, sizeof before);
        for (int m = 0; m < step->move_count; m++)
            model_move(step, m, before, event);
        for (int i = 0; i < INPUTS_MAX - 1; i++) {
            model_value value = before[step->inputs[i]];
            input.present[i] = value.state != MISSING;
            input.number[i] = input.present[i] ? read_as(value, step->fields[i].kind) : 0;
        }
        for (int a = 0; a < step->action_count; a++) {
            model_value value;
            if (act(&step->actions[a], &input, &value))
                set_field(event, step->actions[a].field, value, NULL);
        }
    }
    return schema;
}

#endif
