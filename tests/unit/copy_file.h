/* A copy of a file, for tests that damage one or put an older one back. */
#ifndef RF_TESTS_COPY_FILE_H
#define RF_TESTS_COPY_FILE_H

#include "base/file.h"

#include <criterion/criterion.h>

static inline void copy_file(const char *from, const char *to)
{
    rf_buf bytes;

    rf_buf_init(&bytes, (size_t)1 << 30);
    cr_assert_eq(rf_file_read(from, &bytes, NULL), RF_OK);
    cr_assert_eq(rf_file_create(to, rf_buf_slice(&bytes), NULL), RF_OK);
    rf_buf_free(&bytes);
}

#endif
