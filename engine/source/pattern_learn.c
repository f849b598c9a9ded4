/* See pattern.h: a line that was read in full grows the tree. */
#include "source/pattern_tree.h"

#include "event/value.h"

/* One line that is cut. */
typedef struct learning {
    rf_patterns *patterns;
    rf_slice line;
    const rf_line_members *members;
    const rf_event *event;
    pattern_line known;
    pattern_step *place; /* where the next step hangs, and which child of it */
    unsigned branch;
    uint32_t depth;
    uint32_t values;
    const char *cut; /* begin of the next literal */
} learning;

static uint32_t index_of(const learning *from, const rf_json_node *node)
{
    return (uint32_t)(node - from->members->nodes);
}

/* Which target a top-level member is; RF_TARGET_COUNT: none. */
static rf_target target_of(const learning *from, uint32_t node)
{
    unsigned of = 0;

    while (of < RF_TARGET_COUNT && from->members->found[of] != node)
        of++;
    return (rf_target)of;
}

static bool within(uint32_t at, uint32_t begin, uint32_t count)
{
    return at >= begin && at < begin + count;
}

/* Whether each target is a member of its own, data and metadata are objects, and the members that
 * nothing reads are few. */
static bool is_plain(const learning *from)
{
    const uint32_t *found = from->members->found;
    const rf_event *event = from->event;

    for (unsigned a = 0; a < RF_TARGET_COUNT; a++)
        for (unsigned b = 0; b < a; b++)
            if (found[a] == found[b] && found[a] != RF_MEMBER_NONE)
                return false;
    return event->data_nodes[0].kind == RF_JSON_OBJECT &&
           (event->metadata_node_count == 0 || event->metadata_nodes[0].kind == RF_JSON_OBJECT);
}

/* Finds the step that follows at this place, or adds it; NULL where there is no room. */
static pattern_step *step_put(learning *from, rf_slice literal, pattern_value value, unsigned role)
{
    rf_patterns *patterns = from->patterns;
    pattern_step **link = &from->place->child[from->branch];
    uint32_t siblings = 0;
    /* Each payload value has its own place among them, as all lines that come by here have it. */
    uint32_t index = role == PATTERN_ROLE_PAYLOAD ? from->values - 1 : role;

    for (; *link; link = &(*link)->sibling, siblings++) {
        const pattern_step *step = *link;
        if (step->value == value && rf_slice_equal((rf_slice){step->bytes, step->size}, literal)) {
            RF_ASSERT(step->is_payload == (role == PATTERN_ROLE_PAYLOAD) && step->index == index);
            return *link;
        }
    }
    if (siblings == PATTERN_SIBLINGS_MAX || patterns->step_count == PATTERN_STEPS_MAX)
        return NULL;
    char *bytes = rf_arena_alloc(&patterns->memory, literal.size + PATTERN_WORD);
    if (!bytes)
        return NULL;
    bool is_short = literal.size < PATTERN_WORD;
    memcpy(bytes, literal.data, literal.size);
    memset(bytes + literal.size, 0, PATTERN_WORD);
    pattern_step *step = &patterns->steps[patterns->step_count++];
    *step = (pattern_step){
        .bytes = bytes,
        .size = (uint32_t)literal.size,
        .mask = (uint16_t)(is_short ? (1u << literal.size) - 1 : UINT16_MAX),
        .value = (uint8_t)value,
        .is_payload = role == PATTERN_ROLE_PAYLOAD,
        .index = (uint8_t)index,
    };
    memcpy(step->tail, is_short ? bytes : bytes + literal.size - PATTERN_WORD, PATTERN_WORD);
    *link = step;
    return step;
}

/* Where the byte at `at`, of the literal that is open, stands. */
static pattern_place place_of(const learning *from, const char *at)
{
    return (pattern_place){from->depth, (uint32_t)(at - from->cut)};
}

/* Data and metadata begin and end inside literals: notes what lies before `end`. */
static void note_spans(learning *from, const char *end)
{
    const rf_event *event = from->event;
    const struct {
        const char *at;
        pattern_place *place;
    } marks[] = {
        {event->data.data, &from->known.data_begin},
        {event->data.data + event->data.size, &from->known.data_end},
        {event->metadata.data, &from->known.metadata_begin},
        {event->metadata.data ? event->metadata.data + event->metadata.size : NULL,
         &from->known.metadata_end},
    };

    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        if (marks[i].at && marks[i].at >= from->cut && marks[i].at <= end)
            *marks[i].place = place_of(from, marks[i].at);
    }
}

