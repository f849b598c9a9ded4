#include "sink/lines.h"

#include "refold/text.h"
#include "sink/target_file.h"
#include "sink/watch.h"

/* A piece of text that is written at once. */
enum { PIECE_BYTES = 1 << 18 };

static rf_status flush(rf_target_file *file, rf_text *text, rf_err *err)
{
    rf_status status = rf_text_check(text, err);

    if (status == RF_OK)
        status = rf_target_file_write(file, rf_text_bytes(text), err);
    rf_text_clear(text);
    return status;
}

static rf_status write_rows(rf_reader *reader, rf_cursor *cursor, rf_lines_format format,
                            const rf_run *run, rf_target_file *file, rf_text *text, rf_err *err)
{
    const rf_reader_info *info = rf_reader_get_info(reader);
    rf_sink_watch watch;
    rf_row row;

    rf_sink_watch_begin(&watch, run, info->rows);
    rf_status status = rf_sink_watch_look(&watch, err);
    if (format == RF_LINES_CSV)
        rf_text_append_header_csv(text, info);
    while (status == RF_OK && (status = rf_cursor_next(cursor, &row, err)) == RF_OK) {
        if (format == RF_LINES_CSV) {
            rf_text_append_row_csv(text, info, &row);
        } else {
            rf_text_append_row_json(text, info, &row);
            rf_text_append(text, RF_SLICE("\n"));
        }
        if (rf_text_bytes(text).size >= PIECE_BYTES)
            status = flush(file, text, err);
        if (status == RF_OK)
            status = rf_sink_watch_row(&watch, err);
    }
    return status == RF_ERR_NO_ROW ? flush(file, text, err) : status;
}

rf_status rf_sink_lines(rf_reader *reader, const char *path, rf_lines_format format,
                        const rf_run *run, uint64_t *bytes_out, rf_err *err)
{
    rf_target_file file;
    rf_cursor *cursor = NULL;
    rf_text *text = NULL;

    rf_status status = rf_target_file_begin(&file, path, err);
    if (status != RF_OK)
        return status;
    text = rf_text_new();
    if (!text)
        status = rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for its text", path);
    if (status == RF_OK)
        status = rf_cursor_open(reader, NULL, &cursor, err);
    if (status == RF_OK)
        status = write_rows(reader, cursor, format, run, &file, text, err);
    if (status == RF_OK)
        status = rf_target_file_finish(&file, err);
    if (status == RF_OK)
        *bytes_out = file.size;
    rf_cursor_close(cursor);
    rf_text_free(text);
    rf_target_file_abandon(&file);
    return status;
}
