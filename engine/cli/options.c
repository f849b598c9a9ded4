#include "cli/options.h"

#include "cli/fail.h"
#include "cli/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rf_status refuse_value(const cli_option *option, const char *value, const char *expected,
                              rf_err *err)
{
    return cli_fail(err, RF_ERR_USAGE, "--%s takes %s, not '%s'", option->name, expected, value);
}

/* Digits only; *end_out is the first character after them. */
static bool parse_digits(const char *text, uint64_t *value_out, const char **end_out)
{
    uint64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
            return false;
    }
    *value_out = value;
    *end_out = at;
    return at != text;
}

static rf_status set_count(const cli_option *option, const char *text, cli_count *count,
                           rf_err *err)
{
    uint64_t value = 0;
    const char *end = NULL;
    if (!parse_digits(text, &value, &end))
        return refuse_value(option, text, "a number", err);
    if (option->kind == CLI_BYTES && *end) {
        static const char units[] = "KMGT";
        const char *unit = strchr(units, *end & ~0x20);
        const char *rest = end + 1;
        if (!unit || (*rest && strcmp(rest, "B") != 0 && strcmp(rest, "iB") != 0))
            return refuse_value(option, text, "bytes such as 65536, 512M or 2G", err);
        unsigned shift = 10 * (unsigned)(unit - units + 1);
        if (value > UINT64_MAX >> shift)
            return refuse_value(option, text, "fewer bytes", err);
        value <<= shift;
    } else if (*end) {
        return refuse_value(option, text, "a number", err);
    }
    if (value < option->minimum || (option->maximum && value > option->maximum)) {
        char expected[80];
        if (option->maximum)
            snprintf(expected, sizeof expected, "%llu to %llu",
                     (unsigned long long)option->minimum, (unsigned long long)option->maximum);
        else
            snprintf(expected, sizeof expected, "%llu or more",
                     (unsigned long long)option->minimum);
        return refuse_value(option, text, expected, err);
    }
    *count = (cli_count){true, value};
    return RF_OK;
}

static rf_status set_share(const cli_option *option, const char *text, cli_share *share,
                           rf_err *err)
{
    char *end = NULL;
    double value = (*text >= '0' && *text <= '9') || *text == '.' ? strtod(text, &end) : -1;
    if (end && strcmp(end, "%") == 0) {
        value /= 100;
        end++;
    }
    bool is_percent = end && end > text && end[-1] == '%';
    if (!end || *end || !(value >= 0 && value <= 1))
        return refuse_value(option, text, "0% to 100%", err);
    if (value >= 1 && !is_percent)
        return refuse_value(option, text, "0% to 100%, with the sign (1% or 100%?)", err);
    *share = (cli_share){true, value};
    return RF_OK;
}

static rf_status set_moment(const cli_option *option, const char *text, cli_moment *moment,
                            rf_err *err)
{
    uint64_t position = 0;
    int64_t time = 0;
    const char *end = NULL;
    if (parse_digits(text, &position, &end) && !*end)
        *moment = (cli_moment){true, false, position, 0};
    else if (rf_time_parse((rf_slice){text, strlen(text)}, &time, NULL) == RF_OK)
        *moment = (cli_moment){true, true, 0, time};
    else
        return refuse_value(option, text, "a position or a time such as 2024-07-10T12:00:00Z", err);
    return RF_OK;
}

static rf_status set_choice(const cli_option *option, const char *text, const char **choice,
                            rf_err *err)
{
    size_t size = strlen(text);
    for (const char *at = option->value; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
        if (size && strncmp(at, text, size) == 0 && (at[size] == '|' || !at[size])) {
            *choice = text;
            return RF_OK;
        }
    }
    return refuse_value(option, text, option->value, err);
}

static rf_status add_items(const cli_option *option, char *text, cli_list *list, rf_err *err)
{
    for (char *at = text; at;) {
        char *comma = strchr(at, ',');
        if (comma)
            *comma = '\0';
        if (list->count == CLI_LIST_MAX)
            return cli_fail(err, RF_ERR_USAGE, "--%s takes at most %d values", option->name,
                            CLI_LIST_MAX);
        list->items[list->count++] = at;
        at = comma ? comma + 1 : NULL;
    }
    return RF_OK;
}

static rf_status set_value(const cli_option *option, char *text, void *values, rf_err *err)
{
    void *target = (char *)values + option->offset;
    switch (option->kind) {
    case CLI_FLAG:
        *(bool *)target = true;
        return RF_OK;
    case CLI_TEXT:
        if (!*text)
            return cli_fail(err, RF_ERR_USAGE, "--%s needs a value", option->name);
        *(const char **)target = text;
        return RF_OK;
    case CLI_KEY:
        *(const char **)target = text;
        return RF_OK;
    case CLI_CHOICE:
        return set_choice(option, text, target, err);
    case CLI_LIST:
        return add_items(option, text, target, err);
    case CLI_COUNT:
    case CLI_BYTES:
        return set_count(option, text, target, err);
    case CLI_SHARE:
        return set_share(option, text, target, err);
    case CLI_MOMENT:
        return set_moment(option, text, target, err);
    case CLI_WAIT: {
        uint64_t seconds = 0;
        const char *end = NULL;
        if (!parse_digits(text, &seconds, &end) || *end || seconds > 1000000000)
            return refuse_value(option, text, "seconds", err);
        *(int64_t *)target = (int64_t)seconds * 1000;
        return RF_OK;
    }
    }
    return RF_OK;
}

