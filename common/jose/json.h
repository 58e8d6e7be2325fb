/* jansson behind a bar: bounds in depth and members, unique names, no raw control bytes. */
#ifndef CW_JOSE_JSON_H
#define CW_JOSE_JSON_H

#include <jansson.h>

#include "common/jose/doc.h"

/* The bounds of a token's texts hold for documents too. */
enum { CW_JSON_DEPTH_MAX = CW_DOC_DEPTH_MAX, CW_JSON_VALUES_MAX = CW_DOC_VALUES_MAX };

/* One JSON object (RFC 8259) in UTF-8, owned by the caller (json_decref). `bad` for anything else:
 * another value, duplicate names at any depth, a raw control byte, \u0000, bad UTF-8, too deep, too
 * many; CW_NO_MEMORY. Any thread. */
CW_MUST_USE enum cw_err cw_json_parse_object(struct cw_str text, enum cw_err bad,
                                             json_t **ret_object);

/* A string value, borrowed; false for absent and for any other type. */
bool cw_json_get_str(const json_t *object, const char *name, struct cw_str *ret_value);
struct cw_str cw_json_str(const json_t *string);

#endif
