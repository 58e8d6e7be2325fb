/* One call to a provider: through the gate, over the network, and what its answer means.
 *
 *   gate ──▶ request ──▶ 200                        ──▶ the caller reads the body
 *    │                   other, with error JSON     ──▶ the table of errors.c
 *    └ shut: 503         none, or of a broken server──▶ idp_unavailable, counts for the breaker
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/idp/idp_impl.h"
#include "common/jose/json.h"

enum { HEADERS_MAX = 6, RETRY_MAX_S = 24 * 3600, DEFAULT_HOLD_MS = 1000, ADDRESS_MAX = 64 };

/* A transfer that a worker waits for. */
struct wait {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool over;
    enum cw_err err;
    int status;
    struct cw_buf *body;
    int64_t duration_ms;
    char detail[128];
    char retry_after[32];
    char ratelimit_reset[32];
};

static void arrived(void *ctx, const struct cw_http_result *result)
{
    struct wait *w = ctx;
    pthread_mutex_lock(&w->lock);
    w->err = result->err;
    w->status = result->status;
    w->duration_ms = result->duration_ms;
    cw_buf_add_str(w->body, result->body);
    snprintf(w->detail, sizeof(w->detail), "%s", result->err != CW_OK ? result->detail : "");
    snprintf(w->retry_after, sizeof(w->retry_after), "%s", result->retry_after);
    snprintf(w->ratelimit_reset, sizeof(w->ratelimit_reset), "%s", result->ratelimit_reset);
    w->over = true;
    pthread_cond_signal(&w->done);
    pthread_mutex_unlock(&w->lock);
}

static struct gate_limits limits_of(const struct tenant *tenant)
{
    const struct tenant_idp *t = tenant->idp;
    return (struct gate_limits){
        .concurrency = t->concurrency,
        .rate_per_second = t->rate_per_second,
        .rate_burst = t->rate_burst,
        .failures = t->breaker_failures,
        .open_ms = t->breaker_open_ms,
    };
}

enum cw_err idp_call_open(struct idp_call *call)
{
    call->body = (struct cw_buf)CW_BUF_INIT(IDP_ANSWER_MAX + 1);
    call->upstream = upstream_get(call->idp, call->tenant);
    ENSURE(call->upstream != NULL, CW_NO_MEMORY);
    enum cw_err err = upstream_metadata(call->upstream, &call->metadata);
    if (err != CW_OK) {
        call->refusal->retry_after_ms = DEFAULT_HOLD_MS;
    }
    return err;
}

void idp_call_done(struct idp_call *call)
{
    idp_form_done(&call->body);
    metadata_unref(call->metadata);
    upstream_unref(call->upstream);
}

static void tell(const struct idp_call *call, enum cw_err outcome, const char *error,
                 const char *detail, int64_t duration_ms)
{
    idp_tell(call->idp, &(struct idp_event){.tenant = call->tenant->name,
                                            .operation = call->operation,
                                            .outcome = outcome,
                                            .status = call->status,
                                            .error = error,
                                            .detail = detail,
                                            .duration_ms = duration_ms});
}

/* The provider's error code for the log: printable, cut. */
static void code_of(struct cw_str error, char ret_code[IDP_CODE_SIZE])
{
    size_t n = CW_MIN(error.n, IDP_CODE_SIZE - 1);
    for (size_t i = 0; i < n; i++) {
        ret_code[i] = error.p[i] > 0x20 && error.p[i] < 0x7f ? error.p[i] : '?';
    }
    ret_code[n] = '\0';
}

