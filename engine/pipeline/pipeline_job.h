/* One rebuild under way. Private to the files pipeline*.c; see pipeline.c. */
#ifndef RF_PIPELINE_JOB_H
#define RF_PIPELINE_JOB_H

#include "catch_up/catch_up_late.h"
#include "compare/gates.h"
#include "generation/replay.h"
#include "pipeline/pipeline.h"
#include "pipeline/preflight.h"

struct pipeline {
    rf_store *store;
    const rf_rebuild_options *options;
    rf_resolved resolved;
    bool resolved_lent; /* by the caller, who frees it */
    rf_preflight preflight;
    bool preflight_done;
    rf_pool *pool;
    int lock;
    uint64_t position;
    int64_t time_last;
    rf_replay replay;
    rf_fold_failure failure; /* the event that ended the fold */
    uint64_t *live; /* generation that each definition was compared with */
    rf_gate_keys gate_keys;
    rf_gate_counts *counts;
    bool *flipped;
    struct rf_reused *reused; /* one a definition; NULL: all is folded */
    bool sealed;
    uint64_t set; /* that the catalog has the generations as */
    bool flip_tried; /* from then on a failure says itself what was swapped */
    double swap_s;
    double discarded_s;
    double start;
};

/* A generation that was made of the live one and what came since. */
typedef struct rf_reused {
    bool merges; /* its base is new; else it is the live one's */
    rf_manifest manifest;
    uint64_t events; /* that came since, and were folded */
} rf_reused;

/* Of the generation that was made for a definition. */
static inline const rf_manifest *rf_pipeline_manifest(const struct pipeline *pipeline,
                                                      uint32_t index)
{
    return pipeline->reused ? &pipeline->reused[index].manifest
                            : rf_build_manifest(pipeline->replay.builds[index]);
}

/* pipeline_reuse.c: RF_ERR_NOTHING where every live generation has this very definition at this
 * position; whether all of them are so near that only what came since has to be folded; and doing
 * so; *made_out false where stored rows turned out to tell too little: then nothing was made. */
rf_status rf_pipeline_check_changed(struct pipeline *pipeline, rf_err *err);
rf_status rf_pipeline_find_reuse(struct pipeline *pipeline, bool *reuses_out, rf_err *err);
rf_status rf_pipeline_reuse(struct pipeline *pipeline, bool *made_out, rf_err *err);
void rf_pipeline_free_reused(struct pipeline *pipeline);

rf_status rf_pipeline_check_cancel(const struct pipeline *pipeline, rf_err *err);

/* pipeline_flip.c: sealed generations catch up, pass their gates and go live, all together or, if asked
 * for, one by one. */
rf_status rf_pipeline_flip(struct pipeline *pipeline, rf_err *err);

#endif
