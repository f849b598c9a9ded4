/* See refold/url.h. */
#include "refold/url.h"

#include "database/postgres.h"

#include <string.h>

const char *rf_url_find(const char *text)
{
    for (const char *at = text; *at; at++) {
        bool is_begin = at == text || at[-1] == '=';
        if (is_begin && rf_postgres_is_url(at))
            return at;
    }
    return NULL;
}

void rf_url_hide(char *url)
{
    rf_postgres_hide_password(url);
}

void rf_url_redact(char *text, const char *url)
{
    rf_postgres_redact(text, url);
}
