/* Step 3 for unary callers: the tenant by its domain, the token in the cache, or else a verifier. A
 * hit is answered here, on the poller. */
#include "sidecar/handle/ask.h"

#include "common/crypto/sha256.h"
#include "sidecar/handle/job.h"

/* Large enough for the kept claims of any entry; a poller answers one call at a time. */
static _Thread_local struct cache_hit hit;

static void finish(struct handle *handle, struct cw_rpc_call *call, const struct ask *ask,
                   struct ask_outcome *outcome)
{
    outcome->rule = ask->rule;
    handle_count(handle, outcome->err);
    ask->answer(call, outcome, ask->ctx);
}

static void defer(struct handle *handle, struct cw_rpc_call *call, const struct ask *ask,
                  struct tenants_set *set, const struct tenant *tenant, const unsigned char *digest)
{
    struct job_target target = {
        .call = call,
        .answer = ask->answer,
        .ctx = ask->ctx,
        .source = (uint64_t)cw_rpc_call_peer(call).uid << 32 ^ tenant->generation,
        .explain = ask->explain,
    };
    int64_t timeout = ask->timeout_ms ? ask->timeout_ms : cw_rpc_call_remaining_ms(call);

    if (timeout == INT32_MAX) {
        timeout = handle->config.timeout_ms;
    }
    cw_rpc_call_defer(call);
    enum cw_err err =
        job_submit(handle, set, tenant, ask->rule, ask->token, digest, timeout, &target);
    if (err != CW_OK) {
        struct ask_outcome outcome = {.err = err, .tenant = tenant};
        finish(handle, call, ask, &outcome);
    }
}

/* True when the cache had it. */
static bool look_up(struct handle *handle, struct cw_rpc_call *call, const struct ask *ask,
                    const struct tenant *tenant, const unsigned char *digest)
{
    const struct handle_config *config = &handle->config;
    struct cache_key key = {tenant->generation, digest};
    int64_t now = cw_clock_monotonic_ms(config->clock);

    if (ask->explain ||
        !cache_get(config->cache, &key, cw_clock_wall_s(config->clock), now, &hit)) {
        return false;
    }
    struct identity view = identity_view(&hit.parts, hit.blob);
    struct ask_outcome outcome = {
        .err = identity_decide(&view, ask->rule, tenant, config->revocations, now),
        .cached = true,
        .identity = &view,
        .tenant = tenant,
    };
    cw_series_add(config->hits, 1);
    finish(handle, call, ask, &outcome);
    return true;
}

static void decide(struct handle *handle, struct cw_rpc_call *call, const struct ask *ask,
                   struct tenants_set *set, const struct tenant *tenant)
{
    unsigned char digest[CW_SHA256_SIZE];
    struct ask_outcome outcome = {.tenant = tenant};

    if (ask->token.n == 0 || ask->token.n > CW_JWS_TOKEN_MAX) {
        outcome.err = ask->token.n ? CW_TOKEN_TOO_LARGE : CW_TOKEN_MISSING;
    } else {
        outcome.err = cw_sha256(ask->token, digest);
    }
    if (outcome.err != CW_OK) {
        finish(handle, call, ask, &outcome);
    } else if (!look_up(handle, call, ask, tenant, digest)) {
        defer(handle, call, ask, set, tenant, digest);
    }
}

void ask_run(struct handle *handle, struct cw_rpc_call *call, const struct ask *ask)
{
    struct tenants_set *set = tenants_get(handle->config.tenants);
    const struct tenant *tenant = tenants_set_find(set, ask->domain);

    if (tenant) {
        decide(handle, call, ask, set, tenant);
    } else {
        struct ask_outcome outcome = {.err = CW_TENANT_UNKNOWN};
        finish(handle, call, ask, &outcome);
    }
    tenants_set_unref(set);
}
