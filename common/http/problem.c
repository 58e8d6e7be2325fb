/* problem+json out of the error table (RFC 9457). */
#include "common/http/problem.h"

#include <string.h>
#include <sys/random.h>

#include "common/crypto/hex.h"

void cw_problem_write(struct cw_buf *out, enum cw_err err, struct cw_str detail,
                      struct cw_str trace_id)
{
    const struct cw_err_info *info = cw_err_info(err);
    cw_buf_addf(out, "{\"type\":\"%s%s\",\"title\":", CW_PROBLEM_TYPE, info->code);
    cw_buf_add_json(out, cw_str(info->title));
    cw_buf_addf(out, ",\"status\":%d,\"detail\":", info->http);
    cw_buf_add_json(out, detail.n > 0 ? detail : cw_str(info->meaning));
    cw_buf_addf(out, ",\"reason\":\"%s\"", info->code);
    if (trace_id.n > 0) {
        cw_buf_add_cstr(out, ",\"trace_id\":");
        cw_buf_add_json(out, trace_id);
    }
    cw_buf_add_char(out, '}');
}

static bool is_lower_hex(struct cw_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f'))) {
            return false;
        }
    }
    return true;
}

/* W3C Trace Context: 00-TRACE-SPAN-FLAGS; later versions may have more behind it. */
static bool trace_of(struct cw_str parent, char out[CW_TRACE_ID_SIZE])
{
    if (parent.n < 55 || parent.p[2] != '-' || parent.p[35] != '-' || parent.p[52] != '-') {
        return false;
    }
    struct cw_str version = cw_str_slice(parent, 0, 2);
    struct cw_str trace = cw_str_slice(parent, 3, 35);
    bool whole =
        cw_str_is(version, "00") ? parent.n == 55 : (parent.n == 55 || parent.p[55] == '-');
    if (!whole || !is_lower_hex(version) || cw_str_is(version, "ff") || !is_lower_hex(trace) ||
        cw_str_is(trace, "00000000000000000000000000000000")) {
        return false;
    }
    memcpy(out, trace.p, 32);
    out[32] = '\0';
    return true;
}

void cw_problem_trace_id(struct cw_str traceparent, char ret_id[CW_TRACE_ID_SIZE])
{
    unsigned char bytes[16];
    if (trace_of(traceparent, ret_id)) {
        return;
    }
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes)) {
        memset(bytes, 0, sizeof(bytes));
    }
    cw_hex_encode(bytes, sizeof(bytes), ret_id);
}
