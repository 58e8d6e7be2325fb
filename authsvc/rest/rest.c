/* Login, refresh, logout, sessions, and the documents below /.well-known/: from an HTTP request to
 * the use case and back. Other doors lie in files beside it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/oidc/discovery.h"
#include "authsvc/rest/rest_impl.h"
#include "common/base/domain.h"

enum {
    DOCUMENT_MAX = 256 * 1024,
    ANSWER_REST =
        1024, /* bytes of an answer beside its signed tokens and scopes; more is no error */
};

/* The rest is the request's. */
static void job_free(struct rest_job *job)
{
    if (job != NULL) {
        json_decref(job->body);
    }
}

/* --- what every request of this door has ------------------------------------------------ */

enum cw_err rest_host(struct rest *rest, struct cw_http_request *request, struct cw_str *ret_host)
{
    const char *name = "Host";
    if (rest_trusted(&rest->options, cw_http_peer(request)) &&
        cw_http_header_count(request, "X-Forwarded-Host") > 0) {
        name = "X-Forwarded-Host";
    }
    ENSURE(cw_http_header_count(request, name) == 1, CW_TENANT_UNKNOWN);
    ENSURE(cw_http_header(request, name, ret_host), CW_TENANT_UNKNOWN);
    return CW_OK;
}

static enum cw_err read_client(struct rest_job *job)
{
    struct cw_http_request *request = job->request;
    TRY(rest_host(job->rest, request, &job->host));
    char domain[CW_DOMAIN_MAX + 1];
    if (cw_domain_normalize(job->host, domain) == CW_OK) {
        cw_http_set_realm(request, cw_str(domain));
    }
    struct cw_str forwarded = {0};
    if (cw_http_header_count(request, "X-Forwarded-For") == 1) {
        (void)cw_http_header(request, "X-Forwarded-For", &forwarded);
    }
    rest_client_address(&job->rest->options, cw_http_peer(request), forwarded, job->address);
    ENSURE(cw_http_header_count(request, "Origin") <= 1, CW_ORIGIN_FORBIDDEN);
    (void)cw_http_header(request, "Origin", &job->origin);
    if (cw_http_header(request, "User-Agent", &job->device) && !cw_str_is_utf8(job->device)) {
        job->device = (struct cw_str){0};
    }
    return CW_OK;
}

void rest_retry_after(struct cw_http_request *request, uint32_t retry_after_ms)
{
    if (retry_after_ms > 0) {
        char seconds[16];
        snprintf(seconds, sizeof(seconds), "%u", (retry_after_ms + 999) / 1000);
        cw_http_set_header(request, "Retry-After", cw_str(seconds));
    }
}

static void problem(struct cw_http_request *request, enum cw_err err, uint32_t retry_after_ms)
{
    rest_retry_after(request, retry_after_ms);
    cw_http_problem(request, err, NULL);
}

/* The same; of a malformed body it says where. */
static void problem_of(const struct rest_job *job, enum cw_err err, uint32_t retry_after_ms)
{
    const struct rest_body *body = cw_http_extra(job->request);
    const char *detail = job->detail[0] != '\0' ? job->detail : body != NULL ? body->rule : NULL;
    rest_retry_after(job->request, retry_after_ms);
    cw_http_problem(job->request, err, err == CW_REQUEST_MALFORMED ? detail : NULL);
}

static enum cw_err read_member(struct rest_job *job, const struct rest_member *member,
                               struct cw_str *ret_value)
{
    const json_t *value = json_object_get(job->body, member->name);
    if (value == NULL && !member->required) {
        return CW_OK;
    }
    if (!json_is_string(value) || json_string_length(value) > member->max) {
        snprintf(job->detail, sizeof(job->detail),
                 value == NULL ? "`%s` is missing."
                               : "`%s` must be a string of at most %zu bytes in UTF-8.",
                 member->name, member->max);
        return CW_REQUEST_MALFORMED;
    }
    *ret_value = (struct cw_str){json_string_value(value), json_string_length(value)};
    return CW_OK;
}

enum cw_err rest_read(struct rest_job *job, void *request)
{
    const struct rest_body *body = cw_http_extra(job->request);
    for (size_t i = 0; i < body->n; i++) {
        struct cw_str value = {0};
        TRY(read_member(job, &body->members[i], &value));
        memcpy((char *)request + body->members[i].offset, &value, sizeof(value));
    }
    return CW_OK;
}

static void add_text(struct cw_buf *json, const char *name, const char *value)
{
    cw_buf_add_cstr(json, json->n > 1 ? ",\"" : "\"");
    cw_buf_add_cstr(json, name);
    cw_buf_add_cstr(json, "\":");
    cw_buf_add_json(json, cw_str(value));
}

