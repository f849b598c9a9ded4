/* A user of librefold: shop STORE PLUGIN. See ../library.sh. */
#include <refold/refold.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rf_err err;

/* Ends the program where a call failed: the message says what, where and what still holds. */
static void must(rf_status status)
{
    if (status != RF_OK) {
        (void)fprintf(stderr, "shop: %s\n", err.message);
        exit(rf_status_exit_code(status));
    }
}

static void import_events(rf_store *store, const char *store_path)
{
    static const char events[] =
        "{\"stream\":\"order-1\",\"type\":\"OrderPlaced\",\"data\":{\"customer\":\"c-1\"}}\n"
        "{\"stream\":\"order-2\",\"type\":\"OrderPlaced\",\"data\":{\"customer\":\"c-2\"}}\n"
        "{\"stream\":\"order-1\",\"type\":\"OrderPaid\",\"data\":{}}\n";
    char path[4096];
    const char *paths[] = {path};
    rf_import_options options = {.run = {.workers_default = true}};
    rf_import_summary summary;

    (void)snprintf(path, sizeof path, "%s.jsonl", store_path);
    FILE *file = fopen(path, "w");
    if (!file || fputs(events, file) == EOF || fclose(file) != 0)
        exit(1);
    must(rf_import_files(store, paths, 1, &options, &summary, &err));
    printf("imported %llu events\n", (unsigned long long)summary.added);
}

static void rebuild(rf_store *store, const char *plugin)
{
    rf_rebuild_report *report;

    must(rf_rebuild(store, &plugin, 1, NULL, &report, &err));
    rf_rebuild_report_free(report);
}

static void print_rows(rf_reader *reader)
{
    rf_cursor *cursor;
    rf_row row;
    rf_status status;

    must(rf_cursor_open(reader, NULL, &cursor, &err));
    while ((status = rf_cursor_next(cursor, &row, &err)) == RF_OK)
        printf("%.*s: %lld events, %.*s to %.*s\n", (int)row.key.size, row.key.data,
               (long long)row.values[0].integer, (int)row.values[1].text.size,
               row.values[1].text.data, (int)row.values[2].text.size, row.values[2].text.data);
    if (status != RF_ERR_NO_ROW)
        must(status);
    rf_cursor_close(cursor);
}

int main(int argc, char **argv)
{
    const rf_store_options create = {.create = true};
    const char *name = "case_summary";
    rf_store *store;
    rf_reader *reader;
    rf_row row;
    rf_flip flip;

    if (argc != 3)
        return 2;
    must(rf_store_open(argv[1], &create, &store, &err));
    import_events(store, argv[1]);
    rebuild(store, argv[2]);
    rebuild(store, argv[2]);
    must(rf_reader_open(store, name, 0, &reader, &err));
    print_rows(reader);
    must(rf_rollback(store, &name, 1, 0, 0, &flip, &err));
    printf("rolled back to generation %llu\n", (unsigned long long)flip.to);
    must(rf_swap(store, &name, 1, 0, 0, &flip, &err));
    printf("swapped to generation %llu\n", (unsigned long long)flip.to);
    if (rf_reader_get(reader, (rf_slice){"order-3", 7}, &row, &err) == RF_ERR_NO_ROW)
        printf("no row: order-3\n");
    rf_reader_close(reader);
    rf_store_close(store);
    return 0;
}
