/* What Envoy changes in the request, or says to the client. Each header is sent with both fields
 * that say how: older Envoys know `append` alone, and newer ones append by default. */
#include "sidecar/ext_authz/response.h"

#include <stdio.h>
#include <string.h>

#include "common/http/problem.h"
#include "sidecar/ext_authz/route.h"

enum {
    DENIED_HEADERS_MAX = 6,
    CHALLENGE_MAX = 8 * 1024,
    PROBLEM_MAX = 4 * 1024,
    SCOPE_MAX = 1024, /* what is longer is left out of the challenge */
};

struct headers {
    struct cw_arena *arena;
    Envoy__Config__Core__V3__HeaderValueOption **items;
    size_t n;
    bool failed; /* without memory */
};

static void add_header(struct headers *headers, const char *name, struct cw_str value)
{
    struct pair {
        Envoy__Config__Core__V3__HeaderValueOption option;
        Envoy__Config__Core__V3__HeaderValue header;
        Envoy__Config__Core__V3__Append append;
    } *pair = cw_arena_alloc(headers->arena, sizeof(*pair));
    char *key = cw_arena_dup(headers->arena, cw_str(name));
    char *text = cw_arena_dup(headers->arena, value);

    if (!pair || !key || !text) {
        headers->failed = true;
        return;
    }
    envoy__config__core__v3__header_value_option__init(&pair->option);
    envoy__config__core__v3__header_value__init(&pair->header);
    envoy__config__core__v3__append__init(&pair->append);
    pair->header.key = key;
    pair->header.value = text;
    pair->option.header = &pair->header;
    pair->option.append = &pair->append; /* present and false */
    pair->option.append_action =
        ENVOY__CONFIG__CORE__V3__HEADER_VALUE_OPTION__HEADER_APPEND_ACTION__OVERWRITE_IF_EXISTS_OR_ADD;
    headers->items[headers->n++] = &pair->option;
}

/* ---- allow ---- */

struct allowed {
    Envoy__Service__Auth__V3__CheckResponse response;
    Google__Rpc__Status status;
    Envoy__Service__Auth__V3__OkHttpResponse ok;
    Envoy__Config__Core__V3__HeaderValueOption *headers[WHO_N];
};