static void add_number(struct cw_buf *json, const char *name, int64_t value)
{
    cw_buf_add_cstr(json, ",\"");
    cw_buf_add_cstr(json, name);
    cw_buf_add_cstr(json, "\":");
    cw_buf_add_int(json, value);
}

/* RFC 6749 §5.1, and what the contract has beside it. Reserved at once: what grows leaves copies of
 * tokens behind. */
static void write_tokens(const struct login_answer *a, struct cw_buf *json)
{
    cw_buf_reserve(json, ANSWER_REST + cw_str(a->access_token).n + cw_str(a->id_token).n +
                             cw_str(a->scope).n);
    cw_buf_add_char(json, '{');
    add_text(json, "access_token", a->access_token);
    add_text(json, "id_token", a->id_token);
    add_text(json, "refresh_token", a->refresh_token);
    add_text(json, "token_type", "Bearer");
    add_number(json, "expires_in", a->expires_in);
    add_number(json, "expires_at", a->expires_at);
    add_number(json, "refresh_expires_in", a->refresh_expires_in);
    add_text(json, "scope", a->scope);
    add_text(json, "session_id", a->session_id);
    if (a->recovery_code != NULL) {
        add_text(json, "recovery_code", a->recovery_code);
    }
    cw_buf_add_char(json, '}');
}

static void answer(struct rest_job *job, enum cw_err err, const struct login_answer *a)
{
    if (err == CW_MFA_REQUIRED) {
        const struct cw_http_member members[] = {
            {.name = "mfa_token", .value = cw_str(a->mfa_token)},
            {.name = "methods", .value = cw_str(a->mfa_methods), .list = true},
        };
        cw_http_problem_with(job->request, err, NULL, members, CW_ARRAY_SIZE(members));
        return;
    }
    if (err != CW_OK) {
        problem_of(job, err, a->retry_after_ms);
        return;
    }
    struct cw_buf body = CW_BUF_INIT(DOCUMENT_MAX);
    write_tokens(a, &body);
    cw_http_set_header(job->request, "Pragma", CW_STR("no-cache")); /* RFC 6749 §5.1 */
    cw_http_reply_json_text(job->request, 200, &body);
}

/* --- the work, on a worker -------------------------------------------------------------- */

void rest_finish_login(struct rest_job *job, enum cw_err err, struct login_answer *a)
{
    struct cw_http_request *request = job->request;
    answer(job, err, a);
    login_answer_done(a);
    job_free(job);
    cw_http_resume(request);
}

static const struct rest_member login_members[] = {
    {"username", PASSWORD_NAME_MAX, true, offsetof(struct login_request, username)},
    {"password", PASSWORD_BYTES_MAX, true, offsetof(struct login_request, password)},
    {"otp", REST_CODE_MAX, false, offsetof(struct login_request, otp)},
    {"client_id", REST_FIELD_MAX, false, offsetof(struct login_request, client_id)},
    {"scope", REST_FIELD_MAX, false, offsetof(struct login_request, scope)},
};
static const struct rest_body login_body =
    REST_BODY_RULE(login_members, "`username` has a control character.");

static void run_login(void *arg)
{
    struct rest_job *job = arg;
    struct login_request r = {
        .domain = job->host,
        .origin = job->origin,
        .address = cw_str(job->address),
        .device = job->device,
    };
    struct login_answer a = {0};
    enum cw_err err = rest_read(job, &r);
    if (err == CW_OK) {
        err = login_run(job->rest->options.login, &r, &a);
    }
    rest_finish_login(job, err, &a);
}

static const struct rest_member refresh_members[] = {
    {"refresh_token", REST_FIELD_MAX, true, offsetof(struct login_refresh_request, refresh_token)},
    {"client_id", REST_FIELD_MAX, false, offsetof(struct login_refresh_request, client_id)},
};
static const struct rest_body refresh_body = REST_BODY(refresh_members);

static void run_refresh(void *arg)
{
    struct rest_job *job = arg;
    struct login_refresh_request r = {
        .domain = job->host,
        .origin = job->origin,
        .address = cw_str(job->address),
    };
    struct login_answer a = {0};
    enum cw_err err = rest_read(job, &r);
    if (err == CW_OK) {
        err = login_refresh(job->rest->options.login, &r, &a);
    }
    rest_finish_login(job, err, &a);
}

struct login_bearer rest_bearer(const struct rest_job *job)
{
    return (struct login_bearer){
        .domain = job->host,
        .access_token = job->bearer,
        .address = cw_str(job->address),
    };
}

void rest_finish(struct rest_job *job, enum cw_err err, uint32_t retry_after_ms, int status,
                 const json_t *body)
{
    struct cw_http_request *request = job->request;
    if (err != CW_OK) {
        problem_of(job, err, retry_after_ms);
    } else if (body != NULL) {
        cw_http_reply_json(request, status, body);
    } else {
        cw_http_set_header(request, "Cache-Control", CW_STR("no-store"));
        cw_http_reply(request, status, NULL, CW_STR(""));
    }
    job_free(job);
    cw_http_resume(request);
}