/* Retry-After in seconds, or Auth0's X-RateLimit-Reset in Unix seconds. */
static uint32_t pause_of(const struct idp *idp, const struct wait *w)
{
    uint64_t seconds = 0;
    if (cw_str_to_u64(cw_str(w->retry_after), RETRY_MAX_S, &seconds) == CW_OK) {
        return (uint32_t)seconds * 1000;
    }
    int64_t now = cw_clock_wall_s(idp->options.clock);
    if (cw_str_to_u64(cw_str(w->ratelimit_reset), INT32_MAX * 2ULL, &seconds) == CW_OK &&
        (int64_t)seconds > now) {
        return (uint32_t)CW_MIN((int64_t)seconds - now, RETRY_MAX_S) * 1000;
    }
    return DEFAULT_HOLD_MS;
}

/* Bodies may be JSON with error and error_description, Auth0's older code and description, or
 * anything. */
static json_t *read_error(const struct idp_call *call, struct idp_refused *ret)
{
    json_t *body = NULL;
    *ret = (struct idp_refused){.status = call->status};
    if (cw_json_parse_object(cw_buf_str(&call->body), CW_IDP_UNAVAILABLE, &body) != CW_OK) {
        return NULL;
    }
    if (!cw_json_get_str(body, "error", &ret->error) &&
        !cw_json_get_str(body, "code", &ret->error)) {
        ret->error = CW_STR("");
    }
    if (!cw_json_get_str(body, "error_description", &ret->description) &&
        !cw_json_get_str(body, "description", &ret->description)) {
        ret->description = CW_STR("");
    }
    return body;
}

struct idp_refused idp_call_refused(const struct idp_call *call, json_t **ret_body)
{
    struct idp_refused refused;
    *ret_body = read_error(call, &refused);
    return refused;
}

/* What is not 200. */
static enum cw_err refused(struct idp_call *call, const struct wait *w, int64_t *ret_hold_ms)
{
    struct idp_refused r;
    json_t *body = read_error(call, &r);
    enum cw_err err = idp_error_of(call->step, &r);
    struct cw_str token;
    if (err == CW_THROTTLED || err == CW_IDP_UNAVAILABLE) {
        call->refusal->retry_after_ms = pause_of(call->idp, w);
    }
    /* too_many_attempts is about one account; the others are about us. */
    *ret_hold_ms = err == CW_THROTTLED && !cw_str_is(r.error, "too_many_attempts")
                       ? call->refusal->retry_after_ms
                       : 0;
    if (err == CW_MFA_REQUIRED) {
        bool has =
            cw_json_get_str(body, "mfa_token", &token) && token.n > 0 && token.n <= IDP_TOKEN_MAX;
        call->refusal->mfa_token = has ? cw_str_dup(token) : NULL;
        err = call->refusal->mfa_token != NULL ? err : CW_IDP_UNAVAILABLE;
    }
    char code[IDP_CODE_SIZE];
    code_of(r.error, code);
    tell(call, err, code, "", w->duration_ms);
    json_decref(body);
    return err;
}

static enum cw_err conclude(struct idp_call *call, struct wait *w)
{
    const struct gate_limits limits = limits_of(call->tenant);
    enum gate_outcome outcome = GATE_GOOD;
    int64_t hold_ms = 0;
    enum cw_err err = CW_OK;
    call->status = w->status;
    if (w->err != CW_OK || cw_buf_check(&call->body) != CW_OK) {
        outcome =
            w->err == CW_CANCELLED || w->err == CW_SHUTTING_DOWN ? GATE_ABANDONED : GATE_FAILED;
        err = CW_IDP_UNAVAILABLE;
        call->refusal->unknown = true;
        call->refusal->retry_after_ms = DEFAULT_HOLD_MS;
        tell(call, err, cw_err_code(w->err), w->detail, w->duration_ms);
    } else if (w->status != 200) {
        err = refused(call, w, &hold_ms);
        outcome = w->status >= 500 && err == CW_IDP_UNAVAILABLE ? GATE_FAILED : GATE_GOOD;
    } else {
        tell(call, CW_OK, "", "", w->duration_ms);
    }
    gate_leave(&call->upstream->gate, &limits, idp_now_ms(call->idp), outcome, hold_ms);
    return err;
}

