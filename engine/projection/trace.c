/* See trace.h. */
#include "projection/trace.h"

#include "log/census.h"

enum { CHECK_BYTES_MAX = 64 << 20, PATH_TEXT_MAX = 64 << 10 };

/* A trace under way. */
struct tracing {
    const rf_evolution_chain *chain;
    const rf_definition_field *field;
    rf_arena *arena;
    rf_trace_layer *layers;
    rf_trace trace;
};

static bool starts_with(const rf_path *path, const rf_path *start)
{
    if (path->metadata != start->metadata || path->part_count < start->part_count)
        return false;
    for (uint8_t i = 0; i < start->part_count; i++)
        if (!rf_slice_equal(path->parts[i], start->parts[i]))
            return false;
    return true;
}

static rf_status no_memory(rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "out of memory for the upcasters of a field");
}

/* The first `cut` parts of the path give way to `start`. */
static rf_status replace_start(struct tracing *tracing, uint8_t cut, const rf_path *start,
                               rf_err *err)
{
    rf_path *path = &tracing->trace.path;
    unsigned count = (unsigned)start->part_count + path->part_count - cut;
    rf_buf text;

    if (count > RF_PATH_PARTS_MAX)
        return rf_fail(err, RF_ERR_PLUGIN, "field %.*s: upcasters make it deeper than %d members",
                       (int)tracing->field->path_text.size, tracing->field->path_text.data,
                       RF_PATH_PARTS_MAX);
    rf_slice *parts = rf_arena_alloc(tracing->arena, count * sizeof *parts);
    if (!parts)
        return no_memory(err);
    for (unsigned i = 0; i < count; i++)
        parts[i] = i < start->part_count ? start->parts[i] : path->parts[i - start->part_count + cut];
    *path = (rf_path){.metadata = start->metadata, .part_count = (uint8_t)count, .parts = parts};
    rf_buf_init(&text, PATH_TEXT_MAX);
    rf_path_append(&text, path);
    tracing->trace.path_text =
        text.failed ? (rf_slice){NULL, 0} : rf_arena_copy(tracing->arena, rf_buf_slice(&text));
    rf_buf_free(&text);
    return tracing->trace.path_text.data ? RF_OK : no_memory(err);
}

static void add_layer(struct tracing *tracing, uint32_t step, uint32_t assigned, bool hides)
{
    tracing->layers[tracing->trace.layer_count++] = (rf_trace_layer){
        .step = step,
        .assigned = assigned,
        .hides = hides,
        .fallback = tracing->trace.fallback,
    };
}

static void end_constant(struct tracing *tracing)
{
    tracing->trace.stored = false;
    tracing->trace.path = (rf_path){0};
    tracing->trace.path_text = (rf_slice){0};
}

/* Whether reading the move's field as the move says is what the traced field does anyway. */
static bool reads_alike(const struct tracing *tracing, const rf_field *read)
{
    const rf_field *field = &tracing->field->field;

    return read->kind == field->kind && read->scale == field->scale &&
           read->rounding == field->rounding;
}

static void take_default(struct tracing *tracing, const rf_evolution_upcast *upcast,
                         const rf_evolution_move *move)
{
    if (move->fallback.kind != RF_ASSIGNED_NOT)
        tracing->trace.fallback = (rf_trace_default){move->fallback, upcast};
}

/* The path is the one that is assigned, or lies in it. */
static rf_status through_move(struct tracing *tracing, uint32_t step, uint32_t assigned,
                              rf_err *err)
{
    const rf_evolution_upcast *upcast = &tracing->chain->steps[step];
    const rf_evolution_move *move = &upcast->moves[assigned];
    uint8_t cut = upcast->assigned[assigned].path.part_count;
    bool exact = cut == tracing->trace.path.part_count;

    if (!exact && (move->constant || move->typed)) {
        end_constant(tracing); /* what is assigned there has no members */
        return RF_OK;
    }
    if (move->typed && !reads_alike(tracing, &upcast->input.fields[move->input].field)) {
        take_default(tracing, upcast, move);
        add_layer(tracing, step, assigned, false);
        end_constant(tracing);
        return RF_OK;
    }
    if (exact)
        take_default(tracing, upcast, move);
    if (move->constant) {
        end_constant(tracing);
        return RF_OK;
    }
    return replace_start(tracing, cut, &move->from.path, err);
}

