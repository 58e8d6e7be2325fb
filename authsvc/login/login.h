/* The use cases behind both doors: log in, refresh. No transport types here: REST and gRPC hand in
 * the same requests and get the same answers. Calls block (password hash, database, signature) and
 * belong on a worker. */
#ifndef AUTHSVC_LOGIN_LOGIN_H
#define AUTHSVC_LOGIN_LOGIN_H

#include "authsvc/idp/idp.h"
#include "authsvc/keys/keyring.h"
#include "authsvc/password/password.h"
#include "authsvc/password/policy.h"
#include "authsvc/store/store.h"
#include "authsvc/tenants/tenants.h"
#include "authsvc/token/refresh.h"
#include "common/work/work.h"

struct login;

/* Leaking buckets for failed logins: so many fit, so many a minute are forgotten. */
struct login_bucket {
    int64_t burst;
    int64_t per_minute;
};

struct login_limits {
    struct login_bucket account; /* one user name from one address */
    struct login_bucket address; /* one address (IPv6: one /64) */
    struct login_bucket tenant;  /* all of a tenant */
    struct login_bucket mfa;     /* second factors of one user name, from anywhere */
    int64_t mfa_failures;        /* one-time codes wrong in a row; no more are looked at then */
};

enum login_kind {
    LOGIN_KIND_LOGIN = 0,
    LOGIN_KIND_REFRESH,
    LOGIN_KIND_LOGOUT,
    LOGIN_KIND_MFA,           /* a login's second factor */
    LOGIN_KIND_MFA_CHALLENGE, /* a code was asked for */
    LOGIN_KIND_ACCOUNT,       /* a user has changed how it logs in; `note` says what */
    LOGIN_KIND_COUNT,
};

/* What happened, for the audit log and the metrics. Never a password or a token. */
struct login_event {
    enum login_kind kind;
    enum cw_err outcome; /* CW_OK or the reason */
    struct cw_str tenant;
    struct cw_str client_id;
    struct cw_str address;
    struct cw_str subject;    /* empty where no user was found */
    struct cw_str name;       /* as typed, prepared; for the log's digest */
    struct cw_str session_id; /* empty where none */
    const char *note;         /* "reused", "repeated", "rehashed", "totp-enrolled", …, or NULL */
    int64_t duration_ms;
};

struct login_deps {
    struct tenant_current *tenants;
    struct store *store;
    struct keyring *keys;
    struct password_hasher *hasher;
    struct idp *idp;                            /* NULL: no tenant has an identity provider */
    const struct password_blocklist *blocklist; /* beside the built-in one; may be NULL */
    struct cw_work *idp_work; /* for tenants whose login is by an identity provider */
    struct login_limits limits;
    const struct cw_clock *clock;
    void (*on_event)(void *ctx, const struct login_event *event); /* may be NULL */
    void *ctx;
    /* A session has ended: returns once the connected sidecars know it, or after a moment. May be
     * NULL. */
    void (*on_revoked)(void *ctx);
    void *on_revoked_ctx;
};

/* Copies deps; what they point to is borrowed. */
CW_MUST_USE enum cw_err login_new(const struct login_deps *deps, struct login **ret_login);
void login_free(struct login *login);

/* Where a call about this domain belongs: `usual`, or, where the answer comes from the tenant's
 * identity provider and is mostly waited for, the pool of those waits. Cheap; any thread. */
struct cw_work *login_work(struct login *login, struct cw_str domain, struct cw_work *usual);

/* All borrowed. Empty fields are absent ones. */
struct login_request {
    struct cw_str domain; /* chooses the tenant */
    struct cw_str username;
    struct cw_str password;
    struct cw_str client_id;
    struct cw_str otp;     /* of the user's second factor, where it is at hand */
    struct cw_str scope;   /* space-separated */
    struct cw_str origin;  /* web origin of the page that asks */
    struct cw_str address; /* the user's */
    struct cw_str device;
};

