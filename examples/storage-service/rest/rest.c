/* Routes to use cases: the bearer is checked before the first byte of a body is taken. Identity
 * headers (X-Auth-…) are never looked at: anybody on this host could send them. */
#include "examples/storage-service/rest/rest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/buf.h"
#include "common/log/log.h"

enum { LIST_MAX = 8 << 20 };

enum { EVENT_REQUEST, EVENT_FAILED };

static struct cw_log_event events[] = {
    [EVENT_REQUEST] = {.action = "http-request",
                       .level = CW_LOG_INFO,
                       .message = "request answered",
                       .category = "web"},
    [EVENT_FAILED] = {.action = "request-failed",
                      .level = CW_LOG_ERROR,
                      .message = "a request could not be done",
                      .every_ms = 1000},
};

/* Of one request: who asks, and what it sends. */
struct exchange {
    struct caller caller;
    struct upload upload;
};

static enum cw_err fail(const struct cw_http_request *request, enum cw_err err)
{
    if (err != CW_OK && cw_err_info(err)->category == CW_CATEGORY_INTERNAL) {
        CW_LOG(&events[EVENT_FAILED], cw_log_err(err),
               cw_log_str("trace.id", cw_http_trace_id(request)));
    }
    return err;
}

static void answer_error(struct cw_http_request *request, enum cw_err err)
{
    cw_http_problem(request, fail(request, err), NULL);
}

/* ---- who asks ---- */

/* The domain only chooses which issuers are trusted; the tenant is what the verdict says. So it may
 * come from a header that a direct caller can write. */
static struct cw_str domain_of(const struct cw_http_request *request)
{
    struct cw_str domain = CW_STR("");
    if (!cw_http_header(request, "X-Forwarded-Host", &domain)) {
        cw_http_header(request, "Host", &domain);
    }
    return domain;
}

static enum cw_err begin(struct cw_http_request *request, void *ctx)
{
    const struct rest *rest = ctx;
    struct cw_str token;
    TRY(cw_http_bearer(request, &token));
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    ENSURE(exchange, CW_NO_MEMORY);
    cw_http_set_state(request, exchange);
    return fail(request, files_caller(rest->files, token, domain_of(request), &exchange->caller));
}

static void end(struct cw_http_request *request, void *ctx)
{
    struct exchange *exchange = cw_http_state(request);
    (void)ctx;
    if (exchange) {
        files_put_end(&exchange->upload);
        free(exchange);
    }
}

/* ---- put ---- */

static enum cw_err put_begin(struct cw_http_request *request, void *ctx)
{
    const struct rest *rest = ctx;
    TRY(begin(request, ctx));
    struct exchange *exchange = cw_http_state(request);
    struct cw_str type = CW_STR("");
    cw_http_header(request, "Content-Type", &type);
    return fail(request, files_put_begin(rest->files, &exchange->caller,
                                         cw_http_param(request, "name"), type, &exchange->upload));
}

static enum cw_err put_chunk(struct cw_http_request *request, struct cw_str bytes, void *ctx)
{
    struct exchange *exchange = cw_http_state(request);
    (void)ctx;
    return fail(request, files_put_append(&exchange->upload, bytes));
}

static void put(struct cw_http_request *request, void *ctx)
{
    struct exchange *exchange = cw_http_state(request);
    bool replaced;
    (void)ctx;
    enum cw_err err = files_put_commit(&exchange->upload, &replaced);
    if (err != CW_OK) {
        answer_error(request, err);
        return;
    }
    cw_http_reply(request, replaced ? 204 : 201, NULL, CW_STR(""));
}

/* ---- get, delete, list ---- */

static void get(struct cw_http_request *request, void *ctx)
{
    const struct rest *rest = ctx;
    struct exchange *exchange = cw_http_state(request);
    struct file_info info;
    int fd;
    enum cw_err err =
        files_get(rest->files, &exchange->caller, cw_http_param(request, "name"), &info, &fd);
    if (err != CW_OK) {
        answer_error(request, err);
        return;
    }
    char date[40];
    struct tm tm;
    time_t modified = (time_t)info.modified;
    gmtime_r(&modified, &tm);
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    cw_http_set_header(request, "Last-Modified", cw_str(date));
    cw_http_set_header(request, "Cache-Control", CW_STR("private, no-cache"));
    /* a page that somebody stored must not act for who looks at it */
    cw_http_set_header(request, "Content-Security-Policy", CW_STR("default-src 'none'; sandbox"));
    cw_http_reply_fd(request, 200, info.media_type, fd, info.size);
}

static void delete_file(struct cw_http_request *request, void *ctx)
{
    const struct rest *rest = ctx;
    struct exchange *exchange = cw_http_state(request);
    enum cw_err err = files_delete(rest->files, &exchange->caller, cw_http_param(request, "name"));
    if (err != CW_OK) {
        answer_error(request, err);
        return;
    }
    cw_http_reply(request, 204, NULL, CW_STR(""));
}

static enum cw_err add_file(void *ctx, const struct file_info *info)
{
    struct cw_buf *body = ctx;
    char date[40];
    struct tm tm;
    time_t modified = (time_t)info->modified;
    gmtime_r(&modified, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
    cw_buf_add_cstr(body, body->n > 1 ? ",{\"name\":" : "{\"name\":");
    cw_buf_add_json(body, cw_str(info->name));
    cw_buf_addf(body, ",\"size\":%llu,\"content_type\":", (unsigned long long)info->size);
    cw_buf_add_json(body, cw_str(info->media_type));
    cw_buf_addf(body, ",\"modified\":\"%s\"}", date);
    return cw_buf_check(body);
}

static void list(struct cw_http_request *request, void *ctx)
{
    const struct rest *rest = ctx;
    struct exchange *exchange = cw_http_state(request);
    struct cw_buf body = CW_BUF_INIT(LIST_MAX);
    cw_buf_add_char(&body, '[');
    enum cw_err err = files_list(rest->files, &exchange->caller, add_file, &body);
    cw_buf_add_char(&body, ']');
    if (err != CW_OK) {
        answer_error(request, err);
    } else {
        cw_http_set_header(request, "Cache-Control", CW_STR("no-store"));
        cw_http_reply(request, 200, "application/json", cw_buf_str(&body));
    }
    cw_buf_done(&body);
}

/* ---- the table ---- */

static const struct cw_http_route table[REST_ROUTES] = {
    {.method = "PUT",
     .path = "/files/{name}",
     .begin = put_begin,
     .chunk = put_chunk,
     .handle = put,
     .end = end},
    {.method = "GET", .path = "/files/{name}", .begin = begin, .handle = get, .end = end},
    {.method = "DELETE",
     .path = "/files/{name}",
     .begin = begin,
     .handle = delete_file,
     .end = end},
    {.method = "GET", .path = "/files", .begin = begin, .handle = list, .end = end},
};

void rest_init(struct rest *rest, const struct files *files)
{
    rest->files = files;
    memcpy(rest->routes, table, sizeof(table));
    rest->routes[0].max_body = (size_t)files->max_file;
}

struct cw_http_routes rest_routes(struct rest *rest)
{
    return (struct cw_http_routes){rest->routes, REST_ROUTES, rest};
}

void rest_done(void *ctx, const struct cw_http_done *done)
{
    (void)ctx;
    CW_LOG(&events[EVENT_REQUEST], cw_log_cstr("http.request.method", done->method),
           cw_log_cstr("url.path", done->route ? done->route : ""),
           cw_log_int("http.response.status_code", done->status),
           cw_log_int("event.duration", done->duration_ns), cw_log_str("trace.id", done->trace_id));
}
