/* A verified token's claims, packed once: the bytes that answers are made of and that the cache
 * keeps. */
#ifndef SIDECAR_HANDLE_IDENTITY_H
#define SIDECAR_HANDLE_IDENTITY_H

#include "common/base/buf.h"
#include "sidecar/cache/cache.h"
#include "sidecar/handle/rule.h"
#include "sidecar/handle/wire.h"
#include "sidecar/revocation/revocations.h"
#include "sidecar/tenants/tenant.h"

enum { IDENTITY_MAX = 32 * 1024 };

/* Appends the blob to `buf` (bound IDENTITY_MAX or less). CW_NO_MEMORY past the bound. */
CW_MUST_USE enum cw_err identity_pack(const struct cw_claims *claims, uint16_t issuer,
                                      struct cw_buf *buf, struct cache_parts *ret_parts);

/* The blob's runs, borrowed. */
struct identity {
    uint16_t issuer;
    struct cw_str subject;
    struct cw_str standard;
    struct cw_str claims;
    struct cw_str audience;
};
struct identity identity_view(const struct cache_parts *parts, const char *blob);

/* Takes the next field off a run of subject or standard: its number and its integer, or its text.
 * False at the end. */
bool identity_next_field(struct cw_str *rest, unsigned *ret_field, uint64_t *ret_number,
                         struct cw_str *ret_text);

/* Whether the identity meets the rule. */
CW_MUST_USE enum cw_err identity_judge(const struct identity *identity, const struct rule *rule,
                                       const struct tenant *tenant);

/* What counts: not revoked, and meets the rule. CW_FEED_STALE decides nothing. `revocations` may be
 * NULL. */
CW_MUST_USE enum cw_err identity_decide(const struct identity *identity, const struct rule *rule,
                                        const struct tenant *tenant,
                                        struct revocations *revocations, int64_t mono_ms);

/* The verdict for `reason` (CW_OK: allow; a TOKEN or POLICY category else). `identity` may be NULL
 * for a token that is no good. Claims that the rule picks are written to `scratch`, which must
 * outlive the verdict; all others borrow. */
void identity_verdict(const struct identity *identity, const struct rule *rule,
                      const struct tenant *tenant, enum cw_err reason, bool cached,
                      struct cw_buf *scratch, struct wire_verdict *ret_verdict);

/* The cause and reason of what was not decided. */
void identity_undecided(enum cw_err err, uint32_t retry_after_s,
                        struct wire_undecided *ret_undecided);

#endif
