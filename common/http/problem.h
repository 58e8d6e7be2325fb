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

#endif
