/* What an identity provider's refusal means here: one table over RFC 6749 §5.2 and what Auth0 and
 * Keycloak answer beyond it. */
#ifndef AUTHSVC_IDP_ERRORS_H
#define AUTHSVC_IDP_ERRORS_H

#include "common/base/str.h"

/* What was asked for; the same word can mean different things. */
enum idp_step {
    IDP_STEP_LOGIN = 1,
    IDP_STEP_MFA = 2,
    IDP_STEP_REFRESH = 4,
    IDP_STEP_USERINFO = 8,
    IDP_STEP_REVOKE = 16,
};

struct idp_refused {
    int status;                /* HTTP */
    struct cw_str error;       /* `error` (or `code`); empty where the body has none */
    struct cw_str description; /* only refines; may be empty */
};

/* Never CW_OK. First by `error`, then by status; what nobody knows is CW_IDP_UNAVAILABLE: it could
 * not be decided, which is never "wrong password". Any thread. */
enum cw_err idp_error_of(enum idp_step step, const struct idp_refused *refused);

#endif
