/* Options and operands of a command, driven by a table.
 *
 * A command declares a struct for its options and a table that says where each stands in it. All
 * options have long names; a value follows after '=' or as the next argument. Options and operands
 * may come in any order, "--" ends the options. An option that is not given leaves zero bytes.
 */
#ifndef RF_CLI_OPTIONS_H
#define RF_CLI_OPTIONS_H

#include "refold/refold.h"

typedef enum cli_option_kind {
    CLI_FLAG,   /* bool */
    CLI_TEXT,   /* const char *, not empty */
    CLI_KEY,    /* const char *: a row's key may be the empty text */
    CLI_CHOICE, /* const char *, one of those that `value` lists: "jsonl|csv" */
    CLI_LIST,   /* cli_list: values split at commas, the option may be repeated */
    CLI_COUNT,  /* cli_count */
    CLI_BYTES,  /* cli_count: 512M, 2GiB, 65536 */
    CLI_SHARE,  /* cli_share: 25% or 0.25 */
    CLI_MOMENT, /* cli_moment: a position or a time */
    CLI_WAIT,   /* int64_t, milliseconds: alone it waits for ever (-1), a number is seconds */
} cli_option_kind;

typedef struct cli_option {
    const char *name;  /* without the two dashes */
    const char *value; /* how --help calls it; NULL for a flag */
    const char *help;
    cli_option_kind kind;
    uint32_t offset; /* into the command's struct */
    uint64_t minimum, maximum; /* of CLI_COUNT and CLI_BYTES; a maximum of 0 is none */
} cli_option;

enum { CLI_LIST_MAX = 64, CLI_OPERANDS_MAX = 4096 };

typedef struct cli_list {
    const char *items[CLI_LIST_MAX];
    uint32_t count;
} cli_list;
typedef struct cli_count {
    bool given;
    uint64_t value;
} cli_count;
typedef struct cli_share {
    bool given;
    double value; /* 0 to 1 */
} cli_share;
typedef struct cli_moment {
    bool given;
    bool is_time;
    uint64_t position;
    int64_t time;
} cli_moment;

typedef struct cli_operands {
    const char **items;
    uint32_t count;
    bool help; /* --help stood among the arguments: nothing else counts */
} cli_operands;

/* Reads `argc` arguments into the struct at `values` (which begins as zero bytes) and
 * *operands_out, whose items point to room for `argc` of them. List items are cut inside argv. */
rf_status cli_options_parse(const cli_option *options, uint32_t option_count, int argc, char **argv,
                            void *values, cli_operands *operands_out, rf_err *err);
/* One line an option, for --help. */
void cli_options_print(const cli_option *options, uint32_t option_count);
/* How far two words are from each other: insertions, deletions, replacements. */
uint32_t cli_word_distance(const char *a, const char *b);

#endif
