/* See definition.h; plugin.c loads the shared object that the tables come from.
 *
 * The tables are bytes from outside: every pointer is checked for NULL, every offset against the
 * struct that it lies in, before anything is built from them. What cannot be checked is whether the
 * sizes that a plugin claims are those of its structs; the macros of projection.h take them by
 * sizeof.
 */
#include "projection/definition_tables.h"

#include "base/arena.h"
#include "base/file.h"
#include "event/zone.h"
#include "projection/evolution_file.h"
#include "projection/lua_state.h"
#include "projection/plugin.h"

#include <stdatomic.h>
#include <stdlib.h>

enum {
    HANDLERS_MAX = 10000,
    SCALE_MAX = 18,
    ARENA_BYTES_MAX = 64 << 20,
};

/* A definition with what it owns. */
struct owner {
    rf_definition definition; /* first: the two are cast into each other */
    atomic_uint shares;
    rf_arena arena;
    rf_plugin *plugin;
    rf_lua_state *lua; /* whose tables these are */
};

static const struct {
    const char *name;
    size_t size;
} kinds[] = {
    [RF_INT] = {"int", sizeof(int64_t)},    [RF_DECIMAL] = {"decimal", sizeof(int64_t)},
    [RF_FLOAT] = {"float", sizeof(double)}, [RF_BOOL] = {"bool", sizeof(bool)},
    [RF_TEXT] = {"text", sizeof(rf_slice)}, [RF_TIME] = {"time", sizeof(int64_t)},
    [RF_DATE] = {"date", sizeof(int64_t)},  [RF_JSON] = {"json", sizeof(rf_slice)},
};

static bool kind_valid(rf_kind kind)
{
    return (int)kind >= RF_INT && (int)kind <= RF_JSON;
}

const char *rf_kind_name(rf_kind kind)
{
    RF_ASSERT(kind_valid(kind));
    return kinds[kind].name;
}

/* The alignment of every kind's C type is its size, up to that of a word. */
static size_t kind_alignment(rf_kind kind)
{
    return kinds[kind].size < sizeof(int64_t) ? kinds[kind].size : sizeof(int64_t);
}

bool rf_name_valid(rf_slice name)
{
    if (name.size < 1 || name.size > RF_NAME_SIZE_MAX || name.data[0] < 'a' || name.data[0] > 'z')
        return false;
    for (size_t i = 1; i < name.size; i++) {
        char byte = name.data[i];
        if (!(byte >= 'a' && byte <= 'z') && !(byte >= '0' && byte <= '9') && byte != '_')
            return false;
    }
    return true;
}

rf_slice rf_table_text(const char *text)
{
    size_t size = text ? strnlen(text, RF_TABLE_TEXT_MAX + 1) : 0;
    return text && size <= RF_TABLE_TEXT_MAX ? (rf_slice){text, size} : (rf_slice){NULL, 0};
}

bool rf_table_place_valid(rf_kind kind, uint32_t offset, uint32_t size)
{
    return offset % kind_alignment(kind) == 0 && offset <= size &&
           kinds[kind].size <= size - offset;
}

rf_status rf_table_check_kind(rf_kind kind, uint8_t scale, const char *name, const char *what,
                            rf_slice whose, rf_err *err)
{
    if (!kind_valid(kind))
        return rf_fail(err, RF_ERR_PLUGIN, "%s: %s %.*s has the unknown kind %d", name, what,
                       (int)whose.size, whose.data, (int)kind);
    if (scale > (kind == RF_DECIMAL ? SCALE_MAX : 0))
        return rf_fail(err, RF_ERR_PLUGIN, "%s: %s %.*s has the scale %u; decimals have 0 to 18",
                       name, what, (int)whose.size, whose.data, scale);
    return RF_OK;
}

