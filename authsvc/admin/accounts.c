/* What an administrator does about a user's passwords and second factors without learning them. */
#include "authsvc/admin/admin_impl.h"
#include "authsvc/login/mfa.h"

/* The user that is meant, of a database tenant. */
static enum cw_err open_user(struct admin_act *act, struct cw_str username, struct cw_str *ret_name)
{
    TRY(admin_act_database(act));
    return admin_username(&act->arena, username, ret_name);
}

enum cw_err admin_user_reset_password(struct admin *admin, const struct admin_caller *caller,
                                      struct cw_str tenant, struct cw_str username, int64_t life_ms,
                                      char ret_code[CODE_TEXT_SIZE])
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    struct cw_str name;
    enum cw_err err = open_user(&act, username, &name);
    if (err == CW_OK) {
        err = login_reset_issue(admin->deps.store, act.found->name, name,
                                life_ms != 0 ? life_ms : RESET_LIFE_DEFAULT_MS, ret_code);
    }
    err = admin_act_tell(&act, "user-reset-code-issued", username, NULL, err);
    admin_act_done(&act);
    return err;
}

enum cw_err admin_user_expire_password(struct admin *admin, const struct admin_caller *caller,
                                       struct cw_str tenant, struct cw_str username)
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    struct cw_str name;
    enum cw_err err = open_user(&act, username, &name);
    if (err == CW_OK) {
        err = store_user_expire_password(admin->deps.store, act.found->name, name);
    }
    if (err == CW_OK) {
        admin_act_revoked(&act);
    }
    err = admin_act_tell(&act, "user-password-expired", username, NULL, err);
    admin_act_done(&act);
    return err;
}

enum cw_err admin_user_reset_mfa(struct admin *admin, const struct admin_caller *caller,
                                 struct cw_str tenant, struct cw_str username)
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    struct cw_str name;
    enum cw_err err = open_user(&act, username, &name);
    if (err == CW_OK) {
        err = login_mfa_reset(admin->deps.store, act.found->name, name);
    }
    err = admin_act_tell(&act, "user-mfa-reset", username, NULL, err);
    admin_act_done(&act);
    return err;
}
