-- What the other chunks start from: the C structs that both sides share, and the tick.
--
-- The structs are those of refold/projection.h and lua_cursor.h, whose sizes C compares.
local refold = ...

local ffi = require("ffi")
refold.ffi = ffi
refold.jutil = require("jit.util")
require("jit.opt").start("maxtrace=4000", "maxmcode=8192", "sizemcode=256", "maxrecord=16000",
    "maxirconst=4000", "maxside=500", "maxsnap=2000")

ffi.cdef [[
typedef struct { const char *data; size_t size; } refold_text;
typedef struct {
    const char *name;
    int kind;
    uint8_t scale, combine;
    uint32_t offset;
} refold_column;
typedef struct {
    int source, kind;
    uint8_t scale, optional, rounding;
    uint32_t offset, present_offset;
    const char *path;
} refold_field;
typedef struct {
    const refold_field *parts;
    uint32_t part_count;
    void *compute;
    const refold_field *fields;
    uint32_t field_count, event_size, parts_size;
} refold_key;
typedef struct {
    const char *type;
    void *fold;
    const refold_field *fields;
    uint32_t field_count, event_size;
    uint8_t every_row;
    const refold_key *key;
} refold_handler;
typedef struct {
    const char *name, *type;
    refold_field field;
} refold_carry;
typedef struct {
    const char *const *columns;
    uint32_t column_count;
} refold_index;
typedef struct {
    uint64_t magic;
    uint32_t abi, struct_size;
    const char *name;
    uint32_t version, row_size;
    const char *key;
    const refold_column *columns;
    const refold_handler *handlers;
    uint32_t column_count, handler_count, flags;
    const refold_key *key_by;
    const refold_carry *carries;
    uint32_t carry_count;
    const refold_index *indexes;
    uint32_t index_count;
} refold_projection;
typedef struct {
    void *row;
    uint8_t *flags;
    const void *event;
    uint32_t handler;
} refold_call;
typedef struct {
    void *row;
    const void *event;
    const refold_call *calls;
    const refold_projection *tables;
    const void *row_template;
    void *fold;
    uint32_t count, at;
    int32_t ticks;
    uint32_t texts, live;
    uint8_t flags;
} refold_cursor;
]]

refold.cursor = ffi.cast("refold_cursor *", refold.cursor_at)
refold.keep_text = ffi.cast("const char *(*)(refold_cursor *, const char *, size_t)", refold.keep_at)
refold.sizes = ffi.sizeof("refold_cursor") + 1000 * ffi.sizeof("refold_projection") +
    1000000 * ffi.sizeof("refold_handler") + 1000000000 * ffi.sizeof("refold_field")

local cursor, look = refold.cursor, refold.look

-- Counts down, and now and then looks whether what runs has to end.
function refold.tick()
    local left = cursor.ticks - 1
    cursor.ticks = left
    if left < 0 then
        look()
    end
end
