/* What the use cases share. */
#ifndef AUTHSVC_LOGIN_LOGIN_IMPL_H
#define AUTHSVC_LOGIN_LOGIN_IMPL_H

#include "authsvc/login/login.h"
#include "authsvc/login/throttle.h"
#include "authsvc/token/token.h"

struct login {
    struct login_deps deps;
    struct throttle *throttle;
    uint8_t refresh_key[REFRESH_KEY_SIZE]; /* derived from the key-encryption key */
};

/* Who asks, found before anything else. */
struct login_scene {
    struct tenant_set *set; /* a reference */
    const struct tenant *tenant;
    const struct tenant_client *client;
};

CW_MUST_USE enum cw_err login_scene_open(struct login *login, struct cw_str domain,
                                         struct cw_str client_id, struct cw_str origin,
                                         struct login_scene *ret_scene);
void login_scene_done(struct login_scene *scene);

/* Access and ID token, times and scope of the answer; the refresh token is the caller's. */
CW_MUST_USE enum cw_err login_issue(struct login *login, const struct login_scene *scene,
                                    const struct store_user *user,
                                    const struct store_session *session,
                                    struct login_answer *answer);
void login_tell(struct login *login, struct login_event *event, int64_t started_ms,
                enum cw_err outcome);

/* A session has ended; returns when the sidecars know it, or after a moment. */
void login_revoked(struct login *login);

#endif
