/* Identity providers of tenants: their metadata and keys, looked after in the background, and the
 * calls to them: password grant, refresh, revocation, claims. Calls block until the answer is there
 * or their time is up, and belong on a worker. No database, no sessions. */
#ifndef AUTHSVC_IDP_IDP_H
#define AUTHSVC_IDP_IDP_H

#include "authsvc/tenants/tenants.h"
#include "common/base/buf.h"
#include "common/base/clock.h"

struct idp;

/* What happened between a provider and us; for the log and metrics. Never a token or a password. */
struct idp_event {
    struct cw_str tenant;
    const char *operation; /* metadata, keys, password, mfa, refresh, revoke, userinfo, challenge */
    enum cw_err outcome;   /* CW_OK, or what it means here */
    int status;            /* HTTP; 0: no answer */
    const char *error;     /* the provider's own code, cut and printable; "" for none */
    const char *detail;    /* for people; "" for none */
    int64_t duration_ms;
};

struct idp_options {
    const struct cw_clock *clock;
    /* May be NULL. Any thread. */
    void (*on_event)(void *ctx, const struct idp_event *event);
    void *ctx;
};

CW_MUST_USE enum cw_err idp_new(const struct idp_options *options, struct idp **ret_idp);
/* Nobody calls any more; running calls are cut short. NULL is fine. */
void idp_free(struct idp *idp);
/* Looks for metadata and keys of all tenants of the set with a provider, ahead of the first login,
 * and forgets providers that no tenant of it has. Does not wait. */
void idp_warm(struct idp *idp, const struct tenant_set *set);

enum { IDP_TOKEN_NAME_SIZE = 272 }; /* of a token for the store, with the NUL */

/* Tokens as the provider gave them, and what the verified ID token says. */
struct idp_tokens {
    char *access_token;
    char *id_token;                 /* NULL after a refresh that brought none */
    char *refresh_token;            /* NULL where it gives none */
    char *scope;                    /* as granted; NULL: as asked for */
    char *recovery_code;            /* the new one, after the old one was used; NULL: none */
    int64_t expires_at;             /* of the access token, Unix seconds */
    char name[IDP_TOKEN_NAME_SIZE]; /* of the access token, see idp_token_name */
    char *subject;
    char *full_name;
    char *email;
    bool email_verified;
};

void idp_tokens_done(struct idp_tokens *tokens);

/* What comes with a refusal. */
struct idp_refusal {
    uint32_t retry_after_ms;
    char *mfa_token; /* with CW_MFA_REQUIRED; the caller wipes and frees by idp_refusal_done */
    bool unknown;    /* no answer came: the provider may have acted all the same */
};

void idp_refusal_done(struct idp_refusal *refusal);

struct idp_password {
    struct cw_str username;
    struct cw_str password;
    struct cw_str scope;   /* beyond the tenant's; may be empty */
    struct cw_str address; /* the user's; may be empty */
};

/* All calls: CW_IDP_UNAVAILABLE (down, hanging, breaker open, rate limit of ours, an answer that is
 * none), CW_IDP_MISCONFIGURED (an operator's error, never the user's), CW_THROTTLED, CW_NO_MEMORY.
 * ret_refusal is filled on failure. The ID token has been verified before anything is CW_OK. */

/* Also CW_CREDENTIALS_INVALID, CW_MFA_REQUIRED, CW_ACCOUNT_BLOCKED, CW_PASSWORD_LEAKED,
 * CW_PASSWORD_EXPIRED, CW_LOGIN_DENIED, CW_VERIFICATION_REQUIRED. */
CW_MUST_USE enum cw_err idp_password(struct idp *idp, const struct tenant *tenant,
                                     const struct idp_password *request,
                                     struct idp_tokens *ret_tokens,
                                     struct idp_refusal *ret_refusal);
/* Also CW_REFRESH_INVALID: the provider's token is over. The subject must stay the same. */
CW_MUST_USE enum cw_err idp_refresh(struct idp *idp, const struct tenant *tenant,
                                    struct cw_str refresh_token, struct cw_str subject,
                                    struct cw_str address, struct idp_tokens *ret_tokens,
                                    struct idp_refusal *ret_refusal);