struct login_refresh_request {
    struct cw_str domain;
    struct cw_str refresh_token;
    struct cw_str client_id;
    struct cw_str origin;
    struct cw_str address;
};

enum { MFA_TOKEN_SIZE = 48 }; /* text and NUL */

/* Tokens of one session (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3). */
struct login_answer {
    char *access_token;
    char *id_token;
    char refresh_token[REFRESH_TEXT_SIZE];
    int64_t expires_in;         /* seconds */
    int64_t expires_at;         /* Unix seconds */
    int64_t refresh_expires_in; /* seconds */
    char *scope;
    char session_id[24];
    char *recovery_code;     /* a new one for the user, after the old one was used; else NULL */
    uint32_t retry_after_ms; /* on failure; 0: none */
    /* With CW_MFA_REQUIRED only: what login_mfa_verify (mfa.h) goes on with. */
    char mfa_token[MFA_TOKEN_SIZE];
    char *mfa_methods; /* space-separated: otp, recovery_code, oob, enrol */
};

/* Wipes and frees what the answer holds; also after a failure. */
void login_answer_done(struct login_answer *answer);

/* CW_TENANT_UNKNOWN, CW_CLIENT_UNKNOWN, CW_ORIGIN_FORBIDDEN, CW_REQUEST_MALFORMED,
 * CW_CREDENTIALS_INVALID, CW_MFA_REQUIRED, CW_MFA_INVALID, CW_MFA_BLOCKED (of `otp`),
 * CW_ACCOUNT_BLOCKED, CW_PASSWORD_EXPIRED, CW_THROTTLED, CW_STORE_UNAVAILABLE, CW_KEYS_UNAVAILABLE,
 * CW_NO_MEMORY; with an identity provider also what idp_password says. */
enum cw_err login_run(struct login *login, const struct login_request *request,
                      struct login_answer *ret_answer);
/* The same, with CW_REFRESH_INVALID. */
enum cw_err login_refresh(struct login *login, const struct login_refresh_request *request,
                          struct login_answer *ret_answer);

/* --- what a session's owner may do ------------------------------------------------------ */

/* A caller with an access token of ours, or, for logout, with a refresh token. Borrowed. */
struct login_bearer {
    struct cw_str domain;
    struct cw_str access_token;
    struct cw_str refresh_token; /* logout only: used where it is set */
    struct cw_str address;
};

/* All of these: CW_TENANT_UNKNOWN; what is wrong with the access token (category TOKEN),
 * CW_TOKEN_REVOKED where its session has ended; CW_STORE_UNAVAILABLE, CW_NO_MEMORY. */

/* Whether the token is an administrator's of the tenant of this name: CW_SUBJECT_FORBIDDEN where it
 * lacks the tenant's admin_role, or is of another tenant. The subject is put into the arena. */
enum cw_err login_administrator(struct login *login, struct cw_str tenant,
                                const struct login_bearer *bearer, struct cw_arena *arena,
                                struct cw_str *ret_subject);

/* Ends the session. CW_REFRESH_INVALID for a refresh token that was never given out; one whose
 * session is over already is fine. */
enum cw_err login_logout(struct login *login, const struct login_bearer *bearer);
/* Appends the claims as a JSON object (OpenID Connect Core §5.3.2). CW_SCOPE_INSUFFICIENT without
 * the scope openid. */
enum cw_err login_userinfo(struct login *login, const struct login_bearer *bearer,
                           struct cw_buf *ret_json);
/* Calls `each` per living session of the caller, newest first. */
enum cw_err login_sessions(struct login *login, const struct login_bearer *bearer,
                           enum cw_err (*each)(void *ctx, const struct store_session *session,
                                               bool current),
                           void *ctx);
/* Ends one of the caller's sessions. CW_NOT_FOUND where it is not the caller's or is over. */
enum cw_err login_end_session(struct login *login, const struct login_bearer *bearer,
                              struct cw_str session_id);

#endif