/* The literal up to `end`, and the value behind it. */
static bool cut_at(learning *from, const char *end, pattern_value value, unsigned role)
{
    if (from->depth == PATTERN_DEPTH_MAX)
        return false;
    note_spans(from, end);
    pattern_step *step =
        step_put(from, (rf_slice){from->cut, (size_t)(end - from->cut)}, value, role);
    from->place = step;
    from->branch = 0;
    from->depth++;
    return step != NULL;
}

/* A scalar: cut out if it is a number or a string; false where the line can have no pattern. */
static bool take_scalar(learning *from, uint32_t index)
{
    const rf_json_node *node = &from->members->nodes[index];
    const rf_event *event = from->event;
    rf_target of = target_of(from, index);
    uintptr_t text = (uintptr_t)node->text;
    uintptr_t begin = (uintptr_t)from->cut;

    if (of == RF_TARGET_TYPE || (node->kind != RF_JSON_INTEGER && node->kind != RF_JSON_NUMBER &&
                                 node->kind != RF_JSON_STRING))
        return true;
    if (text < begin || text >= (uintptr_t)from->line.data + from->line.size)
        return false; /* it had escapes */
    unsigned role = of;
    if (of == RF_TARGET_COUNT) {
        bool payload =
            within(index, index_of(from, event->data_nodes), event->data_node_count) ||
            (event->metadata_node_count > 0 &&
             within(index, index_of(from, event->metadata_nodes), event->metadata_node_count));
        role = payload ? PATTERN_ROLE_PAYLOAD : PATTERN_ROLE_UNUSED;
        from->values += payload;
    } else {
        from->known.targets |= 1u << of;
        from->known.time_is_text |= of == RF_TARGET_TIME && node->kind == RF_JSON_STRING;
    }
    if (from->values > RF_EVENT_VALUES_MAX ||
        !cut_at(from, node->text, node->kind == RF_JSON_STRING ? PATTERN_TEXT : PATTERN_NUMBER,
                role))
        return false;
    from->branch = node->kind == RF_JSON_NUMBER;
    from->cut = node->text + node->text_size;
    return true;
}

/* Whether a node is a top-level member that nothing reads. */
static bool note_unused(learning *from, uint32_t index)
{
    const rf_json_node *node = &from->members->nodes[index];
    pattern_line *known = &from->known;

    if (target_of(from, index) != RF_TARGET_COUNT)
        return true;
    if (known->unused_count == PATTERN_UNUSED_MAX)
        return false;
    known->unused[known->unused_count] =
        rf_arena_copy(&from->patterns->memory, rf_json_key(node));
    return known->unused[known->unused_count++].data != NULL;
}

/* The names of the top-level members that nothing reads, for a line that is to be kept. Top-level
 * members follow each other by `next`; in data and metadata it counts from them. */
static bool note_all_unused(learning *from)
{
    const rf_line_members *members = from->members;
    bool noted = true;

    for (uint32_t i = 1; i < members->count && noted;) {
        uint32_t next = members->nodes[i].next;
        if (i == members->found[RF_TARGET_DATA] ||
            (from->event->metadata_node_count > 0 && i == members->found[RF_TARGET_METADATA]))
            next += i;
        noted = note_unused(from, i);
        i = next;
    }
    return noted;
}

/* The last literal, and what is known of the line at its end. */
static void take_end(learning *from)
{
    const rf_event *event = from->event;
    rf_patterns *patterns = from->patterns;
    const char *end = from->line.data + from->line.size;

    if (end > from->cut && end[-1] == '\r')
        end--;
    if (!cut_at(from, end, PATTERN_END, PATTERN_ROLE_UNUSED) ||
        from->place->line || !note_all_unused(from))
        return;
    pattern_line *known = rf_arena_alloc(&patterns->memory, sizeof *known);
    from->known.shape = rf_event_shapes_find(patterns->shapes, event);
    if (!known || !from->known.shape)
        return;
    RF_ASSERT(from->known.shape->value_count == from->values);
    *known = from->known;
    from->place->line = known;
}

void rf_patterns_learn(rf_patterns *patterns, rf_slice line, const rf_line_members *members,
                       const rf_event *event)
{
    learning from = {
        .patterns = patterns,
        .line = line,
        .members = members,
        .event = event,
        .place = &patterns->steps[0],
        .cut = line.data,
    };
    bool learned = patterns->usable && is_plain(&from);

    for (uint32_t i = 1; i < members->count && learned; i++)
        learned = take_scalar(&from, i);
    if (learned)
        take_end(&from);
}
