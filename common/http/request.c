/* What a handler may ask of its request. */
#include <arpa/inet.h>
#include <string.h>

#include "common/http/internal.h"
#include "common/http/problem.h"

static void read_trace(struct cw_http_request *request)
{
    struct cw_str parent = {0};
    (void)cw_http_header(request, "traceparent", &parent);
    cw_problem_trace_id(parent, request->trace_id);
}

static void read_peer(struct cw_http_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info ? info->client_addr : NULL;
    if (address && address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        inet_ntop(AF_INET, &in.sin_addr, request->peer, sizeof(request->peer));
    } else if (address && address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof(in6));
        inet_ntop(AF_INET6, &in6.sin6_addr, request->peer, sizeof(request->peer));
    }
}

enum cw_err http_request_read(struct cw_http_request *request)
{
    struct cw_str uri = cw_str(request->uri);
    size_t mark = cw_str_find(uri, '?');
    read_trace(request);
    read_peer(request);
    TRY(http_path_parse(&request->arena, uri, &request->path));
    return mark < uri.n ? http_pairs_parse(&request->arena, cw_str_slice(uri, mark + 1, uri.n),
                                           request->query, HTTP_QUERY_MAX, &request->n_query)
                        : CW_OK;
}

const char *cw_http_method(const struct cw_http_request *request)
{
    return request->method;
}

const void *cw_http_extra(const struct cw_http_request *request)
{
    return request->route != NULL ? request->route->extra : NULL;
}

struct cw_str cw_http_path(const struct cw_http_request *request)
{
    return request->path.text;
}

static bool find_pair(const struct http_pair *pairs, size_t n, const char *name, struct cw_str *ret)
{
    for (size_t i = 0; i < n; i++) {
        if (cw_str_is(pairs[i].name, name)) {
            *ret = pairs[i].value;
            return true;
        }
    }
    return false;
}

struct cw_str cw_http_param(const struct cw_http_request *request, const char *name)
{
    struct cw_str value = CW_STR("");
    find_pair(request->params, request->n_params, name, &value);
    return value;
}

bool cw_http_query(const struct cw_http_request *request, const char *name, struct cw_str *ret)
{
    return find_pair(request->query, request->n_query, name, ret);
}

bool cw_http_query_at(const struct cw_http_request *request, size_t i, struct cw_str *ret_name,
                      struct cw_str *ret_value)
{
    if (i >= request->n_query) {
        return false;
    }
    *ret_name = request->query[i].name;
    *ret_value = request->query[i].value;
    return true;
}

struct header_search {
    const char *name;
    const char *value; /* of the first */
    size_t n;
};

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *key,
                                 const char *value)
{
    struct header_search *search = cls;
    (void)kind;
    if (cw_str_eq_nocase(cw_str(key), cw_str(search->name))) {
        search->value = search->n++ == 0 ? value : search->value;
    }
    return MHD_YES;
}

static struct header_search find_header(const struct cw_http_request *request, const char *name)
{
    struct header_search search = {.name = name};
    MHD_get_connection_values(request->connection, MHD_HEADER_KIND, on_header, &search);
    return search;
}

bool cw_http_header(const struct cw_http_request *request, const char *name, struct cw_str *ret)
{
    struct header_search search = find_header(request, name);
    if (search.n > 0) {
        *ret = cw_str(search.value);
    }
    return search.n > 0;
}

size_t cw_http_header_count(const struct cw_http_request *request, const char *name)
{
    return find_header(request, name).n;
}

enum cw_err cw_http_bearer(const struct cw_http_request *request, struct cw_str *ret)
{
    struct header_search search = find_header(request, "Authorization");
    ENSURE(search.n > 0, CW_TOKEN_MISSING);
    ENSURE(search.n == 1, CW_TOKEN_MULTIPLE); /* RFC 6750 §2 */
    struct cw_str value = cw_str(search.value);
    size_t blank = cw_str_find(value, ' ');
    /* another scheme is no token; "Bearer" without one is malformed (RFC 9110 §11.4) */
    ENSURE(cw_str_eq_nocase(cw_str_slice(value, 0, blank), CW_STR("Bearer")), CW_TOKEN_MISSING);
    struct cw_str token = cw_str_trim(cw_str_slice(value, blank, value.n));
    ENSURE(token.n > 0, CW_AUTHORIZATION_MALFORMED);
    for (size_t i = 0; i < token.n; i++) {
        unsigned char c = (unsigned char)token.p[i];
        ENSURE(c > 0x20 && c < 0x7f && c != ',', CW_AUTHORIZATION_MALFORMED);
    }
    *ret = token;
    return CW_OK;
}

struct cw_str http_media_type(const struct cw_http_request *request)
{
    struct cw_str type = CW_STR("");
    cw_http_header(request, "Content-Type", &type);
    return cw_str_trim(cw_str_slice(type, 0, cw_str_find(type, ';')));
}

struct cw_str cw_http_body(const struct cw_http_request *request)
{
    return cw_buf_str(&request->body);
}

const char *cw_http_peer(const struct cw_http_request *request)
{
    return request->peer;
}

struct cw_str cw_http_trace_id(const struct cw_http_request *request)
{
    return cw_str(request->trace_id);
}

struct cw_arena *cw_http_arena(struct cw_http_request *request)
{
    return &request->arena;
}

void cw_http_set_state(struct cw_http_request *request, void *state)
{
    request->state = state;
}

void *cw_http_state(const struct cw_http_request *request)
{
    return request->state;
}