static rf_status check_column(const rf_projection *tables, uint32_t index, rf_err *err)
{
    const rf_column *column = &tables->columns[index];
    rf_slice name = rf_table_text(column->name);
    const rf_slice reserved[] = {RF_SLICE("key"), RF_SLICE("exists"), RF_SLICE("delete")};

    if (!name.data || !rf_name_valid(name))
        return rf_fail(err, RF_ERR_PLUGIN,
                       "%s: column %u has the name `%.*s`; names are a-z, 0-9, _", tables->name,
                       index + 1, (int)name.size, name.data ? name.data : "");
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (rf_slice_equal(name, reserved[i]))
            return rf_fail(err, RF_ERR_PLUGIN, "%s: a column cannot be called %s", tables->name,
                           column->name);
    rf_status status = rf_table_check_kind(column->kind, column->scale, tables->name, "column", name, err);
    if (status != RF_OK)
        return status;
    if (!rf_table_place_valid(column->kind, column->offset, tables->row_size))
        return rf_fail(err, RF_ERR_PLUGIN,
                       "%s: column %s (%s at offset %u) does not fit into the row of %u bytes",
                       tables->name, column->name, kinds[column->kind].name, column->offset,
                       tables->row_size);
    for (uint32_t i = 0; i < index; i++) {
        const rf_column *other = &tables->columns[i];
        if (strcmp(other->name, column->name) == 0)
            return rf_fail(err, RF_ERR_PLUGIN, "%s: two columns are called %s", tables->name,
                           column->name);
        if (other->offset < column->offset + kinds[column->kind].size &&
            column->offset < other->offset + kinds[other->kind].size)
            return rf_fail(err, RF_ERR_PLUGIN, "%s: columns %s and %s overlap in the row",
                           tables->name, other->name, column->name);
    }
    return RF_OK;
}

static rf_status check_handler(const rf_table_build *build, const rf_projection *tables,
                               uint32_t index, rf_err *err)
{
    const rf_handler *handler = &tables->handlers[index];
    rf_slice type = rf_table_text(handler->type);

    if (!type.data || type.size < 1 || type.size > RF_TYPE_SIZE_MAX || !rf_utf8_valid(type))
        return rf_fail(err, RF_ERR_PLUGIN, "%s: handler %u has no type of 1 to %d bytes",
                       tables->name, index + 1, RF_TYPE_SIZE_MAX);
    if (!handler->fold && !build->runs)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: the handler of %s has no function", tables->name,
                       handler->type);
    if (handler->field_count > RF_COLUMNS_MAX || (handler->field_count > 0 && !handler->fields) ||
        handler->event_size > RF_TABLE_STRUCT_MAX)
        return rf_fail(
            err, RF_ERR_PLUGIN,
            "%s: the handler of %s has %u fields in an event of %u bytes; at most %d fields and "
            "%d bytes",
            tables->name, handler->type, handler->field_count, handler->event_size, RF_COLUMNS_MAX,
            RF_TABLE_STRUCT_MAX);
    return RF_OK;
}

static rf_status take_handlers(rf_table_build *build, const rf_projection *tables,
                               rf_definition *definition, rf_err *err)
{
    rf_definition_handler *handlers =
        rf_arena_alloc(build->arena, tables->handler_count * sizeof *handlers);
    if (!handlers)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", build->name);
    for (uint32_t i = 0; i < tables->handler_count; i++) {
        const rf_handler *handler = &tables->handlers[i];
        rf_status status = check_handler(build, tables, i, err);
        if (status != RF_OK)
            return status;
        const rf_table_struct place = {handler->type, handler->event_size};
        const rf_definition_field *fields;
        status = rf_table_take_fields(build, &place, handler->fields, handler->field_count, &fields,
                                      err);
        if (status != RF_OK)
            return status;
        handlers[i] = (rf_definition_handler){
            .type = rf_slice_of(handler->type),
            .every_type = strcmp(handler->type, "*") == 0,
            .fold = handler->fold,
            .event_size = (handler->event_size + 7u) & ~7u,
            .field_count = handler->field_count,
            .fields = fields,
        };
    }
    definition->handlers = handlers;
    definition->handler_count = tables->handler_count;
    return RF_OK;
}

