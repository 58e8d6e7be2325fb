/* Groups of database tenants. */
#include "authsvc/admin/admin_impl.h"

enum { NAME_MAX_BYTES = 256, DESCRIPTION_MAX = 1024 };

static bool text_ok(struct cw_str s, size_t max)
{
    bool ok = s.n <= max && cw_str_is_utf8(s);
    for (size_t i = 0; ok && i < s.n; i++) {
        ok = (unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7f;
    }
    return ok;
}

static enum cw_err put(struct admin_act *act, const struct admin_group *in)
{
    TRY(admin_act_database(act));
    ENSURE(in->name.n > 0 && text_ok(in->name, NAME_MAX_BYTES) &&
               cw_str_find(in->name, ',') == in->name.n &&
               text_ok(in->description, DESCRIPTION_MAX),
           CW_REQUEST_MALFORMED);
    struct store_group group = {.name = in->name, .description = in->description};
    TRY(admin_list_json(&act->arena, in->roles, in->n_roles, &group.roles));
    TRY(admin_list_json(&act->arena, in->permissions, in->n_permissions, &group.permissions));
    return store_group_put(act->admin->deps.store, act->found->name, &group);
}

enum cw_err admin_group_put(struct admin *admin, const struct admin_caller *caller,
                            struct cw_str tenant, const struct admin_group *group)
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    enum cw_err err = put(&act, group);
    err = admin_act_tell(&act, "group-put", group->name, NULL, err);
    admin_act_done(&act);
    return err;
}

enum cw_err admin_group_remove(struct admin *admin, const struct admin_caller *caller,
                               struct cw_str tenant, struct cw_str name)
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    enum cw_err err = admin_act_database(&act);
    if (err == CW_OK) {
        err = store_group_remove(admin->deps.store, act.found->name, name);
    }
    err = admin_act_tell(&act, "group-removed", name, NULL, err);
    admin_act_done(&act);
    return err;
}

enum cw_err admin_group_list(struct admin *admin, const struct admin_caller *caller,
                             struct cw_str tenant, struct cw_str after, int64_t max,
                             store_group_fn *each, void *ctx)
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    enum cw_err err = admin_act_database(&act);
    if (err == CW_OK) {
        err = store_group_list(admin->deps.store, act.found->name, after, max, each, ctx);
    }
    admin_act_done(&act);
    return err;
}

static enum cw_err set_member(struct admin_act *act, struct cw_str group, struct cw_str username,
                              bool member)
{
    struct cw_str name;
    struct store *store = act->admin->deps.store;
    TRY(admin_act_database(act));
    TRY(admin_username(&act->arena, username, &name));
    return member ? store_member_add(store, act->found->name, group, name)
                  : store_member_remove(store, act->found->name, group, name);
}

enum cw_err admin_group_set_member(struct admin *admin, const struct admin_caller *caller,
                                   struct cw_str tenant, struct cw_str group,
                                   struct cw_str username, bool member)
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    enum cw_err err = set_member(&act, group, username, member);
    err = admin_act_tell(&act, member ? "group-member-added" : "group-member-removed", username,
                         NULL, err);
    admin_act_done(&act);
    return err;
}

enum cw_err admin_group_members(struct admin *admin, const struct admin_caller *caller,
                                struct cw_str tenant, struct cw_str group, struct cw_str after,
                                int64_t max, enum cw_err (*each)(void *ctx, struct cw_str username),
                                void *ctx)
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    enum cw_err err = admin_act_database(&act);
    if (err == CW_OK) {
        err = store_member_list(admin->deps.store, act.found->name, group, after, max, each, ctx);
    }
    admin_act_done(&act);
    return err;
}
