/* One segment of a look at the log: its columns, path by path, and the streams of its events. See
 * dictionary.h.
 *
 * Integers of a column are compared as a whole, where all of them go to one place: one schema, and
 * all events in range. Else values are taken one by one.
 */
#include "dictionary.h"

/* A type of a segment, and which of its events are in range. */
struct subject {
    const rf_log_step *step;
    uint32_t type;
    rf_entries entries;
    uint32_t begin, end; /* among the events of the type */
};

static rf_entries find_entries(const rf_types *types, rf_slice name)
{
    rf_entries found = {0, types->type_count};

    while (found.begin < found.end) { /* the first that is not before it */
        uint32_t middle = found.begin + (found.end - found.begin) / 2;
        if (rf_slice_compare(types->list[middle].type, name) < 0)
            found.begin = middle + 1;
        else
            found.end = middle;
    }
    while (found.end < types->type_count && rf_slice_equal(types->list[found.end].type, name))
        found.end++;
    return found;
}

/* Index of a field of the report; UINT32_MAX where the census does not list it. */
static uint32_t find_field(const rf_dictionary *dictionary, uint32_t entry, rf_slice path)
{
    const rf_census_type *type = &dictionary->types->list[entry];
    uint32_t low = 0;
    uint32_t high = type->field_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = rf_slice_compare(type->fields[middle].path, path);
        if (order == 0)
            return dictionary->field_begin[entry] + middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return UINT32_MAX;
}

static bool has_one_schema(const struct subject *subject)
{
    return subject->entries.end - subject->entries.begin == 1;
}

static bool is_whole(const struct subject *subject)
{
    return subject->begin == 0 &&
           subject->end == subject->step->segment.types[subject->type].count;
}

/* ---- what is decoded once a segment, and only if it is needed ---- */

static rf_status read_positions(rf_dictionary_worker *worker, const struct subject *subject, rf_err *err)
{
    if (worker->has_positions)
        return RF_OK;
    worker->has_positions = true;
    return rf_segment_envelope(&subject->step->segment, RF_ENVELOPE_POSITION, worker->positions,
                               NULL, err);
}

static rf_status read_schemas(rf_dictionary_worker *worker, const rf_log_step *step, rf_err *err)
{
    if (worker->has_schemas)
        return RF_OK;
    worker->has_schemas = true;
    return rf_segment_envelope(&step->segment, RF_ENVELOPE_SCHEMA, worker->schemas, NULL, err);
}

static void list_events(rf_dictionary_worker *worker, const struct subject *subject)
{
    uint32_t count = 0;

    for (uint32_t i = 0; !worker->has_events && i < subject->step->segment.count; i++)
        if (worker->types[i] == subject->type)
            worker->events[count++] = i;
    worker->has_events = true;
}

/* The type of the report that an event is of; UINT32_MAX: of none. */
static uint32_t entry_of(const rf_dictionary *dictionary, const rf_dictionary_worker *worker,
                         rf_entries entries, uint32_t event)
{
    if (entries.end - entries.begin == 1)
        return entries.begin;
    for (uint32_t i = entries.begin; i < entries.end; i++)
        if (dictionary->types->list[i].schema == worker->schemas[event])
            return i;
    return UINT32_MAX;
}

/* ---- one path ---- */

/* Where the values of a path go, by type of the report. */
static void set_targets(const rf_dictionary *dictionary, rf_dictionary_worker *worker,
                        const struct subject *subject, rf_slice path)
{
    for (uint32_t i = subject->entries.begin; i < subject->entries.end; i++) {
        uint32_t field = find_field(dictionary, i, path);
        worker->targets[i] = field == UINT32_MAX ? NULL : &worker->values[field];
        if (field != UINT32_MAX)
            worker->seen[field] = worker->segments;
    }
}

static bool want_text(const rf_dictionary_worker *worker, const struct subject *subject)
{
    uint64_t position = subject->step->segment.first_position;

    for (uint32_t i = subject->entries.begin; i < subject->entries.end; i++)
        if (worker->targets[i] && rf_field_values_want_text(worker->targets[i], position))
            return true;
    return false;
}

static void take_value(rf_dictionary_worker *worker, rf_field_values *values,
                       const rf_field_column *column, uint32_t index, uint32_t event)
{
    switch (column->kind) {
    case RF_FIELD_INT:
    case RF_FIELD_EXACT:
        rf_field_values_exact(values, &column->ints[index], 1, column->scale);
        break;
    case RF_FIELD_NUMBER:
        rf_field_values_number(values, rf_text_column_at(&column->text, index));
        break;
    case RF_FIELD_TEXT:
        rf_field_values_text(values, rf_text_column_at(&column->text, index),
                             (uint64_t)worker->positions[event]);
        break;
    case RF_FIELD_BOOL:
        break;
    }
}

