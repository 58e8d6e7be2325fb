/* What the use cases share. */
#ifndef AUTHSVC_LOGIN_LOGIN_IMPL_H
#define AUTHSVC_LOGIN_LOGIN_IMPL_H

#include "authsvc/login/grants.h"
#include "authsvc/login/login.h"
#include "authsvc/login/throttle.h"
#include "authsvc/token/token.h"

struct login {
    struct login_deps deps;
    struct throttle *throttle;
    const uint8_t *refresh_key; /* borrowed from the keyring */
};

/* Who asks, found before anything else. */
struct login_scene {
    struct tenant_set *set; /* a reference */
    const struct tenant *tenant;
    const struct tenant_client *client;
};

/* Whose access token it is: a request of a session's owner. */
struct login_owner {
    struct login *login;
    const struct login_bearer *bearer;
    struct cw_str tenant_name; /* chooses the tenant where the bearer has no domain */
    struct tenant_set *set;    /* a reference */
    const struct tenant *tenant;
    struct cw_arena arena; /* holds what follows */
    struct cw_str subject;
    struct cw_str session_id;
    struct cw_str client_id;
    struct cw_str scope;
    bool administers;
    struct login_event event;
};

struct login_owner login_owner_of(struct login *login, const struct login_bearer *bearer);
/* The owner of a living session by access token; errors as in login.h. */
CW_MUST_USE enum cw_err login_owner_bearer(struct login_owner *o);
/* The same for what only database tenants have: CW_IDP_MANAGED elsewhere. */
CW_MUST_USE enum cw_err login_owner_database(struct login_owner *o);
void login_owner_done(struct login_owner *o);

CW_MUST_USE enum cw_err login_scene_open(struct login *login, struct cw_str domain,
                                         struct cw_str client_id, struct cw_str origin,
                                         struct login_scene *ret_scene);
void login_scene_done(struct login_scene *scene);

/* Access and ID token, times and scope of the answer; the refresh token is the caller's. Issued as
 * of session->used_at, which was read before the transaction that lets the session go on: so what
 * is revoked up to a moment after it includes them. */
CW_MUST_USE enum cw_err login_issue(struct login *login, const struct login_scene *scene,
                                    const struct store_user *user,
                                    const struct store_session *session,
                                    const struct grants *grants, struct login_answer *answer);
/* What a new session is made of beside user, tenant and client. */
struct login_start {
    struct cw_str scope; /* granted */
    struct cw_str device;
    struct cw_str address;
    struct cw_str amr; /* JSON array */
};
/* A session that is about to start, with its first refresh token. */
struct login_new_session {
    char id[24];
    struct store_session session;
    struct store_family family;
    struct refresh_token first;
};
/* Borrows `start`, subject and scene; wiped by the caller, who sets password_changed_at. */
void login_session_new(struct login *login, const struct login_scene *scene, struct cw_str subject,
                       const struct login_start *start, struct login_new_session *ret_session);

/* Starts the session of a user who has proved itself, and answers with its tokens. `user` is as
 * read before the proof: what it proves ends with a change of the password (store_session_start).
 */
CW_MUST_USE enum cw_err login_session_start(struct login *login, const struct login_scene *scene,
                                            const struct store_user *user,
                                            const struct login_start *start,
                                            struct login_answer *answer);

/* throttle_begin, with the time to wait as the answer wants it. */
CW_MUST_USE enum cw_err login_throttle(struct login *login, enum throttle_what what,
                                       struct cw_str tenant, struct cw_str username,
                                       struct cw_str address, struct throttle_attempt *attempt,
                                       uint32_t *ret_retry_after_ms);

/* A password on trial (password_check.c). Fill in the first part. */
struct login_trial {
    struct login *login;
    struct cw_str tenant;
    struct cw_str username; /* prepared */
    struct cw_str address;
    struct cw_str password; /* prepared */
    struct cw_arena *arena;
    /* Set by the trial: */
    struct store_user user; /* empty where there is none */
    enum password_outcome outcome;
    uint32_t retry_after_ms;
};
/* Throttle, user, exactly one hash: the same work whoever it is. CW_CREDENTIALS_INVALID,
 * CW_THROTTLED; CW_OK: the password is right, which says nothing of `user.disabled`. */
CW_MUST_USE enum cw_err login_try_password(struct login_trial *trial);
/* The owner of an access token shows its password again. */
CW_MUST_USE enum cw_err login_password_again(struct login_owner *o, const struct store_user *user,
                                             struct cw_str password, uint32_t *ret_retry_after_ms);

/* A refresh token of a living family that is not its present one: ends the session where it was
 * given out once. Returns CW_REFRESH_INVALID, or what kept it from ending. */
enum cw_err login_refresh_stale(struct login *login, const struct login_scene *scene,
                                const struct refresh_token *token,
                                const struct store_rotated *family, struct login_event *event);

/* --- tenants whose login is by an identity provider (idp_*.c) ----------------------------- */

/* Password to tokens; `username` is prepared, for the throttle. */
enum cw_err login_idp_run(struct login *login, const struct login_scene *scene,
                          const struct login_request *request, struct cw_str username,
                          struct cw_arena *arena, struct login_event *event,
                          struct login_answer *answer);
/* A session with the provider's tokens. */
enum cw_err login_idp_start(struct login *login, const struct login_scene *scene,
                            const struct idp_tokens *tokens, const struct login_start *start,
                            struct login_answer *answer);
enum cw_err login_idp_refresh(struct login *login, const struct login_scene *scene,
                              const struct login_refresh_request *request,
                              const struct refresh_token *token, struct cw_arena *arena,
                              struct login_event *event, struct login_answer *answer);
/* The owner of a living session by the provider's access token. */
enum cw_err login_idp_owner(struct login_owner *o);
enum cw_err login_idp_userinfo(struct login_owner *o, struct cw_buf *ret_json);
/* After the end of a session: the provider's refresh token ends, too, as well as it can be told. */
void login_idp_farewell(struct login *login, const struct tenant *tenant, struct cw_str session_id);

void login_tell(struct login *login, struct login_event *event, int64_t started_ms,
                enum cw_err outcome);

struct token_names login_claim_names(const struct tenant *tenant);

/* A session has ended; returns when the sidecars know it, or after a moment. */
void login_revoked(struct login *login);

#endif