static enum cw_err run(struct idp_call *call, struct cw_http_fetch *fetch)
{
    const struct tenant_idp *t = call->tenant->idp;
    const struct gate_limits limits = limits_of(call->tenant);
    enum cw_err err = gate_enter(&call->upstream->gate, &limits, idp_now_ms(call->idp),
                                 &call->refusal->retry_after_ms);
    if (err != CW_OK) {
        tell(call, err, "", "kept away: breaker, rate or number of calls", 0);
        return err;
    }
    fetch->plain = t->plain_loopback ? CW_HTTP_PLAIN_LOOPBACK : CW_HTTP_PLAIN_NEVER;
    fetch->ca_file = t->ca_file.n > 0 ? t->ca_file.p : NULL;
    fetch->connect_ms = (unsigned)t->connect_ms;
    fetch->total_ms = (unsigned)t->total_ms;
    fetch->max_body = IDP_ANSWER_MAX;
    struct wait w = {.body = &call->body};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.done, NULL);
    cw_buf_clear(&call->body);
    err = cw_http_client_start(call->idp->http, fetch, arrived, &w, NULL);
    if (err != CW_OK) {
        w.err = err == CW_UNAVAILABLE ? CW_CANCELLED : err; /* it never left */
        w.over = true;
    }
    pthread_mutex_lock(&w.lock);
    while (!w.over) {
        pthread_cond_wait(&w.done, &w.lock); /* the client ends every transfer in total_ms */
    }
    pthread_mutex_unlock(&w.lock);
    err = conclude(call, &w);
    pthread_cond_destroy(&w.done);
    pthread_mutex_destroy(&w.lock);
    return err;
}

enum cw_err idp_call_body(struct idp_call *call, const char *url, struct idp_body *body,
                          struct cw_str address)
{
    CW_CLEANUP(idp_form_done) struct cw_buf authorization = CW_BUF_INIT(IDP_FORM_MAX);
    TRY(idp_client_auth(call->idp, call->tenant, body, &authorization));
    if (body->json) {
        cw_buf_add_char(&body->text, '}');
    }
    TRY(cw_buf_check(&body->text));
    TRY(cw_buf_check(&authorization));
    char forwarded[ADDRESS_MAX + sizeof("auth0-forwarded-for: ")];
    const char *headers[HEADERS_MAX] = {body->json
                                            ? "Content-Type: application/json"
                                            : "Content-Type: application/x-www-form-urlencoded",
                                        "Accept: application/json"};
    size_t n = 2;
    if (call->tenant->idp->forwarded_for && address.n > 0 && address.n <= ADDRESS_MAX) {
        snprintf(forwarded, sizeof(forwarded), "auth0-forwarded-for: %.*s", CW_STR_ARG(address));
        headers[n++] = forwarded;
    }
    if (authorization.n > 0) {
        headers[n++] = authorization.p;
    }
    struct cw_http_fetch fetch = {.url = url, .headers = headers, .body = cw_buf_str(&body->text)};
    return run(call, &fetch);
}

enum cw_err idp_call_bearer(struct idp_call *call, const char *url, struct cw_str token)
{
    CW_CLEANUP(idp_form_done) struct cw_buf authorization = CW_BUF_INIT(IDP_FORM_MAX);
    cw_buf_add_cstr(&authorization, "Authorization: Bearer ");
    cw_buf_add_str(&authorization, token);
    cw_buf_add_char(&authorization, '\0');
    TRY(cw_buf_check(&authorization));
    const char *const headers[] = {authorization.p, "Accept: application/json", NULL};
    struct cw_http_fetch fetch = {.url = url, .headers = headers};
    return run(call, &fetch);
}

enum cw_err idp_call_bad_answer(struct idp_call *call, const char *why)
{
    tell(call, CW_IDP_UNAVAILABLE, "", why, 0);
    call->refusal->unknown = true;
    call->refusal->retry_after_ms = DEFAULT_HOLD_MS;
    return CW_IDP_UNAVAILABLE;
}

