/* A C++ program that uses librefold as it is installed; library_from_cpp.sh runs it.
 *
 *     program STORE EVENTS PLUGIN
 */
#include <refold/refold.h>

#include <stdio.h>
#include <string.h>

#define TRY(call)                                                                                  \
    do {                                                                                           \
        if ((call) != RF_OK) {                                                                     \
            fprintf(stderr, "%s: %s\n", #call, err.message);                                       \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

int main(int argc, char **argv)
{
    rf_err err;
    rf_store *store = NULL;
    rf_reader *reader = NULL;
    rf_cursor *cursor = NULL;
    rf_row row;
    if (argc != 4)
        return 2;

    rf_store_options create = {true, 0};
    TRY(rf_store_open(argv[1], &create, &store, &err));
    rf_import_options how;
    memset(&how, 0, sizeof how);
    rf_import_summary summary;
    const char *events[] = {argv[2]};
    TRY(rf_import_files(store, events, 1, &how, &summary, &err));

    rf_rebuild_options options;
    memset(&options, 0, sizeof options);
    options.run.workers_default = true;
    rf_rebuild_report *report = NULL;
    const char *projections[] = {argv[3]};
    TRY(rf_rebuild(store, projections, 1, &options, &report, &err));

    const char *name = report->projections[0].name;
    TRY(rf_reader_open(store, name, 0, &reader, &err));
    TRY(rf_cursor_open(reader, NULL, &cursor, &err));
    uint64_t rows = 0;
    while (rf_cursor_next(cursor, &row, &err) == RF_OK)
        rows++;
    int whole = err.status == RF_ERR_NO_ROW && rows == report->projections[0].rows;
    printf("%llu events, %llu rows\n", (unsigned long long)summary.added, (unsigned long long)rows);

    rf_cursor_close(cursor);
    rf_reader_close(reader);
    rf_rebuild_report_free(report);
    rf_store_close(store);
    return whole ? 0 : 1;
}
