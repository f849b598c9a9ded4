/* See steps.h.
 *
 * Steps are numbered in the order of their segments. `ring` has those that are being decoded or
 * wait to be folded, by number; `claimed` is the next number to be decoded, `folded` the next to be
 * folded. Whoever claims a number looks for its segment, which is cheap, under the mutex, and
 * decodes it without. The folding worker claims too: the step that it needs if nobody has it, or,
 * while another still decodes that one, the next.
 */
#include "rebuild/steps.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { STEP_FREE, STEP_DECODING, STEP_READY };
/* Of a worker: what it folds, and what it decoded ahead. */
enum { OWN_STEPS = 3 };
#define STEP_TEXT_BYTES_MAX ((size_t)1 << 40)

struct rf_steps {
    /* fixed after new */
    rf_ahead *ahead;
    rf_step own[OWN_STEPS]; /* used by this worker, for itself or for others */
    /* confined to this worker */
    double decode_s;
    /* guarded by mutex; `range` is fixed while open */
    pthread_mutex_t mutex;
    pthread_cond_t ready; /* a step of `ring` was decoded */
    bool has_mutex;
    rf_steps_range range;
    uint64_t next; /* position behind the segment that was claimed last */
    uint64_t claimed;
    uint64_t folded;
    uint32_t decoding; /* by helpers */
    rf_step *ring[RF_STEPS_AHEAD];
    /* atomic: what helpers look at before they take the mutex */
    atomic_bool has_work; /* open, and segments are left to be claimed */
    atomic_uint_fast64_t outstanding;
};

struct rf_ahead {
    /* fixed after new */
    rf_ahead_config config;
    rf_steps *steps;
    /* guarded by mutex */
    pthread_mutex_t mutex;
    pthread_cond_t change; /* work may be there, or all is done */
    bool has_mutex;
    uint32_t partitions_left;
    /* atomic */
    atomic_uint waiting; /* helpers at `change` */
};

/* ---- steps of a worker ---- */

static bool step_make(rf_step *step, const rf_ahead_config *config)
{
    if (step->plan)
        return true;
    step->plan = rf_plan_new(config->definitions, config->definition_count, config->census,
                             config->census_count);
    if (step->plan && config->lenient)
        rf_plan_be_lenient(step->plan);
    if (step->plan)
        rf_plan_set_cancel(step->plan, config->cancel);
    return step->plan != NULL;
}

static void step_end(rf_step *step)
{
    rf_plan_free(step->plan);
    rf_log_scan_close(step->scan);
    rf_arena_free(&step->text);
}

/* Back to the worker that it belongs to. No read transaction outlives what it was for. */
static void let_go(rf_step *step, const rf_ahead_config *config)
{
    if (step->scan)
        (void)rf_log_scan_restart(step->scan, 0, 1, config->until, NULL);
    rf_arena_reset(&step->text);
    atomic_store_explicit(&step->state, STEP_FREE, memory_order_release);
}

static rf_step *free_step(rf_steps *worker)
{
    for (int i = 0; i < OWN_STEPS; i++)
        if (atomic_load_explicit(&worker->own[i].state, memory_order_acquire) == STEP_FREE)
            return &worker->own[i];
    return NULL;
}

rf_ahead *rf_ahead_new(const rf_ahead_config *config)
{
    rf_ahead *ahead = calloc(1, sizeof *ahead);

    RF_ASSERT(config->worker_count > 0 && config->definition_count > 0);
    if (!ahead)
        return NULL;
    ahead->config = *config;
    ahead->partitions_left = config->partition_count;
    ahead->steps = calloc(config->worker_count, sizeof *ahead->steps);
    (void)pthread_mutex_init(&ahead->mutex, NULL);
    (void)pthread_cond_init(&ahead->change, NULL);
    ahead->has_mutex = true;
    for (uint32_t i = 0; ahead->steps && i < config->worker_count; i++) {
        rf_steps *steps = &ahead->steps[i];
        steps->ahead = ahead;
        (void)pthread_mutex_init(&steps->mutex, NULL);
        (void)pthread_cond_init(&steps->ready, NULL);
        steps->has_mutex = true;
        for (int k = 0; k < OWN_STEPS; k++)
            rf_arena_init(&steps->own[k].text, STEP_TEXT_BYTES_MAX);
        if (!step_make(&steps->own[0], config)) {
            rf_ahead_free(ahead);
            return NULL;
        }
    }
    if (!ahead->steps) {
        rf_ahead_free(ahead);
        return NULL;
    }
    return ahead;
}