static rf_status check_head(const rf_projection *tables, rf_err *err)
{
    rf_slice name = rf_table_text(tables->name);
    rf_slice key = rf_table_text(tables->key);

    if (!name.data || !rf_name_valid(name))
        return rf_fail(err, RF_ERR_PLUGIN,
                       "the projection's name `%.*s` is not [a-z][a-z0-9_]* of at most %d bytes",
                       (int)name.size, name.data ? name.data : "", RF_NAME_SIZE_MAX);
    if (tables->version < 1)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: versions begin at 1", tables->name);
    if (tables->key_by ? tables->key != NULL : !rf_slice_equal(key, RF_SLICE("stream")))
        return rf_fail(err, RF_ERR_PLUGIN,
                       "%s: the key is `%.*s`; plugins have the key `stream` or a table key_by",
                       tables->name, (int)key.size, key.data ? key.data : "");
    if (tables->row_size < 1 || tables->row_size > RF_TABLE_STRUCT_MAX)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: a row struct of %u bytes; 1 to %d are possible",
                       tables->name, tables->row_size, RF_TABLE_STRUCT_MAX);
    if (tables->column_count < 1 || tables->column_count > RF_COLUMNS_MAX || !tables->columns)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: %u columns; 1 to %d are possible", tables->name,
                       tables->column_count, RF_COLUMNS_MAX);
    if (tables->handler_count < 1 || tables->handler_count > HANDLERS_MAX || !tables->handlers)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: %u handlers; 1 to %d are possible", tables->name,
                       tables->handler_count, HANDLERS_MAX);
    return RF_OK;
}

/* What the tables have room for and the engine does not do. */
static rf_status refuse_impossible(const rf_projection *tables, rf_err *err)
{
    const char *what = NULL;

    if (tables->flags & ~(uint32_t)(RF_PROJECTION_ALL_TYPES | RF_PROJECTION_NO_KEY_IGNORE))
        what = "flags";
    return what ? rf_fail(err, RF_ERR_PLUGIN, "%s: %s are not possible", tables->name, what)
                : RF_OK;
}

/* The row that a stream begins with. */
static rf_status make_template(rf_table_build *build, rf_definition *definition, rf_err *err)
{
    const int64_t none = RF_TIME_NONE;

    char *row = rf_arena_alloc(build->arena, definition->row_size);
    if (!row)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", build->name);
    memset(row, 0, definition->row_size);
    for (uint32_t i = 0; i < definition->column_count; i++) {
        const rf_column *column = &definition->columns[i];
        if (column->kind == RF_TIME || column->kind == RF_DATE)
            memcpy(row + column->offset, &none, sizeof none);
    }
    definition->row_template = row;
    return RF_OK;
}

static rf_status take_tables(struct owner *owner, const rf_projection *tables, rf_err *err)
{
    rf_definition *definition = &owner->definition;

    rf_status status = check_head(tables, err);
    for (uint32_t i = 0; status == RF_OK && i < tables->column_count; i++)
        status = check_column(tables, i, err);
    if (status != RF_OK)
        return status;
    rf_table_build build = {&owner->arena, tables->name, tables, definition->lua != NULL};
    memcpy(definition->name, tables->name, strlen(tables->name) + 1);
    definition->version = tables->version;
    definition->row_size = tables->row_size;
    definition->flags = tables->flags;
    definition->columns = tables->columns;
    definition->column_count = tables->column_count;
    for (uint32_t i = 0; definition->lua && i < tables->column_count; i++)
        definition->faults_late |= tables->columns[i].kind == RF_JSON;
    status = refuse_impossible(tables, err);
    if (status == RF_OK)
        status = take_handlers(&build, tables, definition, err);
    if (status == RF_OK)
        status = rf_table_take_keys(&build, definition, err);
    if (status == RF_OK)
        status = rf_table_take_indexes(&build, definition, err);
    return status == RF_OK ? make_template(&build, definition, err) : status;
}

/* Without a zone table that says its rules in one file there is nothing to tell its versions by. */
void rf_definition_hash_engine(rf_definition *definition, bool uses_zones)
{
    struct {
        rf_hash128 zones, lua;
        uint64_t abi;
    } engine = {{0, 0}, {0, 0}, RF_PROJECTION_ABI};

    definition->uses_zones |= uses_zones;
    if (definition->uses_zones)
        (void)rf_zone_table_hash(&engine.zones, NULL);
    if (definition->lua || definition->evolution_file)
        engine.lua = rf_lua_state_engine_hash();
    definition->engine_hash = rf_hash128_of((rf_slice){(const char *)&engine, sizeof engine});
}

static bool is_lua(const char *path)
{
    size_t size = strlen(path);

    return size > 4 && strcmp(path + size - 4, ".lua") == 0;
}