/* --- revocation: nobody waits for it ---------------------------------------------------- */

struct farewell {
    struct idp_call call;
    struct gate_limits limits;
    struct idp_refusal refusal;
    struct cw_str name; /* of the tenant, which may be gone by then */
};

static void said(void *ctx, const struct cw_http_result *result)
{
    struct farewell *f = ctx;
    bool good = result->err == CW_OK && result->status == 200;
    bool failed = result->err != CW_OK || result->status >= 500;
    idp_tell(f->call.idp, &(struct idp_event){.tenant = cw_str(f->call.upstream->tenant),
                                              .operation = "revoke",
                                              .outcome = good     ? CW_OK
                                                         : failed ? CW_IDP_UNAVAILABLE
                                                                  : CW_IDP_MISCONFIGURED,
                                              .status = result->status,
                                              .error = "",
                                              .detail = result->err != CW_OK ? result->detail : "",
                                              .duration_ms = result->duration_ms});
    gate_leave(&f->call.upstream->gate, &f->limits, idp_now_ms(f->call.idp),
               result->err == CW_CANCELLED ? GATE_ABANDONED
               : failed                    ? GATE_FAILED
                                           : GATE_GOOD,
               0);
    idp_call_done(&f->call);
    free(f);
}

static enum cw_err farewell(struct farewell *f, struct cw_str refresh_token)
{
    struct idp_call *call = &f->call;
    const struct tenant_idp *t = call->tenant->idp;
    TRY(idp_call_open(call));
    const char *url = call->metadata->revocation_endpoint;
    ENSURE(url != NULL, CW_NOT_FOUND); /* it cannot be told */
    CW_CLEANUP(idp_body_done) struct idp_body body = IDP_BODY_INIT;
    CW_CLEANUP(idp_form_done) struct cw_buf authorization = CW_BUF_INIT(IDP_FORM_MAX);
    idp_body_add(&body, "token", refresh_token);
    TRY(idp_client_auth(call->idp, call->tenant, &body, &authorization));
    TRY(cw_buf_check(&body.text));
    TRY(cw_buf_check(&authorization));
    const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded",
                                   authorization.n > 0 ? authorization.p : NULL, NULL};
    const struct cw_http_fetch fetch = {
        .url = url,
        .headers = headers,
        .body = cw_buf_str(&body.text),
        .plain = t->plain_loopback ? CW_HTTP_PLAIN_LOOPBACK : CW_HTTP_PLAIN_NEVER,
        .ca_file = t->ca_file.n > 0 ? t->ca_file.p : NULL,
        .connect_ms = (unsigned)t->connect_ms,
        .total_ms = (unsigned)t->total_ms,
    };
    TRY(gate_enter(&call->upstream->gate, &f->limits, idp_now_ms(call->idp),
                   &f->refusal.retry_after_ms));
    enum cw_err err = cw_http_client_start(call->idp->http, &fetch, said, f, NULL);
    if (err != CW_OK) {
        gate_leave(&call->upstream->gate, &f->limits, idp_now_ms(call->idp), GATE_ABANDONED, 0);
    }
    return err;
}

void idp_revoke(struct idp *idp, const struct tenant *tenant, struct cw_str refresh_token)
{
    struct farewell *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return;
    }
    f->limits = limits_of(tenant);
    f->call = (struct idp_call){.idp = idp,
                                .tenant = tenant,
                                .operation = "revoke",
                                .step = IDP_STEP_REVOKE,
                                .refusal = &f->refusal};
    enum cw_err err = farewell(f, refresh_token);
    if (err != CW_OK) {
        tell(&f->call, err, "", "the provider was not told of the end of a session", 0);
        idp_call_done(&f->call);
        free(f);
    }
}
