#include "cli/kept.h"

#include "cli/output.h"

#include <string.h>

/* As a shell takes it for one word. */
static void print_word(const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:@%=";

    if (word[strspn(word, plain)] == '\0') {
        cli_print("%s", word);
        return;
    }
    cli_print("'");
    for (const char *at = word; *at;) {
        size_t size = strcspn(at, "'");
        cli_print_safe((rf_slice){at, size});
        at += size;
        if (*at == '\'') {
            cli_print("'\\''");
            at++;
        }
    }
    cli_print("'");
}

static void print_command(const char *verb, const char *store_path, const char *name)
{
    cli_print("; `refold %s ", verb);
    print_word(store_path);
    cli_print(" %s", name);
}

rf_status cli_kept_print(rf_store *store, const char *store_path, const char *name, rf_err *err)
{
    char bytes[CLI_NUMBER_SIZE];
    rf_generations *list = NULL;
    uint32_t count = 0;
    rf_status status = rf_generations_list(store, name, &list, err);
    if (status != RF_OK)
        return status;
    const rf_generation *items = rf_generations_items(list, &count);
    for (uint32_t i = 0; i < count; i++) {
        const rf_generation *item = &items[i];
        if (item->colour) {
            cli_print("%s@%u stays, kept current beside the live version: generation %llu, %s",
                      item->name, item->version, (unsigned long long)item->number,
                      cli_format_bytes(item->bytes, bytes));
            print_command("retire", store_path, item->name);
            cli_print("@%u` ends it\n", item->version);
        }
        if (item->pinned) {
            cli_print("%s generation %llu stays, pinned: %s", item->name,
                      (unsigned long long)item->number, cli_format_bytes(item->bytes, bytes));
            print_command("unpin", store_path, item->name);
            cli_print(" --generation %llu` ends it\n", (unsigned long long)item->number);
        }
    }
    rf_generations_free(list);
    return RF_OK;
}

rf_status cli_kept_json(cli_json *json, rf_store *store, const char *name, rf_err *err)
{
    rf_generations *list = NULL;
    uint32_t count = 0;
    rf_status status = rf_generations_list(store, name, &list, err);
    if (status != RF_OK)
        return status;
    const rf_generation *items = rf_generations_items(list, &count);
    cli_json_open(json, "kept", '[');
    for (uint32_t i = 0; i < count; i++) {
        if (!items[i].colour && !items[i].pinned)
            continue;
        cli_json_open(json, NULL, '{');
        cli_json_text(json, "name", items[i].name);
        cli_json_count(json, "version", items[i].version);
        cli_json_count(json, "generation", items[i].number);
        cli_json_bool(json, "colour", items[i].colour);
        cli_json_bool(json, "pinned", items[i].pinned);
        cli_json_count(json, "bytes", items[i].bytes);
        cli_json_close(json, '}');
    }
    cli_json_close(json, ']');
    rf_generations_free(list);
    return RF_OK;
}
