#include "cli/output.h"

#include "cli/fail.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int write_error; /* errno of the first write that failed */

static void note_failure(bool failed)
{
    if (failed && !write_error)
        write_error = errno ? errno : EIO;
}

void cli_print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    note_failure(vprintf(format, arguments) < 0);
    va_end(arguments);
}

void cli_print_bytes(rf_slice bytes)
{
    if (bytes.size)
        note_failure(fwrite(bytes.data, 1, bytes.size, stdout) != bytes.size);
}

void cli_print_safe(rf_slice text)
{
    size_t begin = 0;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c >= 0x20 && c != 0x7f)
            continue;
        cli_print_bytes((rf_slice){text.data + begin, i - begin});
        cli_print("\\x%02x", c);
        begin = i + 1;
    }
    cli_print_bytes((rf_slice){text.data + begin, text.size - begin});
}

bool cli_output_failed(void)
{
    return write_error != 0;
}

rf_status cli_output_finish(rf_err *err)
{
    note_failure(fflush(stdout) != 0);
    if (!write_error)
        return RF_OK;
    if (write_error == EPIPE) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    errno = write_error;
    return cli_fail(err, RF_ERR_IO, "standard output: %s", strerror(write_error));
}

const char *cli_format_count(uint64_t count, char out[CLI_NUMBER_SIZE])
{
    char digits[24];
    int size = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    char *at = out;
    for (int i = 0; i < size; i++) {
        if (i && (size - i) % 3 == 0)
            *at++ = ',';
        *at++ = digits[i];
    }
    *at = '\0';
    return out;
}

const char *cli_format_bytes(uint64_t bytes, char out[CLI_NUMBER_SIZE])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) {
        snprintf(out, CLI_NUMBER_SIZE, "%u B", (unsigned)bytes);
        return out;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    for (; value >= 1023.95 && unit + 1 < sizeof units / sizeof units[0]; unit++)
        value /= 1024;
    snprintf(out, CLI_NUMBER_SIZE, "%.1f %s", value, units[unit]);
    return out;
}

const char *cli_format_seconds(double seconds, char out[CLI_NUMBER_SIZE])
{
    if (seconds < 10)
        snprintf(out, CLI_NUMBER_SIZE, "%.3f s", seconds);
    else if (seconds < 120)
        snprintf(out, CLI_NUMBER_SIZE, "%.1f s", seconds);
    else if (seconds < 2 * 3600)
        snprintf(out, CLI_NUMBER_SIZE, "%ld min %02ld s", (long)seconds / 60, (long)seconds % 60);
    else if (seconds < 2 * 86400)
        snprintf(out, CLI_NUMBER_SIZE, "%ld h %02ld min", (long)seconds / 3600, (long)seconds / 60 % 60);
    else if (seconds < 1e10)
        snprintf(out, CLI_NUMBER_SIZE, "%ld days %ld h", (long)seconds / 86400, (long)seconds / 3600 % 24);
    else
        snprintf(out, CLI_NUMBER_SIZE, "for ever");
    return out;
}

const char *cli_format_rate(uint64_t count, double seconds, char out[CLI_NUMBER_SIZE])
{
    if (seconds <= 0 || (double)count / seconds > 1e18) {
        snprintf(out, CLI_NUMBER_SIZE, "-");
        return out;
    }
    return cli_format_count((uint64_t)((double)count / seconds), out);
}

const char *cli_plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}
