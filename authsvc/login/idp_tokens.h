/* A provider's tokens between the answer, the sealed row and back. */
#ifndef AUTHSVC_LOGIN_IDP_TOKENS_H
#define AUTHSVC_LOGIN_IDP_TOKENS_H

#include <jansson.h>

#include "authsvc/login/login_impl.h"

/* What a session's row keeps. Strings are borrowed from `json`; empty ones are absent. */
struct idp_kept {
    json_t *json;
    struct cw_str access_token;
    struct cw_str id_token;
    struct cw_str refresh_token;
    struct cw_str scope;
    int64_t expires_at; /* of the access token, Unix seconds */
};

/* Opens what is sealed; the session's id is bound to it. */
CW_MUST_USE enum cw_err idp_kept_open(struct login *login, const struct tenant *tenant,
                                      struct cw_str session_id, struct cw_str sealed,
                                      struct idp_kept *ret_kept);
CW_MUST_USE enum cw_err idp_kept_seal(struct login *login, const struct tenant *tenant,
                                      struct cw_str session_id, const struct idp_kept *kept,
                                      struct cw_buf *ret_sealed);
void idp_kept_done(struct idp_kept *kept);

/* What is new, and of the old what a refresh does not bring again; borrows both. */
struct idp_kept idp_kept_of(const struct idp_tokens *tokens, const struct idp_kept *old,
                            struct cw_str scope);
/* Everything of the answer but the refresh handle. */
CW_MUST_USE enum cw_err idp_kept_answer(struct login *login, const struct idp_kept *kept,
                                        struct cw_str session_id, struct login_answer *answer);

#endif
