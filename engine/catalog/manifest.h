/* MANIFEST: what a sealed generation is, in one checksummed file, written and fsynced last.
 *
 * A generation directory without a whole MANIFEST is a leftover. First line: "refold-manifest 1
 * CHECKSUM" (16 hex digits, of all that follows); then one JSON object.
 */
#ifndef RF_CATALOG_MANIFEST_H
#define RF_CATALOG_MANIFEST_H

#include "base/checksum.h"
#include "catalog/base.h"
#include "catalog/quarantine.h"
#include "catalog/row.h"

enum { RF_MANIFEST_PART_NAME_SIZE = 256 };

typedef struct rf_manifest_column {
    char name[64];
    rf_kind kind;
    uint8_t scale;
} rf_manifest_column;

/* The schema that the handlers of a type are written for: an event above it stops a catch-up. */
typedef struct rf_manifest_schema {
    char type[256]; /* today's name */
    int64_t schema;
} rf_manifest_schema;
/* A part of the rows' key. */
typedef struct rf_manifest_part {
    char name[RF_MANIFEST_PART_NAME_SIZE]; /* what it is made of: "stream", a field's path */
    rf_kind kind;
    uint8_t scale;
} rf_manifest_part;

/* A secondary table: one file, whose keys are values of these columns and then the row's key. */
enum { RF_MANIFEST_INDEXES_MAX = 16 };
typedef struct rf_manifest_index {
    uint32_t column_count;
    uint32_t columns[RF_KEY_PARTS_MAX]; /* indexes of columns */
    rf_base_file file;                  /* "index-00.mdb" */
} rf_manifest_index;

typedef struct rf_manifest {
    char name[64];
    uint64_t number;
    uint32_t version;
    rf_hash128 content_hash;
    rf_hash128 engine_hash; /* of what the definition was run with; see definition.h */
    char definition_file[256]; /* file name in definition/ */
    char evolution_file[256];  /* file name in definition/evolution/; "": none */
    uint32_t key_part_count; /* 1 and more */
    rf_manifest_part key[RF_KEY_PARTS_MAX];
    uint32_t partitions;
    uint64_t position;
    uint64_t rows;
    uint64_t events; /* that handlers got, up to position */
    rf_digest digest;
    int64_t time_last;  /* of the log up to position: largest event time; RF_TIME_NONE */
    int64_t sealed_at;
    rf_on_error on_error; /* that it was folded with */
    uint32_t left_out;    /* items of QUARANTINE, and its checksum; 0: there is none */
    uint64_t left_out_checksum;
    uint32_t file_count;
    rf_base_file files[RF_BASE_FILES_MAX];
    uint32_t column_count;
    rf_manifest_column *columns; /* owned */
    uint32_t schema_count;
    rf_manifest_schema *schemas; /* owned; by type, each once */
    uint32_t index_count;
    rf_manifest_index indexes[RF_MANIFEST_INDEXES_MAX];
} rf_manifest;

/* Durable: DIR/MANIFEST is created, fsynced, and its directory too. */
rf_status rf_manifest_write(const char *dir, const rf_manifest *manifest, rf_err *err);
/* RF_ERR_ABSENT without the file, RF_ERR_DAMAGED where it does not hold. */
rf_status rf_manifest_read(const char *dir, rf_manifest *manifest_out, rf_err *err);
void rf_manifest_free(rf_manifest *manifest);
/* Checksum of the file's text: the catalog and CURRENT remember it. */
uint64_t rf_manifest_checksum(const rf_manifest *manifest);

#endif
