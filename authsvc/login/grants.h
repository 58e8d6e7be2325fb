/* What a user may do: its own roles and permissions, and those of its groups. */
#ifndef AUTHSVC_LOGIN_GRANTS_H
#define AUTHSVC_LOGIN_GRANTS_H

#include <jansson.h>

#include "authsvc/login/login.h"

enum {
    GRANTS_MAX = 12 * 1024, /* bytes of a union: it must fit into a token */
};

/* JSON arrays of strings, without duplicates: the user's own first, then the groups' in the order
 * of their names. */
struct grants {
    struct cw_buf roles;
    struct cw_buf permissions;
    struct cw_buf groups;
};

/* A union in the making: the groups come one by one, as the store reads them. */
struct grants_sum {
    json_t *roles;
    json_t *permissions;
    json_t *groups;
};
CW_MUST_USE enum cw_err grants_sum_init(struct grants_sum *sum);
void grants_sum_done(struct grants_sum *sum);
/* A store_group_fn; ctx is the sum. */
CW_MUST_USE enum cw_err grants_sum_add(void *ctx, const struct store_group *group);
/* The union, with the user's own. As grants_read. */
CW_MUST_USE enum cw_err grants_sum_end(const struct grants_sum *sum, const struct store_user *user,
                                       struct grants *ret_grants);

/* CW_NO_MEMORY also where a union is larger than GRANTS_MAX. grants_done after any outcome. */
CW_MUST_USE enum cw_err grants_read(struct store *store, struct cw_str tenant,
                                    const struct store_user *user, struct grants *ret_grants);
void grants_done(struct grants *grants);

#endif
