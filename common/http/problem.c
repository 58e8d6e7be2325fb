/* problem+json out of the error table (RFC 9457). */
#include "common/http/problem.h"

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