/* A definition of `tables`, which belong to `file` if they are of a Lua projection. */
static rf_status define(const rf_projection *tables, rf_slice content, rf_lua_file *file,
                        const char *path, struct owner **owner_out, rf_err *err)
{
    struct owner *owner = calloc(1, sizeof *owner);

    if (!owner)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a definition");
    atomic_init(&owner->shares, 1);
    rf_arena_init(&owner->arena, ARENA_BYTES_MAX);
    rf_definition *definition = &owner->definition;
    definition->content_hash = file ? rf_lua_file_hash(file) : rf_hash128_of(content);
    definition->path = strdup(path);
    definition->lua = file;
    rf_definition_hash_engine(definition, false);
    char *copy = malloc(content.size ? content.size : 1);
    definition->content = (rf_slice){copy, content.size};
    rf_status status = RF_OK;
    if (!copy || !definition->path)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for a definition");
    else
        memcpy(copy, content.data, content.size);
    if (status == RF_OK)
        status = take_tables(owner, tables, err);
    if (status != RF_OK) {
        definition->lua = NULL; /* the caller's until all is well */
        rf_definition_free(definition);
        return status;
    }
    *owner_out = owner;
    return RF_OK;
}

rf_status rf_definition_of(const rf_projection *projection, rf_slice identity,
                           rf_definition **definition_out, rf_err *err)
{
    struct owner *owner;

    RF_ASSERT(projection && projection->magic == RF_PROJECTION_MAGIC);
    RF_ASSERT(identity.data);
    rf_status status = define(projection, identity, NULL, "(in memory)", &owner, err);
    if (status == RF_OK)
        *definition_out = &owner->definition;
    return status;
}

static rf_status load_plugin(const char *path, rf_definition **definition_out, rf_err *err)
{
    rf_plugin *plugin;
    struct owner *owner;

    rf_status status = rf_plugin_load(path, &plugin, err);
    if (status != RF_OK)
        return status;
    status = define(rf_plugin_tables(plugin), rf_plugin_bytes(plugin), NULL, path, &owner, err);
    if (status != RF_OK) {
        rf_plugin_free(plugin);
        return rf_err_context(err, "%s", path);
    }
    rf_plugin_forget_bytes(plugin);
    owner->plugin = plugin;
    owner->definition.plugin = plugin;
    *definition_out = &owner->definition;
    return RF_OK;
}

/* What a projection's own file declares, if anything. */
static rf_status evolve(rf_definition *definition, const rf_evolution_tables *tables, rf_err *err)
{
    rf_evolution *evolution;

    if (!tables)
        return RF_OK;
    rf_status status = rf_evolution_new(tables, &evolution, err);
    return status == RF_OK
               ? rf_definition_evolve(definition, evolution, (rf_slice){NULL, 0}, err)
               : status;
}

static rf_status take_expectation(rf_definition *definition, rf_arena *arena,
                                  const rf_lua_expect *declared, const rf_reader_column *columns,
                                  rf_definition_expect *out, rf_err *err)
{
    out->text = rf_arena_copy(arena, rf_slice_of(declared->text)).data;
    out->place = rf_arena_copy(arena, rf_slice_of(declared->place)).data;
    if (!out->text || !out->place)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a definition");
    rf_status status = rf_expectation_new(rf_slice_of(declared->text), columns,
                                          definition->column_count, &out->expectation, err);
    return status == RF_OK ? RF_OK
                           : rf_err_context(err, "%s: expect (\"%.160s\")", declared->place,
                                            declared->text);
}

/* What its file says that holds for every row. */
static rf_status take_expectations(struct owner *owner, const rf_lua_state *state, rf_err *err)
{
    rf_definition *definition = &owner->definition;
    uint32_t count;
    const rf_lua_expect *declared = rf_lua_state_expects(state, &count);
    rf_reader_column *columns = rf_arena_alloc(
        &owner->arena, (definition->column_count + 1) * sizeof *columns);
    rf_definition_expect *expects = rf_arena_alloc(&owner->arena, (count + 1) * sizeof *expects);
    rf_status status = RF_OK;

    if (!columns || !expects)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a definition");
    for (uint32_t i = 0; i < definition->column_count; i++)
        columns[i] = (rf_reader_column){definition->columns[i].name, definition->columns[i].kind,
                                        definition->columns[i].scale};
    definition->expects = expects;
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        expects[i] = (rf_definition_expect){NULL, NULL, NULL};
        status = take_expectation(definition, &owner->arena, &declared[i], columns, &expects[i],
                                  err);
        definition->expect_count = i + 1;
    }
    return status;
}

