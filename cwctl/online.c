/* Asks TokenService.Validate; without a domain, finds one by the token's issuer first. */
#include "cwctl/online.h"

#include <string.h>
#include <unistd.h>

#include "common/base/secret.h"
#include "common/jose/token.h"
#include "cwctl/verdict.h"
#include "proto/clinicwave/token/v1/admin.pb-c.h"
#include "proto/clinicwave/token/v1/token.pb-c.h"

/* Only to choose whom to ask: the sidecar judges whatever it says. */
static bool domain_of(struct cw_str bytes,
                      const Clinicwave__Token__V1__ListTenantsResponse *tenants, char *ret_domain,
                      size_t size)
{
    struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA);
    struct cw_token token;
    bool parsed = cw_token_parse(bytes, &arena, NULL, &token) == CW_OK;
    const char *domain = NULL;
    for (size_t i = 0; i < tenants->n_tenants && !domain; i++) {
        const Clinicwave__Token__V1__TenantSummary *tenant = tenants->tenants[i];
        bool trusts = !parsed; /* a broken token is refused by any tenant */
        for (size_t k = 0; parsed && k < tenant->n_issuers; k++) {
            trusts |= cw_str_is(token.issuer, tenant->issuers[k]);
        }
        domain = trusts && tenant->n_domains ? tenant->domains[0] : NULL;
    }
    if (domain) {
        snprintf(ret_domain, size, "%s", domain);
    }
    cw_arena_done(&arena);
    return domain != NULL;
}

/* Who may judge tokens, and not look at tenants, as most users. */
static bool may_not_look(const char *run_dir, enum cw_err err)
{
    char path[REMOTE_PATH_MAX];

    return err == CW_PERMISSION_DENIED || (remote_socket(run_dir, "admin.sock", path) &&
                                           access(path, F_OK) == 0 && access(path, W_OK) != 0);
}

static int find_domain(const struct command *command, struct cw_str token,
                       const struct online *settings, char *ret_domain, size_t size)
{
    Clinicwave__Token__V1__ListTenantsRequest request;
    clinicwave__token__v1__list_tenants_request__init(&request);
    struct cw_rpc_answer answer;
    int code = COMMAND_OK;
    if (remote_call(settings->run_dir, "admin.sock",
                    "/clinicwave.token.v1.TokenAdminService/ListTenants", &request.base,
                    &clinicwave__token__v1__list_tenants_response__descriptor, &answer) != CW_OK) {
        code = may_not_look(settings->run_dir, answer.err)
                   ? command_failed(command, COMMAND_UNDECIDED,
                                    "this user may not look the tenant up: say --tenant DOMAIN")
                   : remote_failed(command, settings->run_dir, "admin.sock", &answer);
    } else if (!domain_of(token,
                          (const Clinicwave__Token__V1__ListTenantsResponse *)answer.response,
                          ret_domain, size)) {
        code = command_failed(command, COMMAND_UNDECIDED,
                              "no tenant trusts this token's issuer: say --tenant DOMAIN");
    }
    cw_rpc_answer_done(&answer);
    return code;
}

static int read_answer(const Clinicwave__Token__V1__ValidateResponse *response, json_t *verdict)
{
    enum cw_err reason = cw_err_from_code(response->reason, strlen(response->reason));
    bool allowed = response->decision == CLINICWAVE__TOKEN__V1__DECISION__DECISION_ALLOW;
    int code = verdict_set(verdict, allowed ? CW_OK : reason);
    if (!allowed) {
        /* any decision but the known one is a refusal, and the reason is told as it came */
        bool forbidden = response->decision == CLINICWAVE__TOKEN__V1__DECISION__DECISION_FORBIDDEN;
        json_object_set_new(verdict, "decision",
                            json_string(forbidden ? "FORBIDDEN" : "UNAUTHENTICATED"));
        json_object_set_new(verdict, "reason", json_string(response->reason));
        code = COMMAND_REFUSED;
    }
    if (response->identity) {
        json_object_set_new(verdict, "identity", remote_json(&response->identity->base));
    }
    json_object_set_new(verdict, "cached", json_boolean(response->cached));
    for (size_t i = 0; i < response->n_checks; i++) {
        const Clinicwave__Token__V1__Check *check = response->checks[i];
        verdict_add_check(verdict, cw_str(check->name), check->passed, cw_str(check->detail));
    }
    return code;
}

int online_verify(const struct command *command, struct cw_str token, const struct online *settings,
                  json_t *verdict, bool *ret_judged)
{
    char domain[256];
    *ret_judged = false;
    if (settings->domain) {
        snprintf(domain, sizeof domain, "%s", settings->domain);
    } else {
        int code = find_domain(command, token, settings, domain, sizeof domain);
        if (code) {
            return code;
        }
    }
    Clinicwave__Token__V1__ValidateRequest request;
    clinicwave__token__v1__validate_request__init(&request);
    char *every[] = {(char[]){"*"}};
    struct cw_secret bytes; /* protobuf-c wants bytes that it may write to */
    if (cw_secret_init(&bytes, token) != CW_OK) {
        return command_failed(command, COMMAND_UNDECIDED, "out of memory");
    }
    request.token = (ProtobufCBinaryData){bytes.n, (uint8_t *)bytes.p};
    request.domain = domain;
    request.explain = settings->explain;
    request.claims = every;
    request.n_claims = 1;
    struct cw_rpc_answer answer;
    int code = COMMAND_UNDECIDED;
    if (remote_call(settings->run_dir, "sidecar.sock", "/clinicwave.token.v1.TokenService/Validate",
                    &request.base, &clinicwave__token__v1__validate_response__descriptor,
                    &answer) != CW_OK) {
        /* "could not decide" is an outcome, not a failure of the question */
        *ret_judged = cw_err_info(answer.err)->category == CW_CATEGORY_UNDECIDED;
        code = *ret_judged ? verdict_set(verdict, answer.err)
                           : remote_failed(command, settings->run_dir, "sidecar.sock", &answer);
    } else {
        *ret_judged = true;
        code =
            read_answer((const Clinicwave__Token__V1__ValidateResponse *)answer.response, verdict);
    }
    cw_rpc_answer_done(&answer);
    cw_secret_done(&bytes);
    return code;
}
