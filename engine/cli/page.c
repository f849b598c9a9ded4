/* See page.h. */
#include "cli/page.h"

#include "cli/fail.h"
#include "cli/html.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char style[] =
    ":root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--soft:#5b6470;--line:#dfe3e8;"
    "--card:#f5f7f9}\n"
    "@media (prefers-color-scheme:dark){:root{--paper:#14171b;--ink:#e8ebef;--soft:#9aa5b1;"
    "--line:#2c333b;--card:#1c2127}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"
    "'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;font-variant-numeric:tabular-nums}\n"
    "main{max-width:860px;margin:0 auto;padding:36px 28px 48px}\n"
    "h1{font-size:26px;line-height:1.25;margin:0 0 4px;letter-spacing:-.01em}\n"
    "h2{font-size:17px;margin:40px 0 2px}\n"
    "p{margin:4px 0 10px}.soft,.note{color:var(--soft)}.note{font-size:13.5px}\n"
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(148px,1fr));gap:12px;"
    "margin:22px 0 6px}\n"
    ".tile{background:var(--card);border:1px solid var(--line);border-radius:10px;"
    "padding:11px 14px}\n"
    ".tile "
    "b{display:block;font-size:22px;line-height:1.3;letter-spacing:-.01em;white-space:nowrap}\n"
    ".tile span{color:var(--soft);font-size:13px}\n"
    "table{border-collapse:collapse;width:100%;font-size:13.5px;margin-top:8px}\n"
    "th{font-weight:600;color:var(--soft);font-size:12.5px;vertical-align:bottom;line-height:1.3}\n"
    "th,td{text-align:right;padding:6px 0 6px 14px;border-bottom:1px solid var(--line);"
    "white-space:nowrap}\n"
    "th{white-space:normal}th:first-child,td:first-child{text-align:left;padding-left:0}\n"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 20px;margin:10px 0;"
    "font-size:14px}\n"
    "dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}\n"
    "code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:13px}\n"
    "pre{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:10px 14px;"
    "white-space:pre-wrap;overflow-wrap:anywhere;margin:10px 0}\n"
    "@media (max-width:640px){main{padding:20px 16px 32px}h1{font-size:22px}}\n"
    "@media print{main{padding:0}h2{break-after:avoid}table{break-inside:avoid}}\n";

void cli_page_head(rf_text *text)
{
    cli_html_put(text, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                       "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
}

void cli_page_style(rf_text *text, rf_slice more)
{
    cli_html_put(text, "<style>\n");
    rf_text_append(text, (rf_slice){style, sizeof style - 1});
    rf_text_append(text, more);
    cli_html_put(text, "</style>\n</head>\n<body>\n<main>\n");
}

void cli_page_foot(rf_text *text)
{
    cli_html_put(text, "</main>\n</body>\n</html>\n");
}

rf_status cli_page_begin(cli_page *page, const char *path, const char *lost, rf_err *err)
{
    struct stat info;

    *page = (cli_page){.path = path, .fd = -1};
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return cli_fail(err, RF_ERR_INPUT, "%s: not a file; %s", path, lost);
    size_t size = strlen(path) + sizeof ".tmp";
    page->temporary = malloc(size);
    if (!page->temporary)
        return cli_fail(err, RF_ERR_MEMORY, "out of memory for a path");
    snprintf(page->temporary, size, "%s.tmp", path);
    page->fd = open(page->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (page->fd < 0)
        return cli_fail(err, RF_ERR_IO, "%s: cannot be written: %s; %s", path, strerror(errno),
                        lost);
    return RF_OK;
}

static rf_status write_all(const cli_page *page, rf_slice bytes, rf_err *err)
{
    for (size_t at = 0; at < bytes.size;) {
        ssize_t written = write(page->fd, bytes.data + at, bytes.size - at);
        if (written < 0)
            return cli_fail(err, RF_ERR_IO, "%s: %s", page->path, strerror(errno));
        at += (size_t)written;
    }
    return RF_OK;
}

rf_status cli_page_write(cli_page *page, const rf_text *text, rf_err *err)
{
    rf_status status = rf_text_check(text, err);

    if (status == RF_OK)
        status = write_all(page, rf_text_bytes(text), err);
    if (status == RF_OK && rename(page->temporary, page->path) != 0)
        status = cli_fail(err, RF_ERR_IO, "%s: %s", page->path, strerror(errno));
    if (status == RF_OK) {
        (void)close(page->fd);
        page->fd = -1;
    }
    return status;
}

void cli_page_end(cli_page *page)
{
    if (page->fd >= 0) {
        (void)close(page->fd);
        (void)unlink(page->temporary);
    }
    free(page->temporary);
}
