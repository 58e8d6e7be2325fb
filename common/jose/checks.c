/* Formats what a check compared, for people. */
#include "common/jose/checks.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/buf.h"

enum { SHOWN_MAX = 100, DETAIL_SIZE = 2048 };

const char *cw_checks_quote(struct cw_str value, char text[CW_QUOTED_SIZE])
{
    size_t shown = CW_MIN(value.n, (size_t)SHOWN_MAX);
    struct cw_buf buf = CW_BUF_INIT(8 * SHOWN_MAX);
    cw_buf_add_json(&buf, cw_str_slice(value, 0, shown));
    if (shown < value.n) {
        cw_buf_add_cstr(&buf, "…");
    }
    snprintf(text, CW_QUOTED_SIZE, "%.*s", CW_STR_ARG(cw_buf_str(&buf)));
    cw_buf_done(&buf);
    return text;
}

void cw_checks_addf(const struct cw_checks *checks, const char *name, bool passed,
                    const char *format, ...)
{
    char detail[DETAIL_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    checks->add(checks->ctx, name, passed, cw_str(detail));
}
