/* The table behind enum cw_err. */
#include "common/base/err.h"

#include <string.h>

static const struct cw_err_info infos[] = {
#define X(name, code, category, grpc, http, bearer, title, meaning, remedy)                        \
    [CW_##name] = {code,  CW_CATEGORY_##category, CW_GRPC_##grpc, http, bearer, title, meaning,    \
                   remedy},
#include "common/base/err.def"
#undef X
};

size_t cw_err_count(void)
{
    return CW_ARRAY_SIZE(infos);
}

const struct cw_err_info *cw_err_info(enum cw_err err)
{
    return (size_t)err < CW_ARRAY_SIZE(infos) ? &infos[err] : &infos[CW_INTERNAL];
}

const char *cw_err_code(enum cw_err err)
{
    return cw_err_info(err)->code;
}

enum cw_err cw_err_from_code(const char *code, size_t n)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(infos); i++) {
        if (strlen(infos[i].code) == n && memcmp(infos[i].code, code, n) == 0) {
            return (enum cw_err)i;
        }
    }
    return CW_INTERNAL;
}

enum cw_err cw_err_from_http(int status)
{
    static const struct {
        int status;
        enum cw_err err;
    } map[] = {
        {200, CW_OK},
        {400, CW_REQUEST_MALFORMED},
        {401, CW_TOKEN_MISSING},
        {403, CW_FORBIDDEN},
        {404, CW_NOT_FOUND},
        {405, CW_METHOD_NOT_ALLOWED},
        {406, CW_NOT_ACCEPTABLE},
        {408, CW_REQUEST_TIMEOUT},
        {409, CW_CONFLICT},
        {411, CW_LENGTH_REQUIRED},
        {412, CW_PRECONDITION_FAILED},
        {413, CW_REQUEST_TOO_LARGE},
        {414, CW_URI_TOO_LONG},
        {415, CW_MEDIA_TYPE_UNSUPPORTED},
        {416, CW_RANGE_NOT_SATISFIABLE},
        {421, CW_TENANT_UNKNOWN},
        {429, CW_TOO_MANY_REQUESTS},
        {431, CW_HEADERS_TOO_LARGE},
        {494, CW_HEADERS_TOO_LARGE}, /* nginx: NGX_HTTP_REQUEST_HEADER_TOO_LARGE */
        {497, CW_HTTPS_REQUIRED},    /* nginx: NGX_HTTP_TO_HTTPS */
        {499, CW_CANCELLED},
        {501, CW_UNIMPLEMENTED},
        {502, CW_UPSTREAM_FAILED},
        {503, CW_UNAVAILABLE},
        {504, CW_UPSTREAM_TIMEOUT},
        {505, CW_REQUEST_MALFORMED}, /* the version is the client's */
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(map); i++) {
        if (map[i].status == status) {
            return map[i].err;
        }
    }
    return status >= 400 && status < 500 ? CW_REQUEST_MALFORMED : CW_INTERNAL;
}
