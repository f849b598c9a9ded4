/* See runner.h. */
#include "projection/runner.h"

#include "projection/lua_state.h"

#include <stdlib.h>

struct rf_runner {
    rf_lua_state *lua;
};

rf_status rf_runner_new(const rf_definition *definition, const volatile int *cancel,
                        rf_runner **runner_out, rf_err *err)
{
    rf_runner *runner = calloc(1, sizeof *runner);

    RF_ASSERT(definition->lua);
    if (!runner)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory", definition->name);
    rf_status status = rf_lua_state_take(definition->lua, cancel, &runner->lua, err);
    if (status != RF_OK) {
        free(runner);
        return status;
    }
    const rf_projection *tables = rf_lua_state_tables(runner->lua);
    RF_ASSERT(tables->handler_count == definition->handler_count);
    RF_ASSERT(tables->row_size == definition->row_size);
    *runner_out = runner;
    return RF_OK;
}

void rf_runner_free(rf_runner *runner)
{
    if (!runner)
        return;
    rf_lua_state_leave(runner->lua);
    free(runner);
}

void rf_runner_forget(rf_runner *runner)
{
    rf_lua_state_forget(runner->lua);
}

rf_status rf_runner_run(rf_runner *runner, rf_fold *fold, const rf_runner_call *calls,
                        uint32_t count, uint32_t *failed_out, rf_err *err)
{
    return rf_lua_state_run(runner->lua, fold, calls, count, failed_out, err);
}

rf_fold_result rf_runner_computes(rf_fold *fold, const void *event, void *parts)
{
    (void)event, (void)parts;
    return rf_fold_fail(fold, "a key that its runner computes");
}
