/* See lua_pattern.h. */
#include "projection/lua_pattern.h"

#include <string.h>

enum { DEPTH_MAX = 200 };

/* A match under way. A fault ends it: from then on nothing matches. */
struct matcher {
    const char *text, *text_end;
    const char *pattern_end;
    rf_pattern_match *match;
    rf_pattern_result fault; /* RF_PATTERN_NONE: none */
    int depth;
};

static const char *match_here(struct matcher *matcher, const char *at, const char *pattern);

static const char *fail(struct matcher *matcher, rf_pattern_result fault)
{
    if (matcher->fault == RF_PATTERN_NONE)
        matcher->fault = fault;
    return NULL;
}

/* ---- one character ---- */

static bool is_lower(unsigned c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_upper(unsigned c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_digit(unsigned c)
{
    return c >= '0' && c <= '9';
}

static bool is_graph(unsigned c)
{
    return c > ' ' && c < 0x7f;
}

static bool in_class(unsigned c, unsigned class)
{
    bool found;

    switch (class | 0x20) {
    case 'a':
        found = is_lower(c) || is_upper(c);
        break;
    case 'c':
        found = c < 0x20 || c == 0x7f;
        break;
    case 'd':
        found = is_digit(c);
        break;
    case 'l':
        found = is_lower(c);
        break;
    case 'p':
        found = is_graph(c) && !is_lower(c) && !is_upper(c) && !is_digit(c);
        break;
    case 's':
        found = c == ' ' || (c >= '\t' && c <= '\r');
        break;
    case 'u':
        found = is_upper(c);
        break;
    case 'w':
        found = is_lower(c) || is_upper(c) || is_digit(c);
        break;
    case 'x':
        found = is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
        break;
    case 'z':
        found = c == 0;
        break;
    default:
        return class == c;
    }
    return is_upper(class) ? !found : is_lower(class) ? found : class == c;
}

static unsigned byte_at(const char *at)
{
    return *(const unsigned char *)at;
}

/* The set [pattern, end), whose brackets are at its first and last byte. */
static bool in_set(unsigned c, const char *pattern, const char *end)
{
    const char *last = end - 1;
    bool found = true;

    pattern++;
    if (pattern < last && *pattern == '^') {
        found = false;
        pattern++;
    }
    for (; pattern < last; pattern++) {
        if (*pattern == '%' && pattern + 1 < last) {
            if (in_class(c, byte_at(++pattern)))
                return found;
        } else if (pattern + 2 < last && pattern[1] == '-') {
            if (byte_at(pattern) <= c && c <= byte_at(pattern + 2))
                return found;
            pattern += 2;
        } else if (byte_at(pattern) == c) {
            return found;
        }
    }
    return !found;
}

/* Where the single character that `pattern` begins with ends; NULL if it is malformed. */
static const char *single_end(struct matcher *matcher, const char *pattern)
{
    const char *end = matcher->pattern_end;
    char first = *pattern++;

    if (first == '%')
        return pattern < end ? pattern + 1 : fail(matcher, RF_PATTERN_MALFORMED);
    if (first != '[')
        return pattern;
    if (pattern < end && *pattern == '^')
        pattern++;
    do {
        if (pattern >= end)
            return fail(matcher, RF_PATTERN_MALFORMED);
        if (*pattern++ == '%' && pattern < end)
            pattern++;
    } while (pattern >= end || *pattern != ']');
    return pattern + 1;
}

static bool single_matches(const struct matcher *matcher, const char *at, const char *pattern,
                           const char *end)
{
    if (at >= matcher->text_end)
        return false;
    switch (*pattern) {
    case '.':
        return true;
    case '%':
        return in_class(byte_at(at), byte_at(pattern + 1));
    case '[':
        return in_set(byte_at(at), pattern, end);
    default:
        return *at == *pattern;
    }
}

/* ---- repetitions ---- */

static bool step(struct matcher *matcher)
{
    if (matcher->match->steps-- > 0)
        return true;
    (void)fail(matcher, RF_PATTERN_TOO_LONG);
    return false;
}

/* As many as there are, then fewer. */
static const char *match_most(struct matcher *matcher, const char *at, const char *pattern,
                              const char *end)
{
    ptrdiff_t count = 0;

    while (step(matcher) && single_matches(matcher, at + count, pattern, end))
        count++;
    for (; count >= 0 && step(matcher); count--) {
        const char *found = match_here(matcher, at + count, end + 1);
        if (found || matcher->fault)
            return found;
    }
    return NULL;
}

static const char *match_least(struct matcher *matcher, const char *at, const char *pattern,
                               const char *end)
{
    while (step(matcher)) {
        const char *found = match_here(matcher, at, end + 1);
        if (found || matcher->fault)
            return found;
        if (!single_matches(matcher, at, pattern, end))
            return NULL;
        at++;
    }
    return NULL;
}

/* ---- captures ---- */

static const char *begin_capture(struct matcher *matcher, const char *at, const char *pattern,
                                 int64_t size)
{
    rf_pattern_match *match = matcher->match;

    if (match->capture_count == RF_PATTERN_CAPTURES_MAX)
        return fail(matcher, RF_PATTERN_TOO_DEEP);
    match->captures[match->capture_count].begin = at - matcher->text;
    match->captures[match->capture_count++].size = size;
    const char *found = match_here(matcher, at, pattern);
    if (!found)
        match->capture_count--;
    return found;
}

static const char *end_capture(struct matcher *matcher, const char *at, const char *pattern)
{
    rf_pattern_match *match = matcher->match;
    int32_t index = match->capture_count - 1;

    while (index >= 0 && match->captures[index].size != RF_PATTERN_OPEN)
        index--;
    if (index < 0)
        return fail(matcher, RF_PATTERN_MALFORMED);
    match->captures[index].size = at - matcher->text - match->captures[index].begin;
    const char *found = match_here(matcher, at, pattern);
    if (!found)
        match->captures[index].size = RF_PATTERN_OPEN;
    return found;
}

/* %1: what was captured, once more; NULL if it does not stand here. */
static const char *match_captured(struct matcher *matcher, const char *at, char digit)
{
    int32_t index = digit - '1';

    if (index < 0 || index >= matcher->match->capture_count ||
        matcher->match->captures[index].size == RF_PATTERN_OPEN)
        return fail(matcher, RF_PATTERN_MALFORMED);
    int64_t size = matcher->match->captures[index].size;
    if (size < 0 || size > matcher->text_end - at)
        return NULL;
    const char *captured = matcher->text + matcher->match->captures[index].begin;
    matcher->match->steps -= size / 16;
    return memcmp(captured, at, (size_t)size) == 0 ? at + size : NULL;
}

/* %bxy: from x to the y that belongs to it. */
static const char *match_balance(struct matcher *matcher, const char *at, const char *pair)
{
    int64_t open = 1;

    if (matcher->pattern_end - pair < 2)
        return fail(matcher, RF_PATTERN_MALFORMED);
    if (at >= matcher->text_end || *at != pair[0])
        return NULL;
    while (++at < matcher->text_end && step(matcher)) {
        if (*at == pair[1]) {
            if (--open == 0)
                return at + 1;
        } else if (*at == pair[0]) {
            open++;
        }
    }
    return NULL;
}

/* ---- the whole ---- */

/* %f[set]: a border between what is not in the set and what is. *pattern_out is behind it. */
static bool match_frontier(struct matcher *matcher, const char *at, const char *set,
                           const char **pattern_out)
{
    if (set >= matcher->pattern_end || *set != '[') {
        (void)fail(matcher, RF_PATTERN_MALFORMED);
        return false;
    }
    const char *end = single_end(matcher, set);
    if (!end)
        return false;
    *pattern_out = end;
    return !in_set(at == matcher->text ? 0 : byte_at(at - 1), set, end) &&
           in_set(at == matcher->text_end ? 0 : byte_at(at), set, end);
}

/* A special item after '%'. *at_io is NULL where it does not match; false if it is none. */
static bool match_special(struct matcher *matcher, const char **at_io, const char **pattern_io)
{
    const char *pattern = *pattern_io;
    const char *at = *at_io;

    if (pattern[0] != '%' || pattern + 1 >= matcher->pattern_end)
        return false;
    if (pattern[1] == 'b') {
        *at_io = match_balance(matcher, at, pattern + 2);
        *pattern_io = pattern + 4;
    } else if (pattern[1] == 'f') {
        *at_io = match_frontier(matcher, at, pattern + 2, pattern_io) ? at : NULL;
    } else if (is_digit(byte_at(pattern + 1))) {
        *at_io = match_captured(matcher, at, pattern[1]);
        *pattern_io = pattern + 2;
    } else {
        return false;
    }
    return true;
}

/* A single character with what may stand behind it. *done_out: the result is that of the whole. */
static const char *match_repeated(struct matcher *matcher, const char *at, const char **pattern_io,
                                  bool *done_out)
{
    const char *pattern = *pattern_io;
    const char *end = single_end(matcher, pattern);

    *done_out = true;
    if (!end)
        return NULL;
    char repetition = end < matcher->pattern_end ? *end : '\0';
    bool matches = single_matches(matcher, at, pattern, end);
    if (repetition == '*')
        return match_most(matcher, at, pattern, end);
    if (repetition == '+')
        return matches ? match_most(matcher, at + 1, pattern, end) : NULL;
    if (repetition == '-')
        return match_least(matcher, at, pattern, end);
    if (repetition == '?') {
        const char *found = matches ? match_here(matcher, at + 1, end + 1) : NULL;
        if (found || matcher->fault)
            return found;
        matches = true;
        at--;
        end++;
    }
    *done_out = !matches;
    *pattern_io = end;
    return matches ? at + 1 : NULL;
}

static const char *match_items(struct matcher *matcher, const char *at, const char *pattern)
{
    while (pattern < matcher->pattern_end) {
        bool done;
        if (!step(matcher))
            return NULL;
        if (*pattern == '(')
            return pattern + 1 < matcher->pattern_end && pattern[1] == ')'
                       ? begin_capture(matcher, at, pattern + 2, RF_PATTERN_PLACE)
                       : begin_capture(matcher, at, pattern + 1, RF_PATTERN_OPEN);
        if (*pattern == ')')
            return end_capture(matcher, at, pattern + 1);
        if (*pattern == '$' && pattern + 1 == matcher->pattern_end)
            return at == matcher->text_end ? at : NULL;
        if (match_special(matcher, &at, &pattern)) {
            if (!at || matcher->fault)
                return NULL;
            continue;
        }
        at = match_repeated(matcher, at, &pattern, &done);
        if (done || !at)
            return at;
    }
    return at;
}

static const char *match_here(struct matcher *matcher, const char *at, const char *pattern)
{
    if (matcher->depth >= DEPTH_MAX)
        return fail(matcher, RF_PATTERN_TOO_DEEP);
    matcher->depth++;
    const char *found = match_items(matcher, at, pattern);
    matcher->depth--;
    return found;
}

static bool all_closed(const rf_pattern_match *match)
{
    for (int32_t i = 0; i < match->capture_count; i++)
        if (match->captures[i].size == RF_PATTERN_OPEN)
            return false;
    return true;
}

rf_pattern_result rf_pattern_find(rf_slice text, rf_slice pattern, size_t from,
                                  rf_pattern_match *match)
{
    struct matcher matcher = {
        .text = text.data,
        .text_end = text.data + text.size,
        .pattern_end = pattern.data + pattern.size,
        .match = match,
    };
    bool anchored = pattern.size > 0 && pattern.data[0] == '^';
    const char *begin = pattern.data + anchored;

    if (from > text.size)
        return RF_PATTERN_NONE;
    for (const char *at = text.data + from; at <= matcher.text_end; at++) {
        match->capture_count = 0;
        const char *end = match_here(&matcher, at, begin);
        if (matcher.fault)
            return matcher.fault;
        if (end && !all_closed(match))
            return RF_PATTERN_MALFORMED;
        if (end) {
            match->begin = at - text.data;
            match->end = end - text.data;
            return RF_PATTERN_FOUND;
        }
        if (anchored)
            break;
    }
    return RF_PATTERN_NONE;
}
