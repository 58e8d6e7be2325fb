/* Why the policy said what it said. The decision itself is policy_judge's; here it is asked once
 * per part, so that the two cannot differ. */
#include "sidecar/handle/explain.h"

enum { EXPLAIN_DETAIL_MAX = 2048 };

static void add_list(struct cw_buf *buf, const char *what, const struct cw_str_list *list)
{
    if (list->n == 0) {
        return;
    }
    cw_buf_add_cstr(buf, what);
    for (size_t i = 0; i < list->n; i++) {
        cw_buf_addf(buf, "%s%.*s", i ? " " : "", CW_STR_ARG(list->items[i]));
    }
}

static void add_found(struct cw_buf *buf, struct cw_str packed, enum policy_field field)
{
    struct cw_str value;

    cw_buf_add_cstr(buf, "token has:");
    while (policy_next(&packed, field, &value)) {
        cw_buf_addf(buf, " %.*s", CW_STR_ARG(value));
    }
}

static bool check(const struct identity *identity, const struct policy_requirement *part,
                  const struct tenant *tenant, const char *name, struct cw_buf *detail,
                  const struct cw_checks *checks)
{
    struct rule rule = {.refs = 1, .requirement = *part};
    bool passed = identity_judge(identity, &rule, tenant) == CW_OK;

    checks->add(checks->ctx, name, passed,
                detail->failed ? CW_STR("too long to show") : cw_buf_str(detail));
    cw_buf_clear(detail);
    return passed;
}

void explain_policy(const struct identity *identity, const struct rule *rule,
                    const struct tenant *tenant, const struct cw_checks *checks)
{
    const struct policy_requirement *all = &rule->requirement;
    struct policy_requirement part = {.audiences = all->audiences};
    struct cw_buf detail CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(EXPLAIN_DETAIL_MAX);
    struct cw_str rest = identity->audience;
    struct cw_str value;

    cw_buf_add_cstr(&detail, "token is for:");
    while (policy_next_audience(&rest, &value)) {
        cw_buf_addf(&detail, " %.*s", CW_STR_ARG(value));
    }
    add_list(&detail, "; accepted: ", all->audiences.n ? &all->audiences : &tenant->audiences);
    if (!check(identity, &part, tenant, "audience", &detail, checks)) {
        return;
    }
    if (all->scopes_all.n || all->scopes_any.n) {
        part.scopes_all = all->scopes_all;
        part.scopes_any = all->scopes_any;
        add_found(&detail, identity->standard, POLICY_SCOPES);
        add_list(&detail, "; all of: ", &all->scopes_all);
        add_list(&detail, "; one of: ", &all->scopes_any);
        if (!check(identity, &part, tenant, "scope", &detail, checks)) {
            return;
        }
    }
    if (all->roles_all.n || all->roles_any.n) {
        part.roles_all = all->roles_all;
        part.roles_any = all->roles_any;
        add_found(&detail, identity->standard, POLICY_ROLES);
        add_list(&detail, "; all of: ", &all->roles_all);
        add_list(&detail, "; one of: ", &all->roles_any);
        (void)check(identity, &part, tenant, "roles", &detail, checks);
    }
}
