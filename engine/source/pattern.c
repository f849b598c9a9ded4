/* See pattern.h: reading a line. Learning is in pattern_learn.c. */
#include "source/pattern_tree.h"

#include "event/value.h"

#include <stdlib.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { VALUES_PIECE = 2048, DIGITS_MAX = 18 };

rf_patterns *rf_patterns_new(const rf_mapping *mapping, rf_event_shapes *shapes)
{
    rf_patterns *patterns = calloc(1, sizeof *patterns);

    if (!patterns)
        return NULL;
    patterns->mapping = mapping;
    patterns->shapes = shapes;
    patterns->step_count = 1;
    patterns->usable = true;
    for (unsigned of = 0; of < RF_TARGET_COUNT; of++)
        patterns->usable = patterns->usable && mapping->sources[of].part_count == 1;
    rf_arena_init(&patterns->memory, PATTERN_BYTES_MAX);
    return patterns;
}

void rf_patterns_free(rf_patterns *patterns)
{
    if (!patterns)
        return;
    rf_arena_free(&patterns->memory);
    free(patterns);
}

void rf_patterns_leave(rf_patterns *patterns)
{
    patterns->values = NULL;
    patterns->values_left = 0;
}

/* The first byte from `at` on that is a quote, a backslash, below 0x20 or above 0x7f. There is one:
 * text ends in a newline or in zeros. */
static inline const char *text_end(const char *at)
{
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"');
    const __m128i backslash = _mm_set1_epi8('\\');
    const __m128i blank = _mm_set1_epi8(' ');
    for (;; at += sizeof(__m128i)) {
        __m128i bytes = _mm_loadu_si128((const void *)at);
        /* As signed bytes those above 0x7f are below the blank too. */
        __m128i stops = _mm_or_si128(
            _mm_cmplt_epi8(bytes, blank),
            _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)));
        int mask = _mm_movemask_epi8(stops);
        if (mask)
            return at + __builtin_ctz((unsigned)mask);
    }
#else
    while (*at != '"' && *at != '\\' && (signed char)*at >= ' ')
        at++;
    return at;
#endif
}

/* The number that up to eight digits at `at` make, times ten to the power of eight less their
 * count at first, then put right; *count_out: how many digits. */
static inline uint64_t digits_word(const char *at, unsigned *count_out)
{
    uint64_t word = rf_load_u64(at) ^ UINT64_C(0x3030303030303030);
    /* A byte above 9 has its high bit set here; what it carries into bytes behind it is no matter. */
    uint64_t others = ((word + UINT64_C(0x7676767676767676)) | word) & UINT64_C(0x8080808080808080);
    unsigned count = others ? (unsigned)__builtin_ctzll(others) / 8 : 8;

    *count_out = count;
    if (count == 0)
        return 0;
    word <<= (8 - count) * 8; /* leading zeros */
    word = word * 10 + (word >> 8);
    return (((word & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x000f424000000064)) +
            (((word >> 16) & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x0000271000000001))) >>
           32;
}

