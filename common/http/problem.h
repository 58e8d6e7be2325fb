/* Error answers for people and programs: application/problem+json (RFC 9457), from the error table.
 */
#ifndef CW_HTTP_PROBLEM_H
#define CW_HTTP_PROBLEM_H

#include "common/base/buf.h"

#define CW_PROBLEM_MEDIA_TYPE "application/problem+json"
/* `type` is this with the reason code behind it: the anchor in docs/ERRORS.md. */
#define CW_PROBLEM_TYPE "https://clinicwave.com/docs/ERRORS.md#"

/* {"type","title","status","detail","reason","trace_id"}. `detail` empty: the table's meaning;
 * `trace_id` empty: left out. Nothing private belongs into detail. */
void cw_problem_write(struct cw_buf *out, enum cw_err err, struct cw_str detail,
                      struct cw_str trace_id);

enum { CW_TRACE_ID_SIZE = 33 };
/* 32 lower-case hex digits and a NUL: the traceparent's where it is a valid one (W3C Trace
 * Context), else new. Any thread. */
void cw_problem_trace_id(struct cw_str traceparent, char ret_id[CW_TRACE_ID_SIZE]);

#endif