static bool is_identity(const char *name)
{
    for (size_t i = 0; i < WHO_N; i++) {
        if (strcmp(name, who_names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool add_name(struct cw_arena *arena, char **names, size_t *n, const char *name)
{
    names[*n] = cw_arena_dup(arena, cw_str(name));
    return names[(*n)++] != NULL;
}

/* Envoy takes away after it has set: what is set must not be on the list. The identity's own names
 * are on it even when they were not seen, since Envoy may be told to keep headers from us. */
static bool list_removed(struct cw_arena *arena, const struct request *request,
                         const struct who *who, bool pass_authorization,
                         Envoy__Service__Auth__V3__OkHttpResponse *ok)
{
    char **names = cw_arena_alloc(arena, (request->n_forged + WHO_N + 1) * sizeof(*names));
    size_t n = 0;
    bool whole = names != NULL;

    for (size_t i = 0; whole && i < WHO_N; i++) {
        if (!who || who->values[i].n == 0) {
            whole = add_name(arena, names, &n, who_names[i]);
        }
    }
    for (size_t i = 0; whole && i < request->n_forged; i++) {
        if (!is_identity(request->forged[i])) {
            names[n++] = request->forged[i];
        }
    }
    if (whole && !pass_authorization) {
        whole = add_name(arena, names, &n, "authorization");
    }
    ok->headers_to_remove = names;
    ok->n_headers_to_remove = n;
    return whole;
}

const Envoy__Service__Auth__V3__CheckResponse *response_allow(struct cw_arena *arena,
                                                              const struct request *request,
                                                              const struct who *who,
                                                              bool pass_authorization)
{
    struct allowed *allowed = cw_arena_alloc(arena, sizeof(*allowed));

    ENSURE(allowed, NULL);
    envoy__service__auth__v3__check_response__init(&allowed->response);
    google__rpc__status__init(&allowed->status);
    envoy__service__auth__v3__ok_http_response__init(&allowed->ok);
    struct headers headers = {.arena = arena, .items = allowed->headers};
    for (size_t i = 0; who && i < WHO_N; i++) {
        if (who->values[i].n > 0) {
            add_header(&headers, who_names[i], who->values[i]);
        }
    }
    ENSURE(!headers.failed, NULL);
    ENSURE(list_removed(arena, request, who, pass_authorization, &allowed->ok), NULL);
    allowed->ok.headers = allowed->headers;
    allowed->ok.n_headers = headers.n;
    allowed->response.status = &allowed->status;
    allowed->response.ok_response = &allowed->ok;
    allowed->response.http_response_case =
        ENVOY__SERVICE__AUTH__V3__CHECK_RESPONSE__HTTP_RESPONSE_OK_RESPONSE;
    return &allowed->response;
}

/* ---- deny ---- */

struct denied {
    Envoy__Service__Auth__V3__CheckResponse response;
    Google__Rpc__Status status;
    Envoy__Service__Auth__V3__DeniedHttpResponse denied;
    Envoy__Type__V3__HttpStatus http;
    Envoy__Config__Core__V3__HeaderValueOption *headers[DENIED_HEADERS_MAX];
};

/* RFC 6750 §3: on 401 and 403, and on 400 for a malformed use of tokens. */
static void add_challenge(struct headers *headers, const struct refusal *refusal)
{
    struct cw_buf value CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(CHALLENGE_MAX);
    const struct cw_err_info *info = cw_err_info(refusal->err);

    if (info->category != CW_CATEGORY_TOKEN && info->category != CW_CATEGORY_POLICY &&
        info->bearer[0] == '\0') {
        return;
    }
    cw_buf_addf(&value, "Bearer realm=\"%.*s\"", CW_STR_ARG(refusal->realm));
    if (info->bearer[0]) {
        cw_buf_addf(&value, ", error=\"%s\", error_description=\"%s\"", info->bearer, info->title);
    }
    if (refusal->scope.n > 0 && refusal->scope.n <= SCOPE_MAX &&
        route_is_quotable(refusal->scope)) {
        cw_buf_addf(&value, ", scope=\"%.*s\"", CW_STR_ARG(refusal->scope));
    }
    headers->failed = headers->failed || value.failed;
    if (!value.failed) {
        add_header(headers, "www-authenticate", cw_buf_str(&value));
    }
}

static void add_number(struct headers *headers, const char *name, unsigned value)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", value);
    add_header(headers, name, cw_str(text));
}

/* The body, and the headers that say what it is. Of a gRPC request's answer Envoy makes trailers,
 * with the body as their message. */
static char *add_body(struct headers *headers, const struct refusal *refusal)
{
    struct cw_buf body CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(PROBLEM_MAX);
    const struct cw_err_info *info = cw_err_info(refusal->err);

    if (refusal->grpc) {
        add_number(headers, "grpc-status", info->grpc);
        add_header(headers, "cw-reason", cw_str(info->code));
        return cw_arena_dup(headers->arena, cw_str(info->title));
    }
    add_header(headers, "content-type", CW_STR(CW_PROBLEM_MEDIA_TYPE));
    cw_problem_write(&body, refusal->err, (struct cw_str){0}, cw_str(refusal->trace_id));
    cw_buf_add_char(&body, '\n');
    return body.failed ? NULL : cw_arena_dup(headers->arena, cw_buf_str(&body));
}

static void fill_denied(struct denied *denied)
{
    envoy__service__auth__v3__check_response__init(&denied->response);
    google__rpc__status__init(&denied->status);
    envoy__service__auth__v3__denied_http_response__init(&denied->denied);
    envoy__type__v3__http_status__init(&denied->http);
    denied->denied.status = &denied->http;
    denied->denied.headers = denied->headers;
    denied->response.status = &denied->status;
    denied->response.denied_response = &denied->denied;
    denied->response.http_response_case =
        ENVOY__SERVICE__AUTH__V3__CHECK_RESPONSE__HTTP_RESPONSE_DENIED_RESPONSE;
}

const Envoy__Service__Auth__V3__CheckResponse *response_deny(struct cw_arena *arena,
                                                             const struct refusal *refusal)
{
    struct denied *denied = cw_arena_alloc(arena, sizeof(*denied));
    const struct cw_err_info *info = cw_err_info(refusal->err);

    ENSURE(denied && info->grpc != CW_GRPC_OK, NULL); /* a code of zero is an allow */
    fill_denied(denied);
    struct headers headers = {.arena = arena, .items = denied->headers};
    denied->status.code = (int)info->grpc;
    denied->http.code = (Envoy__Type__V3__StatusCode)info->http;
    denied->status.message =
        cw_arena_dup(arena, cw_str(refusal->message ? refusal->message : info->title));
    denied->denied.body = add_body(&headers, refusal);
    add_header(&headers, "cache-control", CW_STR("no-store"));
    add_challenge(&headers, refusal);
    if (info->http == 503 || info->http == 429) {
        add_number(&headers, "retry-after", CW_MAX(refusal->retry_after_s, 1u));
    }
    denied->denied.n_headers = headers.n;
    ENSURE(denied->status.message && denied->denied.body && !headers.failed, NULL);
    return &denied->response;
}
