/* Rows of the Python library eventsourcing as lines: values made plain, states unpacked. */
#include "source/eventsourcing.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

/* What a row gives: its line, or what is wrong with it. */
typedef struct outcome {
    rf_status status;
    char text[4096];
} outcome;

static outcome line_of(const rf_import_options *options, const rf_eventsourcing_row *row)
{
    rf_eventsourcing *decoder = NULL;
    outcome result;
    rf_err err = {0};
    rf_buf out;

    rf_buf_init(&out, 64 << 20);
    result.status = rf_eventsourcing_new(options, &decoder, &err);
    if (result.status == RF_OK)
        result.status = rf_eventsourcing_line(decoder, row, &out, &err);
    if (result.status == RF_OK)
        snprintf(result.text, sizeof result.text, "%.*s", (int)out.size, out.data);
    else
        snprintf(result.text, sizeof result.text, "%s", err.message);
    rf_eventsourcing_free(decoder);
    rf_buf_free(&out);
    return result;
}

static rf_eventsourcing_row row_of(const char *state)
{
    return (rf_eventsourcing_row){
        .position = 7,
        .originator = RF_SLICE("00112233445566778899aabbccddeeff"),
        .version = 2,
        .topic = RF_SLICE("shop:Order.Placed"),
        .state = rf_slice_of(state),
    };
}

static void gives(const char *state, const char *due)
{
    rf_eventsourcing_row row = row_of(state);
    char line[4096];

    outcome got = line_of(&(rf_import_options){0}, &row);
    snprintf(line, sizeof line,
             "{\"position\":7,\"stream\":\"00112233445566778899aabbccddeeff\",\"version\":2,"
             "\"type\":\"shop:Order.Placed\"%s}\n",
             due);
    cr_assert_eq(got.status, RF_OK, "%s", got.text);
    cr_assert_str_eq(got.text, line);
}

static void refuses(const rf_import_options *options, const rf_eventsourcing_row *row,
                    rf_status status, const char *words)
{
    outcome got = line_of(options, row);

    cr_assert_eq(got.status, status, "%s", got.text);
    cr_assert_not_null(strstr(got.text, words), "%s", got.text);
}

Test(eventsourcing, makes_values_of_python_plain_wherever_they_stand)
{
    gives("{}", ",\"data\":{}");
    gives("{\"a\":{\"_type_\":\"decimal_str\",\"_data_\":\"12345678901234567890.10\"}}",
          ",\"data\":{\"a\":\"12345678901234567890.10\"}");
    gives("{\"a\":[{\"_data_\":\"ff\",\"_type_\":\"uuid_hex\"},{},[],{\"b\":{\"_type_\":\"decimal_str\","
          "\"_data_\":\"1\"}}],\"c\":1.50}",
          ",\"data\":{\"a\":[\"ff\",{},[],{\"b\":\"1\"}],\"c\":1.50}");
    gives("{\"t\":{\"_type_\":\"datetime_iso\",\"_data_\":\"2024-02-05T00:02:10.5+01:00\"}}",
          ",\"data\":{\"t\":\"2024-02-05T00:02:10.5+01:00\"}");
    gives("{\"name\":\"\\u010c\\n\\\"\"}", ",\"data\":{\"name\":\"\xc4\x8c\\n\\\"\"}");
}

Test(eventsourcing, leaves_the_applications_own_types_as_they_are_with_plain_values_inside)
{
    gives("{\"l\":{\"_type_\":\"leg\",\"_data_\":{\"at\":{\"_type_\":\"location\",\"_data_\":\"TOKYO\"},"
          "\"cost\":{\"_type_\":\"decimal_str\",\"_data_\":\"2.0\"}}}}",
          ",\"data\":{\"l\":{\"_type_\":\"leg\",\"_data_\":{\"at\":{\"_type_\":\"location\","
          "\"_data_\":\"TOKYO\"},\"cost\":\"2.0\"}}}");
    /* No values of Python: three members, other names, a value that is no string. */
    gives("{\"a\":{\"_type_\":\"decimal_str\",\"_data_\":\"1\",\"x\":0}}",
          ",\"data\":{\"a\":{\"_type_\":\"decimal_str\",\"_data_\":\"1\",\"x\":0}}");
    gives("{\"a\":{\"_type_\":\"decimal_str\",\"data\":\"1\"}}",
          ",\"data\":{\"a\":{\"_type_\":\"decimal_str\",\"data\":\"1\"}}");
    gives("{\"a\":{\"_type_\":\"decimal_str\",\"_data_\":1}}",
          ",\"data\":{\"a\":{\"_type_\":\"decimal_str\",\"_data_\":1}}");
    gives("{\"a\":{\"_type_\":1,\"_data_\":\"1\"}}", ",\"data\":{\"a\":{\"_type_\":1,\"_data_\":\"1\"}}");
}