void rf_ahead_free(rf_ahead *ahead)
{
    if (!ahead)
        return;
    for (uint32_t i = 0; ahead->steps && i < ahead->config.worker_count; i++) {
        rf_steps *steps = &ahead->steps[i];
        if (!steps->has_mutex)
            continue;
        for (int k = 0; k < OWN_STEPS; k++)
            step_end(&steps->own[k]);
        (void)pthread_mutex_destroy(&steps->mutex);
        (void)pthread_cond_destroy(&steps->ready);
    }
    free(ahead->steps);
    (void)pthread_mutex_destroy(&ahead->mutex);
    (void)pthread_cond_destroy(&ahead->change);
    free(ahead);
}

rf_steps *rf_ahead_steps(rf_ahead *ahead, uint32_t worker)
{
    RF_ASSERT(worker < ahead->config.worker_count);
    return &ahead->steps[worker];
}

bool rf_ahead_reads_names(const rf_ahead *ahead)
{
    return rf_plan_reads_stream(ahead->steps[0].own[0].plan) || rf_ahead_reads_category(ahead);
}

bool rf_ahead_reads_category(const rf_ahead *ahead)
{
    return rf_plan_reads_category(ahead->steps[0].own[0].plan);
}

uint64_t rf_ahead_bytes_decoded(const rf_ahead *ahead)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < ahead->config.worker_count; i++)
        for (int k = 0; k < OWN_STEPS; k++)
            if (ahead->steps[i].own[k].plan)
                bytes += rf_plan_bytes_decoded(ahead->steps[i].own[k].plan);
    return bytes;
}

double rf_ahead_decode_seconds(const rf_ahead *ahead)
{
    double seconds = 0;

    for (uint32_t i = 0; i < ahead->config.worker_count; i++)
        seconds += ahead->steps[i].decode_s;
    return seconds;
}

/* ---- claiming and decoding ---- */

/* Tells helpers that wait that there may be work, or that all is done. */
static void wake_helpers(rf_ahead *ahead)
{
    if (atomic_load(&ahead->waiting) == 0)
        return;
    (void)pthread_mutex_lock(&ahead->mutex);
    (void)pthread_cond_broadcast(&ahead->change);
    (void)pthread_mutex_unlock(&ahead->mutex);
}

/* Whether segments of these streams may have events of the range. */
static bool overlaps(const void *arg, uint32_t stream_min, uint32_t stream_max)
{
    const rf_steps_range *range = arg;

    return stream_max >= range->first &&
           (stream_min < range->first || stream_min - range->first < range->count);
}

/* Goes to the next segment with events of the range. Under the mutex. */
static rf_status find_next(rf_steps *steps, rf_step *step, uint64_t until, bool *found_out)
{
    rf_status status = rf_log_scan_restart(step->scan, steps->range.partition, steps->next, until,
                                           &step->failure);

    if (status != RF_OK)
        return status;
    rf_log_scan_only(step->scan, overlaps, &steps->range);
    return rf_log_scan_next(step->scan, &step->log, found_out, &step->failure);
}

/* Finds the next segment with events of the range and gives the step its number; false at the end.
 * A failure is the step's, to be met in its turn, and ends the claims. Under the mutex. */
