/* Filling the event structs of a lane, stage by stage: columns, one path at a time, and their moves;
 * then what the payload has; then the stage's upcaster is run. See plan_state.h. */
#include "rebuild/plan_state.h"

rf_status rf_plan_refuse(const rf_plan *plan, const rf_segment *segment, uint32_t lane,
                         const rf_fill *fill, const rf_convert_fault *found,
                         rf_plan_fault *fault_out, rf_err *err)
{
    if (plan->faults.wanted)
        return RF_OK;
    rf_plan_blame(plan, segment, lane, found->ordinal, fill->call->definition, fault_out);
    return rf_plan_fault_line(fill, found, err);
}

rf_status rf_plan_forgive(rf_plan *plan, uint32_t lane, uint32_t ordinal, uint32_t definition,
                          rf_status status, const rf_err *failure, rf_err *err)
{
    bool of_event = status == RF_ERR_INPUT || status == RF_ERR_PLUGIN;

    if (of_event && plan->faults.wanted) {
        rf_plan_faults_add(&plan->faults, plan->lanes[lane].stored_type, ordinal, definition,
                           RF_RANK_UPCAST, UINT64_MAX, failure->message);
        return RF_OK;
    }
    if (err)
        *err = *failure;
    return status;
}

rf_convert_fault rf_plan_note(rf_plan *plan, uint32_t lane, const rf_fill *fill,
                              rf_plan_faults_of *of)
{
    *of = (rf_plan_faults_of){&plan->faults, fill, plan->lanes[lane].stored_type};
    return rf_plan_faults_note(of);
}

/* One field: from the column as it is, where one column has all values; else through an array. */
static rf_status fill_field(rf_plan *plan, const rf_plan_input *input, uint32_t lane, rf_fill *fill,
                            const rf_path_columns *path, rf_plan_fault *fault_out, rf_err *err)
{
    const rf_field *field = &fill->field->field;
    rf_plan_faults_of of;
    rf_convert_fault found = rf_plan_note(plan, lane, fill, &of);
    rf_converted from;
    rf_status status = RF_OK;

    fill->payload = field->kind == RF_JSON || fill->compound || path->capped;
    if (fill->traced)
        return rf_plan_fill_traced(plan, input, lane, fill, path, fault_out, err);
    if (!fill->payload && path->count == 1 && !path->columns[0].present &&
        field->present_offset == RF_NO_PRESENT) {
        if (fill->field->as_numbers && path->columns[0].text.numbered) {
            fill->call->numbers = path->columns[0].text.numbered;
            return RF_OK;
        }
        status = rf_convert_column(field, &path->columns[0], &plan->scratch, &from, err);
        if (status == RF_OK && !from.faults) {
            rf_plan_add_move(fill->call, &(rf_plan_move){.from = from.values,
                                                         .codes = from.codes,
                                                         .offset = field->offset,
                                                         .size = (uint8_t)from.size,
                                                         .by = RF_BY_ORDINAL});
            return RF_OK;
        }
    }
    fill->members = rf_plan_members(plan, input, lane);
    if (status == RF_OK)
        status = rf_convert_unset(field, &fill->members, &plan->scratch, err);
    for (uint32_t i = 0; status == RF_OK && !fill->payload && i < path->count; i++) {
        status = rf_convert_column(field, &path->columns[i], &plan->scratch, &from, err);
        if (status == RF_OK)
            rf_convert_scatter(field, &path->columns[i], &from, &fill->members, &found);
    }
    if (status == RF_OK && found.ordinal != UINT32_MAX)
        status = rf_plan_refuse(plan, input->segment, lane, fill, &found, fault_out, err);
    if (status == RF_OK)
        rf_plan_add_members(fill->call, field, &fill->members);
    return status;
}

/* The columns of a path, from the segment or, for types with several lanes or stages, from before:
 * then texts are kept, whoever asks first. */
static rf_status read_path(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                           const rf_definition_field *field, rf_arena *text,
                           rf_path_columns *columns_out, rf_err *err)
{
    uint32_t type = plan->lanes[lane].stored_type;
    bool evolved = plan->lanes[lane].binding->evolved;
    rf_plan_decoded *decoded = evolved ? plan->decoded : NULL;

    for (; decoded; decoded = decoded->next)
        if (decoded->stored_type == type && rf_slice_equal(decoded->path_text, field->path_text)) {
            *columns_out = decoded->columns;
            return RF_OK;
        }
    rf_status status =
        rf_segment_field(input->segment, type, &field->path, plan->codec, &plan->scratch,
                         evolved ? input->text : text,
                         columns_out->columns, &columns_out->count, &columns_out->capped,
                         &plan->bytes_decoded, err);
    if (status != RF_OK || !evolved)
        return status;
    decoded = rf_arena_alloc(&plan->scratch, sizeof *decoded);
    if (!decoded)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a segment's columns");
    *decoded = (rf_plan_decoded){plan->decoded, type, field->path_text, *columns_out};
    plan->decoded = decoded;
    return RF_OK;
}

/* Texts of numbers, where another form has to be made of them. */
static rf_status write_numbers(const rf_plan_input *input, rf_arena *scratch,
                               rf_path_columns *path, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < path->count; i++) {
        rf_text_column *text = &path->columns[i].text;
        if (text->numbered && !text->values)
            status = rf_text_numbers_write(text->numbered, text->numbered->numbers,
                                           text->value_count, scratch, input->text, &text->values,
                                           err);
    }
    return status;
}

