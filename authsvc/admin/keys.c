/* Signing keys: looked at, replaced in time, withdrawn at once. */
#include "authsvc/admin/admin_impl.h"

enum cw_err admin_key_list(struct admin *admin, const struct admin_caller *caller,
                           struct cw_str tenant,
                           enum cw_err (*each)(void *ctx, const struct keyring_entry *entry),
                           void *ctx)
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    enum cw_err err = admin_act_open(&act);
    if (err == CW_OK && act.found->login == TENANT_LOGIN_DATABASE) {
        err = keyring_list(admin->deps.keys, act.found->name, each, ctx);
    }
    admin_act_done(&act);
    return err;
}

static enum cw_err rotate(struct admin_act *act, bool emergency, int64_t *ret_withdrawn,
                          struct cw_buf *detail)
{
    struct admin *admin = act->admin;
    TRY(admin_act_operator(act));
    TRY(admin_act_database(act));
    const struct keyring_want want = book_keys_wanted(act->found);
    struct cw_str tenant = act->found->name;
    TRY(emergency ? keyring_withdraw(admin->deps.keys, tenant, &want, ret_withdrawn, detail)
                  : keyring_rotate(admin->deps.keys, tenant, &want, detail));
    /* It is done, whoever of the sidecars has it by now. */
    enum cw_err err = book_spread(admin->deps.book, BOOK_SPREAD_MS);
    if (err != CW_OK) {
        cw_buf_addf(detail, "the sidecars could not be told yet (%s)", cw_err_code(err));
    }
    return CW_OK;
}

enum cw_err admin_key_rotate(struct admin *admin, const struct admin_caller *caller,
                             struct cw_str tenant, bool emergency, int64_t *ret_withdrawn,
                             struct cw_buf *detail)
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    *ret_withdrawn = 0;
    enum cw_err err = rotate(&act, emergency, ret_withdrawn, detail);
    err = admin_act_tell(&act, emergency ? "signing-keys-withdrawn" : "signing-key-rotated",
                         CW_STR(""), detail, err);
    admin_act_done(&act);
    return err;
}

/* keyring_look_over's counts: not where an identity provider signs by now. */
static bool signs_here(void *ctx, struct cw_str name)
{
    const struct tenant *tenant = tenant_set_by_name(ctx, name);
    return tenant != NULL && tenant->login == TENANT_LOGIN_DATABASE;
}

enum cw_err admin_key_health(struct admin *admin, const struct admin_caller *caller,
                             struct keyring_survey *ret_survey, bool *ret_store_works)
{
    ENSURE(caller->local, CW_SUBJECT_FORBIDDEN);
    *ret_store_works = store_check(admin->deps.store) == CW_OK;
    struct tenant_set *set = tenant_current_get(book_current(admin->deps.book));
    enum cw_err err = keyring_look_over(admin->deps.keys, signs_here, set, ret_survey);
    tenant_set_unref(set);
    return err;
}
