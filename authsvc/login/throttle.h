/* Counts logins before their password is looked at, and takes the good ones out again. */
#ifndef AUTHSVC_LOGIN_THROTTLE_H
#define AUTHSVC_LOGIN_THROTTLE_H

#include "authsvc/login/login.h"

enum { THROTTLE_BUCKETS = 3 };

/* What is counted. Each kind has a first bucket of its own, which a right one empties; address
 * and tenant count all of them together. */
enum throttle_what {
    THROTTLE_LOGIN = 0, /* passwords of a user name from an address */
    THROTTLE_MFA,       /* second factors of a user name, from anywhere: a six-digit code is guessed
                           from many addresses. Only who knows the password gets so far. */
    THROTTLE_RESET,     /* codes that reset a password, from an address; they name no user */
};

struct throttle;

/* An attempt that has been let in; on the stack of its login. */
struct throttle_attempt {
    struct store_bucket buckets[THROTTLE_BUCKETS];
    struct cw_str tenant;
    struct throttle_attempt *next;
};

CW_MUST_USE enum cw_err throttle_new(struct store *store, const struct login_limits *limits,
                                     struct throttle **ret_throttle);
void throttle_free(struct throttle *throttle);

/* Counts the attempt in all dimensions or, with CW_THROTTLED and the time to wait, in none. Where
 * only attempts that are still being checked stand in the way, it waits for them: many valid logins
 * of one account at once are never refused. `tenant` must live until the end. */
CW_MUST_USE enum cw_err throttle_begin(struct throttle *throttle, enum throttle_what what,
                                       struct cw_str tenant, struct cw_str username,
                                       struct cw_str address, struct throttle_attempt *attempt,
                                       int64_t *ret_wait_ms);

enum throttle_verdict {
    THROTTLE_RIGHT = 0, /* taken out again; earlier wrong ones of the first bucket are forgotten */
    THROTTLE_WRONG,
    THROTTLE_UNDECIDED, /* taken out again, and nothing else: it says nothing about earlier ones */
};

/* CW_OK is right, `wrong` is wrong, anything else says nothing about what was shown. */
static inline enum throttle_verdict throttle_verdict(enum cw_err err, enum cw_err wrong)
{
    return err == CW_OK ? THROTTLE_RIGHT : err == wrong ? THROTTLE_WRONG : THROTTLE_UNDECIDED;
}

/* After CW_OK of begin, once. */
void throttle_end(struct throttle *throttle, struct throttle_attempt *attempt,
                  enum throttle_verdict verdict);

#endif
