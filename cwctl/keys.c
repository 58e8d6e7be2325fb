/* `cwctl keys list` and `cwctl keys refresh`: which keys the sidecar holds, and fetching them now.
 */
#include "common/base/clock.h"
#include "cwctl/remote.h"
#include "proto/clinicwave/token/v1/admin.pb-c.h"

#define ADMIN "/clinicwave.token.v1.TokenAdminService/"

static void print_issuer(const Clinicwave__Token__V1__IssuerKeys *issuer)
{
    int64_t now = cw_clock_wall_s(&cw_clock_system);
    printf("%s  %s\n", REMOTE_CLEAN(issuer->tenant), REMOTE_CLEAN(issuer->issuer));
    printf("  from     %s\n", REMOTE_CLEAN(issuer->source));
    printf("  fetched  %s%s, %llu fetches, %llu failed", issuer->fetched_at ? "" : "never",
           issuer->fetched_at ? REMOTE_AGE(CW_MAX(now - issuer->fetched_at, 0)) : "",
           (unsigned long long)issuer->fetches, (unsigned long long)issuer->failures);
    if (issuer->refresh_at) {
        printf(", next in %s", REMOTE_AGE(CW_MAX(issuer->refresh_at - now, 0)));
    }
    printf("\n");
    if (issuer->error[0]) {
        printf("  error    %s\n", REMOTE_CLEAN(issuer->error));
    }
    for (size_t i = 0; i < issuer->n_keys; i++) {
        const Clinicwave__Token__V1__Key *key = issuer->keys[i];
        printf("  key      %s  %s %u ", key->key_id[0] ? REMOTE_CLEAN(key->key_id) : "(no kid)",
               REMOTE_CLEAN(key->key_type), key->bits);
        for (size_t k = 0; k < key->n_algorithms; k++) {
            printf("%s%s", k ? "," : " ", REMOTE_CLEAN(key->algorithms[k]));
        }
        printf("\n");
    }
    for (size_t i = 0; i < issuer->n_skipped; i++) {
        printf("  note     %s\n", REMOTE_CLEAN(issuer->skipped[i]));
    }
}

static int run_list(const struct command *command, int argc, char **argv)
{
    const char *run_dir = NULL, *tenant = NULL;
    bool json = false;
    const struct option_row rows[] = {
        {"--tenant", OPTION_TEXT, "NAME", "only this tenant's issuers", &tenant},
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
    Clinicwave__Token__V1__ListKeysRequest request;
    clinicwave__token__v1__list_keys_request__init(&request);
    char name[256];
    if (tenant) {
        snprintf(name, sizeof name, "%s", tenant);
        request.tenant = name;
    }
    struct cw_rpc_answer answer;
    if (remote_call(run_dir, "admin.sock", ADMIN "ListKeys", &request.base,
                    &clinicwave__token__v1__list_keys_response__descriptor, &answer) != CW_OK) {
        code = remote_failed(command, run_dir, "admin.sock", &answer);
    } else if (json) {
        remote_print_json(answer.response);
        code = COMMAND_OK;
    } else {
        const Clinicwave__Token__V1__ListKeysResponse *list =
            (const Clinicwave__Token__V1__ListKeysResponse *)answer.response;
        for (size_t i = 0; i < list->n_issuers; i++) {
            print_issuer(list->issuers[i]);
        }
        code = COMMAND_OK;
    }
    cw_rpc_answer_done(&answer);
    return code;
}

static int run_refresh(const struct command *command, int argc, char **argv)
{
    const char *run_dir = NULL, *issuer = NULL;
    bool json = false;
    const struct option_row rows[] = {
        {"--issuer", OPTION_TEXT, "ISSUER", "only this issuer's keys", &issuer},
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
    Clinicwave__Token__V1__RefreshKeysRequest request;
    clinicwave__token__v1__refresh_keys_request__init(&request);
    char name[2048];
    if (issuer) {
        snprintf(name, sizeof name, "%s", issuer);
        request.issuer = name;
    }
    struct cw_rpc_answer answer;
    if (remote_call(run_dir, "admin.sock", ADMIN "RefreshKeys", &request.base,
                    &clinicwave__token__v1__refresh_keys_response__descriptor, &answer) != CW_OK) {
        code = remote_failed(command, run_dir, "admin.sock", &answer);
    } else {
        const Clinicwave__Token__V1__RefreshKeysResponse *response =
            (const Clinicwave__Token__V1__RefreshKeysResponse *)answer.response;
        if (json) {
            remote_print_json(answer.response);
        } else {
            printf("%u begun, %u not yet again\n", response->started, response->limited);
        }
        code = response->started || response->limited ? COMMAND_OK : COMMAND_REFUSED;
    }
    cw_rpc_answer_done(&answer);
    return code;
}

const struct command command_keys_list = {
    .group = "keys",
    .name = "list",
    .arguments = "[OPTION...]",
    .summary = "The keys that the sidecar holds, per issuer.",
    .run = run_list,
};

const struct command command_keys_refresh = {
    .group = "keys",
    .name = "refresh",
    .arguments = "[--issuer ISSUER]",
    .summary = "Fetches keys now, within the limits that guard the issuer.",
    .run = run_refresh,
};
