/* What the parts of a build share. Private to the files build*.c; see build.h. */
#ifndef RF_BUILD_JOB_H
#define RF_BUILD_JOB_H

#include "generation/build.h"
#include "generation/build_index.h"

/* Confined to one worker while the fold runs. */
typedef struct rf_build_slot {
    rf_build *build;
    rf_block_builder *blocks;
    rf_base_part *part; /* of the partition that is emitted; NULL between partitions */
    rf_digest digest;
    double write_s;
} rf_build_slot;

struct rf_build {
    rf_store *store;
    const rf_definition *definition;
    bool scratch;
    uint64_t number;
    char dir[RF_PATH_SIZE];
    char definition_file[256];
    rf_base_writer *writer;
    rf_build_index *indexes; /* NULL: none */
    const rf_column **texts; /* columns of text and JSON */
    uint32_t text_count;
    rf_build_slot *slots;
    uint32_t slot_count;
    rf_manifest manifest;
    bool sealed;
    bool kept; /* the directory stays */
};

/* The sink for the end of a partition; `arg` is the build. */
rf_status rf_build_end_partition(void *arg, uint32_t worker, uint32_t partition, rf_err *err);

#endif
