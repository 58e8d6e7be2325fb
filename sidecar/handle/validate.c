/* Validate: one token, one verdict. */
#include "sidecar/handle/validate.h"

#include "sidecar/handle/ask.h"
#include "sidecar/handle/job.h"

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

static void fail(struct cw_rpc_call *call, const struct ask_outcome *outcome)
{
    if (outcome->retry_after_s) {
        cw_rpc_fail_retry(call, outcome->err, NULL, 1000 * outcome->retry_after_s);
    } else {
        cw_rpc_fail(call, outcome->err, NULL);
    }
}

static void answer(struct cw_rpc_call *call, const struct ask_outcome *outcome, void *ctx)
{
    struct cw_buf out CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(IDENTITY_MAX + JOB_CHECKS_MAX + 4096);
    struct cw_buf scratch CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(IDENTITY_MAX);
    struct wire_verdict verdict;

    (void)ctx;
    if (!ask_is_verdict(outcome->err)) {
        fail(call, outcome);
        return;
    }
    identity_verdict(outcome->identity, outcome->rule, outcome->tenant, outcome->err,
                     outcome->cached, &scratch, &verdict);
    wire_add_response(&out, &verdict);
    cw_buf_add_str(&out, outcome->checks);
    if (out.failed || scratch.failed) {
        cw_rpc_fail(call, CW_NO_MEMORY, NULL);
    } else {
        cw_rpc_reply_bytes(call, cw_buf_str(&out));
    }
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
    struct ask question = {
        .domain = request.domain,
        .token = request.token,
        .rule = rule,
        .explain = request.explain,
        .answer = answer,
    };
    ask_run(handle, call, &question);
    rule_unref(rule);
}
