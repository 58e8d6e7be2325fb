/* Revocation by an administrator. */
#include <time.h>

#include "authsvc/admin/admin_impl.h"

enum { VALUE_MAX = 1024 };
#define HOUR_MS ((int64_t)3600 * 1000)

/* How long a token may live that the revocation is about: ours an hour; a provider's is not known,
 * Auth0 takes up to 30 days. The leeway of the sidecars is above it. */
static int64_t keep_ms(const struct tenant *tenant)
{
    return (tenant->login == TENANT_LOGIN_DATABASE ? 1 : 30 * 24) * HOUR_MS + HOUR_MS / 12;
}

/* Until the second is over in which it was revoked: tokens carry seconds, and one that is issued
 * after the answer must count. */
static void wait_for_next_second(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const struct timespec rest = {.tv_nsec = 999999999 - now.tv_nsec};
    (void)nanosleep(&rest, NULL);
}

static enum cw_err revoke(struct admin_act *act, enum store_revocation_kind kind,
                          struct cw_str value, int64_t *ret_ended)
{
    struct store *store = act->admin->deps.store;
    *ret_ended = 0;
    TRY(admin_act_open(act));
    bool named = kind == STORE_REVOKED_TENANT || (value.n > 0 && value.n <= VALUE_MAX);
    ENSURE(named && cw_str_is_utf8(value), CW_REQUEST_MALFORMED);
    if (kind == STORE_REVOKED_SESSION) {
        TRY(store_session_end(store, act->found->name, value, "ended_by_administrator"));
        *ret_ended = 1;
    } else {
        TRY(store_revoke(store, act->found->name, kind, value, keep_ms(act->found), ret_ended));
    }
    admin_act_revoked(act);
    if (kind == STORE_REVOKED_SUBJECT || kind == STORE_REVOKED_TENANT) {
        wait_for_next_second();
    }
    return CW_OK;
}

enum cw_err admin_revoke(struct admin *admin, const struct admin_caller *caller,
                         struct cw_str tenant, enum store_revocation_kind kind, struct cw_str value,
                         int64_t *ret_sessions_ended)
{
    static const char *const actions[] = {
        [STORE_REVOKED_SESSION] = "session-revoked",
        [STORE_REVOKED_TOKEN] = "token-revoked",
        [STORE_REVOKED_SUBJECT] = "subject-revoked",
        [STORE_REVOKED_TENANT] = "tenant-revoked",
    };
    struct admin_act act = admin_act_of(admin, caller, tenant);
    enum cw_err err = revoke(&act, kind, value, ret_sessions_ended);
    err = admin_act_tell(&act, actions[kind], value, NULL, err);
    admin_act_done(&act);
    return err;
}
