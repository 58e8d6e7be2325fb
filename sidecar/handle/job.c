/* Step 4 continues on a verifier: run the verification, wait for keys where that may help, answer
 * the caller.
 *
 *   submit ─▶ queue ─▶ running ─▶ answered
 *               ▲         │ unknown kid, a fetch runs
 *               └─ woken ◀┘ (late: answered without another look) */
#include "sidecar/handle/job.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sidecar/handle/explain.h"
#include "sidecar/handle/verify.h"

enum {
    JOB_WAITS_MAX = 2,
};

_Static_assert(OUTGOING_ANSWER_MAX >= IDENTITY_MAX + 4096, "an answer of the largest identity");

static void stream_hold(void *stream);
static void stream_send(void *stream, const struct cw_buf *answers);

static _Thread_local struct outgoing outgoing = {.ref = stream_hold, .send = stream_send};
static _Thread_local bool on_verifier;

struct job {
    struct pool_item item;
    struct cw_key_waiter waiter;
    struct handle *handle;
    struct tenants_set *set;
    const struct tenant *tenant;
    struct rule *rule;
    struct job_target target;
    int64_t deadline_ms;
    unsigned waits;
    struct cw_buf checks;
    unsigned char digest[CACHE_DIGEST_SIZE];
    size_t token_n;
    char token[];
};

static void job_free(struct job *job)
{
    atomic_fetch_sub(&job->handle->jobs, 1);
    cw_rpc_stream_unref(job->target.stream);
    rule_unref(job->rule);
    tenants_set_unref(job->set);
    cw_buf_done(&job->checks);
    free(job);
}

static void answer_call(struct job *job, const struct verify_result *result)
{
    struct identity view = identity_view(&result->parts, result->blob.p);
    struct ask_outcome outcome = {
        .err = result->err,
        .retry_after_s = ask_is_verdict(result->err) ? 0 : CW_MAX(result->retry_after_s, 1u),
        .identity = result->has_identity ? &view : NULL,
        .rule = job->rule,
        .tenant = job->tenant,
        .checks = cw_buf_str(&job->checks),
    };

    job->target.answer(job->target.call, &outcome, job->target.ctx);
}

/* A caller that does not read loses the stream rather than single answers: then it knows. */
static void send(struct cw_rpc_stream *stream, const struct cw_buf *answers)
{
    if (answers->failed || cw_rpc_stream_send(stream, cw_buf_str(answers)) == CW_RPC_FULL) {
        cw_rpc_stream_finish(stream, CW_VALIDATOR_OVERLOADED, NULL);
    }
}

static void stream_hold(void *stream)
{
    cw_rpc_stream_ref(stream);
}

static void stream_send(void *stream, const struct cw_buf *answers)
{
    send(stream, answers);
    cw_rpc_stream_unref(stream);
}

static enum cw_err enqueue(struct job *job)
{
    struct handle *handle = job->handle;
    struct cw_rpc_stream *stream = job->target.stream;

    if (stream) {
        outgoing_enter(&handle->queued, stream);
    }
    enum cw_err err = pool_submit(handle->pool, job->target.source, &job->item);
    if (stream && err != CW_OK) {
        outgoing_leave(&handle->queued, stream);
    }
    return err;
}

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void job_idle(void)
{
    /* The thread may end after this; a verifier that sleeps needs no memory either. */
    outgoing_idle(&outgoing);
}

static void answer_stream(struct job *job, const struct verify_result *result)
{
    struct cw_buf out CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(OUTGOING_ANSWER_MAX);
    struct cw_buf scratch CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(IDENTITY_MAX);
    struct wire_verdict verdict;
    struct wire_undecided undecided;

    if (ask_is_verdict(result->err)) {
        struct identity view = identity_view(&result->parts, result->blob.p);
        identity_verdict(result->has_identity ? &view : NULL, job->rule, job->tenant, result->err,
                         false, &scratch, &verdict);
        wire_add_verdict(&out, job->target.id, &verdict);
    } else {
        identity_undecided(result->err, result->retry_after_s, &undecided);
        wire_add_undecided(&out, job->target.id, &undecided);
    }
    if (on_verifier && !out.failed) {
        outgoing_add(&outgoing, job->target.stream, cw_buf_str(&out), now_ns());
    } else {
        send(job->target.stream, &out);
    }
}

/* Answers and ends the job. */
static void job_answer(struct job *job, struct verify_result *result)
{
    handle_count(job->handle, result->err);
    if (job->target.call) {
        answer_call(job, result);
    } else {
        answer_stream(job, result);
    }
    cw_buf_done(&result->blob);
    job_free(job);
}

