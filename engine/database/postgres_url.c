/* See postgres_url.h. */
#include "database/postgres_url.h"

#include "database/postgres.h"

/* The forms of rf_postgres_is_url. */
static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool rf_postgres_is_url(const char *text)
{
    return starts_with(text, "postgresql:") || starts_with(text, "postgres:") ||
           starts_with(text, "service=");
}

/* The bytes between "://" and the end; all of it where there is no scheme (service=NAME). */
static rf_slice rest_of(const char *url)
{
    const char *rest = strstr(url, "://");

    return rf_slice_of(rest ? rest + 3 : url);
}

static rf_slice up_to(rf_slice text, const char *ends)
{
    for (size_t i = 0; i < text.size; i++) {
        if (strchr(ends, text.data[i]))
            return (rf_slice){text.data, i};
    }
    return text;
}

static rf_slice behind(rf_slice text, size_t size)
{
    RF_ASSERT(size <= text.size);
    return (rf_slice){text.data + size, text.size - size};
}

static rf_slice authority_of(const char *url)
{
    return up_to(rest_of(url), "/?");
}

static size_t count_of(rf_slice text, char byte)
{
    size_t count = 0;

    for (size_t i = 0; i < text.size; i++)
        count += text.data[i] == byte;
    return count;
}

/* USER:PASSWORD@ of the authority. */
static bool userinfo_secret(const char *url, rf_slice *secret_out)
{
    rf_slice authority = authority_of(url);

    if (!strstr(url, "://") || count_of(authority, '@') != 1)
        return false;
    rf_slice userinfo = up_to(authority, "@");
    rf_slice user = up_to(userinfo, ":");
    if (user.size == userinfo.size)
        return false;
    *secret_out = behind(userinfo, user.size + 1);
    return secret_out->size > 0;
}

bool rf_postgres_url_secret(const char *url, unsigned index, rf_slice *secret_out)
{
    static const char mark[] = "password=";
    bool is_url = strstr(url, "://") != NULL;
    const char *at = url;

    if (userinfo_secret(url, secret_out) && index-- == 0)
        return true;
    while ((at = strstr(at, mark)) != NULL) {
        at += strlen(mark);
        rf_slice value = up_to(rf_slice_of(at), is_url ? "&" : "");
        if (value.size > 0 && index-- == 0) {
            *secret_out = value;
            return true;
        }
    }
    return false;
}

bool rf_postgres_url_is_clear(const char *url)
{
    if (!strstr(url, "://"))
        return true; /* service=NAME */
    rf_slice rest = rest_of(url);
    rf_slice authority = authority_of(url);
    rf_slice query = behind(rest, up_to(rest, "?").size);
    size_t signs = count_of(authority, '@');
    if (signs > 1 || count_of(rest, '@') - count_of(query, '@') > signs)
        return false;
    /* "?" of a password: no "=" stands before the "@". */
    rf_slice tail = up_to(query, "=");
    if (count_of(tail, '@') > 0)
        return false;
    /* What stands as the ports must be ports: else it may be a part of a password. */
    rf_slice hosts = signs ? behind(authority, up_to(authority, "@").size + 1) : authority;
    bool in_port = false, in_brackets = false;
    for (size_t i = 0; i < hosts.size; i++) {
        char byte = hosts.data[i];
        in_brackets = byte == '[' || (in_brackets && byte != ']');
        if (byte == ',' || in_brackets)
            in_port = false;
        else if (in_port && (byte < '0' || byte > '9'))
            return false;
        else if (byte == ':')
            in_port = true;
    }
    return true;
}

void rf_postgres_hide_password(char *url)
{
    rf_slice secret;
    size_t first = strcspn(url, ":=");

    if (!rf_postgres_url_is_clear(url)) {
        for (char *at = url + first + (url[first] != '\0'); *at; at++)
            *at = '*';
        return;
    }
    for (unsigned i = 0; rf_postgres_url_secret(url, i, &secret); i++)
        memset(url + (secret.data - url), '*', secret.size);
}

void rf_postgres_mask(char *text, rf_slice secret)
{
    char *at = text;

    if (secret.size == 0)
        return;
    while ((at = memmem(at, strlen(at), secret.data, secret.size)) != NULL) {
        memset(at, '*', secret.size);
        at += secret.size;
    }
}

void rf_postgres_redact(char *text, const char *url)
{
    rf_slice secret;

    if (!rf_postgres_url_is_clear(url))
        rf_postgres_mask(text, rest_of(url));
    for (unsigned i = 0; rf_postgres_url_secret(url, i, &secret); i++)
        rf_postgres_mask(text, secret);
}
