/* AdminService: users, their sessions, revocation. */
#include <jansson.h>

#include "authsvc/rpc/admin_impl.h"

typedef ADMIN_PB(ManagedUser) user_message;
typedef ADMIN_PB(ManagedSession) session_message;

/* --- what goes out ---------------------------------------------------------------------- */

/* The store keeps lists as JSON arrays. */
enum cw_err admin_list(struct admin_job *job, struct cw_str json, char ***ret_list, size_t *ret_n)
{
    json_t *array = json_loadb(json.p, json.n, 0, NULL);
    size_t n = json_array_size(array);
    char **list = cw_arena_zalloc(&job->arena, (n + 1) * sizeof(char *));
    enum cw_err err = list != NULL ? CW_OK : CW_NO_MEMORY;
    for (size_t i = 0; err == CW_OK && i < n; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        list[i] = admin_text(job, cw_str(text != NULL ? text : ""));
        err = list[i] != NULL ? CW_OK : CW_NO_MEMORY;
    }
    json_decref(array);
    *ret_list = list;
    *ret_n = err == CW_OK ? n : 0;
    return err;
}

static enum cw_err fill_user(struct admin_job *job, const struct store_user *user, user_message *m)
{
    clinicwave__identity__v1__managed_user__init(m);
    m->subject = admin_text(job, user->subject);
    m->username = admin_text(job, user->username);
    m->name = admin_text(job, user->name);
    m->email = admin_text(job, user->email);
    ENSURE(m->subject && m->username && m->name && m->email, CW_NO_MEMORY);
    m->email_verified = user->email_verified;
    m->disabled = user->disabled;
    TRY(admin_list(job, user->roles, &m->roles, &m->n_roles));
    return admin_list(job, user->permissions, &m->permissions, &m->n_permissions);
}

/* --- users ------------------------------------------------------------------------------ */

static enum cw_err user_of(struct admin_job *job, const user_message *m, struct admin_user *ret)
{
    ENSURE(m != NULL, CW_REQUEST_MALFORMED);
    *ret = (struct admin_user){
        .username = cw_str(m->username),
        .name = cw_str(m->name),
        .email = cw_str(m->email),
        .email_verified = m->email_verified,
        .n_roles = m->n_roles,
        .n_permissions = m->n_permissions,
    };
    TRY(admin_strings(job, m->roles, m->n_roles, &ret->roles));
    return admin_strings(job, m->permissions, m->n_permissions, &ret->permissions);
}

static enum cw_err fields_of(const ADMIN_PB(UpdateUserRequest) * m, unsigned *ret_fields)
{
    static const struct {
        const char *name;
        unsigned bit;
    } fields[] = {
        {"name", ADMIN_FIELD_NAME},
        {"email", ADMIN_FIELD_EMAIL},
        {"email_verified", ADMIN_FIELD_EMAIL_VERIFIED},
        {"roles", ADMIN_FIELD_ROLES},
        {"permissions", ADMIN_FIELD_PERMISSIONS},
    };
    *ret_fields = 0;
    for (size_t i = 0; i < m->n_fields; i++) {
        size_t k = 0;
        while (k < CW_ARRAY_SIZE(fields) && !cw_str_is(cw_str(m->fields[i]), fields[k].name)) {
            k++;
        }
        ENSURE(k < CW_ARRAY_SIZE(fields), CW_REQUEST_MALFORMED);
        *ret_fields |= fields[k].bit;
    }
    return CW_OK;
}

void rpc_admin_create_user(struct admin_job *job)
{
    const ADMIN_PB(CreateUserRequest) *m = (const ADMIN_PB(CreateUserRequest) *)job->request;
    ADMIN_PB(CreateUserResponse) response = CLINICWAVE__IDENTITY__V1__CREATE_USER_RESPONSE__INIT;
    struct admin_user in;
    struct store_user user;
    user_message out;
    enum cw_err err = user_of(job, m->user, &in);
    if (err == CW_OK) {
        err = admin_user_create(job->door->admin, &job->caller, cw_str(m->tenant), &in,
                                (struct cw_str){(const char *)m->password.data, m->password.len},
                                &job->arena, &user, &job->detail);
    }
    if (err == CW_OK) {
        err = fill_user(job, &user, &out);
    }
    response.user = &out;
    admin_finish(job, err, &response.base);
}