static bool claim(rf_steps *steps, rf_step *step)
{
    const rf_steps_range *range = &steps->range;
    const rf_ahead_config *config = &steps->ahead->config;
    uint64_t until = range->until ? range->until : config->until;
    bool found = true;

    step->status = RF_OK;
    step->fault = (rf_plan_fault){UINT32_MAX, 0};
    step->failure = (rf_err){0};
    if (!step_make(step, config))
        step->status = rf_fail(&step->failure, RF_ERR_MEMORY, "out of memory for a plan");
    else if (!step->scan)
        step->status =
            rf_log_scan_open(config->log, range->partition, 1, until, &step->scan, &step->failure);
    if (step->status == RF_OK)
        step->status = find_next(steps, step, until, &found);
    if (step->status != RF_OK || !found)
        atomic_store(&steps->has_work, false);
    if (step->status == RF_OK && !found)
        return false;
    if (step->status == RF_OK)
        steps->next = rf_log_scan_at(step->scan);
    step->sequence = steps->claimed++;
    steps->ring[step->sequence % RF_STEPS_AHEAD] = step;
    atomic_fetch_add(&steps->outstanding, 1);
    atomic_store_explicit(&step->state, STEP_DECODING, memory_order_relaxed);
    return true;
}

/* Without the mutex. */
static void decode(rf_steps *worker, const rf_steps_range *range, rf_step *step, rf_arena *text)
{
    double start = rf_clock_seconds();
    const rf_plan_input input = {
        .segment = &step->log.segment,
        .begin = step->log.begin,
        .end = step->log.end,
        .stream_count = range->stream_count,
        .stream_first = range->first,
        .stream_end = range->first + range->count,
        .streams = range->streams,
        .categories = range->categories,
        .text = text,
    };

    if (step->status == RF_OK)
        step->status =
            rf_plan_bind(step->plan, &input, &step->bound, &step->fault, &step->failure);
    worker->decode_s += rf_clock_seconds() - start;
}

static bool may_claim(const rf_steps *steps)
{
    return atomic_load(&steps->has_work) && steps->claimed - steps->folded < RF_STEPS_AHEAD;
}

/* ---- folding ---- */

void rf_steps_begin(rf_steps *steps, const rf_steps_range *range)
{
    (void)pthread_mutex_lock(&steps->mutex);
    RF_ASSERT(!atomic_load(&steps->has_work) && steps->decoding == 0);
    steps->range = *range;
    steps->next = range->from ? range->from : 1;
    steps->claimed = steps->folded = 0;
    atomic_store(&steps->outstanding, 0);
    atomic_store(&steps->has_work, true);
    (void)pthread_mutex_unlock(&steps->mutex);
    wake_helpers(steps->ahead);
}

/* Decodes one more step of its own. Called and left with the mutex. */
static bool decode_own(rf_steps *steps, rf_step *step)
{
    if (!claim(steps, step))
        return false;
    /* What is folded next may keep its text at once; what is not must wait until then. */
    bool is_next = step->sequence == steps->folded;
    (void)pthread_mutex_unlock(&steps->mutex);
    decode(steps, &steps->range, step, is_next ? steps->range.text : &step->text);
    (void)pthread_mutex_lock(&steps->mutex);
    atomic_store_explicit(&step->state, STEP_READY, memory_order_release);
    return true;
}

rf_status rf_steps_next(rf_steps *steps, rf_step **step_out, rf_plan_fault *fault_out, rf_err *err)
{
    rf_step *step;

    *step_out = NULL;
    (void)pthread_mutex_lock(&steps->mutex);
    for (;;) {
        step = steps->ring[steps->folded % RF_STEPS_AHEAD];
        if (step && atomic_load(&step->state) == STEP_READY)
            break;
        rf_step *own = free_step(steps);
        if (own && may_claim(steps) && decode_own(steps, own))
            continue;
        if (!step && !may_claim(steps))
            break;
        if (step)
            (void)pthread_cond_wait(&steps->ready, &steps->mutex);
    }
    (void)pthread_mutex_unlock(&steps->mutex);
    if (!step)
        return RF_OK;
    rf_arena_adopt(steps->range.text, &step->text);
    *fault_out = step->fault;
    *step_out = step;
    if (step->status != RF_OK && err)
        *err = step->failure;
    return step->status;
}