/* Value by value. Each distinct text of a dictionary once, where all of them go to one place. */
static rf_status take_values(const rf_dictionary *dictionary, rf_dictionary_worker *worker,
                             const struct subject *subject, const rf_field_column *column,
                             rf_err *err)
{
    uint32_t count = subject->step->segment.types[subject->type].count;
    const uint32_t *codes = column->kind == RF_FIELD_TEXT ? column->text.codes : NULL;
    bool once = codes && has_one_schema(subject);
    uint32_t left = once ? column->text.value_count : UINT32_MAX;
    uint32_t index = 0;
    uint8_t *met = NULL;

    rf_status status = read_positions(worker, subject, err);
    if (status == RF_OK && !has_one_schema(subject))
        status = read_schemas(worker, subject->step, err);
    if (status == RF_OK && once) {
        met = rf_arena_alloc(&worker->scratch, left);
        if (!met)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for the values of a column");
        memset(met, 0, left);
    }
    if (status != RF_OK)
        return status;
    list_events(worker, subject);
    for (uint32_t i = 0; i < subject->end && left > 0; i++) {
        if (column->present && !rf_bitmap_get(column->present, i))
            continue;
        uint32_t at = index++;
        if (i < subject->begin || (once && met[codes[at]]))
            continue;
        if (once) {
            met[codes[at]] = 1;
            left--;
        }
        RF_ASSERT(i < count && at < column->present_count);
        uint32_t entry = entry_of(dictionary, worker, subject->entries, worker->events[i]);
        rf_field_values *values = entry == UINT32_MAX ? NULL : worker->targets[entry];
        if (values)
            take_value(worker, values, column, at, worker->events[i]);
        if (values && column->kind == RF_FIELD_TEXT && !once && has_one_schema(subject) &&
            !rf_field_values_want_text(values, (uint64_t)worker->positions[worker->events[i]]))
            break;
    }
    return RF_OK;
}

static rf_status take_column(const rf_dictionary *dictionary, rf_dictionary_worker *worker,
                             const struct subject *subject, const rf_field_column *column,
                             rf_err *err)
{
    bool exact = column->kind == RF_FIELD_INT || column->kind == RF_FIELD_EXACT;

    if (column->kind == RF_FIELD_BOOL ||
        (column->kind == RF_FIELD_TEXT && !want_text(worker, subject)))
        return RF_OK;
    if (!exact || !has_one_schema(subject) || !is_whole(subject))
        return take_values(dictionary, worker, subject, column, err);
    rf_field_values *values = worker->targets[subject->entries.begin];
    if (values)
        rf_field_values_exact(values, column->ints, column->present_count, column->scale);
    return RF_OK;
}

static rf_slice path_text(rf_dictionary_worker *worker, const rf_path *path)
{
    rf_buf_clear(&worker->path);
    rf_path_append(&worker->path, path);
    return rf_buf_slice(&worker->path);
}

/* One path: `infos` has its kinds. */
static rf_status take_path(const rf_dictionary *dictionary, rf_dictionary_worker *worker,
                           const struct subject *subject, const rf_field_info *infos,
                           uint32_t info_count, rf_err *err)
{
    rf_field_column columns[5];
    uint32_t column_count = 0;
    bool capped = false;
    bool wanted = false;

    set_targets(dictionary, worker, subject, path_text(worker, &infos[0].path));
    for (uint32_t i = 0; i < info_count; i++)
        wanted |= infos[i].kind != RF_FIELD_BOOL &&
                  (infos[i].kind != RF_FIELD_TEXT || want_text(worker, subject));
    if (!wanted)
        return RF_OK;
    rf_status status = rf_segment_field(&subject->step->segment, subject->type, &infos[0].path,
                                        worker->codec, &worker->scratch, &worker->scratch, columns,
                                        &column_count, &capped, NULL, err);
    for (uint32_t i = 0; status == RF_OK && i < column_count; i++)
        status = take_column(dictionary, worker, subject, &columns[i], err);
    return status;
}

static bool same_path(const rf_path *a, const rf_path *b)
{
    bool same = a->metadata == b->metadata && a->part_count == b->part_count;

    for (uint32_t i = 0; same && i < a->part_count; i++)
        same = rf_slice_equal(a->parts[i], b->parts[i]);
    return same;
}