Test(eventsourcing, takes_schema_and_time_from_the_state)
{
    gives("{\"class_version\":3,\"timestamp\":{\"_type_\":\"datetime_iso\","
          "\"_data_\":\"2024-02-05T00:02:10+00:00\"}}",
          ",\"schema\":3,\"time\":\"2024-02-05T00:02:10+00:00\",\"data\":{\"class_version\":3,"
          "\"timestamp\":\"2024-02-05T00:02:10+00:00\"}");
    /* Local mean time, as old zone tables give it: RFC 3339 has no seconds in an offset. */
    gives("{\"timestamp\":{\"_type_\":\"datetime_iso\",\"_data_\":\"2024-02-05T00:57:44+00:57:44\"}}",
          ",\"time\":\"2024-02-05T00:00:00.000000Z\","
          "\"data\":{\"timestamp\":\"2024-02-05T00:00:00.000000Z\"}");
    gives("{\"timestamp\":\"noon\"}", ",\"data\":{\"timestamp\":\"noon\"}");
    rf_eventsourcing_row row = row_of("{\"class_version\":\"3\"}");
    refuses(&(rf_import_options){0}, &row, RF_ERR_INPUT, "class_version is no integer");
}

Test(eventsourcing, names_a_stream_by_the_digits_of_a_uuid)
{
    rf_eventsourcing_row row = row_of("{}");

    row.originator = RF_SLICE("00112233-4455-6677-8899-aabbccddeeff");
    row.originator_is_uuid = true;
    row.position = 0;
    cr_assert_str_eq(line_of(&(rf_import_options){0}, &row).text,
                     "{\"stream\":\"00112233445566778899aabbccddeeff\",\"version\":2,"
                     "\"type\":\"shop:Order.Placed\",\"data\":{}}\n");
    row.originator_is_uuid = false;
    cr_assert_not_null(strstr(line_of(&(rf_import_options){0}, &row).text, "00112233-4455-"));
}

Test(eventsourcing, refuses_states_that_are_no_json_objects)
{
    rf_import_options options = {0};
    rf_eventsourcing_row row = row_of("{\"a\":}");

    refuses(&options, &row, RF_ERR_INPUT, "not valid JSON");
    row.state = RF_SLICE("[1]");
    refuses(&options, &row, RF_ERR_INPUT, "no JSON object");
    row.state = RF_SLICE("\x80\x04\x95");
    refuses(&options, &row, RF_ERR_INPUT, "--cipher-key-env");
    row.state = RF_SLICE("");
    refuses(&options, &row, RF_ERR_INPUT, "no JSON object");
}