static const int64_t powers[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

/* Digits from *at_ref on, behind *value; false where they are more than DIGITS_MAX in all. */
static inline bool digits_read(const char **at_ref, unsigned *total, int64_t *value)
{
    unsigned count = 8;

    while (count == 8) {
        uint64_t word = digits_word(*at_ref, &count);
        *total += count;
        if (*total > DIGITS_MAX)
            return false;
        *value = *value * powers[count] + (int64_t)word;
        *at_ref += count;
    }
    return true;
}

/* A number by the grammar of JSON, without exponent, exact: where it ends; NULL for all others. */
static __attribute__((noinline)) const char *any_number_read(const char *at, rf_event_value *out)
{
    bool negative = *at == '-';
    unsigned total = 0;
    int64_t value = 0;

    at += negative;
    const char *first = at;
    if (!digits_read(&at, &total, &value) || total == 0 || (*first == '0' && total > 1))
        return NULL;
    out->scale = 0;
    if (*at == '.') {
        unsigned whole = total;
        at++;
        if (!digits_read(&at, &total, &value) || total == whole)
            return NULL;
        out->scale = (uint8_t)(total - whole);
    }
    if (negative && value == 0)
        return NULL;
    out->value = negative ? -value : value;
    return at;
}

/* The same. Most numbers have no sign, up to 15 digits, and behind a point up to 7: these are two words. */
static inline const char *number_read(const char *at, rf_event_value *out)
{
    const char *first = at;
    unsigned count, more = 0;
    uint64_t value = digits_word(at, &count);

    at += count;
    if (count == 8) {
        uint64_t word = digits_word(at, &more);
        if (more == 8)
            return any_number_read(first, out);
        value = value * (uint64_t)powers[more] + word;
        at += more;
    }
    if (count == 0 || (*first == '0' && count > 1))
        return any_number_read(first, out);
    out->scale = 0;
    if (*at == '.') {
        unsigned decimals;
        uint64_t word = digits_word(at + 1, &decimals);
        if (decimals == 0 || decimals == 8 || count + more + decimals > DIGITS_MAX)
            return any_number_read(first, out);
        value = value * (uint64_t)powers[decimals] + word;
        out->scale = (uint8_t)decimals;
        at += 1 + decimals;
    }
    out->value = (int64_t)value;
    return at;
}

/* Whether the bytes of a step's tail that count stand at `at`. */
static inline bool tail_matches(const pattern_step *step, const char *at)
{
#if defined(__SSE2__)
    __m128i same = _mm_cmpeq_epi8(_mm_loadu_si128((const void *)at),
                                  _mm_loadu_si128((const void *)step->tail));
    return (_mm_movemask_epi8(same) & step->mask) == step->mask;
#else
    return memcmp(at, step->tail, step->size < PATTERN_WORD ? step->size : PATTERN_WORD) == 0;
#endif
}

static inline bool word_matches(const char *a, const char *b)
{
#if defined(__SSE2__)
    return _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const void *)a),
                                            _mm_loadu_si128((const void *)b))) == 0xffff;
#else
    return memcmp(a, b, PATTERN_WORD) == 0;
#endif
}

/* A short literal has no byte that may stand behind the end: there are a newline's next line, or zeros. */
static inline bool literal_matches(const pattern_step *step, const char *at, const char *end)
{
    size_t size = step->size;

    if (size <= PATTERN_WORD)
        return tail_matches(step, at);
    if (size > (size_t)(end - at))
        return false;
    /* The end first: what differs there sorts out the siblings. */
    if (!word_matches(at + size - PATTERN_WORD, step->tail))
        return false;
    for (size_t i = 0; i + PATTERN_WORD < size; i += PATTERN_WORD) {
        if (!word_matches(at + i, step->bytes + i))
            return false;
    }
    return true;
}

/* One line on its way through the tree. */
typedef struct matching {
    const char *starts[PATTERN_DEPTH_MAX]; /* of the literals */
    rf_event_value envelope[PATTERN_ROLE_COUNT];
    rf_event_value *values;
} matching;

static inline bool line_ends(const char **at_ref, const char *end)
{
    const char *at = *at_ref;

    if (at < end && *at == '\r')
        at++;
    if (at < end && *at != '\n')
        return false;
    *at_ref = at < end ? at + 1 : end;
    return true;
}

/* Where the value of a step ends that begins at `at`; NULL where there is none of its kind. */
static inline const char *value_match(const pattern_step *step, rf_event_value *value,
                                      const char *at, const char *end)
{
    const char *stop = at;

    if (step->value == PATTERN_NUMBER) {
        stop = number_read(at, value);
        if (!stop)
            return NULL;
    } else if (step->value == PATTERN_TEXT) {
        stop = text_end(at);
        if (*stop != '"')
            return NULL;
        memcpy(value->head, at, RF_EVENT_VALUE_HEAD);
    } else {
        return line_ends(&stop, end) ? stop : NULL;
    }
    value->text = at;
    value->text_size = (uint32_t)(stop - at);
    return stop;
}

/* The step at the end of the line at *at_ref, which is moved behind it; NULL where it has no pattern. */
static inline const pattern_step *line_match(const pattern_step *step, matching *line,
                                             const char **at_ref, const char *end)
{
    const char *at = *at_ref;
    rf_event_value *const values[2] = {line->envelope, line->values};

    for (uint32_t depth = 0; step;) {
        if (!literal_matches(step, at, end)) {
            step = step->sibling;
            continue;
        }
        rf_event_value *value = &values[step->is_payload][step->index];
        const char *stop = value_match(step, value, at + step->size, end);
        if (!stop) {
            step = step->sibling;
            continue;
        }
        RF_ASSERT(depth < PATTERN_DEPTH_MAX);
        line->starts[depth++] = at;
        at = stop;
        if (step->value == PATTERN_END)
            break;
        step = step->child[step->value == PATTERN_NUMBER && value->scale > 0];
    }
    *at_ref = at;
    return step;
}

