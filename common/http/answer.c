/* Answers: kept with the request until libmicrohttpd can take them, which is after the headers or
 * after the whole body. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/secret.h"
#include "common/http/internal.h"
#include "common/http/problem.h"

enum { PROBLEM_MAX = 16 << 10 };

static bool is_token(const char *name)
{
    for (const char *p = name; *p; p++) {
        if (*p <= ' ' || *p > '~' || strchr("\"(),/:;<=>?@[\\]{}", *p)) {
            return false;
        }
    }
    return *name != '\0';
}

static bool is_field_value(struct cw_str value)
{
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

bool cw_http_set_header(struct cw_http_request *request, const char *name, struct cw_str value)
{
    if (request->response || request->n_headers == HTTP_HEADERS_MAX || !is_token(name) ||
        !is_field_value(value)) {
        return false;
    }
    char *copy = cw_arena_dup(&request->arena, value);
    char *name_copy = cw_arena_dup(&request->arena, cw_str(name));
    if (!copy || !name_copy) {
        return false;
    }
    request->headers[request->n_headers++] = (struct http_pair){cw_str(name_copy), {copy, value.n}};
    return true;
}

static bool has_header(const struct cw_http_request *request, const char *name)
{
    for (size_t i = 0; i < request->n_headers; i++) {
        if (cw_str_eq_nocase(request->headers[i].name, cw_str(name))) {
            return true;
        }
    }
    return false;
}

static void default_header(struct cw_http_request *request, const char *name, const char *value)
{
    if (!has_header(request, name)) {
        cw_http_set_header(request, name, cw_str(value));
    }
}

/* Neither copied nor looked at: both are ours. */
static void constant_header(struct cw_http_request *request, const char *name, const char *value)
{
    if (!request->response && request->n_headers < HTTP_HEADERS_MAX && !has_header(request, name)) {
        request->headers[request->n_headers++] = (struct http_pair){cw_str(name), cw_str(value)};
    }
}

/* Takes `response`. The first answer counts. */
static void keep(struct cw_http_request *request, int status, struct MHD_Response *response)
{
    if (!response) {
        return;
    }
    if (request->response) {
        MHD_destroy_response(response);
        return;
    }
    for (size_t i = 0; i < request->n_headers; i++) {
        MHD_add_response_header(response, request->headers[i].name.p, request->headers[i].value.p);
    }
    request->status = status;
    request->response = response;
}

void cw_http_reply(struct cw_http_request *request, int status, const char *media_type,
                   struct cw_str body)
{
    if (media_type) {
        default_header(request, "Content-Type", media_type);
        constant_header(request, "X-Content-Type-Options", "nosniff");
    }
    /* libmicrohttpd copies, but its signature says otherwise */
    void *bytes;
    const char *p = body.p ? body.p : "";
    memcpy(&bytes, &p, sizeof(bytes));
    keep(request, status, MHD_create_response_from_buffer(body.n, bytes, MHD_RESPMEM_MUST_COPY));
}

static void wipe_text(void *text)
{
    cw_secret_wipe(text, strlen(text));
    free(text);
}

/* Takes `text`. */
static void reply_json(struct cw_http_request *request, int status, char *text)
{
    if (!text) {
        cw_http_problem(request, CW_INTERNAL, NULL);
        return;
    }
    constant_header(request, "Cache-Control", "no-store");
    constant_header(request, "Content-Type", "application/json");
    constant_header(request, "X-Content-Type-Options", "nosniff");
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(strlen(text), text, wipe_text);
    if (!response) {
        wipe_text(text);
    }
    keep(request, status, response);
}

void cw_http_reply_json(struct cw_http_request *request, int status, const json_t *value)
{
    reply_json(request, status, value ? json_dumps(value, JSON_COMPACT) : NULL);
}

void cw_http_reply_json_text(struct cw_http_request *request, int status, struct cw_buf *body)
{
    reply_json(request, status, cw_buf_take(body));
}

void cw_http_reply_fd(struct cw_http_request *request, int status, const char *media_type, int fd,
                      uint64_t size)
{
    default_header(request, "Content-Type", media_type);
    default_header(request, "X-Content-Type-Options", "nosniff");
    struct MHD_Response *response = MHD_create_response_from_fd64(size, fd);
    if (!response) {
        close(fd);
        cw_http_problem(request, CW_NO_MEMORY, NULL);
        return;
    }
    keep(request, status, response);
}

