/* `cwctl tenants`: tenants as the sidecar sees them. */
#include "cwctl/remote.h"
#include "proto/clinicwave/token/v1/admin.pb-c.h"

static void print_list(const char *name, char **items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        printf("  %-10s %s\n", i ? "" : name, REMOTE_CLEAN(items[i]));
    }
}

static int run(const struct command *command, int argc, char **argv)
{
    const char *run_dir = NULL;
    bool json = false;
    const struct option_row rows[] = {
        {"--json", OPTION_FLAG, NULL, "one JSON object as answer", &json},
        REMOTE_RUN_DIR_OPTION(&run_dir),
        {NULL, 0, NULL, NULL, NULL},
    };
    struct operands operands;
    int code;
    if (!command_options(command, rows, argc, argv, &operands, &code)) {
        return code;
    }
    if (operands.n) {
        return command_usage(command, "takes no argument");
    }
    Clinicwave__Token__V1__ListTenantsRequest request;
    clinicwave__token__v1__list_tenants_request__init(&request);
    struct cw_rpc_answer answer;
    code = COMMAND_OK;
    if (remote_call(run_dir, "admin.sock", "/clinicwave.token.v1.TokenAdminService/ListTenants",
                    &request.base, &clinicwave__token__v1__list_tenants_response__descriptor,
                    &answer) != CW_OK) {
        code = remote_failed(command, run_dir, "admin.sock", &answer);
    } else if (json) {
        remote_print_json(answer.response);
    } else {
        const Clinicwave__Token__V1__ListTenantsResponse *list =
            (const Clinicwave__Token__V1__ListTenantsResponse *)answer.response;
        for (size_t i = 0; i < list->n_tenants; i++) {
            const Clinicwave__Token__V1__TenantSummary *t = list->tenants[i];
            printf("%s  (from %s, generation %llu)\n", REMOTE_CLEAN(t->name),
                   REMOTE_CLEAN(t->source), (unsigned long long)t->generation);
            print_list("domains", t->domains, t->n_domains);
            print_list("issuers", t->issuers, t->n_issuers);
            print_list("audiences", t->audiences, t->n_audiences);
        }
    }
    cw_rpc_answer_done(&answer);
    return code;
}

const struct command command_tenants = {
    .group = "tenants",
    .arguments = "[OPTION...]",
    .summary = "Tenants as the sidecar sees them.",
    .run = run,
};