void rpc_admin_get_user(struct admin_job *job)
{
    const ADMIN_PB(GetUserRequest) *m = (const ADMIN_PB(GetUserRequest) *)job->request;
    ADMIN_PB(GetUserResponse) response = CLINICWAVE__IDENTITY__V1__GET_USER_RESPONSE__INIT;
    struct store_user user;
    user_message out;
    enum cw_err err = admin_user_get(job->door->admin, &job->caller, cw_str(m->tenant),
                                     cw_str(m->username), &job->arena, &user);
    if (err == CW_OK) {
        err = fill_user(job, &user, &out);
    }
    response.user = &out;
    admin_finish(job, err, &response.base);
}

struct user_listing {
    struct admin_job *job;
    ADMIN_PB(ListUsersResponse) response;
};

static enum cw_err list_user(void *ctx, const struct store_user *user)
{
    struct user_listing *l = ctx;
    user_message *m = cw_arena_alloc(&l->job->arena, sizeof(*m));
    void **place = admin_append(l->job, (void ***)&l->response.users, &l->response.n_users);
    ENSURE(m != NULL && place != NULL, CW_NO_MEMORY);
    *place = m;
    return fill_user(l->job, user, m);
}

void rpc_admin_list_users(struct admin_job *job)
{
    const ADMIN_PB(ListUsersRequest) *m = (const ADMIN_PB(ListUsersRequest) *)job->request;
    struct user_listing l = {.job = job,
                             .response = CLINICWAVE__IDENTITY__V1__LIST_USERS_RESPONSE__INIT};
    size_t page = admin_page(m->page_size);
    enum cw_err err = admin_user_list(job->door->admin, &job->caller, cw_str(m->tenant),
                                      admin_bytes(m->page_token), (int64_t)page, list_user, &l);
    if (err == CW_OK && l.response.n_users == page) {
        l.response.next_page_token = admin_last(l.response.users[page - 1]->username);
    }
    admin_finish(job, err, &l.response.base);
}

void rpc_admin_update_user(struct admin_job *job)
{
    const ADMIN_PB(UpdateUserRequest) *m = (const ADMIN_PB(UpdateUserRequest) *)job->request;
    ADMIN_PB(UpdateUserResponse) response = CLINICWAVE__IDENTITY__V1__UPDATE_USER_RESPONSE__INIT;
    struct admin_user in;
    struct store_user user;
    user_message out;
    enum cw_err err = user_of(job, m->user, &in);
    if (err == CW_OK) {
        err = fields_of(m, &in.fields);
    }
    if (err == CW_OK) {
        err = admin_user_update(job->door->admin, &job->caller, cw_str(m->tenant), &in, &job->arena,
                                &user, &job->detail);
    }
    if (err == CW_OK) {
        err = fill_user(job, &user, &out);
    }
    response.user = &out;
    admin_finish(job, err, &response.base);
}

void rpc_admin_disable_user(struct admin_job *job)
{
    const ADMIN_PB(DisableUserRequest) *m = (const ADMIN_PB(DisableUserRequest) *)job->request;
    const ADMIN_PB(DisableUserResponse) response =
        CLINICWAVE__IDENTITY__V1__DISABLE_USER_RESPONSE__INIT;
    enum cw_err err = admin_user_set_disabled(job->door->admin, &job->caller, cw_str(m->tenant),
                                              cw_str(m->username), true);
    admin_finish(job, err, &response.base);
}

void rpc_admin_enable_user(struct admin_job *job)
{
    const ADMIN_PB(EnableUserRequest) *m = (const ADMIN_PB(EnableUserRequest) *)job->request;
    const ADMIN_PB(EnableUserResponse) response =
        CLINICWAVE__IDENTITY__V1__ENABLE_USER_RESPONSE__INIT;
    enum cw_err err = admin_user_set_disabled(job->door->admin, &job->caller, cw_str(m->tenant),
                                              cw_str(m->username), false);
    admin_finish(job, err, &response.base);
}

