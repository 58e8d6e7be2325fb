/* AdminService: reset codes, expiry, second factors, groups. */
#include "authsvc/rpc/admin_impl.h"

typedef ADMIN_PB(ManagedGroup) group_message;

/* --- passwords and second factors ------------------------------------------------------- */

void rpc_admin_issue_password_reset(struct admin_job *job)
{
    const ADMIN_PB(IssuePasswordResetRequest) *m =
        (const ADMIN_PB(IssuePasswordResetRequest) *)job->request;
    ADMIN_PB(IssuePasswordResetResponse)
    response = CLINICWAVE__IDENTITY__V1__ISSUE_PASSWORD_RESET_RESPONSE__INIT;
    char code[CODE_TEXT_SIZE] = "";
    bool fits = m->life_seconds >= 0 && m->life_seconds <= RESET_LIFE_MAX_MS / 1000;
    enum cw_err err =
        fits ? admin_user_reset_password(job->door->admin, &job->caller, cw_str(m->tenant),
                                         cw_str(m->username), m->life_seconds * 1000, code)
             : CW_REQUEST_MALFORMED;
    response.code = (ProtobufCBinaryData){cw_str(code).n, (uint8_t *)code};
    admin_finish(job, err, &response.base);
    cw_secret_wipe(code, sizeof(code));
}

void rpc_admin_expire_password(struct admin_job *job)
{
    const ADMIN_PB(ExpirePasswordRequest) *m =
        (const ADMIN_PB(ExpirePasswordRequest) *)job->request;
    const ADMIN_PB(ExpirePasswordResponse) response =
        CLINICWAVE__IDENTITY__V1__EXPIRE_PASSWORD_RESPONSE__INIT;
    enum cw_err err = admin_user_expire_password(job->door->admin, &job->caller, cw_str(m->tenant),
                                                 cw_str(m->username));
    admin_finish(job, err, &response.base);
}

void rpc_admin_reset_mfa(struct admin_job *job)
{
    const ADMIN_PB(ResetMfaRequest) *m = (const ADMIN_PB(ResetMfaRequest) *)job->request;
    const ADMIN_PB(ResetMfaResponse) response = CLINICWAVE__IDENTITY__V1__RESET_MFA_RESPONSE__INIT;
    enum cw_err err = admin_user_reset_mfa(job->door->admin, &job->caller, cw_str(m->tenant),
                                           cw_str(m->username));
    admin_finish(job, err, &response.base);
}

/* --- groups ----------------------------------------------------------------------------- */

void rpc_admin_put_group(struct admin_job *job)
{
    const ADMIN_PB(PutGroupRequest) *m = (const ADMIN_PB(PutGroupRequest) *)job->request;
    const ADMIN_PB(PutGroupResponse) response = CLINICWAVE__IDENTITY__V1__PUT_GROUP_RESPONSE__INIT;
    struct admin_group group = {.name = CW_STR("")};
    enum cw_err err = m->group != NULL ? CW_OK : CW_REQUEST_MALFORMED;
    if (err == CW_OK) {
        group.name = cw_str(m->group->name);
        group.description = cw_str(m->group->description);
        group.n_roles = m->group->n_roles;
        group.n_permissions = m->group->n_permissions;
        err = admin_strings(job, m->group->roles, group.n_roles, &group.roles);
    }
    if (err == CW_OK) {
        err = admin_strings(job, m->group->permissions, group.n_permissions, &group.permissions);
    }
    if (err == CW_OK) {
        err = admin_group_put(job->door->admin, &job->caller, cw_str(m->tenant), &group);
    }
    admin_finish(job, err, &response.base);
}

void rpc_admin_remove_group(struct admin_job *job)
{
    const ADMIN_PB(RemoveGroupRequest) *m = (const ADMIN_PB(RemoveGroupRequest) *)job->request;
    const ADMIN_PB(RemoveGroupResponse) response =
        CLINICWAVE__IDENTITY__V1__REMOVE_GROUP_RESPONSE__INIT;
    enum cw_err err =
        admin_group_remove(job->door->admin, &job->caller, cw_str(m->tenant), cw_str(m->name));
    admin_finish(job, err, &response.base);
}

struct group_listing {
    struct admin_job *job;
    ADMIN_PB(ListGroupsResponse) response;
};

