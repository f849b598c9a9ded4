/* resume: lets a suspended read model be tried again. */
#include "cli/command.h"
#include "cli/output.h"

typedef struct resume_options {
    char none;
} resume_options;

static rf_status run(const cli_call *call, rf_err *err)
{
    rf_store *store = NULL;
    rf_status status = rf_store_open(call->operands[0], NULL, &store, err);
    for (uint32_t i = 1; status == RF_OK && i < call->operand_count; i++)
        status = rf_resume(store, call->operands[i], err);
    rf_store_close(store);
    if (status == RF_OK)
        cli_print("whoever follows %s tries again\n",
                  call->operand_count == 2 ? call->operands[1] : "them");
    return status;
}

const cli_command cli_resume = {
    .name = "resume",
    .operands = "STORE NAME...",
    .summary = "Lets read models that were suspended be tried again.",
    .details = "NAME with the versions beside it, NAME@VERSION only that one.\n"
               "`status` says why one was suspended. `skip` puts the event aside; what is wrong with the\n"
               "definition itself takes a rebuild.\n",
    .options_size = sizeof(resume_options),
    .operands_min = 2,
    .operands_max = CLI_OPERANDS_MAX,
    .run = run,
};
