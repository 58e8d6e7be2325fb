/* Bodies: as they come in, and for handlers by their media type. */
#include "common/http/internal.h"

enum {
    DRAIN_MAX = 16 << 20, /* bytes of a refused body that are read, for the answer to arrive */
};

/* A refusal waits for the end of a body of no more than DRAIN_MAX: a client that is still sending
 * (a proxy, most) would see a reset instead of the answer. One that announces a body and sends none
 * gets none, and is closed when it has been idle. */
bool http_body_drains(const struct cw_http_request *request)
{
    struct cw_str length;
    uint64_t n = 0;
    if (cw_http_header_count(request, "Expect") > 0) {
        return false; /* it waits for our word before it sends (RFC 9110 §10.1.1) */
    }
    if (cw_http_header(request, "Content-Length", &length)) {
        return cw_str_to_u64(length, DRAIN_MAX, &n) == CW_OK && n > 0;
    }
    return cw_http_header_count(request, "Transfer-Encoding") > 0;
}

/* Milliseconds since the first line. A streamed body may take its time while it is taken. */
static bool took_longer(const struct cw_http_request *request, unsigned ms)
{
    return (request->route == NULL || request->route->chunk == NULL) &&
           http_now_ns() - request->started_ns > ms * 1000000LL;
}

/* What comes after the refusal is counted from there, streamed or not: nobody has a claim to it. */
static bool drain(struct cw_http_request *request, size_t n)
{
    int64_t now = http_now_ns();
    if (request->drain_since_ns == 0) {
        request->drain_since_ns = now;
        request->drain_from = request->n_body;
    }
    request->n_body += n;
    return request->n_body - request->drain_from <= DRAIN_MAX &&
           now - request->drain_since_ns <= request->server->options.receive_ms * 1000000LL;
}

bool http_body_take(struct cw_http_request *request, struct cw_str bytes)
{
    if (request->response) {
        return drain(request, bytes.n);
    }
    size_t max = request->route ? request->route->max_body : 0;
    request->n_body += bytes.n;
    enum cw_err err = CW_OK;
    if (took_longer(request, request->server->options.receive_ms)) {
        err = CW_REQUEST_TIMEOUT;
    } else if (request->n_body > max) {
        err = CW_REQUEST_TOO_LARGE;
    } else if (request->route->chunk) {
        err = request->route->chunk(request, bytes, request->ctx);
    } else {
        cw_buf_add_str(&request->body, bytes);
        err = cw_buf_check(&request->body);
    }
    if (err != CW_OK) {
        cw_http_problem(request, err, NULL);
    }
    return true;
}

enum cw_err cw_http_json(const struct cw_http_request *request, json_t **ret_object)
{
    struct cw_str type = http_media_type(request);
    ENSURE(cw_str_eq_nocase(type, CW_STR("application/json")), CW_MEDIA_TYPE_UNSUPPORTED);
    return http_json_parse(cw_http_body(request), ret_object);
}

enum cw_err cw_http_form(struct cw_http_request *request, const char *name, struct cw_str *ret)
{
    struct http_pair pairs[HTTP_QUERY_MAX];
    size_t n;
    struct cw_str type = http_media_type(request);
    ENSURE(cw_str_eq_nocase(type, CW_STR("application/x-www-form-urlencoded")),
           CW_MEDIA_TYPE_UNSUPPORTED);
    TRY(http_pairs_parse(&request->arena, cw_http_body(request), pairs, HTTP_QUERY_MAX, &n));
    for (size_t i = 0; i < n; i++) {
        if (cw_str_is(pairs[i].name, name)) {
            *ret = pairs[i].value;
            return CW_OK;
        }
    }
    return CW_NOT_FOUND;
}
