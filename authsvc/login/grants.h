/* What a user may do: its own roles and permissions, and those of its groups. */
#ifndef AUTHSVC_LOGIN_GRANTS_H
#define AUTHSVC_LOGIN_GRANTS_H

#include "authsvc/login/login.h"
#include "common/base/arena.h"

enum {
    GRANTS_MAX = 12 * 1024,      /* bytes of a union: it must fit into a token */
    GRANTS_TEXT_MAX = 15 * 1024, /* bytes of a user's or a group's array */
    GRANTS_ARENA_MAX = 4 << 20,  /* bytes for the arrays of a user and all its groups */
    GRANTS_ARENA_BLOCK = 960,    /* bytes at a time: what malloc hands out without searching */
};

/* JSON arrays of strings, without duplicates: the user's own first, then the groups' in the order
 * of their names. */
struct grants {
    struct cw_buf roles;
    struct cw_buf permissions;
    struct cw_buf groups;
};

/* A union in the making: the groups come one by one, as the store reads them. */
struct grants_list {
    struct cw_str *words;
    size_t n;
    size_t room;
    size_t bytes; /* of them as they are written */
};
struct grants_sum {
    struct cw_arena arena; /* of all that is in the lists */
    struct grants_list roles;
    struct grants_list permissions;
    struct grants_list groups;
};
void grants_sum_init(struct grants_sum *sum);
void grants_sum_done(struct grants_sum *sum);
/* A store_group_fn; ctx is the sum. CW_NO_MEMORY as soon as it is larger than GRANTS_MAX: others
 * wait meanwhile, and each word is compared with all. */
CW_MUST_USE enum cw_err grants_sum_add(void *ctx, const struct store_group *group);
/* The union, with the user's own. As grants_read. */
CW_MUST_USE enum cw_err grants_sum_end(struct grants_sum *sum, const struct store_user *user,
                                       struct grants *ret_grants);

/* CW_NO_MEMORY also where a union is larger than GRANTS_MAX, an array than GRANTS_TEXT_MAX, or an
 * array has more than CW_DOC_VALUES_MAX strings (common/jose/doc.h). grants_done after any outcome.
 */
CW_MUST_USE enum cw_err grants_read(struct store *store, struct cw_str tenant,
                                    const struct store_user *user, struct grants *ret_grants);
void grants_done(struct grants *grants);

#endif