static rf_status load_lua(const char *path, rf_definition **definition_out, rf_err *err)
{
    rf_lua_file *file = NULL;
    rf_lua_state *state = NULL;
    struct owner *owner = NULL;

    rf_status status = rf_lua_file_open(path, &file, err);
    if (status == RF_OK)
        status = rf_lua_state_new(file, NULL, &state, err);
    if (status == RF_OK) {
        rf_slice content = rf_buf_slice(&file->parts[0].bytes);
        status = define(rf_lua_state_tables(state), content, file, path, &owner, err);
        if (status != RF_OK)
            (void)rf_err_context(err, "%s", path);
    }
    if (status != RF_OK) {
        rf_lua_state_free(state);
        rf_lua_file_free(file);
        return status;
    }
    /* lists begin empty, which is what the tables do not say */
    const rf_definition *made = &owner->definition;
    memcpy((char *)(uintptr_t)made->row_template, rf_lua_state_template(state), made->row_size);
    owner->lua = state;
    rf_definition_hash_engine(&owner->definition, rf_lua_state_uses_zones(state));
    status = evolve(&owner->definition, rf_lua_state_evolution(state), err);
    if (status == RF_OK)
        status = take_expectations(owner, state, err);
    if (status != RF_OK) {
        rf_definition_free(&owner->definition);
        return status;
    }
    *definition_out = &owner->definition;
    return RF_OK;
}

rf_status rf_definition_load(const char *path, rf_definition **definition_out, rf_err *err)
{
    RF_ASSERT(path && definition_out);
    return is_lua(path) ? load_lua(path, definition_out, err)
                        : load_plugin(path, definition_out, err);
}

static rf_status hash_lua(const char *path, rf_hash128 *hash_out, rf_err *err)
{
    rf_lua_file *file = NULL;

    rf_status status = rf_lua_file_open(path, &file, err);
    if (status == RF_OK)
        status = rf_lua_file_take_all(file, err);
    if (status == RF_OK)
        *hash_out = rf_lua_file_hash(file);
    rf_lua_file_free(file);
    return status;
}

rf_status rf_definition_hash_file(const char *path, rf_hash128 *hash_out, rf_err *err)
{
    rf_buf content;

    if (is_lua(path))
        return hash_lua(path, hash_out, err);
    rf_buf_init(&content, RF_PLUGIN_SIZE_MAX);
    rf_status status = rf_file_read(path, &content, err);
    if (status == RF_OK)
        *hash_out = rf_hash128_of(rf_buf_slice(&content));
    rf_buf_free(&content);
    return status;
}

rf_status rf_definition_save(const rf_definition *definition, const char *path, rf_err *err)
{
    if (definition->lua)
        return rf_lua_file_save(definition->lua, path, err);
    return rf_file_write(path, definition->content, err);
}

bool rf_definition_reads_payload(const rf_definition_handler *handler)
{
    for (uint32_t i = 0; i < handler->field_count; i++)
        if (handler->fields[i].field.source == RF_PAYLOAD)
            return true;
    return false;
}

rf_definition *rf_definition_share(rf_definition *definition)
{
    (void)atomic_fetch_add(&((struct owner *)definition)->shares, 1);
    return definition;
}

void rf_definition_free(rf_definition *definition)
{
    struct owner *owner = (struct owner *)definition;

    if (!definition || atomic_fetch_sub(&owner->shares, 1) > 1)
        return;
    for (uint32_t i = 0; i < definition->expect_count; i++)
        rf_expectation_free(definition->expects[i].expectation);
    rf_evolution_free(definition->evolution);
    rf_evolution_file_free(definition);
    rf_plugin_free(owner->plugin);
    rf_lua_state_free(owner->lua);
    rf_lua_file_free(definition->lua);
    rf_arena_free(&owner->arena);
    free((void *)(uintptr_t)definition->content.data);
    free(definition->path);
    free(owner);
}
