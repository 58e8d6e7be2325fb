/* Unions of JSON arrays. */
#include "authsvc/login/grants.h"

#include <jansson.h>
#include <stdlib.h>

struct gathering {
    json_t *roles;
    json_t *permissions;
    json_t *groups;
};

static bool has(const json_t *list, const json_t *value)
{
    size_t i;
    json_t *each;
    json_array_foreach(list, i, each)
    {
        if (json_equal(each, value)) {
            return true;
        }
    }
    return false;
}

static enum cw_err add_all(json_t *list, struct cw_str array)
{
    json_t *more = json_loadb(array.p, array.n, 0, NULL);
    enum cw_err err = json_is_array(more) ? CW_OK : CW_STORE_UNAVAILABLE; /* a damaged row */
    size_t i;
    json_t *each;
    json_array_foreach(more, i, each)
    {
        if (err == CW_OK && json_is_string(each) && !has(list, each)) {
            err = json_array_append(list, each) == 0 ? CW_OK : CW_NO_MEMORY;
        }
    }
    json_decref(more);
    return err;
}

static enum cw_err add_group(void *ctx, const struct store_group *group)
{
    struct gathering *g = ctx;
    TRY(add_all(g->roles, group->roles));
    TRY(add_all(g->permissions, group->permissions));
    json_t *name = json_stringn(group->name.p, group->name.n);
    return json_array_append_new(g->groups, name) == 0 ? CW_OK : CW_NO_MEMORY;
}

static enum cw_err write_list(const json_t *list, struct cw_buf *ret_json)
{
    char *text = json_dumps(list, JSON_COMPACT);
    ENSURE(text != NULL, CW_NO_MEMORY);
    cw_buf_add_cstr(ret_json, text);
    free(text);
    return cw_buf_check(ret_json);
}

static enum cw_err gather(struct store *store, struct cw_str tenant, const struct store_user *user,
                          struct gathering *g, struct grants *grants)
{
    ENSURE(g->roles != NULL && g->permissions != NULL && g->groups != NULL, CW_NO_MEMORY);
    TRY(add_all(g->roles, user->roles));
    TRY(add_all(g->permissions, user->permissions));
    TRY(store_groups_of(store, tenant, user->subject, add_group, g));
    TRY(write_list(g->roles, &grants->roles));
    TRY(write_list(g->permissions, &grants->permissions));
    return write_list(g->groups, &grants->groups);
}

enum cw_err grants_read(struct store *store, struct cw_str tenant, const struct store_user *user,
                        struct grants *ret_grants)
{
    *ret_grants = (struct grants){
        .roles = CW_BUF_INIT(GRANTS_MAX),
        .permissions = CW_BUF_INIT(GRANTS_MAX),
        .groups = CW_BUF_INIT(GRANTS_MAX),
    };
    struct gathering g = {json_array(), json_array(), json_array()};
    enum cw_err err = gather(store, tenant, user, &g, ret_grants);
    json_decref(g.roles);
    json_decref(g.permissions);
    json_decref(g.groups);
    return err;
}

void grants_done(struct grants *grants)
{
    cw_buf_done(&grants->roles);
    cw_buf_done(&grants->permissions);
    cw_buf_done(&grants->groups);
}
