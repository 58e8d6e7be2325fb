/* Validate: one token, one verdict. A hit is answered here, on the poller. */
#include "sidecar/handle/validate.h"

#include "common/crypto/sha256.h"
#include "sidecar/handle/job.h"

/* Large enough for the kept claims of any entry; a poller answers one call at a time. */
static _Thread_local struct cache_hit hit;

static enum cw_err make_rule(struct cw_str message, struct rule **ret_rule)
{
    Clinicwave__Token__V1__ValidateRequest *request =
        clinicwave__token__v1__validate_request__unpack(NULL, message.n,
                                                        (const uint8_t *)message.p);
    ENSURE(request, CW_REQUEST_MALFORMED);
    enum cw_err err = rule_new(request->requirement, request->claims, request->n_claims, ret_rule);
    clinicwave__token__v1__validate_request__free_unpacked(request, NULL);
    return err;
}

static void reply(struct handle *handle, struct cw_rpc_call *call, const struct identity *identity,
                  const struct rule *rule, const struct tenant *tenant, enum cw_err reason)
{
    struct cw_buf out CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(IDENTITY_MAX + 4096);
    struct cw_buf scratch CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(IDENTITY_MAX);
    struct wire_verdict verdict;

    handle_count(handle, reason);
    identity_verdict(identity, rule, tenant, reason, identity != NULL, &scratch, &verdict);
    wire_add_response(&out, &verdict);
    if (out.failed || scratch.failed) {
        cw_rpc_fail(call, CW_NO_MEMORY, NULL);
    } else {
        cw_rpc_reply_bytes(call, cw_buf_str(&out));
    }
}

static void defer(struct handle *handle, struct cw_rpc_call *call, struct tenants_set *set,
                  const struct tenant *tenant, struct rule *rule, struct cw_str token,
                  const unsigned char *digest, bool explain)
{
    struct job_target target = {
        .call = call,
        .source = (uint64_t)cw_rpc_call_peer(call).uid << 32 ^ tenant->generation,
        .explain = explain,
    };
    int64_t timeout = cw_rpc_call_remaining_ms(call);

    if (timeout == INT32_MAX) {
        timeout = handle->config.timeout_ms;
    }
    cw_rpc_call_defer(call);
    enum cw_err err = job_submit(handle, set, tenant, rule, token, digest, timeout, &target);
    if (err != CW_OK) {
        handle_count(handle, err);
        cw_rpc_fail(call, err, NULL);
    }
}

static void answer(struct handle *handle, struct cw_rpc_call *call,
                   const struct wire_request *request, struct tenants_set *set,
                   const struct tenant *tenant, struct rule *rule)
{
    unsigned char digest[CW_SHA256_SIZE];
    struct cache_key key = {tenant->generation, digest};

    if (request->token.n == 0 || request->token.n > CW_JWS_TOKEN_MAX) {
        reply(handle, call, NULL, rule, tenant,
              request->token.n ? CW_TOKEN_TOO_LARGE : CW_TOKEN_MISSING);
        return;
    }
    enum cw_err err = cw_sha256(request->token, digest);
    if (err != CW_OK) {
        cw_rpc_fail(call, err, NULL);
        return;
    }
    if (!request->explain &&
        cache_get(handle->config.cache, &key, cw_clock_wall_s(handle->config.clock),
                  cw_clock_monotonic_ms(handle->config.clock), &hit)) {
        struct identity view = identity_view(&hit.parts, hit.blob);
        cw_series_add(handle->config.hits, 1);
        err = identity_decide(&view, rule, tenant, handle->config.revocations,
                              cw_clock_monotonic_ms(handle->config.clock));
        if (cw_err_info(err)->category == CW_CATEGORY_UNDECIDED) {
            handle_count(handle, err);
            cw_rpc_fail(call, err, NULL);
        } else {
            reply(handle, call, &view, rule, tenant, err);
        }
        return;
    }
    defer(handle, call, set, tenant, rule, request->token, digest, request->explain);
}

void validate_unary(struct cw_rpc_call *call, const ProtobufCMessage *unused, void *ctx)
{
    struct handle *handle = ctx;
    struct cw_str message = cw_rpc_call_bytes(call);
    struct wire_request request;
    struct rule *rule = rule_none();
    enum cw_err err = wire_request_decode(message, &request);

    (void)unused;
    if (err == CW_OK && request.demands) {
        err = make_rule(message, &rule);
    }
    if (err != CW_OK) {
        handle_count(handle, err);
        cw_rpc_fail(call, err, NULL);
        return;
    }
    struct tenants_set *set = tenants_get(handle->config.tenants);
    const struct tenant *tenant = tenants_set_find(set, request.domain);
    if (tenant) {
        answer(handle, call, &request, set, tenant, rule);
    } else {
        handle_count(handle, CW_TENANT_UNKNOWN);
        cw_rpc_fail(call, CW_TENANT_UNKNOWN, NULL);
    }
    tenants_set_unref(set);
    rule_unref(rule);
}
