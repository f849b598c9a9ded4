/* postgres.h: what is known of a URL, and what is said where no server is. With a server:
 * tests/cli/postgres_import.sh. */
#include "database/postgres.h"
#include "database/postgres_url.h"

#include "base/file.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void hides(const char *url, const char *expected)
{
    char copy[256];

    (void)snprintf(copy, sizeof copy, "%s", url);
    rf_postgres_hide_password(copy);
    cr_assert_str_eq(copy, expected, "%s became %s", url, copy);
}

Test(postgres, hides_what_is_the_password_of_a_url)
{
    hides("postgresql://db/shop", "postgresql://db/shop");
    hides("postgresql://me@db/shop", "postgresql://me@db/shop");
    hides("postgresql://me:secret@db:5433/shop", "postgresql://me:******@db:5433/shop");
    hides("postgres://me:p%40ss@db/shop?sslmode=require",
          "postgres://me:******@db/shop?sslmode=require");
    hides("postgresql:///shop?user=me&password=secret&host=db",
          "postgresql:///shop?user=me&password=******&host=db");
    hides("postgresql://me:a@db/shop?sslpassword=b", "postgresql://me:*@db/shop?sslpassword=*");
    hides("postgresql://me:x@[::1]:5432,other:5433/shop", "postgresql://me:*@[::1]:5432,other:5433/shop");
    hides("service=shop", "service=shop");
    hides("service=shop password=secret", "service=shop password=******");
}

Test(postgres, hides_all_of_a_url_whose_password_may_reach_into_other_parts)
{
    static const char *const urls[] = {"postgres://me:pa@ss@db/shop", "postgres://me:pa/ss@db",
                                       "postgres://me:pa?ss@db", "postgres://me:pass:word@db:x"};

    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        char expected[64];
        (void)snprintf(expected, sizeof expected, "postgres:");
        memset(expected + 9, '*', strlen(urls[i]) - 9);
        expected[strlen(urls[i])] = '\0';
        hides(urls[i], expected);
    }
}

Test(postgres, masks_a_password_wherever_a_message_has_it)
{
    char text[] = "no host \"secret\": secret, secretsecret";

    rf_postgres_redact(text, "postgresql://me:secret@db/shop");
    cr_assert_str_eq(text, "no host \"******\": ******, ************");
}

Test(postgres, knows_urls_from_files)
{
    cr_assert(rf_postgres_is_url("postgresql://db/shop"));
    cr_assert(rf_postgres_is_url("postgres:///shop"));
    cr_assert(rf_postgres_is_url("service=shop"));
    cr_assert_not(rf_postgres_is_url("postgresql.jsonl"));
    cr_assert_not(rf_postgres_is_url("orders.jsonl"));
}

#ifdef RF_HAVE_POSTGRESQL
static rf_status refuses(const char *url, rf_err *err)
{
    rf_postgres *postgres = NULL;
    rf_postgres_options options = {.connect_timeout_ms = 2000};
    rf_status status = rf_postgres_open(url, &options, &postgres, err);

    cr_assert_neq(status, RF_OK);
    cr_assert_null(postgres);
    cr_assert_eq(err->status, status);
    return status;
}

Test(postgres, says_that_a_server_is_unreachable)
{
    rf_err err;

    cr_assert_eq(refuses("postgresql://me:s3cr3t@/shop?host=/nowhere/at-all", &err),
                 RF_ERR_UNREACHABLE);
    cr_assert_not_null(strstr(err.message, "/nowhere/at-all/shop"), "%s", err.message);
    cr_assert_null(strstr(err.message, "s3cr3t"));
}

Test(postgres, repeats_nothing_of_a_url_that_it_does_not_understand)
{
    static const char *const urls[] = {
        "postgresql://me:s3@cr3t@db/shop",  "postgresql://me:s3/cr3t@db/shop",
        "postgresql://me:s3?cr3t@db/shop",  "postgresql://me:s3cr3t%zz@db/shop",
        "postgresql://db/shop?s3cr3t=cr3t", "postgresql://me:x@db:s3cr3t/shop",
        "postgresql://me:x@[s3cr3t/shop",   "postgresql:s3cr3t",
    };

    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        rf_err err;
        cr_assert_eq(refuses(urls[i], &err), RF_ERR_USAGE, "%s", urls[i]);
        cr_assert_null(strstr(err.message, "cr3t"), "%s: %s", urls[i], err.message);
        cr_assert_null(strchr(err.message, '\n'));
    }
}

/* A server that takes connections and says nothing. */
static char dir[64];
static int silent = -1;

static void silent_begin(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    (void)snprintf(dir, sizeof dir, "/tmp/refold-silent-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/.s.PGSQL.5432", dir);
    silent = socket(AF_UNIX, SOCK_STREAM, 0);
    cr_assert_eq(bind(silent, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(silent, 4), 0);
}

static void silent_end(void)
{
    (void)close(silent);
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

static rf_status open_silent(const rf_postgres_options *options, rf_err *err)
{
    char url[128];
    rf_postgres *postgres;

    (void)snprintf(url, sizeof url, "postgresql:///shop?host=%s", dir);
    return rf_postgres_open(url, options, &postgres, err);
}

static volatile int cancel;
static void set_cancel(int number)
{
    cancel = number;
}

Test(postgres, ends_when_it_is_cancelled_while_it_connects, .init = silent_begin, .fini = silent_end)
{
    rf_err err;

    cr_assert_neq(signal(SIGALRM, set_cancel), SIG_ERR);
    (void)alarm(1);
    cr_assert_eq(open_silent(&(rf_postgres_options){.cancel = &cancel}, &err), RF_ERR_INTERRUPTED);
}

Test(postgres, waits_for_a_silent_server_no_longer_than_told, .init = silent_begin,
     .fini = silent_end)
{
    rf_err err;

    cr_assert_eq(open_silent(&(rf_postgres_options){.connect_timeout_ms = 300}, &err),
                 RF_ERR_UNREACHABLE);
    cr_assert_not_null(strstr(err.message, "in time"), "%s", err.message);
}
#endif
