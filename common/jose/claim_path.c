/* Paths into the claims: dotted names, with quotes around those that have dots of their own. */
#include <string.h>

#include "common/jose/claims.h"

static enum cw_err take_name(struct cw_str *rest, struct cw_str *ret_name)
{
    if (rest->n && rest->p[0] == '"') {
        struct cw_str body = cw_str_slice(*rest, 1, rest->n);
        size_t end = cw_str_find(body, '"');
        ENSURE(end < body.n, CW_CONFIG_INVALID);
        *ret_name = cw_str_slice(body, 0, end);
        *rest = cw_str_slice(body, end + 1, body.n);
    } else {
        size_t end = cw_str_find(*rest, '.');
        *ret_name = cw_str_slice(*rest, 0, end);
        *rest = cw_str_slice(*rest, end, rest->n);
    }
    return ret_name->n ? CW_OK : CW_CONFIG_INVALID;
}

enum cw_err cw_claim_path_parse(struct cw_str text, struct cw_claim_path *ret_path)
{
    struct cw_claim_path path = {.n = 0};
    bool quoted = cw_str_find(text, '"') < text.n;
    if (!quoted && text.n && memmem(text.p, text.n, "://", 3)) {
        path.names[path.n++] = text;
        *ret_path = path;
        return CW_OK;
    }
    for (;;) {
        ENSURE(path.n < CW_CLAIM_PATH_MAX, CW_CONFIG_INVALID);
        TRY(take_name(&text, &path.names[path.n++]));
        if (text.n == 0) {
            break;
        }
        ENSURE(text.p[0] == '.', CW_CONFIG_INVALID);
        text = cw_str_slice(text, 1, text.n);
    }
    *ret_path = path;
    return CW_OK;
}

const struct cw_doc_value *cw_claim_path_find(const struct cw_claim_path *path,
                                              const struct cw_doc_value *claims)
{
    const struct cw_doc_value *at = claims;
    for (size_t i = 0; i < path->n && at; i++) {
        at = cw_doc_get(at, path->names[i]);
    }
    return path->n ? at : NULL;
}
