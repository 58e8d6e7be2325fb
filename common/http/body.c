/* Bodies for handlers, by their media type. */
#include "common/http/internal.h"

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
