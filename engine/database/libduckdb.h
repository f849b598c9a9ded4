/* DuckDB's library, loaded when a Parquet file is written: nothing of it is needed to build refold, and what
 * never writes one never loads it.
 *
 *     rf_libduckdb_load, then the functions by their names in rf_libduckdb
 *
 * It is the file that REFOLD_DUCKDB_LIBRARY names, or libduckdb.so where the loader looks (LD_LIBRARY_PATH, ldconfig).
 * What is declared here is of DuckDB's C interface that is stable since its version 1.2: handles are opaque pointers, counts
 * are uint64_t, and 0 is success. Any thread may load; it is done once, and is never undone.
 */
#ifndef RF_DATABASE_LIBDUCKDB_H
#define RF_DATABASE_LIBDUCKDB_H

#include "base/error.h"

typedef void *rf_duckdb_handle; /* of a database, connection, type, vector …, as the functions have it */

/* What DuckDB fills in for a query; only its functions look inside. */
typedef struct rf_duckdb_result {
    uint64_t counts[3];
    void *columns;
    char *message;
    void *data;
} rf_duckdb_result;

/* Numbers of DuckDB's types. */
enum {
    RF_DUCKDB_BOOLEAN = 1,
    RF_DUCKDB_BIGINT = 5,
    RF_DUCKDB_DOUBLE = 11,
    RF_DUCKDB_DATE = 13,
    RF_DUCKDB_VARCHAR = 17,
    RF_DUCKDB_TIMESTAMP_TZ = 31,
};

#define RF_LIBDUCKDB_FUNCTIONS(F)                                                                  \
    F(create_config, int, (rf_duckdb_handle *))                                                    \
    F(set_config, int, (rf_duckdb_handle, const char *, const char *))                             \
    F(destroy_config, void, (rf_duckdb_handle *))                                                  \
    F(open_ext, int, (const char *, rf_duckdb_handle *, rf_duckdb_handle, char **))                \
    F(close, void, (rf_duckdb_handle *))                                                           \
    F(connect, int, (rf_duckdb_handle, rf_duckdb_handle *))                                        \
    F(disconnect, void, (rf_duckdb_handle *))                                                      \
    F(free, void, (void *))                                                                        \
    F(query, int, (rf_duckdb_handle, const char *, rf_duckdb_result *))                            \
    F(result_error, const char *, (rf_duckdb_result *))                                            \
    F(destroy_result, void, (rf_duckdb_result *))                                                  \
    F(create_logical_type, rf_duckdb_handle, (int))                                                \
    F(create_decimal_type, rf_duckdb_handle, (uint8_t, uint8_t))                                   \
    F(logical_type_set_alias, void, (rf_duckdb_handle, const char *))                              \
    F(destroy_logical_type, void, (rf_duckdb_handle *))                                            \
    F(create_table_function, rf_duckdb_handle, (void))                                             \
    F(destroy_table_function, void, (rf_duckdb_handle *))                                          \
    F(table_function_set_name, void, (rf_duckdb_handle, const char *))                             \
    F(table_function_set_extra_info, void, (rf_duckdb_handle, void *, void (*)(void *)))           \
    F(table_function_set_bind, void, (rf_duckdb_handle, void (*)(rf_duckdb_handle)))               \
    F(table_function_set_init, void, (rf_duckdb_handle, void (*)(rf_duckdb_handle)))               \
    F(table_function_set_function, void,                                                           \
      (rf_duckdb_handle, void (*)(rf_duckdb_handle, rf_duckdb_handle)))                            \
    F(register_table_function, int, (rf_duckdb_handle, rf_duckdb_handle))                          \
    F(bind_get_extra_info, void *, (rf_duckdb_handle))                                             \
    F(bind_add_result_column, void, (rf_duckdb_handle, const char *, rf_duckdb_handle))            \
    F(init_set_max_threads, void, (rf_duckdb_handle, uint64_t))                                    \
    F(function_get_extra_info, void *, (rf_duckdb_handle))                                         \
    F(function_set_error, void, (rf_duckdb_handle, const char *))                                  \
    F(vector_size, uint64_t, (void))                                                               \
    F(data_chunk_get_vector, rf_duckdb_handle, (rf_duckdb_handle, uint64_t))                       \
    F(data_chunk_set_size, void, (rf_duckdb_handle, uint64_t))                                     \
    F(vector_get_data, void *, (rf_duckdb_handle))                                                 \
    F(vector_ensure_validity_writable, void, (rf_duckdb_handle))                                   \
    F(vector_get_validity, uint64_t *, (rf_duckdb_handle))                                         \
    F(validity_set_row_invalid, void, (uint64_t *, uint64_t))                                      \
    F(vector_assign_string_element_len, void,                                                      \
      (rf_duckdb_handle, uint64_t, const char *, uint64_t))

#define RF_LIBDUCKDB_POINTER(name, result, arguments) result(*name) arguments;
typedef struct rf_libduckdb_functions {
    RF_LIBDUCKDB_FUNCTIONS(RF_LIBDUCKDB_POINTER)
} rf_libduckdb_functions;
#undef RF_LIBDUCKDB_POINTER

/* Fixed after load. */
extern rf_libduckdb_functions rf_libduckdb;

/* RF_ERR_USAGE where there is no such library, or one that is too old. */
rf_status rf_libduckdb_load(rf_err *err);

#endif
