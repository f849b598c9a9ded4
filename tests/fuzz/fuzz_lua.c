/* Lua files: any bytes are a projection or a line that says why not. */
#include "projection/lua_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char head[] = "name 'p' version (1) columns { 'n int', 't text', 'j json' }\n";
    char path[64];
    rf_lua_file *file = NULL;
    rf_lua_state *state = NULL;
    rf_err err;

    if (size > 4096)
        return 0;
    (void)snprintf(path, sizeof path, "/tmp/refold-fuzz-%d.lua", (int)getpid());
    FILE *out = fopen(path, "w");
    if (!out)
        abort();
    (void)fwrite(head, 1, size > 0 && data[0] % 2 ? sizeof head - 1 : 0, out);
    (void)fwrite(data, 1, size, out);
    (void)fclose(out);
    if (rf_lua_file_open(path, &file, &err) == RF_OK &&
        rf_lua_state_new(file, NULL, &state, &err) == RF_OK && !rf_lua_state_tables(state))
        abort();
    rf_lua_state_free(state);
    rf_lua_file_free(file);
    return 0;
}
