/* SQLite files of others: nothing in them runs, whatever stands there. */
#include "database/sqlite.h"

#include "base/file.h"

#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[64];
static char path[96];

/* Makes a database by SQL. */
static void make(const char *sql)
{
    sqlite3 *db;
    char *words = NULL;

    snprintf(dir, sizeof dir, "/tmp/refold-sqlite-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.db", dir);
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, &words), SQLITE_OK, "%s", words);
    cr_assert_eq(sqlite3_close(db), SQLITE_OK);
}

static void change(const char *sql)
{
    sqlite3 *db;

    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    cr_assert_eq(sqlite3_close(db), SQLITE_OK);
}

static void end(rf_sqlite *db)
{
    rf_sqlite_close(db);
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

static rf_sqlite *open_it(void)
{
    rf_sqlite *db = NULL;
    rf_err err = {0};

    cr_assert_eq(rf_sqlite_open_read(path, NULL, &db, &err), RF_OK, "%s", err.message);
    return db;
}

static rf_status refused(rf_sqlite *db, const char *sql, char words_out[RF_ERR_MESSAGE_SIZE])
{
    rf_sqlite_statement *statement = NULL;
    rf_err err = {0};
    bool row;

    rf_status status = rf_sqlite_prepare(db, rf_slice_of(sql), &statement, &err);
    if (status == RF_OK)
        status = rf_sqlite_step(statement, &row, &err);
    rf_sqlite_statement_free(statement);
    snprintf(words_out, RF_ERR_MESSAGE_SIZE, "%s", err.message);
    return status;
}

Test(sqlite, gives_values_by_their_kind)
{
    rf_sqlite_statement *statement;
    bool row = false;

    make("CREATE TABLE t (a, b, c, d, e);"
         "INSERT INTO t VALUES (-7, 1.5, 'x''y', x'00ff', NULL)");
    rf_sqlite *db = open_it();
    cr_assert_eq(rf_sqlite_prepare(db, RF_SLICE("SELECT a, b, c, d, e FROM t WHERE a > ? AND c <> ?;"),
                                   &statement, NULL),
                 RF_OK);
    rf_sqlite_bind_integer(statement, 1, -8);
    rf_sqlite_bind_text(statement, 2, RF_SLICE("z"));
    cr_assert_eq(rf_sqlite_step(statement, &row, NULL), RF_OK);
    cr_assert(row);
    cr_assert_eq(rf_sqlite_column_count(statement), 5);
    cr_assert_str_eq(rf_sqlite_column_name(statement, 2), "c");
    static const rf_sqlite_kind kinds[] = {RF_SQLITE_INTEGER, RF_SQLITE_REAL, RF_SQLITE_TEXT,
                                           RF_SQLITE_BLOB, RF_SQLITE_NULL};
    for (int i = 0; i < 5; i++)
        cr_assert_eq(rf_sqlite_column_kind(statement, i), kinds[i]);
    cr_assert_eq(rf_sqlite_column_integer(statement, 0), -7);
    cr_assert(rf_slice_equal(rf_sqlite_column_bytes(statement, 2), RF_SLICE("x'y")));
    cr_assert(rf_slice_equal(rf_sqlite_column_bytes(statement, 3), RF_SLICE("\0\xff")));
    cr_assert_eq(rf_sqlite_column_bytes(statement, 4).size, 0);
    cr_assert_eq(rf_sqlite_step(statement, &row, NULL), RF_OK);
    cr_assert_not(row);
    rf_sqlite_statement_free(statement);
    end(db);
}

Test(sqlite, runs_nothing_but_one_statement_that_reads)
{
    static const char *const statements[] = {
        "DELETE FROM t",
        "CREATE TEMP TABLE x (a)",
        "ATTACH '/tmp/refold-sqlite-attached' AS other",
        "PRAGMA journal_mode=DELETE",
        "PRAGMA writable_schema=ON",
        "SELECT load_extension('x')",
        "SELECT 1; DELETE FROM t",
        "SELECT 1; SELECT 2",
        "BEGIN IMMEDIATE",
        "VACUUM INTO '/tmp/refold-sqlite-copy'",
        "",
        "-- nothing",
        "SELEC 1",
        "SELECT * FROM absent",
    };
    char words[RF_ERR_MESSAGE_SIZE];

    make("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    rf_sqlite *db = open_it();
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        cr_assert_eq(refused(db, statements[i], words), RF_ERR_USAGE, "%s", statements[i]);
        cr_assert(words[0] != '\0');
    }
    cr_assert_eq(refused(db, "SELECT a FROM t", words), RF_OK, "%s", words);
    end(db);
}

Test(sqlite, refuses_what_is_no_database)
{
    rf_sqlite *db = NULL;
    rf_err err = {0};

    make("CREATE TABLE t (a)");
    cr_assert_eq(rf_sqlite_open_read("/nonexistent/a.db", NULL, &db, &err), RF_ERR_IO);
    cr_assert_not_null(strstr(err.message, "/nonexistent/a.db"));
    cr_assert_eq(rf_sqlite_open_read(dir, NULL, &db, &err), RF_ERR_INPUT);
    FILE *file = fopen(path, "r+");
    fputs("{\"stream\":", file);
    fclose(file);
    cr_assert_eq(rf_sqlite_open_read(path, NULL, &db, &err), RF_ERR_INPUT);
    cr_assert_not_null(strstr(err.message, "no SQLite database"));
    end(NULL);
}

/* The schema's own expressions are not trusted: a view cannot call what has effects. */
Test(sqlite, ends_what_runs_for_ever_when_cancelled)
{
    rf_sqlite *db = NULL;
    rf_sqlite_statement *statement;
    volatile int cancel = 0;
    bool row;
    rf_err err = {0};

    make("CREATE VIEW stored_events AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) "
         "SELECT count(*) AS a FROM n");
    cr_assert_eq(rf_sqlite_open_read(path, &cancel, &db, &err), RF_OK);
    cr_assert_eq(rf_sqlite_prepare(db, RF_SLICE("SELECT * FROM stored_events"), &statement, &err),
                 RF_OK);
    cancel = 1;
    cr_assert_eq(rf_sqlite_step(statement, &row, &err), RF_ERR_INTERRUPTED);
    rf_sqlite_statement_free(statement);
    end(db);
}

Test(sqlite, tells_that_another_connection_has_written_and_that_the_file_is_another)
{
    int64_t before, after;
    char other[128];
    rf_err err = {0};

    make("PRAGMA journal_mode=WAL; CREATE TABLE t (a)");
    rf_sqlite *db = open_it();
    cr_assert(rf_sqlite_readers_are_free(db));
    cr_assert_eq(rf_sqlite_changes(db, &before, NULL), RF_OK);
    cr_assert_eq(rf_sqlite_changes(db, &after, NULL), RF_OK);
    cr_assert_eq(before, after);
    change("INSERT INTO t VALUES (1)");
    cr_assert_eq(rf_sqlite_changes(db, &after, NULL), RF_OK);
    cr_assert_neq(before, after);
    cr_assert_eq(rf_sqlite_is_same_file(db, &err), RF_OK);
    snprintf(other, sizeof other, "%s/b.db", dir);
    cr_assert_eq(rename(path, other), 0);
    cr_assert_eq(rf_sqlite_is_same_file(db, &err), RF_ERR_IO);
    fclose(fopen(path, "w"));
    cr_assert_eq(rf_sqlite_is_same_file(db, &err), RF_ERR_INPUT);
    end(db);
}

Test(sqlite, quotes_names)
{
    rf_buf out;

    rf_buf_init(&out, 100);
    rf_sqlite_quote(&out, RF_SLICE("a\"b; DROP TABLE t"));
    cr_assert(rf_slice_equal(rf_buf_slice(&out), RF_SLICE("\"a\"\"b; DROP TABLE t\"")));
    rf_buf_free(&out);
}
