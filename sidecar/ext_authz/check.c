/* Check: may this request pass?
 *
 *   request ─▶ route's rule ─▶ path ─▶ domain ─▶ token ─▶ ask (as Validate does) ─▶ allow, deny
 *
 * What can be answered is answered by a CheckResponse, "could not decide" included, as a refusal
 * with 503: a status other than OK Envoy may be configured to take for an allow. */
#include <stdio.h>
#include <string.h>

#include "common/base/domain.h"
#include "common/http/problem.h"
#include "sidecar/ext_authz/edge.h"
#include "sidecar/ext_authz/ext_authz.h"
#include "sidecar/ext_authz/response.h"
#include "sidecar/ext_authz/route.h"
#include "sidecar/handle/ask.h"
#include "sidecar/listeners.h"

/* In the call's arena. */
struct check {
    struct request request;
    bool pass_authorization;
    bool anonymous; /* there is no token, and there may be none */
    struct cw_str realm;
    char domain[CW_DOMAIN_MAX + 1];
};

static void reply(struct cw_rpc_call *call, const Envoy__Service__Auth__V3__CheckResponse *response)
{
    if (response) {
        cw_rpc_reply(call, &response->base);
    } else {
        cw_rpc_fail(call, CW_NO_MEMORY, NULL);
    }
}

static void deny(struct cw_rpc_call *call, const struct check *check, enum cw_err err,
                 struct refusal refusal)
{
    char trace_id[CW_TRACE_ID_SIZE];

    cw_problem_trace_id(check->request.traceparent, trace_id);
    refusal.err = err;
    refusal.realm = check->realm.n ? check->realm : cw_str(check->domain);
    refusal.trace_id = trace_id;
    refusal.grpc = check->request.grpc;
    reply(call, response_deny(cw_rpc_call_arena(call), &refusal));
}

static void allow(struct cw_rpc_call *call, const struct check *check, const struct who *who)
{
    reply(call,
          response_allow(cw_rpc_call_arena(call), &check->request, who, check->pass_authorization));
}

static void allow_identity(struct cw_rpc_call *call, const struct check *check,
                           const struct ask_outcome *outcome)
{
    struct cw_buf joined CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(IDENTITY_MAX);
    struct who who;
    enum cw_err err = who_read(outcome->identity, outcome->tenant, &joined, &who);

    if (err == CW_OK) {
        allow(call, check, &who);
    } else {
        deny(call, check, err == CW_CLAIM_INVALID ? err : CW_VALIDATOR_UNAVAILABLE,
             (struct refusal){0});
    }
}

/* What is no verdict is 503, whatever its own status: nobody was decided upon. Only a domain
 * without a tenant will not be served later either. */
static enum cw_err undecided(enum cw_err err)
{
    return err == CW_TENANT_UNKNOWN || cw_err_info(err)->http == 503 ? err
                                                                     : CW_VALIDATOR_UNAVAILABLE;
}

static void answer(struct cw_rpc_call *call, const struct ask_outcome *outcome, void *ctx)
{
    const struct check *check = ctx;
    struct refusal refusal = {.retry_after_s = outcome->retry_after_s};

    if (outcome->err == CW_OK && outcome->identity) {
        allow_identity(call, check, outcome);
    } else if (outcome->err == CW_TOKEN_MISSING && check->anonymous) {
        allow(call, check, NULL);
    } else if (outcome->err != CW_OK && ask_is_verdict(outcome->err)) {
        if (outcome->err == CW_SCOPE_INSUFFICIENT) {
            refusal.scope = outcome->rule->required_scope;
        }
        deny(call, check, outcome->err, refusal);
    } else {
        deny(call, check, undecided(outcome->err), refusal);
    }
}

static enum cw_err read_route(const Envoy__Service__Auth__V3__CheckRequest *message,
                              struct cw_arena *arena, struct cw_buf *why, struct route *ret_route)
{
    const Envoy__Service__Auth__V3__AttributeContext *attributes = message->attributes;
    size_t n = attributes->n_context_extensions;
    struct route_entry *entries = cw_arena_alloc(arena, (n + 1) * sizeof(*entries));

