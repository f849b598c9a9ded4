#include "sink/postgres_sql.h"

#include <stdarg.h>

enum { TEXT_SIZE_MAX = 32 << 20 };

void rf_sql_begin(rf_sql *sql, rf_postgres *db)
{
    if (!sql->db)
        rf_buf_init(&sql->text, TEXT_SIZE_MAX);
    sql->db = db;
    sql->status = RF_OK;
    rf_buf_clear(&sql->text);
}

void rf_sql_end(rf_sql *sql)
{
    if (sql->db)
        rf_buf_free(&sql->text);
    sql->db = NULL;
}

static void add_name(rf_sql *sql, const char *name)
{
    if (sql->status == RF_OK)
        sql->status = rf_postgres_quote_name(sql->db, rf_slice_of(name), &sql->text, &sql->err);
}

static void add_text(rf_sql *sql, const char *text)
{
    if (sql->status == RF_OK)
        sql->status = rf_postgres_quote_text(sql->db, rf_slice_of(text), &sql->text, &sql->err);
}

static void add_bytes(rf_sql *sql, rf_slice bytes)
{
    static const char digits[] = "0123456789abcdef";

    rf_buf_append_byte(&sql->text, '\'');
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned byte = (unsigned char)bytes.data[i];
        rf_buf_append_byte(&sql->text, (uint8_t)digits[byte >> 4]);
        rf_buf_append_byte(&sql->text, (uint8_t)digits[byte & 15]);
    }
    rf_buf_append_byte(&sql->text, '\'');
}

void rf_sql_add(rf_sql *sql, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    for (const char *at = format; *at; at++) {
        if (*at != '%') {
            rf_buf_append_byte(&sql->text, (uint8_t)*at);
            continue;
        }
        switch (*++at) {
        case 'n':
            add_name(sql, va_arg(args, const char *));
            break;
        case 't':
            add_name(sql, va_arg(args, const char *));
            rf_buf_append_byte(&sql->text, '.');
            add_name(sql, va_arg(args, const char *));
            break;
        case 'q':
            add_text(sql, va_arg(args, const char *));
            break;
        case 'x':
            add_bytes(sql, va_arg(args, rf_slice));
            break;
        case 's':
            rf_buf_append_format(&sql->text, "%s", va_arg(args, const char *));
            break;
        case 'u':
            rf_buf_append_format(&sql->text, "%llu",
                                 (unsigned long long)va_arg(args, uint64_t));
            break;
        default: /* %% */
            RF_ASSERT(*at == '%');
            rf_buf_append_byte(&sql->text, '%');
        }
    }
    va_end(args);
}

/* Ends the text with a NUL. */
static rf_status close_text(rf_sql *sql, rf_err *err)
{
    if (sql->status != RF_OK) {
        if (err)
            *err = sql->err;
        return sql->status;
    }
    rf_buf_append_byte(&sql->text, '\0');
    return rf_buf_check(&sql->text, "SQL", err);
}

rf_status rf_sql_run(rf_sql *sql, rf_err *err)
{
    rf_status status = close_text(sql, err);

    if (status == RF_OK)
        status = rf_postgres_run(sql->db, sql->text.data, err);
    rf_sql_begin(sql, sql->db);
    return status;
}

rf_status rf_sql_query(rf_sql *sql, rf_postgres_rows **rows_out, rf_err *err)
{
    rf_status status = close_text(sql, err);

    if (status == RF_OK)
        status = rf_postgres_query(sql->db, sql->text.data, NULL, 0, rows_out, err);
    rf_sql_begin(sql, sql->db);
    return status;
}

rf_status rf_sql_count(rf_sql *sql, uint64_t *count_out, rf_err *err)
{
    rf_postgres_rows *rows = NULL;

    rf_status status = rf_sql_query(sql, &rows, err);
    if (status == RF_OK)
        *count_out = rf_postgres_row_count(rows) ? (uint64_t)rf_postgres_int(rows, 0, 0) : 0;
    rf_postgres_rows_free(rows);
    return status;
}

rf_status rf_sql_copy_in(rf_sql *sql, rf_err *err)
{
    rf_status status = close_text(sql, err);

    if (status == RF_OK)
        status = rf_postgres_copy_in(sql->db, sql->text.data, err);
    rf_sql_begin(sql, sql->db);
    return status;
}
