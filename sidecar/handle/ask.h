/* One token, one outcome: the use case behind every unary method. Who asks words the answer. */
#ifndef SIDECAR_HANDLE_ASK_H
#define SIDECAR_HANDLE_ASK_H

#include "common/rpc/server.h"
#include "sidecar/handle/identity.h"

struct handle;

/* What came out; borrowed for the answer. `err` decides which:
 *   CW_OK, POLICY, TOKEN  a verdict
 *   CW_TENANT_UNKNOWN     the domain has no tenant
 *   else                  nothing was decided */
struct ask_outcome {
    enum cw_err err;
    uint32_t retry_after_s;          /* of what was not decided; 0: not known */
    bool cached;                     /* the token was in the cache */
    const struct identity *identity; /* NULL: there is none */
    const struct rule *rule;
    const struct tenant *tenant; /* NULL for CW_TENANT_UNKNOWN */
    struct cw_str checks;        /* packed; empty without `explain` */
};

/* Ends the call, exactly once. Any thread. */
typedef void ask_answer(struct cw_rpc_call *call, const struct ask_outcome *outcome, void *ctx);

struct ask {
    struct cw_str domain; /* in any spelling */
    struct cw_str token;  /* empty: CW_TOKEN_MISSING, if there is a tenant */
    struct rule *rule;
    bool explain;
    int64_t timeout_ms; /* 0: until the call's deadline */
    ask_answer *answer;
    void *ctx; /* lives until the answer: in the call's arena, for instance */
};

/* Answers at once, or a verifier does later: the call and what lives as long belong to the answer
 * from now on. On a poller, in the handler; everything in `ask` but its ctx is borrowed for the
 * call. */
void ask_run(struct handle *handle, struct cw_rpc_call *call, const struct ask *ask);

static inline bool ask_is_verdict(enum cw_err err)
{
    enum cw_err_category category = cw_err_info(err)->category;

    return err == CW_OK || category == CW_CATEGORY_TOKEN || category == CW_CATEGORY_POLICY;
}

#endif