static const struct rest_member logout_members[] = {
    {"refresh_token", REST_FIELD_MAX, false, offsetof(struct login_bearer, refresh_token)},
};
static const struct rest_body logout_body = {
    .members = logout_members, .n = CW_ARRAY_SIZE(logout_members), .optional = true};

static void run_logout(void *arg)
{
    struct rest_job *job = arg;
    struct login_bearer bearer = rest_bearer(job);
    enum cw_err err = CW_OK;
    if (job->body != NULL) {
        err = rest_read(job, &bearer);
    }
    if (err == CW_OK) {
        err = login_logout(job->rest->options.login, &bearer);
    }
    rest_finish(job, err, 0, 204, NULL);
}

static void run_userinfo(void *arg)
{
    struct rest_job *job = arg;
    const struct login_bearer bearer = rest_bearer(job);
    CW_CLEANUP(cw_buf_done) struct cw_buf claims = CW_BUF_INIT(DOCUMENT_MAX);
    cw_http_set_scope(job->request, "openid");
    enum cw_err err = login_userinfo(job->rest->options.login, &bearer, &claims);
    json_t *body = err == CW_OK ? json_loadb(claims.p, claims.n, 0, NULL) : NULL;
    rest_finish(job, err == CW_OK && body == NULL ? CW_INTERNAL : err, 0, 200, body);
    json_decref(body);
}

static json_t *text(struct cw_str s)
{
    return json_stringn(s.p, s.n);
}

static enum cw_err add_session(void *ctx, const struct store_session *s, bool current)
{
    json_t *row = json_pack("{s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:b}", "session_id", text(s->id),
                            "client_id", text(s->client_id), "device", text(s->device), "address",
                            text(s->address), "started_at", (json_int_t)(s->started_at / 1000),
                            "used_at", (json_int_t)(s->used_at / 1000), "expires_at",
                            (json_int_t)(s->expires_at / 1000), "current", current);
    return row != NULL && json_array_append_new(ctx, row) == 0 ? CW_OK : CW_NO_MEMORY;
}

static void run_sessions(void *arg)
{
    struct rest_job *job = arg;
    const struct login_bearer bearer = rest_bearer(job);
    json_t *list = json_array();
    enum cw_err err = login_sessions(job->rest->options.login, &bearer, add_session, list);
    rest_finish(job, err, 0, 200, list);
    json_decref(list);
}

static void run_end_session(void *arg)
{
    struct rest_job *job = arg;
    const struct login_bearer bearer = rest_bearer(job);
    enum cw_err err =
        login_end_session(job->rest->options.login, &bearer, cw_http_param(job->request, "id"));
    rest_finish(job, err, 0, 204, NULL);
}

/* --- handlers, on the server's thread --------------------------------------------------- */

static enum cw_err read_body(struct rest_job *job)
{
    enum cw_err err = cw_http_json(job->request, &job->body);
    if (err == CW_REQUEST_MALFORMED) {
        snprintf(job->detail, sizeof(job->detail),
                 "The body must be one JSON object in UTF-8 that names no member twice.");
    }
    return err;
}

static enum cw_err read_request(struct rest_job *job, enum rest_needs needs)
{
    struct cw_http_request *request = job->request;
    bool has_body = cw_http_body(request).n > 0;
    TRY(read_client(job));
    if (needs != REST_NEEDS_BEARER && (needs != REST_NEEDS_EITHER || has_body)) {
        TRY(read_body(job));
    }
    if (needs == REST_NEEDS_BODY) {
        return CW_OK;
    }
    bool may_lack = needs == REST_MAY_HAVE_BEARER || (needs == REST_NEEDS_EITHER && has_body);
    enum cw_err err = cw_http_bearer(request, &job->bearer);
    return may_lack && err == CW_TOKEN_MISSING ? CW_OK : err;
}

void rest_hand_over(struct cw_http_request *request, struct rest *rest, enum rest_needs needs,
                    struct cw_work *work, void (*run)(void *arg))
{
    struct rest_job *job = cw_arena_zalloc(cw_http_arena(request), sizeof(*job));
    if (job == NULL) {
        problem(request, CW_NO_MEMORY, 0);
        return;
    }
    job->rest = rest;
    job->request = request;
    enum cw_err err = read_request(job, needs);
    if (err != CW_OK) {
        problem_of(job, err, 0);
        job_free(job);
        return;
    }
    work = login_work(rest->options.login, job->host, work);
    cw_http_defer(request);
    err = cw_work_submit(work, run, job);
    if (err != CW_OK) {
        job_free(job);
        problem(request, err == CW_SHUTTING_DOWN ? err : CW_LOGIN_OVERLOADED, 0);
        cw_http_resume(request);
    }
}