static void job_fail(struct job *job, enum cw_err err)
{
    struct verify_result result = {.err = err, .retry_after_s = 1};

    job_answer(job, &result);
}

static void job_wake(struct cw_key_waiter *waiter, bool late)
{
    struct job *job = CW_CONTAINER_OF(waiter, struct job, waiter);

    if (late) {
        job_fail(job, CW_KEYS_UNAVAILABLE);
        return;
    }
    enum cw_err err = enqueue(job);
    if (err != CW_OK) {
        job_fail(job, err);
    }
}

static void job_check(void *ctx, const char *name, bool passed, struct cw_str detail)
{
    struct job *job = ctx;

    wire_add_check(&job->checks, cw_str(name), passed, detail);
}

/* What was judged after the verification, in the order of identity_decide. */
static void explain(struct job *job, const struct verify_result *result)
{
    struct identity view = identity_view(&result->parts, result->blob.p);
    struct cw_checks checks = {job_check, job};

    if (result->err == CW_TOKEN_REVOKED || result->err == CW_FEED_STALE) {
        job_check(job, "revocation", false, cw_str(cw_err_info(result->err)->title));
        return;
    }
    job_check(job, "revocation", true, CW_STR("not revoked"));
    explain_policy(&view, job->rule, job->tenant, &checks);
}

static void run(struct job *job)
{
    struct handle *handle = job->handle;
    struct verify_context context = {handle->config.cache, handle->config.clock,
                                     handle->config.revocations};
    struct cw_checks checks = {job_check, job};
    const struct cw_checks *told = job->target.explain ? &checks : NULL;
    struct verify_result result;
    int64_t now = cw_clock_monotonic_ms(handle->config.clock);

    /* A verification that nobody waits for any more only delays the next one. */
    if (now >= job->deadline_ms || (job->target.call && cw_rpc_call_cancelled(job->target.call))) {
        job_fail(job, CW_DEADLINE_EXCEEDED);
        return;
    }
    cw_buf_clear(&job->checks);
    if (told) {
        job_check(job, "tenant", true, job->tenant->name);
    }
    job->waiter.wake = job_wake;
    job->waiter.deadline_ms = CW_MIN(job->deadline_ms, now + handle->config.key_wait_ms);
    uint64_t begin = now_ns();
    if (verify_run(&context, job->tenant, job->rule, (struct cw_str){job->token, job->token_n},
                   job->digest, job->waits++ >= JOB_WAITS_MAX, &job->waiter, told,
                   &result) == VERIFY_WAITS) {
        cw_buf_done(&result.blob);
        return;
    }
    cw_series_observe(handle->config.verify, now_ns() - begin);
    if (told && result.has_identity) {
        explain(job, &result);
    }
    job_answer(job, &result);
}

void job_run(struct pool_item *item)
{
    struct job *job = CW_CONTAINER_OF(item, struct job, item);
    struct handle *handle = job->handle;

    on_verifier = true;
    if (job->target.stream) {
        outgoing_leave(&handle->queued, job->target.stream);
    }
    run(job);
    outgoing_check(&outgoing, &handle->queued, now_ns);
}

enum cw_err job_submit(struct handle *handle, struct tenants_set *set, const struct tenant *tenant,
                       struct rule *rule, struct cw_str token,
                       const unsigned char digest[CACHE_DIGEST_SIZE], int64_t timeout_ms,
                       const struct job_target *target)
{
    if (atomic_fetch_add(&handle->jobs, 1) >= handle->jobs_max) {
        atomic_fetch_sub(&handle->jobs, 1);
        return CW_VALIDATOR_OVERLOADED;
    }
    struct job *job = malloc(sizeof(*job) + token.n);
    if (!job) {
        atomic_fetch_sub(&handle->jobs, 1);
        return CW_NO_MEMORY;
    }
    *job = (struct job){
        .handle = handle,
        .set = tenants_set_ref(set),
        .tenant = tenant,
        .rule = rule_ref(rule),
        .target = *target,
        .deadline_ms =
            cw_clock_monotonic_ms(handle->config.clock) + CW_MIN(timeout_ms, JOB_TIMEOUT_MAX_MS),
        .checks = CW_BUF_INIT(JOB_CHECKS_MAX),
        .token_n = token.n,
    };
    memcpy(job->digest, digest, sizeof(job->digest));
    memcpy(job->token, token.p, token.n);
    if (target->stream) {
        cw_rpc_stream_ref(target->stream);
    }
    enum cw_err err = enqueue(job);
    if (err != CW_OK) {
        job_free(job);
    }
    return err;
}
