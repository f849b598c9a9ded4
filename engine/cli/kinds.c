#include "cli/kinds.h"

#include "cli/output.h"

#include <stdio.h>

enum { KINDS = 7 };

typedef struct kind_count {
    const char *name;
    uint64_t count;
} kind_count;

static void list(const cli_kinds *kinds, kind_count out[KINDS])
{
    out[0] = (kind_count){"int", kinds->ints};
    out[1] = (kind_count){"number", kinds->numbers};
    out[2] = (kind_count){"text", kinds->texts};
    out[3] = (kind_count){"bool", kinds->bools};
    out[4] = (kind_count){"array", kinds->arrays};
    out[5] = (kind_count){"object", kinds->objects};
    out[6] = (kind_count){"null", kinds->nulls};
}

uint64_t cli_kinds_present(const cli_kinds *kinds)
{
    return kinds->ints + kinds->numbers + kinds->texts + kinds->bools + kinds->arrays +
           kinds->objects;
}

void cli_kinds_json(cli_json *json, const cli_kinds *kinds)
{
    kind_count counts[KINDS];
    list(kinds, counts);
    for (int k = 0; k < KINDS; k++)
        cli_json_count(json, counts[k].name, counts[k].count);
}

void cli_kinds_cell(cli_table *table, const cli_kinds *kinds)
{
    kind_count counts[KINDS];
    char text[KINDS * (CLI_NUMBER_SIZE + 10)] = "";
    size_t size = 0;
    int several = 0;
    list(kinds, counts);
    for (int k = 0; k < KINDS; k++)
        several += counts[k].count > 0;
    for (int k = 0; k < KINDS; k++) {
        char count[CLI_NUMBER_SIZE];
        if (counts[k].count && several == 1)
            size += (size_t)snprintf(text + size, sizeof text - size, "%s", counts[k].name);
        else if (counts[k].count)
            size += (size_t)snprintf(text + size, sizeof text - size, "%s%s %s", size ? ", " : "",
                                     counts[k].name, cli_format_count(counts[k].count, count));
    }
    cli_table_cell(table, text);
}

void cli_share_cell(cli_table *table, uint64_t present, uint64_t events)
{
    char text[CLI_NUMBER_SIZE];
    double share = events ? 100.0 * (double)present / (double)events : 0;
    if (events && present == events)
        share = 100;
    else if (share > 99.9)
        share = 99.9;
    else if (present && share < 0.1)
        share = 0.1;
    snprintf(text, sizeof text, share == (double)(int)share ? "%.0f%%" : "%.1f%%", share);
    cli_table_cell(table, text);
}