static rf_status through_step(struct tracing *tracing, uint32_t step, rf_err *err)
{
    const rf_evolution_upcast *upcast = &tracing->chain->steps[step];
    const rf_path *path = &tracing->trace.path;

    for (uint32_t i = 0; i < upcast->assigned_count; i++) {
        const rf_path *assigned = &upcast->assigned[i].path;
        if (starts_with(path, assigned)) {
            if (!upcast->function)
                return through_move(tracing, step, i, err);
            add_layer(tracing, step, i, assigned->part_count < path->part_count);
            return RF_OK;
        }
        if (tracing->field->field.kind == RF_JSON && starts_with(assigned, path))
            return rf_fail(err, RF_ERR_PLUGIN,
                           "field %.*s json: upcast of %.*s %lld assigns a part of it, %.*s; read "
                           "its parts",
                           (int)tracing->field->path_text.size, tracing->field->path_text.data,
                           (int)upcast->type.size, upcast->type.data, (long long)upcast->schema,
                           (int)upcast->assigned[i].text.size, upcast->assigned[i].text.data);
    }
    return RF_OK;
}

rf_status rf_trace_field(const rf_evolution_chain *chain, uint32_t step_count,
                         const rf_definition_field *field, rf_arena *arena, rf_trace *trace_out,
                         rf_err *err)
{
    struct tracing tracing = {
        .chain = chain,
        .field = field,
        .arena = arena,
        .layers = rf_arena_alloc(arena, step_count * sizeof *tracing.layers),
        .trace = {.stored = true, .path = field->path, .path_text = field->path_text},
    };
    rf_status status = tracing.layers ? RF_OK : no_memory(err);

    RF_ASSERT(step_count <= chain->count && field->field.source == RF_PAYLOAD);
    for (uint32_t step = step_count; status == RF_OK && tracing.trace.stored && step > 0; step--)
        status = through_step(&tracing, step - 1, err);
    if (status != RF_OK)
        return status;
    tracing.trace.layers = tracing.layers;
    *trace_out = tracing.trace;
    return RF_OK;
}

/* All payload fields of an event struct, as it is after `step_count` upcasters. */
static rf_status check_fields(const rf_evolution_chain *chain, uint32_t step_count,
                              const rf_definition_handler *handler, rf_arena *arena, rf_err *err)
{
    rf_status status = RF_OK;
    rf_trace trace;

    for (uint32_t i = 0; status == RF_OK && i < handler->field_count; i++)
        if (handler->fields[i].field.source == RF_PAYLOAD)
            status = rf_trace_field(chain, step_count, &handler->fields[i], arena, &trace, err);
    return status == RF_OK ? RF_OK
                           : rf_err_context(err, "fields of %.*s", (int)handler->type.size,
                                            handler->type.data);
}

/* The longest chains have all others in them. */
rf_status rf_trace_check(const rf_definition *definition, const rf_evolution *evolution,
                         rf_err *err)
{
    uint32_t count;
    const rf_evolution_upcast *upcasts = rf_evolution_upcasts(evolution, &count);
    rf_status status = RF_OK;
    rf_arena arena;

    rf_arena_init(&arena, CHECK_BYTES_MAX);
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        const rf_evolution_upcast *first = &upcasts[i];
        rf_evolution_chain chain = rf_evolution_chain_of(evolution, first->type, first->schema);
        if (i > 0 && rf_slice_equal(first[-1].type, first->type) &&
            first[-1].schema + 1 == first->schema)
            continue;
        for (uint32_t step = 0; status == RF_OK && step < chain.count; step++)
            status = check_fields(&chain, step, &chain.steps[step].input, &arena, err);
        for (uint32_t h = 0; status == RF_OK && h < definition->handler_count; h++) {
            const rf_definition_handler *handler = &definition->handlers[h];
            if (handler->every_type || rf_slice_equal(handler->type, first->type))
                status = check_fields(&chain, chain.count, handler, &arena, err);
        }
        rf_arena_rewind(&arena);
    }
    rf_arena_free(&arena);
    return status;
}
