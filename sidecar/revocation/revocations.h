/* What authsvc has revoked: sessions, tokens, subjects of its issuers. Looked at on every decision,
 * hit or miss; costs one atomic load while nothing is revoked. No RPC, no network, no file. */
#ifndef SIDECAR_REVOCATION_REVOCATIONS_H
#define SIDECAR_REVOCATION_REVOCATIONS_H

#include "common/base/str.h"

enum {
    REVOCATIONS_MAX = 1000000, /* entries; past it the feed counts as stale */
};

enum revocation_kind {
    REVOCATION_SESSION = 0,
    REVOCATION_TOKEN,
    REVOCATION_SUBJECT,
    REVOCATION_ALL, /* of the issuer; the value is REVOCATION_ALL_VALUE */
};
enum { REVOCATION_KINDS = 4 };
#define REVOCATION_ALL_VALUE CW_STR("*")

/* Strings are borrowed. */
struct revocation {
    enum revocation_kind kind;
    struct cw_str issuer;
    struct cw_str value;
    int64_t issued_until; /* Unix seconds; 0: whenever the token was issued */
    int64_t expires_at;   /* Unix seconds */
};

struct revocations;

/* `max_stale_ms`: without a word from the feed for longer than that nothing is decided for its
 * issuers. `mono_ms`: the present, or, after a restart, when the feed was heard last. NULL without
 * memory. */
struct revocations *revocations_new(int64_t max_stale_ms, int64_t mono_ms);
/* Nobody uses it any more. NULL is fine. */
void revocations_free(struct revocations *revocations);

/* One answer of the feed: adds, or as a snapshot replaces. CW_NO_MEMORY, CW_TOO_MANY_REQUESTS past
 * REVOCATIONS_MAX: then it is not applied, and must not count as heard. Expired ones are forgotten
 * now and then. `issuers`: whose revocations the feed carries. One thread at a time. */
CW_MUST_USE enum cw_err revocations_apply(struct revocations *revocations, bool snapshot,
                                          const struct revocation *list, size_t n,
                                          const struct cw_str *issuers, size_t n_issuers,
                                          int64_t wall_s);
/* The feed has been heard. Any thread. */
void revocations_heard(struct revocations *revocations, int64_t mono_ms);

/* What a decision knows of its token. */
struct revocation_subject {
    struct cw_str issuer;
    struct cw_str values[REVOCATION_KINDS]; /* by kind; empty: the token has none */
    int64_t issued_at;
    bool learned; /* its tenant came from authsvc: the feed is for it, whatever else is known */
};

/* True while nothing is revoked and the feed is fresh: then there is nothing to look up. */
bool revocations_idle(const struct revocations *revocations, int64_t mono_ms);
/* CW_OK, CW_TOKEN_REVOKED, CW_FEED_STALE. Any thread. */
CW_MUST_USE enum cw_err revocations_check(struct revocations *revocations,
                                          const struct revocation_subject *subject,
                                          int64_t mono_ms);

size_t revocations_count(const struct revocations *revocations);
/* Since the feed was heard. */
int64_t revocations_age_ms(const struct revocations *revocations, int64_t mono_ms);
/* Calls `each` per entry and `issuer` per issuer of the feed; both run with the set locked. */
void revocations_each(struct revocations *revocations,
                      void (*each)(void *ctx, const struct revocation *revocation),
                      void (*issuer)(void *ctx, struct cw_str issuer), void *ctx);

#endif