/* One path of one type, for all fields that read it: fills [begin, end). */
static rf_status fill_path(rf_plan *plan, const rf_plan_input *input, uint32_t lane, rf_fill *begin,
                           rf_fill *end, rf_plan_fault *fault_out, rf_err *err)
{
    rf_path_columns path = {.count = 0};
    bool keeps_text = false;
    bool wants_columns = false;
    bool as_numbers = true;
    rf_status status = RF_OK;

    for (const rf_fill *fill = begin; fill < end; fill++) {
        wants_columns =
            wants_columns || !(fill->field->field.kind == RF_JSON || fill->compound);
        keeps_text = keeps_text || fill->field->field.kind == RF_TEXT;
        as_numbers = as_numbers && fill->field->as_numbers && !fill->traced;
    }
    rf_arena *text = as_numbers ? NULL : keeps_text ? input->text : &plan->scratch;
    if (wants_columns && begin->field->path_text.data)
        status = read_path(plan, input, lane, begin->field, text, &path, err);
    if (status == RF_OK && (path.count != 1 || path.columns[0].present))
        status = write_numbers(input, &plan->scratch, &path, err);
    for (rf_fill *fill = begin; status == RF_OK && fill < end; fill++)
        status = fill_field(plan, input, lane, fill, &path, fault_out, err);
    return status;
}

/* Whether any field of the stage reads data or metadata itself. */
static bool needs_payload(const rf_stage *stage, bool metadata)
{
    for (uint32_t i = 0; i < stage->fill_count; i++)
        if (stage->fills[i].payload && stage->fills[i].field->path.metadata == metadata)
            return true;
    return false;
}

static rf_status fill_from_payload(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                                   const rf_stage *stage, uint32_t ordinal,
                                   const rf_json_node *const nodes[2], rf_plan_fault *fault_out,
                                   rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < stage->fill_count; i++) {
        const rf_fill *fill = &stage->fills[i];
        const rf_json_node *root = nodes[fill->field->path.metadata];
        if (!fill->payload || !root || (fill->members.mask && !fill->members.mask[ordinal]))
            continue;
        const rf_json_node *node = rf_payload_find(root, &fill->field->path);
        if (!node)
            continue;
        rf_plan_faults_of of;
        rf_convert_fault found = rf_plan_note(plan, lane, fill, &of);
        status = rf_payload_take(&fill->field->field, node, &fill->members, ordinal, input->text,
                                 &found, err);
        if (status == RF_OK && found.ordinal != UINT32_MAX)
            status = rf_plan_refuse(plan, input->segment, lane, fill, &found, fault_out, err);
    }
    return status;
}

/* The fields of a stage that no column gives, event by event. */
static rf_status fill_payloads(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                               const rf_stage *stage, rf_plan_fault *fault_out, rf_err *err)
{
    bool wanted[2] = {needs_payload(stage, false), needs_payload(stage, true)};
    uint32_t next = plan->types[lane].events_before;
    rf_status status = RF_OK;

    if (!wanted[0] && !wanted[1])
        return RF_OK;
    plan->payloads_read = true;
    for (uint32_t i = input->begin; status == RF_OK && i < input->end; i++) {
        rf_slice raw[2];
        const rf_json_node *nodes[2] = {NULL, NULL};
        if (!rf_plan_in_lane(plan, i, lane))
            continue;
        uint32_t ordinal = plan->split ? plan->event_ordinals[i] : next++;
        rf_json_parser_reset(plan->json);
        status = rf_payload_read(plan->payloads, input->segment, i, &raw[0], &raw[1],
                                 &plan->bytes_decoded, err);
        for (int part = 0; status == RF_OK && part < 2; part++) {
            uint32_t node_count;
            if (wanted[part] && raw[part].data)
                status = rf_json_parse(plan->json, raw[part], &nodes[part], &node_count, err);
        }
        if (status == RF_OK)
            status =
                fill_from_payload(plan, input, lane, stage, ordinal, nodes, fault_out, err);
    }
    return status;
}

static rf_status fill_stage(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                            rf_stage *stage, rf_plan_fault *fault_out, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t c = 0; c < stage->call_count; c++) {
        const rf_definition_handler *handler = stage->calls[c].handler;
        for (uint32_t f = 0; status == RF_OK && f < handler->field_count; f++)
            status = rf_plan_move_member(plan, input, &stage->calls[c], &handler->fields[f].field, err);
    }
    for (uint32_t begin = 0, end; status == RF_OK && begin < stage->fill_count; begin = end) {
        rf_slice path = stage->fills[begin].field->path_text;
        for (end = begin + 1; end < stage->fill_count; end++)
            if (!rf_slice_equal(stage->fills[end].field->path_text, path))
                break;
        status = fill_path(plan, input, lane, &stage->fills[begin], &stage->fills[end], fault_out,
                           err);
    }
    for (uint32_t c = 0; c < stage->call_count; c++)
        rf_plan_pad_words(&stage->calls[c]);
    if (status == RF_OK)
        status = fill_payloads(plan, input, lane, stage, fault_out, err);
    for (uint32_t i = 0; status == RF_OK && i < stage->fill_count; i++)
        if (stage->fills[i].traced)
            status = rf_plan_finish_traced(plan, input, lane, &stage->fills[i], fault_out, err);
    if (status == RF_OK && stage->producer)
        status = rf_plan_produce(plan, input, lane, stage, fault_out, err);
    return status;
}

rf_status rf_plan_fill_lane(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                            rf_plan_fault *fault_out, rf_err *err)
{
    const rf_binding *binding = plan->lanes[lane].binding;
    rf_status status = RF_OK;

    for (uint32_t s = 0; status == RF_OK && s < binding->stage_count; s++)
        status = fill_stage(plan, input, lane, &binding->stages[s], fault_out, err);
    return status;
}