void rpc_admin_set_password(struct admin_job *job)
{
    const ADMIN_PB(SetPasswordRequest) *m = (const ADMIN_PB(SetPasswordRequest) *)job->request;
    const ADMIN_PB(SetPasswordResponse) response =
        CLINICWAVE__IDENTITY__V1__SET_PASSWORD_RESPONSE__INIT;
    enum cw_err err = admin_user_set_password(
        job->door->admin, &job->caller, cw_str(m->tenant), cw_str(m->username),
        (struct cw_str){(const char *)m->password.data, m->password.len}, &job->detail);
    admin_finish(job, err, &response.base);
}

/* --- sessions, revocation, keys --------------------------------------------------------- */

struct session_listing {
    struct admin_job *job;
    ADMIN_PB(ListUserSessionsResponse) response;
};

static enum cw_err list_session(void *ctx, const struct store_session *s)
{
    struct session_listing *l = ctx;
    session_message *m = cw_arena_alloc(&l->job->arena, sizeof(*m));
    void **place = admin_append(l->job, (void ***)&l->response.sessions, &l->response.n_sessions);
    ENSURE(m != NULL && place != NULL, CW_NO_MEMORY);
    *place = m;
    clinicwave__identity__v1__managed_session__init(m);
    m->session_id = admin_text(l->job, s->id);
    m->client_id = admin_text(l->job, s->client_id);
    m->device = admin_text(l->job, s->device);
    m->address = admin_text(l->job, s->address);
    ENSURE(m->session_id && m->client_id && m->device && m->address, CW_NO_MEMORY);
    m->started_at = s->started_at / 1000;
    m->used_at = s->used_at / 1000;
    m->expires_at = s->expires_at / 1000;
    return CW_OK;
}

void rpc_admin_list_user_sessions(struct admin_job *job)
{
    const ADMIN_PB(ListUserSessionsRequest) *m =
        (const ADMIN_PB(ListUserSessionsRequest) *)job->request;
    struct session_listing l = {
        .job = job, .response = CLINICWAVE__IDENTITY__V1__LIST_USER_SESSIONS_RESPONSE__INIT};
    enum cw_err err = admin_session_list(job->door->admin, &job->caller, cw_str(m->tenant),
                                         cw_str(m->username), list_session, &l);
    admin_finish(job, err, &l.response.base);
}

static enum cw_err target_of(const ADMIN_PB(RevokeRequest) * m,
                             enum store_revocation_kind *ret_kind, struct cw_str *ret_value)
{
    *ret_value = CW_STR("");
    switch (m->target_case) {
    case CLINICWAVE__IDENTITY__V1__REVOKE_REQUEST__TARGET_TOKEN_ID:
        *ret_kind = STORE_REVOKED_TOKEN;
        *ret_value = cw_str(m->token_id);
        return CW_OK;
    case CLINICWAVE__IDENTITY__V1__REVOKE_REQUEST__TARGET_SUBJECT:
        *ret_kind = STORE_REVOKED_SUBJECT;
        *ret_value = cw_str(m->subject);
        return CW_OK;
    case CLINICWAVE__IDENTITY__V1__REVOKE_REQUEST__TARGET_SESSION_ID:
        *ret_kind = STORE_REVOKED_SESSION;
        *ret_value = cw_str(m->session_id);
        return CW_OK;
    case CLINICWAVE__IDENTITY__V1__REVOKE_REQUEST__TARGET_ALL:
        *ret_kind = STORE_REVOKED_TENANT;
        return m->all ? CW_OK : CW_REQUEST_MALFORMED;
    case CLINICWAVE__IDENTITY__V1__REVOKE_REQUEST__TARGET__NOT_SET:
    default:
        return CW_REQUEST_MALFORMED;
    }
}

void rpc_admin_revoke(struct admin_job *job)
{
    const ADMIN_PB(RevokeRequest) *m = (const ADMIN_PB(RevokeRequest) *)job->request;
    ADMIN_PB(RevokeResponse) response = CLINICWAVE__IDENTITY__V1__REVOKE_RESPONSE__INIT;
    enum store_revocation_kind kind;
    struct cw_str value;
    enum cw_err err = target_of(m, &kind, &value);
    if (err == CW_OK) {
        err = admin_revoke(job->door->admin, &job->caller, cw_str(m->tenant), kind, value,
                           &response.sessions_ended);
    }
    admin_finish(job, err, &response.base);
}