    ENSURE(entries, CW_NO_MEMORY);
    for (size_t i = 0; i < n; i++) {
        entries[i].key = cw_str(attributes->context_extensions[i]->key);
        entries[i].value = cw_str(attributes->context_extensions[i]->value);
    }
    return route_read(entries, n, arena, why, ret_route);
}

/* What is wrong before anybody is asked, in the gateway's order; CW_TOKEN_MISSING is left to the
 * one who knows whether the domain has a tenant. */
static enum cw_err examine(struct check *check, const struct route *route, struct cw_arena *arena,
                           struct cw_str *ret_token)
{
    const struct request *request = &check->request;

    /* RFC 6750 §2; on every route, as nginx does */
    ENSURE(request->authorizations <= 1 && !edge_is_joined(request->authorization),
           CW_TOKEN_MULTIPLE);
    if (!route->ambiguous_path) {
        TRY(edge_path(request->path, arena));
    }
    *ret_token = (struct cw_str){0};
    if (route->auth == ROUTE_OFF) {
        return CW_OK;
    }
    TRY(cw_domain_normalize(request->host, check->domain));
    enum cw_err err =
        request->authorizations ? edge_bearer(request->authorization, ret_token) : CW_TOKEN_MISSING;
    check->anonymous = err == CW_TOKEN_MISSING && route->auth == ROUTE_OPTIONAL;
    return err == CW_TOKEN_MISSING ? CW_OK : err;
}

/* Envoy gives up at its deadline and then answers by itself: ours comes a little sooner. */
static int64_t patience(const struct cw_rpc_call *call)
{
    int64_t left = cw_rpc_call_remaining_ms(call);

    return left == INT32_MAX ? 0 : CW_MAX(left - left / 8, 1);
}

/* With `route` read. */
static void judge(struct ext_authz *self, struct cw_rpc_call *call, struct check *check,
                  const struct route *route)
{
    struct ask question = {
        .rule = route->rule,
        .timeout_ms = patience(call),
        .answer = answer,
        .ctx = check,
    };
    check->pass_authorization = route->pass_authorization;
    check->realm = route->realm;
    enum cw_err err = examine(check, route, cw_rpc_call_arena(call), &question.token);

    if (err != CW_OK) {
        deny(call, check, err == CW_NO_MEMORY ? CW_VALIDATOR_UNAVAILABLE : err,
             (struct refusal){0});
    } else if (route->auth == ROUTE_OFF) {
        allow(call, check, NULL);
    } else {
        question.domain = cw_str(check->domain);
        ask_run(self->handle, call, &question);
    }
}

static void check_unary(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    struct ext_authz *self = ctx;
    const Envoy__Service__Auth__V3__CheckRequest *message =
        (const Envoy__Service__Auth__V3__CheckRequest *)request;
    struct cw_arena *arena = cw_rpc_call_arena(call);
    struct check *check = cw_arena_zalloc(arena, sizeof(*check));
    struct cw_buf why CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(ROUTE_WHY_MAX);
    struct route route;

    if (!check) {
        cw_rpc_fail(call, CW_NO_MEMORY, NULL);
        return;
    }
    enum cw_err err = request_read(message, arena, &check->request);
    if (err == CW_OK) {
        err = read_route(message, arena, &why, &route);
    }
    if (err == CW_OK) {
        judge(self, call, check, &route);
        route_done(&route);
        return;
    }
    if (why.n > 0 && self->refused) {
        self->refused(self->ctx, check->request.host, cw_buf_str(&why));
    }
    struct refusal refusal = {.message = why.n ? cw_arena_dup(arena, cw_buf_str(&why)) : NULL};
    deny(call, check, err == CW_NO_MEMORY ? CW_VALIDATOR_UNAVAILABLE : err, refusal);
}

#define AUTHORIZATION "/envoy.service.auth.v3.Authorization/"

/* As Validate, for whoever may ask about a token; and for an Envoy that is the host's door. */
const struct cw_rpc_method ext_authz_methods[] = {
    {.path = AUTHORIZATION "Check",
     .kind = CW_RPC_UNARY,
     .listeners = ON_SIDECAR | ON_GATEWAY,
     .request = &envoy__service__auth__v3__check_request__descriptor,
     .unary = check_unary},
};
const size_t ext_authz_n_methods = CW_ARRAY_SIZE(ext_authz_methods);
