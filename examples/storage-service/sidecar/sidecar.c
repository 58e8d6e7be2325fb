/* TokenService.Validate and DiscoveryService.Register as a client. */
#include "examples/storage-service/sidecar/sidecar.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clinicwave/token/v1/token.pb-c.h"
#include "common/base/secret.h"
#include "common/base/user.h"
#include "common/discovery/registration.h"
#include "common/log/log.h"

enum { POLLERS = 1, DEREGISTER_MS = 1000 };

enum { EVENT_REGISTERED, EVENT_LOST };

static struct cw_log_event events[] = {
    [EVENT_REGISTERED] = {.action = "registered",
                          .level = CW_LOG_INFO,
                          .message = "registered at the sidecar"},
    [EVENT_LOST] = {.action = "registration-lost",
                    .level = CW_LOG_WARN,
                    .message = "the registration ended; trying again",
                    .every_ms = 10000},
};

struct sidecar {
    struct sidecar_options options;
    struct cw_rpc_runtime *runtime;
    struct cw_rpc_channel *channel;
    struct cw_registration *registration; /* main thread; NULL: not begun, or over */
    _Atomic bool registered;
};

/* ---- verdicts ---- */

/* A refusal's reason as an error that answers 401 or 403, whatever a newer sidecar may call it. */
static enum cw_err refusal(Clinicwave__Token__V1__Decision decision, const char *reason)
{
    enum cw_err err = cw_err_from_code(reason, strlen(reason));
    enum cw_err_category category = cw_err_info(err)->category;
    if (decision == CLINICWAVE__TOKEN__V1__DECISION__DECISION_FORBIDDEN) {
        return category == CW_CATEGORY_POLICY ? err : CW_SUBJECT_FORBIDDEN;
    }
    return category == CW_CATEGORY_TOKEN ? err : CW_TOKEN_MALFORMED;
}

static enum cw_err verdict(const Clinicwave__Token__V1__ValidateResponse *response,
                           struct caller *ret_caller)
{
    if (response->decision != CLINICWAVE__TOKEN__V1__DECISION__DECISION_ALLOW) {
        return refusal(response->decision, response->reason);
    }
    const Clinicwave__Token__V1__Identity *identity = response->identity;
    ENSURE(identity && strlen(identity->tenant) < sizeof(ret_caller->tenant),
           CW_VALIDATOR_UNAVAILABLE);
    snprintf(ret_caller->tenant, sizeof(ret_caller->tenant), "%s", identity->tenant);
    snprintf(ret_caller->subject, sizeof(ret_caller->subject), "%s", identity->subject);
    return CW_OK;
}

static enum cw_err check(void *ctx, struct cw_str token, struct cw_str domain,
                         struct caller *ret_caller)
{
    struct sidecar *sidecar = ctx;
    Clinicwave__Token__V1__ValidateRequest request = CLINICWAVE__TOKEN__V1__VALIDATE_REQUEST__INIT;
    char name[256];
    char *bytes = cw_str_dup(token); /* protobuf-c's fields are not const */
    ENSURE(bytes, CW_NO_MEMORY);
    snprintf(name, sizeof(name), "%.*s", (int)CW_MIN(domain.n, sizeof(name) - 1), domain.p);
    request.token = (ProtobufCBinaryData){.len = token.n, .data = (uint8_t *)bytes};
    request.domain = name;
    struct cw_rpc_answer answer;
    enum cw_err err =
        cw_rpc_unary(sidecar->channel, "/clinicwave.token.v1.TokenService/Validate", &request.base,
                     &clinicwave__token__v1__validate_response__descriptor,
                     sidecar->options.validate_ms, false, &answer);
    if (err == CW_OK) {
        err = verdict((const Clinicwave__Token__V1__ValidateResponse *)answer.response, ret_caller);
    }
    cw_rpc_answer_done(&answer);
    cw_secret_wipe(bytes, token.n);
    free(bytes);
    return err;
}

struct token_port sidecar_port(struct sidecar *sidecar)
{
    return (struct token_port){.check = check, .ctx = sidecar};
}

/* ---- registration ---- */

static void changed(void *ctx, const char *id, const struct cw_rpc_answer *how)
{
    struct sidecar *sidecar = ctx;
    sidecar->registered = id != NULL;
    if (id != NULL) {
        CW_LOG(&events[EVENT_REGISTERED],
               cw_log_cstr("labels.application", sidecar->options.application),
               cw_log_cstr("service.node.name", id));
    } else {
        CW_LOG(&events[EVENT_LOST], cw_log_err(how->err),
               cw_log_cstr("error.message", how->message));
    }
}

enum cw_err sidecar_register(struct sidecar *sidecar)
{
    return cw_registration_new(
        &(struct cw_registration_options){
            .runtime = sidecar->runtime,
            .channel = sidecar->channel,
            .application = sidecar->options.application,
            .address = sidecar->options.address,
            .port = sidecar->options.port,
            .management_port = sidecar->options.management_port,
            .changed = changed,
            .ctx = sidecar,
        },
        &sidecar->registration);
}

bool sidecar_registered(const struct sidecar *sidecar)
{
    return sidecar->registered;
}

void sidecar_deregister(struct sidecar *sidecar)
{
    cw_registration_free(sidecar->registration, DEREGISTER_MS);
    sidecar->registration = NULL;
    sidecar->registered = false;
}

/* ---- life ---- */

enum cw_err sidecar_new(const struct sidecar_options *options, struct sidecar **ret_sidecar)
{
    struct sidecar *sidecar = calloc(1, sizeof(*sidecar));
    ENSURE(sidecar, CW_NO_MEMORY);
    char target[256];
    int n = snprintf(target, sizeof(target), "unix:%s", options->socket);
    enum cw_err err = n < (int)sizeof(target) ? CW_OK : CW_CONFIG_INVALID;
    sidecar->options = *options;
    if (err == CW_OK) {
        err = cw_rpc_runtime_new(POLLERS, &sidecar->runtime);
    }
    if (err == CW_OK) {
        err = cw_rpc_channel_new(target, 0, &sidecar->channel);
    }
    uid_t uid = 0;
    if (err == CW_OK && options->user && options->user[0]) {
        err = cw_user_find(options->user, &uid);
    }
    if (err == CW_OK) {
        err = cw_rpc_channel_guard(sidecar->channel, options->socket, &uid, 1); /* 0: root */
    }
    if (err != CW_OK) {
        sidecar_free(sidecar);
        return err;
    }
    *ret_sidecar = sidecar;
    return CW_OK;
}

void sidecar_free(struct sidecar *sidecar)
{
    if (sidecar) {
        cw_registration_free(sidecar->registration, 0);
        cw_rpc_channel_free(sidecar->channel);
        cw_rpc_runtime_free(sidecar->runtime);
        free(sidecar);
    }
}