/* Fields that may have values here which have no column. */
static void note_partial(const rf_dictionary *dictionary, rf_dictionary_worker *worker,
                         const struct subject *subject)
{
    for (uint32_t i = subject->entries.begin; i < subject->entries.end; i++)
        for (uint32_t k = 0; k < dictionary->types->list[i].field_count; k++) {
            uint32_t field = dictionary->field_begin[i] + k;
            const uint64_t *counts = dictionary->types->list[i].fields[k].counts;
            bool scalar = counts[RF_CENSUS_INT] + counts[RF_CENSUS_NUMBER] +
                              counts[RF_CENSUS_TEXT] >
                          0;
            if (scalar && worker->seen[field] != worker->segments)
                worker->values[field].partial = true;
        }
}

/* ---- a segment ---- */

/* The types that are counted in one turn: [begin, end). */
static void count_streams(const rf_dictionary *dictionary, rf_dictionary_worker *worker,
                          const rf_log_step *step, const rf_entries *entries,
                          rf_entries turn, size_t bitmap_size)
{
    for (uint32_t i = step->begin; i < step->end; i++) {
        uint32_t entry = entry_of(dictionary, worker, entries[worker->types[i]], i);
        if (entry == UINT32_MAX || entry < turn.begin || entry >= turn.end)
            continue;
        uint32_t stream = worker->stream_numbers[i];
        uint8_t *byte = &worker->bitmaps[(entry - turn.begin) * bitmap_size + stream / 8];
        uint8_t bit = (uint8_t)(1u << stream % 8);
        worker->streams[entry] += !(*byte & bit);
        *byte |= bit;
    }
}

static rf_status take_fields(const rf_dictionary *dictionary, rf_dictionary_worker *worker,
                             const rf_log_step *step, const rf_entries *entries, rf_err *err)
{
    rf_field_info *infos = NULL;
    uint32_t info_count = 0;

    bool whole = step->begin == 0 && step->end == step->segment.count;
    rf_status status =
        rf_segment_fields(&step->segment, &worker->scratch, &infos, &info_count, err);
    for (uint32_t type = 0, at = 0; status == RF_OK && type < step->segment.type_count; type++) {
        struct subject subject = {.step = step, .type = type, .entries = entries[type]};
        worker->has_events = false;
        subject.end = whole ? step->segment.types[type].count : 0;
        for (uint32_t i = 0; !whole && i < step->end; i++) {
            subject.begin += i < step->begin && worker->types[i] == type;
            subject.end += worker->types[i] == type;
        }
        while (status == RF_OK && at < info_count && infos[at].type == type) {
            uint32_t first = at;
            while (at < info_count && infos[at].type == type &&
                   same_path(&infos[at].path, &infos[first].path))
                at++;
            if (subject.end > subject.begin)
                status = take_path(dictionary, worker, &subject, &infos[first], at - first, err);
        }
        if (status == RF_OK && step->segment.types[type].capped && subject.end > subject.begin)
            note_partial(dictionary, worker, &subject);
    }
    return status;
}

rf_status rf_dictionary_step(const rf_dictionary *dictionary, rf_dictionary_worker *worker,
                             const rf_log_step *step, rf_entries turn, size_t bitmap_size,
                             rf_err *err)
{
    const rf_segment *segment = &step->segment;
    bool several = false;

    rf_arena_reset(&worker->scratch);
    worker->has_positions = worker->has_schemas = false;
    worker->segments++;
    rf_entries *entries =
        rf_arena_alloc(&worker->scratch, segment->type_count * sizeof *entries);
    if (!entries)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u types", segment->type_count);
    for (uint32_t i = 0; i < segment->type_count; i++) {
        entries[i] = find_entries(dictionary->types, segment->types[i].name);
        several |= entries[i].end - entries[i].begin != 1;
    }
    rf_status status = rf_segment_envelope_u32(segment, RF_ENVELOPE_TYPE, worker->types,
                                               worker->wide, NULL, err);
    if (status == RF_OK)
        status = rf_segment_envelope_u32(segment, RF_ENVELOPE_STREAM, worker->stream_numbers,
                                         worker->wide, NULL, err);
    if (status == RF_OK && several)
        status = read_schemas(worker, step, err);
    if (status != RF_OK)
        return status;
    count_streams(dictionary, worker, step, entries, turn, bitmap_size);
    return turn.begin == 0 ? take_fields(dictionary, worker, step, entries, err) : RF_OK;
}
