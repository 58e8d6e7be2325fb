/* `cwctl revoke`: tokens are refused from now on, on every host that is connected. */
#include "cwctl/ask.h"
#include "proto/clinicwave/identity/v1/admin.pb-c.h"

typedef Clinicwave__Identity__V1__RevokeRequest revoke_request;

static const struct {
    const char *name;
    int target;
} targets[] = {
    {"--jti", CLINICWAVE__IDENTITY__V1__REVOKE_REQUEST__TARGET_TOKEN_ID},
    {"--subject", CLINICWAVE__IDENTITY__V1__REVOKE_REQUEST__TARGET_SUBJECT},
    {"--session", CLINICWAVE__IDENTITY__V1__REVOKE_REQUEST__TARGET_SESSION_ID},
};

static int call(const struct command *command, const char *run_dir, bool json,
                const revoke_request *request)
{
    struct cw_rpc_answer answer;
    int code = COMMAND_OK;
    if (remote_call_within(run_dir, "authsvc-admin.sock",
                           "/clinicwave.identity.v1.AdminService/Revoke", &request->base,
                           &clinicwave__identity__v1__revoke_response__descriptor,
                           ASK_CHANGE_TIMEOUT_MS, &answer) != CW_OK) {
        code = remote_failed(command, run_dir, "authsvc-admin.sock", &answer);
        code = remote_refused(answer.err) ? COMMAND_REFUSED : code;
    } else if (json) {
        remote_print_json(answer.response);
    } else {
        const Clinicwave__Identity__V1__RevokeResponse *r =
            (const Clinicwave__Identity__V1__RevokeResponse *)answer.response;
        printf("revoked; %lld sessions ended\n", (long long)r->sessions_ended);
    }
    cw_rpc_answer_done(&answer);
    return code;
}

static int run(const struct command *command, int argc, char **argv)
{
    char *tenant = NULL, *values[CW_ARRAY_SIZE(targets)] = {NULL};
    const char *run_dir = NULL;
    bool json = false;
    int code;
    struct operands operands;
    const struct option_row rows[] = {
        {"--tenant", OPTION_TEXT, "NAME", "whose tokens; alone: all of them", &tenant},
        {targets[0].name, OPTION_TEXT, "ID", "one token", &values[0]},
        {targets[1].name, OPTION_TEXT, "SUB", "all of a subject up to now", &values[1]},
        {targets[2].name, OPTION_TEXT, "ID", "a session", &values[2]},
        {"--json", OPTION_FLAG, NULL, "one JSON object as answer", &json},
        REMOTE_RUN_DIR_OPTION(&run_dir),
        {0},
    };
    revoke_request request;
    if (!command_options(command, rows, argc, argv, &operands, &code)) {
        return code;
    }
    if (!tenant || operands.n > 0) {
        return command_usage(command, tenant ? "takes no argument" : "--tenant is missing");
    }
    clinicwave__identity__v1__revoke_request__init(&request);
    request.tenant = tenant;
    request.target_case = CLINICWAVE__IDENTITY__V1__REVOKE_REQUEST__TARGET_ALL;
    request.all = true;
    size_t said = 0;
    for (size_t i = 0; i < CW_ARRAY_SIZE(targets); i++) {
        if (values[i]) {
            request.target_case =
                (Clinicwave__Identity__V1__RevokeRequest__TargetCase)targets[i].target;
            request.token_id = values[i]; /* one place for each of them */
            said++;
        }
    }
    if (said > 1) {
        return command_usage(command, "one of --jti, --subject, --session");
    }
    return call(command, run_dir, json, &request);
}

const struct command command_revoke = {
    .group = "revoke",
    .arguments = "--tenant NAME [--jti ID | --subject SUB | --session ID]",
    .summary = "Refuses tokens from now on: one, a subject's, a session's, or all of a tenant.",
    .run = run,
};
