/* What the files of the administration share. */
#ifndef AUTHSVC_ADMIN_ADMIN_IMPL_H
#define AUTHSVC_ADMIN_ADMIN_IMPL_H

#include "authsvc/admin/admin.h"

struct admin {
    struct admin_deps deps;
};

/* One call on its way: who, where, what. */
struct admin_act {
    struct admin *admin;
    const struct admin_caller *caller;
    struct cw_str tenant;  /* name */
    struct cw_str subject; /* of the administrator */
    struct cw_arena arena;
    struct tenant_set *set; /* a reference, after admin_act_open */
    const struct tenant *found;
};

struct admin_act admin_act_of(struct admin *admin, const struct admin_caller *caller,
                              struct cw_str tenant);
void admin_act_done(struct admin_act *act);
/* Local callers only. */
CW_MUST_USE enum cw_err admin_act_operator(struct admin_act *act);
/* Local callers, and the tenant's administrators; the tenant is there: `found`. */
CW_MUST_USE enum cw_err admin_act_open(struct admin_act *act);
/* Tells the audit log. Returns err. */
enum cw_err admin_act_tell(const struct admin_act *act, const char *action, struct cw_str target,
                           const struct cw_buf *detail, enum cw_err err);
/* As admin_act_open; CW_IDP_MANAGED where the users are an identity provider's. */
CW_MUST_USE enum cw_err admin_act_database(struct admin_act *act);
/* A user name as it is found by, in the arena. */
CW_MUST_USE enum cw_err admin_username(struct cw_arena *arena, struct cw_str typed,
                                       struct cw_str *ret_name);
/* A JSON array of strings, in the arena; CW_REQUEST_MALFORMED where one cannot be a role. */
CW_MUST_USE enum cw_err admin_list_json(struct cw_arena *arena, const struct cw_str *list, size_t n,
                                        struct cw_str *ret_json);
/* The sidecars shall know of it before the answer. */
void admin_act_revoked(const struct admin_act *act);

#endif