static void handle_login(struct cw_http_request *request, void *ctx)
{
    struct rest *rest = ctx;
    rest_hand_over(request, rest, REST_NEEDS_BODY, rest->options.logins, run_login);
}

static void handle_refresh(struct cw_http_request *request, void *ctx)
{
    struct rest *rest = ctx;
    rest_hand_over(request, rest, REST_NEEDS_BODY, rest->options.refreshes, run_refresh);
}

static void handle_logout(struct cw_http_request *request, void *ctx)
{
    struct rest *rest = ctx;
    rest_hand_over(request, rest, REST_NEEDS_EITHER, rest->options.refreshes, run_logout);
}

static void handle_userinfo(struct cw_http_request *request, void *ctx)
{
    struct rest *rest = ctx;
    rest_hand_over(request, rest, REST_NEEDS_BEARER, rest->options.refreshes, run_userinfo);
}

static void handle_sessions(struct cw_http_request *request, void *ctx)
{
    struct rest *rest = ctx;
    rest_hand_over(request, rest, REST_NEEDS_BEARER, rest->options.refreshes, run_sessions);
}

static void handle_end_session(struct cw_http_request *request, void *ctx)
{
    struct rest *rest = ctx;
    rest_hand_over(request, rest, REST_NEEDS_BEARER, rest->options.refreshes, run_end_session);
}

/* A document of the tenant that the host chooses. */
static void document(struct cw_http_request *request, struct rest *rest,
                     enum cw_err (*write)(const struct tenant *tenant, struct keyring *keys,
                                          struct cw_buf *ret_json),
                     const char *media_type)
{
    struct cw_str host;
    struct tenant_set *set = tenant_current_get(rest->options.tenants);
    CW_CLEANUP(cw_buf_done) struct cw_buf json = CW_BUF_INIT(DOCUMENT_MAX);
    enum cw_err err = rest_host(rest, request, &host);
    if (err == CW_OK) {
        const struct tenant *tenant = NULL;
        err = tenant_set_open(set, host, &tenant);
        if (err == CW_OK) {
            err = tenant->login == TENANT_LOGIN_DATABASE ? write(tenant, rest->options.keys, &json)
                                                         : CW_NOT_FOUND; /* its provider has them */
        }
    }
    if (err == CW_OK) {
        char cache[48];
        snprintf(cache, sizeof(cache), "public, max-age=%u", rest->options.documents_max_age_s);
        cw_http_set_header(request, "Cache-Control", cw_str(cache));
        cw_http_set_header(request, "Access-Control-Allow-Origin", CW_STR("*"));
        cw_http_reply(request, 200, media_type, cw_buf_str(&json));
    } else {
        problem(request, err, 0);
    }
    tenant_set_unref(set);
}

static void handle_discovery(struct cw_http_request *request, void *ctx)
{
    document(request, ctx, discovery_write, "application/json");
}

static enum cw_err write_jwks(const struct tenant *tenant, struct keyring *keys,
                              struct cw_buf *ret_json)
{
    return keyring_jwks(keys, tenant->name, ret_json);
}

static void handle_jwks(struct cw_http_request *request, void *ctx)
{
    document(request, ctx, write_jwks, "application/jwk-set+json"); /* RFC 7517 §8.5.2 */
}

static const struct cw_http_route routes[] = {
    REST_POST_JSON("/auth/v1/login", handle_login, &login_body),
    REST_POST_JSON("/auth/v1/refresh", handle_refresh, &refresh_body),
    /* The body is optional: its media type is looked at where there is one. */
    {.method = "POST",
     .path = "/auth/v1/logout",
     .handle = handle_logout,
     .max_body = REST_BODY_MAX,
     .extra = &logout_body},
    {.method = "GET", .path = "/auth/v1/userinfo", .handle = handle_userinfo},
    {.method = "GET", .path = "/auth/v1/sessions", .handle = handle_sessions},
    {.method = "DELETE", .path = "/auth/v1/sessions/{id}", .handle = handle_end_session},
    {.method = "GET", .path = "/.well-known/openid-configuration", .handle = handle_discovery},
    {.method = "GET", .path = "/.well-known/jwks.json", .handle = handle_jwks},
};

struct rest *rest_new(const struct rest_options *options)
{
    struct rest *rest = calloc(1, sizeof(*rest));
    if (rest != NULL) {
        rest->options = *options;
    }
    return rest;
}

void rest_free(struct rest *rest)
{
    free(rest);
}

struct cw_http_routes rest_routes(struct rest *rest)
{
    return (struct cw_http_routes){routes, CW_ARRAY_SIZE(routes), rest};
}
