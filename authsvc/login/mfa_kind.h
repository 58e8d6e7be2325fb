/* The seam between a login's continuation (mfa.c) and the kinds of login that ask for second
 * factors: the database's own, and an identity provider's. */
#ifndef AUTHSVC_LOGIN_MFA_KIND_H
#define AUTHSVC_LOGIN_MFA_KIND_H

#include "authsvc/login/login_impl.h"
#include "authsvc/login/mfa.h"
#include "common/base/secret.h"

enum {
    MFA_LIFE_MS = 5 * 60 * 1000, /* of an mfa_token */
    MFA_ATTEMPTS_MAX = 5,        /* codes, and challenges, that one mfa_token may be tried with */
    MFA_STATE_MAX = 8 * 1024,    /* bytes that a kind may keep */
};

/* One request of a continuation. All but `data` and `event` is read only for the kind; strings live
 * until the request's end. */
struct mfa_turn {
    struct login *login;
    const struct login_mfa_request *request;
    struct login_scene scene; /* tenant and client, the same as the login's */
    struct cw_arena arena;
    uint8_t id[STORE_HASH_SIZE];
    struct store_challenge row; /* what mfa_begin was told */
    struct cw_secret state;     /* as mfa_begin was told */
    const struct mfa_kind *kind;
    void *data; /* the kind's own, between check and finish; `done` frees it */
    struct login_event event;
    uint32_t retry_after_ms; /* on failure; 0: none */
};

struct mfa_kind {
    const char *name; /* in the database: never changes */
    /* Sends a code or asks the other device; fills what the client needs. NULL: there is nothing to
     * send. CW_MFA_METHOD_UNSUPPORTED, CW_IDP_UNAVAILABLE, … */
    enum cw_err (*challenge)(struct mfa_turn *turn, struct login_challenge *ret_challenge);
    /* CW_OK: the second factor is right, and is used up where it can be used only once. What it
     * reads of the user, it reads before the mfa_token is claimed: a change of the password drops
     * the token, so with the token still there it is the password that was shown.
     * CW_MFA_INVALID counts as a failed attempt; other errors do not. */
    enum cw_err (*check)(struct mfa_turn *turn);
    /* After CW_OK of check, in the one request that has claimed the mfa_token: session and tokens.
     */
    enum cw_err (*finish)(struct mfa_turn *turn, struct login_answer *answer);
    void (*done)(struct mfa_turn *turn); /* may be NULL */
};

extern const struct mfa_kind mfa_database; /* database_mfa.c */
extern const struct mfa_kind mfa_idp;      /* idp_mfa.c */

/* What a login knows when its password was right and a second factor must follow. Borrowed. */
struct mfa_start {
    const struct mfa_kind *kind;
    struct cw_str subject;       /* may be empty where only the IdP knows it */
    struct cw_str username;      /* prepared; failures are counted by it */
    int64_t password_changed_at; /* of the user as the login read it, or STORE_NO_PASSWORD */
    struct cw_str scope;         /* granted, space-separated */
    struct cw_str methods;       /* space-separated: otp, recovery_code, oob, enrol */
    struct cw_str state;         /* sealed at rest; the IdP's own mfa_token, say */
};

/* Keeps the login and puts mfa_token and methods into the answer. CW_MFA_REQUIRED when that is
 * done, for the login to return; anything else is a failure. */
enum cw_err mfa_begin(struct login *login, const struct login_scene *scene,
                      const struct mfa_start *start, struct login_answer *answer);

/* Finds the login of an mfa_token and counts the use. CW_MFA_TOKEN_INVALID. For the files of this
 * folder; mfa_turn_done after any outcome. */
CW_MUST_USE enum cw_err mfa_turn_open(struct mfa_turn *turn, enum store_challenge_use use);
void mfa_turn_done(struct mfa_turn *turn);

#endif