/* Members behind those of the table (RFC 9457 §3.2), in place of the last brace. */
static void add_members(struct cw_buf *body, const struct cw_http_member *members, size_t n)
{
    if (n > 0 && body->n > 0 && !body->failed) {
        body->n--;
    }
    for (size_t i = 0; i < n; i++) {
        cw_buf_add_char(body, ',');
        cw_buf_add_json(body, cw_str(members[i].name));
        cw_buf_add_cstr(body, ":");
        if (members[i].list) {
            struct cw_str rest = members[i].value;
            struct cw_str word;
            const char *before = "[";
            for (; cw_str_word(&rest, ' ', &word); before = ",") {
                cw_buf_add_cstr(body, before);
                cw_buf_add_json(body, word);
            }
            cw_buf_add_cstr(body, *before == '[' ? "[]" : "]");
        } else {
            cw_buf_add_json(body, members[i].value);
        }
    }
    cw_buf_add_cstr(body, n > 0 ? "}" : "");
}

void cw_http_set_realm(struct cw_http_request *request, struct cw_str realm)
{
    bool quotable = cw_str_find(realm, '"') == realm.n && cw_str_find(realm, '\\') == realm.n;
    request->realm =
        quotable && is_field_value(realm) ? cw_arena_dup(&request->arena, realm) : NULL;
}

void cw_http_set_scope(struct cw_http_request *request, const char *scope)
{
    request->scope = scope;
}

/* RFC 6750 §3: 401, and 403 where it is about a token or a login; as the gateway does. */
static bool is_challenge(const struct cw_err_info *info)
{
    bool about = info->category == CW_CATEGORY_TOKEN || info->category == CW_CATEGORY_POLICY ||
                 info->category == CW_CATEGORY_LOGIN;
    return info->http == 401 || (info->http == 403 && about) || *info->bearer;
}

static void challenge(struct cw_http_request *request, const struct cw_err_info *info)
{
    struct cw_buf value = CW_BUF_INIT(1024);
    cw_buf_add_cstr(&value, "Bearer");
    if (request->realm != NULL) {
        cw_buf_addf(&value, " realm=\"%s\"", request->realm);
    }
    if (*info->bearer) {
        cw_buf_addf(&value, "%s error=\"%s\", error_description=\"%s\"",
                    request->realm != NULL ? "," : "", info->bearer, info->title);
    }
    if (request->scope != NULL && strcmp(info->bearer, "insufficient_scope") == 0) {
        cw_buf_addf(&value, ", scope=\"%s\"", request->scope);
    }
    cw_buf_add_char(&value, '\0');
    if (!value.failed) {
        default_header(request, "WWW-Authenticate", value.p);
    }
    cw_buf_done(&value);
}

void cw_http_problem(struct cw_http_request *request, enum cw_err err, const char *detail)
{
    cw_http_problem_with(request, err, detail, NULL, 0);
}

void cw_http_problem_with(struct cw_http_request *request, enum cw_err err, const char *detail,
                          const struct cw_http_member *members, size_t n)
{
    const struct cw_err_info *info = cw_err_info(err);
    if (is_challenge(info)) {
        challenge(request, info);
    }
    if (info->http == 503 || info->http == 429) {
        default_header(request, "Retry-After", "1");
    }
    default_header(request, "Cache-Control", "no-store");
    struct cw_buf body = CW_BUF_INIT(PROBLEM_MAX);
    cw_problem_write(&body, err, cw_str(detail), cw_http_trace_id(request));
    add_members(&body, members, n);
    cw_http_reply(request, info->http, CW_PROBLEM_MEDIA_TYPE,
                  body.failed ? CW_STR("{}") : cw_buf_str(&body));
    cw_buf_done(&body);
}

bool cw_http_answered(const struct cw_http_request *request)
{
    return request->response != NULL;
}

enum MHD_Result http_answer_queue(struct cw_http_request *request)
{
    if (!request->response) {
        cw_http_problem(request, CW_INTERNAL, NULL);
    }
    if (!request->response) {
        return MHD_NO;
    }
    request->queued = true;
    return MHD_queue_response(request->connection, (unsigned)request->status, request->response);
}
