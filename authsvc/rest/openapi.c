/* GET /auth/openapi.json: what openapi.json says of all these doors, the same for every tenant. A
 * unit test holds it to the tables of the routes, the end-to-end tests to what is answered. */
#include "authsvc/rest/openapi_document.h"
#include "authsvc/rest/rest_impl.h"

/* RFC 9110 §13.1.2: any of the list, compared weakly. */
static bool has_it(struct cw_http_request *request)
{
    struct cw_str list;
    if (!cw_http_header(request, "If-None-Match", &list)) {
        return false;
    }
    while (list.n > 0) {
        size_t end = cw_str_find(list, ',');
        struct cw_str tag = cw_str_trim(cw_str_slice(list, 0, end));
        list = cw_str_slice(list, CW_MIN(end + 1, list.n), list.n);
        if (cw_str_starts(tag, CW_STR("W/"))) {
            tag = cw_str_slice(tag, 2, tag.n);
        }
        if (cw_str_is(tag, "*") || cw_str_is(tag, openapi_etag)) {
            return true;
        }
    }
    return false;
}

static void handle_openapi(struct cw_http_request *request, void *ctx)
{
    struct rest *rest = ctx;
    struct tenant_set *set = tenant_current_get(rest->options.tenants);
    const struct tenant *tenant = NULL;
    struct cw_str host;
    enum cw_err err = rest_host(rest, request, &host);
    if (err == CW_OK) {
        err = tenant_set_open(set, host, &tenant);
    }
    if (err != CW_OK) {
        cw_http_problem(request, err, NULL);
    } else {
        bool same = has_it(request);
        cw_http_set_header(request, "ETag", cw_str(openapi_etag));
        cw_http_set_header(request, "Cache-Control", CW_STR("public, max-age=300"));
        cw_http_set_header(request, "Access-Control-Allow-Origin", CW_STR("*"));
        cw_http_reply(request, same ? 304 : 200, same ? NULL : "application/json",
                      same ? CW_STR("") : (struct cw_str){openapi_document, openapi_document_n});
    }
    tenant_set_unref(set);
}

static const struct cw_http_route routes[] = {
    {.method = "GET", .path = "/auth/openapi.json", .handle = handle_openapi},
};

struct cw_http_routes rest_openapi_routes(struct rest *rest)
{
    return (struct cw_http_routes){routes, CW_ARRAY_SIZE(routes), rest};
}
