/* refold: finds the command, reads its options, runs it, and turns its status into an exit code. */
#include "cli/command.h"
#include "cli/fail.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/watch.h"
#include "refold/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef RF_VERSION
#error "the build gives RF_VERSION"
#endif

static void print_help(void)
{
    cli_print("refold rebuilds read models from an event log, in parallel, and swaps them in "
              "atomically.\n\nusage: refold COMMAND STORE ...\n\n");
    for (uint32_t i = 0; i < cli_command_count; i++)
        cli_print("  %-13s%s\n", cli_commands[i]->name, cli_commands[i]->summary);
    cli_print(
        "\nSTORE is a directory; the first import makes it, and test needs none. PROJECTION is a\n"
        "path to a Lua file or a plugin (projections/NAME.lua, NAME.so) or the name of a live read\n"
        "model.\n\n"
        "refold COMMAND --help tells more about one; refold --version.\n\n"
        "exit codes: 0 done, 1 failed, 2 usage, 3 no such row or nothing to do, 4 a check or\n"
        "gate refused, 5 locked by another run, 6 damaged data, 75 unreachable or timed out,\n"
        "130 and 143 interrupted\n");
}

static void print_command_help(const cli_command *command)
{
    cli_print("usage: refold %s %s [OPTIONS]\n\n%s\n", command->name, command->operands,
              command->summary);
    if (command->details)
        cli_print("\n%s", command->details);
    cli_print("\n");
    cli_options_print(command->options, command->option_count);
}

static const cli_command *find_command(const char *name)
{
    for (uint32_t i = 0; i < cli_command_count; i++) {
        if (strcmp(cli_commands[i]->name, name) == 0)
            return cli_commands[i];
    }
    return NULL;
}

static rf_status refuse_command(const char *name, rf_err *err)
{
    const char *nearest = NULL;
    uint32_t distance = 3;
    for (uint32_t i = 0; i < cli_command_count; i++) {
        uint32_t found = cli_word_distance(name, cli_commands[i]->name);
        if (found < distance) {
            distance = found;
            nearest = cli_commands[i]->name;
        }
    }
    if (nearest)
        return cli_fail(err, RF_ERR_USAGE, "no command '%s': did you mean %s? (see refold --help)",
                        name, nearest);
    return cli_fail(err, RF_ERR_USAGE, "no command '%s' (see refold --help)", name);
}

static rf_status check_operands(const cli_command *command, const cli_operands *operands,
                                rf_err *err)
{
    if (operands->count < command->operands_min)
        return cli_fail(err, RF_ERR_USAGE, "too few arguments: refold %s %s", command->name,
                        command->operands);
    if (operands->count > command->operands_max)
        return cli_fail(err, RF_ERR_USAGE, "surplus argument '%s': refold %s %s",
                        operands->items[command->operands_max], command->name, command->operands);
    return RF_OK;
}

/* Adds where help is to a line about usage. */
static void add_hint(const cli_command *command, rf_err *err)
{
    size_t size = strlen(err->message);
    snprintf(err->message + size, sizeof err->message - size, " (see refold %s --help)",
             command->name);
}

static rf_status run_command(const cli_command *command, int argc, char **argv, rf_err *err)
{
    void *options = calloc(1, command->options_size);
    const char **items = calloc((size_t)argc + 1, sizeof *items);
    cli_operands operands = {.items = items};
    rf_status status = RF_OK;
    if (!options || !items) {
        status = cli_fail(err, RF_ERR_MEMORY, "out of memory");
        goto end;
    }
    status = cli_options_parse(command->options, command->option_count, argc, argv, options,
                               &operands, err);
    if (status == RF_OK && operands.help) {
        print_command_help(command);
        goto end;
    }
    if (status == RF_OK)
        status = check_operands(command, &operands, err);
    if (status == RF_OK) {
        cli_interrupt_install(command->orderly);
        cli_watch_start(command, options);
        status = command->run(&(cli_call){options, items, operands.count}, err);
    }
    if (status == RF_ERR_USAGE)
        add_hint(command, err);
end:
    free(items);
    free(options);
    return status;
}

static rf_status run(int argc, char **argv, rf_err *err)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    if (!word)
        return cli_fail(err, RF_ERR_USAGE, "no command given (see refold --help)");
    bool help = strcmp(word, "help") == 0 || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
    if (help && argc == 2) {
        print_help();
        return RF_OK;
    }
    if (strcmp(word, "--version") == 0) {
        cli_print("refold %s\n", RF_VERSION);
        return RF_OK;
    }
    const cli_command *command = find_command(help ? argv[2] : word);
    if (!command)
        return refuse_command(help ? argv[2] : word, err);
    if (help) {
        print_command_help(command);
        return RF_OK;
    }
    return run_command(command, argc - 2, argv + 2, err);
}

/* What `ps` shows of this process are the arguments' own bytes: a URL's password is written over
 * there, and a copy takes the argument's place. Copies live as long as the process. */
static rf_status hide_passwords(int argc, char **argv, rf_err *err)
{
    for (int i = 1; i < argc; i++) {
        char *given = argv[i];
        const char *url = rf_url_find(given);
        if (!url)
            continue;
        argv[i] = strdup(given);
        if (!argv[i])
            return cli_fail(err, RF_ERR_MEMORY, "out of memory");
        rf_url_hide(given + (url - given));
    }
    return RF_OK;
}

/* An argument may be repeated in a message. */
static void redact_message(int argc, char **argv, rf_err *err)
{
    for (int i = 1; i < argc; i++) {
        const char *url = rf_url_find(argv[i]);
        if (url)
            rf_url_redact(err->message, url);
    }
}

int main(int argc, char **argv)
{
    static char buffer[1 << 18];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    cli_interrupt_install(false);

    rf_err err = {.status = RF_OK};
    rf_err output_err = {.status = RF_OK};
    rf_status status = hide_passwords(argc, argv, &err);
    if (status == RF_OK)
        status = run(argc, argv, &err);
    rf_status output_status = cli_output_finish(&output_err);
    if (status == RF_OK && output_status != RF_OK) {
        status = output_status;
        err = output_err;
    }
    if (status == RF_OK)
        return 0;
    redact_message(argc, argv, &err);
    fprintf(stderr, "refold: %s\n", err.message);
    if (status == RF_ERR_INTERRUPTED)
        return cli_interrupt_exit_code();
    return rf_status_exit_code(status);
}