uint32_t cli_word_distance(const char *a, const char *b)
{
    enum { WORD_MAX = 40 };
    size_t a_size = strlen(a), b_size = strlen(b);
    if (a_size > WORD_MAX || b_size > WORD_MAX)
        return UINT32_MAX;
    uint32_t row[WORD_MAX + 1];
    for (size_t j = 0; j <= b_size; j++)
        row[j] = (uint32_t)j;
    for (size_t i = 1; i <= a_size; i++) {
        uint32_t diagonal = row[0];
        row[0] = (uint32_t)i;
        for (size_t j = 1; j <= b_size; j++) {
            uint32_t best = diagonal + (a[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[b_size];
}

static rf_status refuse_option(const cli_option *options, uint32_t option_count, const char *name,
                               rf_err *err)
{
    const char *nearest = NULL;
    uint32_t distance = 3; /* more than two slips of the finger are another word */
    for (uint32_t i = 0; i < option_count; i++) {
        uint32_t found = cli_word_distance(name, options[i].name);
        if (found < distance) {
            distance = found;
            nearest = options[i].name;
        }
    }
    if (nearest)
        return cli_fail(err, RF_ERR_USAGE, "unknown option --%s: did you mean --%s?", name,
                        nearest);
    return cli_fail(err, RF_ERR_USAGE, "unknown option --%s", name);
}

/* Splits "--name=value"; *value_out is NULL without '='. */
static const cli_option *find_option(const cli_option *options, uint32_t option_count, char *name,
                                     char **value_out)
{
    *value_out = strchr(name, '=');
    if (*value_out)
        *(*value_out)++ = '\0';
    for (uint32_t i = 0; i < option_count; i++) {
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    }
    return NULL;
}

static bool all_digits(const char *text)
{
    return *text && text[strspn(text, "0123456789")] == '\0';
}

/* Reads the option at argv[*index_io] and, where it takes one, its value. */
static rf_status parse_option(const cli_option *options, uint32_t option_count, int argc,
                              char **argv, int *index_io, void *values, rf_err *err)
{
    char *value = NULL;
    char *name = argv[*index_io] + 2;
    const cli_option *option = find_option(options, option_count, name, &value);
    if (!option)
        return refuse_option(options, option_count, name, err);
    if (option->kind == CLI_FLAG) {
        if (value)
            return cli_fail(err, RF_ERR_USAGE, "--%s takes no value", name);
    } else if (!value && *index_io + 1 < argc &&
               (option->kind != CLI_WAIT || all_digits(argv[*index_io + 1]))) {
        value = argv[++*index_io];
    } else if (!value && option->kind == CLI_WAIT) {
        *(int64_t *)((char *)values + option->offset) = -1;
        return RF_OK;
    } else if (!value) {
        return cli_fail(err, RF_ERR_USAGE, "--%s needs a value", name);
    }
    return set_value(option, value, values, err);
}

rf_status cli_options_parse(const cli_option *options, uint32_t option_count, int argc, char **argv,
                            void *values, cli_operands *operands_out, rf_err *err)
{
    bool only_operands = false;
    operands_out->count = 0;
    for (int i = 0; i < argc; i++) {
        char *arg = argv[i];
        if (!only_operands && strcmp(arg, "--") == 0) {
            only_operands = true;
        } else if (!only_operands && (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)) {
            operands_out->help = true;
            return RF_OK;
        } else if (!only_operands && strncmp(arg, "--", 2) == 0) {
            rf_status status = parse_option(options, option_count, argc, argv, &i, values, err);
            if (status != RF_OK)
                return status;
        } else if (!only_operands && arg[0] == '-' && arg[1]) {
            return cli_fail(err, RF_ERR_USAGE,
                            "unknown option %s: options have long names, and -- ends them", arg);
        } else {
            operands_out->items[operands_out->count++] = arg;
        }
    }
    return RF_OK;
}

void cli_options_print(const cli_option *options, uint32_t option_count)
{
    enum { HELP_COLUMN = 28 };
    for (uint32_t i = 0; i < option_count; i++) {
        const cli_option *option = &options[i];
        char left[80];
        snprintf(left, sizeof left, "  --%s%s%s", option->name, option->value ? " " : "",
                 option->value ? option->value : "");
        /* A long name gets a line of its own. */
        if (strlen(left) >= HELP_COLUMN)
            cli_print("%s\n%*s%s\n", left, HELP_COLUMN, "", option->help);
        else
            cli_print("%-*s%s\n", HELP_COLUMN, left, option->help);
    }
    cli_print("%-*s%s\n", HELP_COLUMN, "  --help", "this text");
}