/* Tells the provider that a refresh token is over (RFC 7009); nobody waits for the answer. */
void idp_revoke(struct idp *idp, const struct tenant *tenant, struct cw_str refresh_token);
/* Appends the claims of its userinfo endpoint, a JSON object whose `sub` is the subject (OpenID
 * Connect Core §5.3.2). Also CW_TOKEN_REVOKED, CW_SCOPE_INSUFFICIENT. */
CW_MUST_USE enum cw_err idp_userinfo(struct idp *idp, const struct tenant *tenant,
                                     struct cw_str access_token, struct cw_str subject,
                                     struct cw_buf *ret_json, struct idp_refusal *ret_refusal);

/* --- second factors (Auth0's MFA API) ----------------------------------------------------- */

struct idp_challenge {
    char *challenge_type; /* "otp", "oob" */
    char *oob_code;       /* NULL: none */
    char *binding_method; /* NULL: none */
};
void idp_challenge_done(struct idp_challenge *challenge);

/* One of otp, recovery_code and oob_code (with binding_code where the challenge asked for one). */
struct idp_proof {
    struct cw_str otp;
    struct cw_str recovery_code;
    struct cw_str oob_code;
    struct cw_str binding_code;
    struct cw_str address; /* the user's */
};

/* Has the provider send a code. `type`: "otp" or "oob"; empty: oob, else otp. Also
 * CW_MFA_METHOD_UNSUPPORTED, CW_MFA_TOKEN_INVALID. */
CW_MUST_USE enum cw_err idp_mfa_challenge(struct idp *idp, const struct tenant *tenant,
                                          struct cw_str mfa_token, struct cw_str type,
                                          struct cw_str authenticator_id,
                                          struct idp_challenge *ret_challenge,
                                          struct idp_refusal *ret_refusal);
/* As idp_password, with CW_MFA_INVALID, CW_MFA_PENDING, CW_MFA_TOKEN_INVALID. */
CW_MUST_USE enum cw_err idp_mfa_verify(struct idp *idp, const struct tenant *tenant,
                                       struct cw_str mfa_token, const struct idp_proof *proof,
                                       struct idp_tokens *ret_tokens,
                                       struct idp_refusal *ret_refusal);

/* The name of an access token, the same for store, feed and sidecar: `jti`, else the digest of
 * cw_token_digest; an opaque one `opaque:` and its SHA-256. Nothing is verified. */
CW_MUST_USE enum cw_err idp_token_name(struct cw_str access_token,
                                       char ret_name[IDP_TOKEN_NAME_SIZE]);
/* An access token that is a JWT of the tenant's provider, by signature and claims, as the sidecar
 * would. CW_OK also for an opaque one: it must be known by its name. A reason of category TOKEN, or
 * CW_KEYS_UNAVAILABLE. */
CW_MUST_USE enum cw_err idp_check_access(struct idp *idp, const struct tenant *tenant,
                                         struct cw_str access_token);

/* --- is it set up? ------------------------------------------------------------------------ */

enum idp_finding_state { IDP_SETTING_FINE = 0, IDP_SETTING_MISSING, IDP_SETTING_UNKNOWN };

/* One setting of the provider or of the tenant. */
struct idp_finding {
    const char *setting; /* metadata, keys, client, grant, connection, audience, … */
    enum idp_finding_state state;
    const char *text; /* what is wrong and where it is set; what it was told by */
};

/* Asks the provider in ways that need no user: its metadata and keys, a login of a user that cannot
 * exist, a refresh with a token that cannot exist. With a user name and password also a real login
 * (its tokens are revoked). Calls `each` per setting, in a fixed order. */
void idp_check(struct idp *idp, const struct tenant *tenant, struct cw_str username,
               struct cw_str password, void (*each)(void *ctx, const struct idp_finding *finding),
               void *ctx);

/* How a tenant's provider is, for the health page. */
struct idp_state {
    const char *tenant;
    bool usable;         /* all of what follows is well */
    bool known;          /* its metadata has been read */
    const char *breaker; /* "closed", "open", "probing" */
    int64_t keys_age_s;  /* since its keys were fetched; -1: never */
    char why[160];       /* the last failure to read metadata; "" for none */
};
/* Each provider, in no order; the state is the call's. Not on a poller. */
void idp_each(struct idp *idp, void (*each)(void *ctx, const struct idp_state *state), void *ctx);

#endif
