/* Log in and refresh where the tenant's passwords are checked by its identity provider. */
#include "authsvc/login/login_impl.h"

struct cw_work *login_work(struct login *login, struct cw_str domain, struct cw_work *usual)
{
    struct tenant_set *set = tenant_current_get(login->deps.tenants);
    const struct tenant *tenant = tenant_set_by_host(set, domain);
    bool waits = tenant != NULL && tenant->login == TENANT_LOGIN_IDP;
    tenant_set_unref(set);
    return waits && login->deps.idp_work != NULL ? login->deps.idp_work : usual;
}