static enum cw_err list_group(void *ctx, const struct store_group *group)
{
    struct group_listing *l = ctx;
    struct admin_job *job = l->job;
    group_message *m = cw_arena_alloc(&job->arena, sizeof(*m));
    void **place = admin_append(job, (void ***)&l->response.groups, &l->response.n_groups);
    ENSURE(m != NULL && place != NULL, CW_NO_MEMORY);
    *place = m;
    clinicwave__identity__v1__managed_group__init(m);
    m->name = admin_text(job, group->name);
    m->description = admin_text(job, group->description);
    ENSURE(m->name != NULL && m->description != NULL, CW_NO_MEMORY);
    TRY(admin_list(job, group->roles, &m->roles, &m->n_roles));
    return admin_list(job, group->permissions, &m->permissions, &m->n_permissions);
}

void rpc_admin_list_groups(struct admin_job *job)
{
    const ADMIN_PB(ListGroupsRequest) *m = (const ADMIN_PB(ListGroupsRequest) *)job->request;
    struct group_listing l = {.job = job,
                              .response = CLINICWAVE__IDENTITY__V1__LIST_GROUPS_RESPONSE__INIT};
    size_t page = admin_page(m->page_size);
    enum cw_err err = admin_group_list(job->door->admin, &job->caller, cw_str(m->tenant),
                                       admin_bytes(m->page_token), (int64_t)page, list_group, &l);
    if (err == CW_OK && l.response.n_groups == page) {
        l.response.next_page_token = admin_last(l.response.groups[page - 1]->name);
    }
    admin_finish(job, err, &l.response.base);
}

void rpc_admin_add_group_member(struct admin_job *job)
{
    const ADMIN_PB(AddGroupMemberRequest) *m =
        (const ADMIN_PB(AddGroupMemberRequest) *)job->request;
    const ADMIN_PB(AddGroupMemberResponse) response =
        CLINICWAVE__IDENTITY__V1__ADD_GROUP_MEMBER_RESPONSE__INIT;
    enum cw_err err = admin_group_set_member(job->door->admin, &job->caller, cw_str(m->tenant),
                                             cw_str(m->group), cw_str(m->username), true);
    admin_finish(job, err, &response.base);
}

void rpc_admin_remove_group_member(struct admin_job *job)
{
    const ADMIN_PB(RemoveGroupMemberRequest) *m =
        (const ADMIN_PB(RemoveGroupMemberRequest) *)job->request;
    const ADMIN_PB(RemoveGroupMemberResponse) response =
        CLINICWAVE__IDENTITY__V1__REMOVE_GROUP_MEMBER_RESPONSE__INIT;
    enum cw_err err = admin_group_set_member(job->door->admin, &job->caller, cw_str(m->tenant),
                                             cw_str(m->group), cw_str(m->username), false);
    admin_finish(job, err, &response.base);
}

struct member_listing {
    struct admin_job *job;
    ADMIN_PB(ListGroupMembersResponse) response;
};

static enum cw_err list_member(void *ctx, struct cw_str username)
{
    struct member_listing *l = ctx;
    char *name = admin_text(l->job, username);
    void **place = admin_append(l->job, (void ***)&l->response.usernames, &l->response.n_usernames);
    ENSURE(name != NULL && place != NULL, CW_NO_MEMORY);
    *place = name;
    return CW_OK;
}

void rpc_admin_list_group_members(struct admin_job *job)
{
    const ADMIN_PB(ListGroupMembersRequest) *m =
        (const ADMIN_PB(ListGroupMembersRequest) *)job->request;
    struct member_listing l = {
        .job = job, .response = CLINICWAVE__IDENTITY__V1__LIST_GROUP_MEMBERS_RESPONSE__INIT};
    size_t page = admin_page(m->page_size);
    enum cw_err err =
        admin_group_members(job->door->admin, &job->caller, cw_str(m->tenant), cw_str(m->group),
                            admin_bytes(m->page_token), (int64_t)page, list_member, &l);
    if (err == CW_OK && l.response.n_usernames == page) {
        l.response.next_page_token = admin_last(l.response.usernames[page - 1]);
    }
    admin_finish(job, err, &l.response.base);
}
