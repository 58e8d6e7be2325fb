/* One token's verification: parse, choose the issuer, verify with its keys, keep what was found. No
 * RPC in it; the caller says what the answer is for. */
#ifndef SIDECAR_HANDLE_VERIFY_H
#define SIDECAR_HANDLE_VERIFY_H

#include "sidecar/cache/cache.h"
#include "sidecar/handle/identity.h"
#include "sidecar/tenants/tenant.h"

struct verify_context {
    struct cache *cache;
    const struct cw_clock *clock;
    struct revocations *revocations; /* NULL: no feed */
};

/* What came out; `err` decides which:
 *   CW_OK, POLICY, TOKEN  a verdict; `blob` has the identity for the first two
 *   else                  nothing was decided */
struct verify_result {
    enum cw_err err;
    uint32_t retry_after_s;
    bool has_identity;
    struct cache_parts parts;
    struct cw_buf blob; /* the caller's to release (cw_buf_done) */
};

enum verify_state { VERIFY_DONE, VERIFY_WAITS };

/* VERIFY_WAITS: the waiter was handed to the key store and will be woken, perhaps has been already:
 * touch nothing that it may free. `last`: do not wait again. `checks` may be NULL. */
enum verify_state verify_run(const struct verify_context *context, const struct tenant *tenant,
                             const struct rule *rule, struct cw_str token,
                             const unsigned char digest[CACHE_DIGEST_SIZE], bool last,
                             struct cw_key_waiter *waiter, const struct cw_checks *checks,
                             struct verify_result *ret_result);

#endif
