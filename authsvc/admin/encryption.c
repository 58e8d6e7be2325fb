/* Key-encryption keys: what depends on which, and the way to the current one. */
#include "authsvc/admin/admin_impl.h"

enum cw_err admin_encryption_keys(struct admin *admin, const struct admin_caller *caller,
                                  struct sealed_use **ret_list, size_t *ret_n)
{
    ENSURE(caller->local, CW_SUBJECT_FORBIDDEN);
    return sealed_count(admin->deps.store, keyring_kek(admin->deps.keys), ret_list, ret_n);
}

enum cw_err admin_reseal(struct admin *admin, const struct admin_caller *caller, size_t max,
                         struct cw_buf *place, struct resealed *ret_resealed)
{
    ENSURE(caller->local, CW_SUBJECT_FORBIDDEN);
    struct admin_act act = admin_act_of(admin, caller, CW_STR(""));
    CW_CLEANUP(cw_buf_done) struct cw_buf detail = CW_BUF_INIT(256);
    enum cw_err err =
        sealed_reseal(admin->deps.store, keyring_kek(admin->deps.keys), max, place, ret_resealed);
    if (err == CW_OK) {
        cw_buf_addf(&detail, "%lld resealed, %lld not", (long long)ret_resealed->values,
                    (long long)ret_resealed->failed);
    }
    if (err != CW_OK || ret_resealed->values > 0 || ret_resealed->failed > 0) {
        err = admin_act_tell(&act, "values-resealed", CW_STR(""), &detail, err);
    }
    admin_act_done(&act);
    return err;
}