void rf_steps_done(rf_steps *steps, rf_step *step)
{
    (void)pthread_mutex_lock(&steps->mutex);
    RF_ASSERT(step->sequence == steps->folded);
    steps->ring[step->sequence % RF_STEPS_AHEAD] = NULL;
    steps->folded++;
    (void)pthread_mutex_unlock(&steps->mutex);
    let_go(step, &steps->ahead->config);
    atomic_fetch_sub(&steps->outstanding, 1);
    wake_helpers(steps->ahead);
}

void rf_steps_end(rf_steps *steps)
{
    (void)pthread_mutex_lock(&steps->mutex);
    atomic_store(&steps->has_work, false);
    while (steps->decoding > 0)
        (void)pthread_cond_wait(&steps->ready, &steps->mutex);
    for (int i = 0; i < RF_STEPS_AHEAD; i++) {
        rf_step *step = steps->ring[i];
        steps->ring[i] = NULL;
        if (step)
            let_go(step, &steps->ahead->config);
    }
    (void)pthread_mutex_unlock(&steps->mutex);
}

/* ---- helping ---- */

void rf_ahead_restart(rf_ahead *ahead, uint32_t partition_count)
{
    (void)pthread_mutex_lock(&ahead->mutex);
    ahead->partitions_left = partition_count;
    (void)pthread_mutex_unlock(&ahead->mutex);
}

void rf_ahead_partition_done(rf_ahead *ahead)
{
    (void)pthread_mutex_lock(&ahead->mutex);
    RF_ASSERT(ahead->partitions_left > 0);
    ahead->partitions_left--;
    (void)pthread_cond_broadcast(&ahead->change);
    (void)pthread_mutex_unlock(&ahead->mutex);
}

/* Decodes a step for another worker; false if there was none to claim. */
static bool help(rf_steps *helper, rf_steps *steps)
{
    rf_step *step = free_step(helper);

    if (!step)
        return false;
    (void)pthread_mutex_lock(&steps->mutex);
    bool claimed = may_claim(steps) && claim(steps, step);
    if (claimed) {
        steps->decoding++;
        (void)pthread_mutex_unlock(&steps->mutex);
        decode(helper, &steps->range, step, &step->text);
        (void)pthread_mutex_lock(&steps->mutex);
        steps->decoding--;
        atomic_store_explicit(&step->state, STEP_READY, memory_order_release);
        (void)pthread_cond_signal(&steps->ready);
    }
    (void)pthread_mutex_unlock(&steps->mutex);
    return claimed;
}

static rf_steps *who_needs_help(rf_ahead *ahead, const rf_steps *helper)
{
    for (uint32_t i = 0; i < ahead->config.worker_count; i++) {
        rf_steps *steps = &ahead->steps[i];
        if (steps != helper && atomic_load(&steps->has_work) &&
            atomic_load(&steps->outstanding) < RF_STEPS_AHEAD)
            return steps;
    }
    return NULL;
}

void rf_ahead_help(rf_ahead *ahead, uint32_t worker)
{
    rf_steps *helper = rf_ahead_steps(ahead, worker);
    bool done = false;

    while (!done) {
        rf_steps *steps = free_step(helper) ? who_needs_help(ahead, helper) : NULL;
        if (steps && help(helper, steps))
            continue;
        (void)pthread_mutex_lock(&ahead->mutex);
        atomic_fetch_add(&ahead->waiting, 1);
        /* looked at once more: whoever changes it after this sees that somebody waits */
        done = ahead->partitions_left == 0;
        if (!done && !(free_step(helper) && who_needs_help(ahead, helper)))
            (void)pthread_cond_wait(&ahead->change, &ahead->mutex);
        atomic_fetch_sub(&ahead->waiting, 1);
        (void)pthread_mutex_unlock(&ahead->mutex);
    }
}
