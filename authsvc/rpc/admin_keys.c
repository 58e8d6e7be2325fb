/* AdminService: signing keys. */
#include "authsvc/rpc/admin_impl.h"

enum { TENANT_MAX = 1024 };

typedef ADMIN_PB(SigningKey) key_message;

struct key_listing {
    struct admin_job *job;
    key_message **keys;
    size_t n;
};

static enum cw_err list_key(void *ctx, const struct keyring_entry *key)
{
    struct key_listing *l = ctx;
    key_message *m = cw_arena_alloc(&l->job->arena, sizeof(*m));
    void **place = admin_append(l->job, (void ***)&l->keys, &l->n);
    ENSURE(m != NULL && place != NULL, CW_NO_MEMORY);
    *place = m;
    clinicwave__identity__v1__signing_key__init(m);
    m->key_id = admin_text(l->job, key->kid);
    m->algorithm = admin_text(l->job, key->algorithm);
    m->state = admin_text(l->job, cw_str(key_state_name(key->state)));
    ENSURE(m->key_id && m->algorithm && m->state, CW_NO_MEMORY);
    m->created_at = key->created_at / 1000;
    m->changed_at = key->changed_at / 1000;
    m->active_at = key->active_at / 1000;
    m->published_until = key->over_at / 1000;
    return CW_OK;
}

static enum cw_err list(struct key_listing *l, struct cw_str tenant)
{
    return admin_key_list(l->job->door->admin, &l->job->caller, tenant, list_key, l);
}

void rpc_admin_list_signing_keys(struct admin_job *job)
{
    const ADMIN_PB(ListSigningKeysRequest) *m =
        (const ADMIN_PB(ListSigningKeysRequest) *)job->request;
    ADMIN_PB(ListSigningKeysResponse)
    response = CLINICWAVE__IDENTITY__V1__LIST_SIGNING_KEYS_RESPONSE__INIT;
    struct key_listing l = {.job = job};
    enum cw_err err = list(&l, cw_str(m->tenant));
    response.keys = l.keys;
    response.n_keys = l.n;
    admin_finish(job, err, &response.base);
}

void rpc_admin_rotate_signing_key(struct admin_job *job)
{
    const ADMIN_PB(RotateSigningKeyRequest) *m =
        (const ADMIN_PB(RotateSigningKeyRequest) *)job->request;
    ADMIN_PB(RotateSigningKeyResponse)
    response = CLINICWAVE__IDENTITY__V1__ROTATE_SIGNING_KEY_RESPONSE__INIT;
    struct key_listing l = {.job = job};
    enum cw_err err = admin_key_rotate(job->door->admin, &job->caller, cw_str(m->tenant),
                                       m->emergency, &response.withdrawn, &job->detail);
    if (err == CW_OK) {
        err = list(&l, cw_str(m->tenant));
    }
    response.keys = l.keys;
    response.n_keys = l.n;
    admin_finish(job, err, &response.base);
}

void rpc_admin_get_key_health(struct admin_job *job)
{
    ADMIN_PB(GetKeyHealthResponse)
    response = CLINICWAVE__IDENTITY__V1__GET_KEY_HEALTH_RESPONSE__INIT;
    struct keyring_survey survey = {
        .age_ms = -1, .tenant = CW_BUF_INIT(TENANT_MAX), .overdue_tenant = CW_BUF_INIT(TENANT_MAX)};
    bool store_works = false;
    enum cw_err err = admin_key_health(job->door->admin, &job->caller, &survey, &store_works);
    char *tenant = admin_text(job, cw_buf_str(&survey.tenant));
    char *overdue_tenant = admin_text(job, cw_buf_str(&survey.overdue_tenant));
    cw_buf_done(&survey.tenant);
    cw_buf_done(&survey.overdue_tenant);
    response.tenants = (int64_t)survey.tenants;
    response.age_seconds = survey.age_ms < 0 ? -1 : survey.age_ms / 1000;
    response.oldest_tenant = tenant;
    response.pending = (int64_t)survey.pending;
    response.retired = (int64_t)survey.retired;
    response.rotate_after_seconds = survey.rotate_after_ms / 1000;
    response.overdue = (int64_t)survey.overdue;
    response.database_down = !store_works;
    response.overdue_tenant = overdue_tenant;
    bool full = tenant == NULL || overdue_tenant == NULL;
    admin_finish(job, err == CW_OK && full ? CW_NO_MEMORY : err, &response.base);
}