static inline bool integer_fits(const matching *line, const pattern_line *known, rf_target of,
                                int64_t minimum, int64_t *value_out)
{
    if (!(known->targets >> of & 1))
        return true;
    *value_out = line->envelope[of].value;
    return *value_out >= minimum;
}

static inline bool time_fits(const rf_mapping *mapping, const matching *line,
                             const pattern_line *known, int64_t *us_out)
{
    const rf_event_value *value = &line->envelope[RF_TARGET_TIME];

    if (!(known->targets >> RF_TARGET_TIME & 1))
        return true;
    if (known->time_is_text)
        return rf_mapping_time_of_text(mapping, (rf_slice){value->text, value->text_size},
                                       us_out) == RF_VALUE_OK;
    return rf_mapping_time_of_integer(mapping, value->value, us_out);
}

static inline rf_slice span_of(const matching *line, pattern_place begin, pattern_place end)
{
    const char *at = line->starts[begin.depth] + begin.offset;

    return (rf_slice){at, (size_t)(line->starts[end.depth] + end.offset - at)};
}

/* The event of a line that has matched; false where a value is out of range. */
static inline bool event_make(const rf_patterns *patterns, const matching *line,
                              const pattern_line *known, rf_event *event)
{
    const rf_event_shape *shape = known->shape;
    const rf_event_value *stream = &line->envelope[RF_TARGET_STREAM];
    int64_t position = 0;

    event->version = RF_VERSION_NONE;
    event->schema = 1;
    event->time = RF_TIME_NONE;
    if (stream->text_size == 0 || stream->text_size > RF_STREAM_NAME_SIZE_MAX ||
        !integer_fits(line, known, RF_TARGET_POSITION, 1, &position) ||
        !integer_fits(line, known, RF_TARGET_VERSION, 0, &event->version) ||
        !integer_fits(line, known, RF_TARGET_SCHEMA, 1, &event->schema) ||
        !time_fits(patterns->mapping, line, known, &event->time))
        return false;
    event->source_position = (uint64_t)position;
    event->stream = (rf_slice){stream->text, stream->text_size};
    event->type = shape->type;
    event->data = span_of(line, known->data_begin, known->data_end);
    event->metadata = (rf_slice){NULL, 0};
    event->metadata_nodes = NULL;
    event->metadata_node_count = shape->metadata_node_count;
    if (shape->metadata_node_count > 0) {
        event->metadata = span_of(line, known->metadata_begin, known->metadata_end);
        event->metadata_nodes = shape->metadata_nodes;
    }
    event->data_nodes = shape->data_nodes;
    event->data_node_count = shape->data_node_count;
    event->shape = shape;
    event->values = line->values;
    return event->data.size + event->metadata.size <= RF_EVENT_SIZE_MAX;
}

static bool values_room(rf_patterns *patterns, rf_arena *memory)
{
    patterns->values = rf_arena_alloc(memory, VALUES_PIECE * sizeof *patterns->values);
    patterns->values_left = patterns->values ? VALUES_PIECE : 0;
    return patterns->values != NULL;
}

bool rf_patterns_read(rf_patterns *patterns, const char **at_ref, const char *end, rf_arena *memory,
                      rf_unused_members *unused, rf_event *event_out)
{
    matching line; /* not cleared: most of it is never looked at */
    const char *at = *at_ref;
    const pattern_step *first = patterns->steps[0].child[0];

    if (!first ||
        (patterns->values_left < RF_EVENT_VALUES_MAX && !values_room(patterns, memory)))
        return false;
    line.values = patterns->values;
    const pattern_step *last = line_match(first, &line, &at, end);
    const pattern_line *known = last ? last->line : NULL;
    if (!known) /* there was no room for it */
        return false;
    if (!event_make(patterns, &line, known, event_out))
        return false;
    for (uint32_t i = 0; i < known->unused_count; i++)
        rf_unused_members_add(unused, known->unused[i], 1);
    patterns->values += known->shape->value_count;
    patterns->values_left -= known->shape->value_count;
    *at_ref = at;
    return true;
}
