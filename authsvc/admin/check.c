/* Whether a tenant's identity provider is set up. */
#include "authsvc/admin/admin_impl.h"

static enum cw_err find(struct admin_act *act, struct cw_str domain)
{
    act->set = tenant_current_get(book_current(act->admin->deps.book));
    act->found = tenant_set_by_host(act->set, domain);
    if (act->found == NULL) {
        act->found = tenant_set_by_name(act->set, domain);
    }
    ENSURE(act->found != NULL, CW_TENANT_UNKNOWN);
    act->tenant = act->found->name;
    return CW_OK;
}

enum cw_err admin_tenant_check(struct admin *admin, const struct admin_caller *caller,
                               struct cw_str domain, struct cw_str username, struct cw_str password,
                               void (*each)(void *ctx, const struct idp_finding *finding),
                               void *ctx, struct cw_buf *detail)
{
    struct admin_act act = admin_act_of(admin, caller, domain);
    enum cw_err err = admin_act_operator(&act);
    err = err == CW_OK ? find(&act, domain) : err;
    if (err == CW_OK && (act.found->login != TENANT_LOGIN_IDP || admin->deps.idp == NULL)) {
        cw_buf_add_cstr(detail, "its users are the database's: there is no provider to ask");
        err = CW_TENANT_INVALID;
    }
    if (password.n > 0 && password.p[password.n - 1] == '\n') {
        password.n--; /* a file's last line */
    }
    if (err == CW_OK) {
        idp_check(admin->deps.idp, act.found, username, password, each, ctx);
    }
    err = admin_act_tell(&act, "tenant-checked", CW_STR(""), detail, err);
    admin_act_done(&act);
    return err;
}
