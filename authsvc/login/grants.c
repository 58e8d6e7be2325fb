/* Unions of JSON arrays. */
#include "authsvc/login/grants.h"

#include <stdlib.h>

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

static enum cw_err merge(json_t *list, const json_t *more)
{
    size_t i;
    json_t *each;
    json_array_foreach(more, i, each)
    {
        if (json_is_string(each) && !has(list, each)) {
            ENSURE(json_array_append(list, each) == 0, CW_NO_MEMORY);
        }
    }
    return CW_OK;
}

static enum cw_err add_all(json_t *list, struct cw_str array)
{
    json_t *more = json_loadb(array.p, array.n, 0, NULL);
    enum cw_err err = json_is_array(more) ? merge(list, more) : CW_STORE_UNAVAILABLE; /* damaged */
    json_decref(more);
    return err;
}

enum cw_err grants_sum_init(struct grants_sum *sum)
{
    *sum = (struct grants_sum){json_array(), json_array(), json_array()};
    return sum->roles != NULL && sum->permissions != NULL && sum->groups != NULL ? CW_OK
                                                                                 : CW_NO_MEMORY;
}

void grants_sum_done(struct grants_sum *sum)
{
    json_decref(sum->roles);
    json_decref(sum->permissions);
    json_decref(sum->groups);
}

enum cw_err grants_sum_add(void *ctx, const struct store_group *group)
{
    struct grants_sum *sum = ctx;
    TRY(add_all(sum->roles, group->roles));
    TRY(add_all(sum->permissions, group->permissions));
    json_t *name = json_stringn(group->name.p, group->name.n);
    return json_array_append_new(sum->groups, name) == 0 ? CW_OK : CW_NO_MEMORY;
}

static enum cw_err write_list(const json_t *list, struct cw_buf *ret_json)
{
    char *text = json_dumps(list, JSON_COMPACT);
    ENSURE(text != NULL, CW_NO_MEMORY);
    cw_buf_add_cstr(ret_json, text);
    free(text);
    return cw_buf_check(ret_json);
}

/* The user's own, then what the groups have beside them. */
static enum cw_err write_union(struct cw_str own, const json_t *more, struct cw_buf *ret_json)
{
    json_t *all = json_array();
    enum cw_err err = all != NULL ? add_all(all, own) : CW_NO_MEMORY;
    err = err == CW_OK ? merge(all, more) : err;
    err = err == CW_OK ? write_list(all, ret_json) : err;
    json_decref(all);
    return err;
}

static void grants_init(struct grants *grants)
{
    *grants = (struct grants){
        .roles = CW_BUF_INIT(GRANTS_MAX),
        .permissions = CW_BUF_INIT(GRANTS_MAX),
        .groups = CW_BUF_INIT(GRANTS_MAX),
    };
}

enum cw_err grants_sum_end(const struct grants_sum *sum, const struct store_user *user,
                           struct grants *ret_grants)
{
    grants_init(ret_grants);
    TRY(write_union(user->roles, sum->roles, &ret_grants->roles));
    TRY(write_union(user->permissions, sum->permissions, &ret_grants->permissions));
    return write_list(sum->groups, &ret_grants->groups);
}

enum cw_err grants_read(struct store *store, struct cw_str tenant, const struct store_user *user,
                        struct grants *ret_grants)
{
    struct grants_sum sum;
    grants_init(ret_grants);
    enum cw_err err = grants_sum_init(&sum);
    err = err == CW_OK ? store_groups_of(store, tenant, user->subject, grants_sum_add, &sum) : err;
    err = err == CW_OK ? grants_sum_end(&sum, user, ret_grants) : err;
    grants_sum_done(&sum);
    return err;
}

void grants_done(struct grants *grants)
{
    cw_buf_done(&grants->roles);
    cw_buf_done(&grants->permissions);
    cw_buf_done(&grants->groups);
}