static rf_slice compress_it(rf_slice plain, int bits, unsigned char *out, size_t size)
{
    z_stream stream = {0};

    cr_assert_eq(deflateInit2(&stream, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    memcpy(&stream.next_in, &plain.data, sizeof plain.data);
    stream.avail_in = (uInt)plain.size;
    stream.next_out = out;
    stream.avail_out = (uInt)size;
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    rf_slice packed = {(const char *)out, stream.total_out};
    deflateEnd(&stream);
    return packed;
}

Test(eventsourcing, tells_zlib_and_gzip_by_their_headers_or_takes_what_it_is_told)
{
    unsigned char room[256];
    rf_import_options options = {0};
    rf_eventsourcing_row row = row_of("");

    for (int gzip = 0; gzip < 2; gzip++) {
        row.state = compress_it(RF_SLICE("{\"a\":1}"), gzip ? 31 : 15, room, sizeof room);
        options.decompress = NULL;
        cr_assert_not_null(strstr(line_of(&options, &row).text, "\"data\":{\"a\":1}"));
        options.decompress = "auto";
        cr_assert_not_null(strstr(line_of(&options, &row).text, "\"data\":{\"a\":1}"));
        options.decompress = gzip ? "gzip" : "zlib";
        cr_assert_not_null(strstr(line_of(&options, &row).text, "\"data\":{\"a\":1}"));
        options.decompress = gzip ? "zlib" : "gzip";
        refuses(&options, &row, RF_ERR_INPUT, "as --decompress says");
        options.decompress = "none";
        refuses(&options, &row, RF_ERR_INPUT, "no JSON object");
        options.decompress = NULL;
        row.state.size--;
        refuses(&options, &row, RF_ERR_INPUT, "ends too early");
        row.state.size += 2;
        refuses(&options, &row, RF_ERR_INPUT, "bytes behind its end");
        row.state.size--;
        room[row.state.size - 6] ^= 0x55; /* of the check at the end */
        refuses(&options, &row, RF_ERR_INPUT, "cannot be decompressed");
    }
}

Test(eventsourcing, does_not_unpack_more_than_an_event_may_have)
{
    size_t size = (size_t)200 << 20;
    char *zeros = calloc(1, size);
    unsigned char *room = malloc(1 << 20);
    rf_eventsourcing_row row = row_of("");

    row.state = compress_it((rf_slice){zeros, size}, 15, room, 1 << 20);
    refuses(&(rf_import_options){0}, &row, RF_ERR_INPUT, "16 MiB");
    free(zeros);
    free(room);
}

/* Written by the library's own cipher, AES-GCM with the key below: nonce, tag, ciphertext. */
#ifdef RF_HAVE_OPENSSL
static const char sealed[] = {
    111, 91, 102, -72, 46, 17, 59, 91, -79, 23, -78, 104, -116, -120, -72, -33, -103, 52, -23,
    101, 56, -15, -81, 17, 83, -33, -28, -99, 87, -2, 55, 59, 122, -79, 75, -86, 42, -101, 1, 54,
    -98, -6, 19, 0, -60, 98, 60, 90, 43, 96, -50, 43, 84, -32, 24, 57, -62, -30, 28, 14, -116,
    88, -111, 95, 60, 28, 85, 69, 110, 6, 101, 111, -102, -120, -38, 52, 19, -110, -76, 119, -70,
    -39, 73, -66, 112, 32,
};

Test(eventsourcing, decrypts_with_the_key_of_the_environment_only)
{
    rf_import_options options = {.cipher_key_env = "REFOLD_TEST_KEY"};
    char changed[sizeof sealed];
    rf_eventsourcing_row row = row_of("");

    row.state = (rf_slice){sealed, sizeof sealed};
    (void)unsetenv("REFOLD_TEST_KEY");
    refuses(&options, &row, RF_ERR_USAGE, "no variable REFOLD_TEST_KEY");
    static const char *const no_keys[] = {"", "AAAA", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZQ==",
                                          "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZW!=", "%%%%"};
    for (size_t i = 0; i < sizeof no_keys / sizeof no_keys[0]; i++) {
        (void)setenv("REFOLD_TEST_KEY", no_keys[i], 1);
        refuses(&options, &row, RF_ERR_USAGE, "REFOLD_TEST_KEY is no key");
    }
    (void)setenv("REFOLD_TEST_KEY", "MDEyMzQ1Njc4OWFiY2RlZg==", 1); /* of 16 bytes, another one */
    refuses(&options, &row, RF_ERR_INPUT, "cannot be decrypted");
    (void)setenv("REFOLD_TEST_KEY", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=", 1);
    cr_assert_not_null(strstr(line_of(&options, &row).text, "\"data\":{\"secret\":\"42.10\"}"));
    for (size_t i = 0; i < sizeof sealed; i++) {
        memcpy(changed, sealed, sizeof sealed);
        changed[i] ^= 1;
        row.state = (rf_slice){changed, sizeof changed};
        refuses(&options, &row, RF_ERR_INPUT, "cannot be decrypted");
    }
    for (size_t size = 0; size < sizeof sealed; size++) {
        row.state = (rf_slice){sealed, size};
        refuses(&options, &row, RF_ERR_INPUT, "");
    }
}
#endif
