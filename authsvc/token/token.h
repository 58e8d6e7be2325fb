/* The tokens of a session: access token (RFC 9068), ID token (OpenID Connect Core §2), opaque
 * refresh tokens. Times are Unix seconds here, as in the claims. */
#ifndef AUTHSVC_TOKEN_TOKEN_H
#define AUTHSVC_TOKEN_TOKEN_H

#include "authsvc/token/mint.h"
#include "common/base/buf.h"

/* Under which names the tenant has them; empty: `roles`, `permissions`, and no groups. */
struct token_names {
    struct cw_str roles;
    struct cw_str permissions;
    struct cw_str groups;
};

/* What the tokens say. JSON arrays are texts that begin with `[`. */
struct token_facts {
    struct cw_str tenant;
    struct cw_str issuer;
    struct cw_str subject;
    struct cw_str client_id;
    struct cw_str session_id;
    const struct cw_str *audiences; /* of the access token */
    size_t n_audiences;
    struct cw_str scope;       /* granted, space-separated */
    struct cw_str roles;       /* JSON array */
    struct cw_str permissions; /* JSON array */
    struct cw_str groups;      /* JSON array */
    struct token_names names;
    struct cw_str username;
    struct cw_str name; /* may be empty */
    struct cw_str email;
    bool email_verified;
    struct cw_str amr; /* JSON array (RFC 8176); empty: by password */
    int64_t auth_time; /* of the login */
    int64_t now;
    int64_t access_life;
    int64_t id_life;
};

/* typ at+jwt: iss sub aud exp iat jti client_id scope, tenant sid roles permissions. The caller
 * frees. */
CW_MUST_USE enum cw_err token_access(const struct mint_key *key, const struct token_facts *facts,
                                     char **ret_token);
/* typ JWT: iss sub aud exp iat auth_time at_hash sid amr, tenant roles permissions, and what the
 * scopes profile and email ask for. There is no nonce: nobody was redirected. The caller frees. */
CW_MUST_USE enum cw_err token_id(const struct mint_key *key, const struct token_facts *facts,
                                 const char *access_token, char **ret_token);

/* The claims about the user that the scopes ask for, as members of a JSON object that has one
 * already: `,"tenant":…`. */
void token_user_claims(struct cw_buf *json, const struct token_facts *facts);

/* Whether a space-separated list has the word. */
bool token_scope_has(struct cw_str scope, const char *word);

#endif
