/* Unions of JSON arrays. A user has few of them, and most have none from groups, so that they are
 * read in one pass each and compared one by one. */
#include "authsvc/login/grants.h"

#include <string.h>

#include "common/jose/doc.h"

static enum cw_err append(struct cw_arena *arena, struct grants_list *list, struct cw_str word)
{
    list->bytes += word.n + sizeof("\"\",") - 1;
    ENSURE(list->bytes <= GRANTS_MAX, CW_NO_MEMORY); /* it would be refused in the end */
    if (list->n == list->room) {
        size_t room = list->room > 0 ? 2 * list->room : 8;
        struct cw_str *words = cw_arena_alloc(arena, room * sizeof(*words));
        ENSURE(words != NULL, CW_NO_MEMORY);
        if (list->n > 0) {
            memcpy(words, list->words, list->n * sizeof(*words));
        }
        list->words = words;
        list->room = room;
    }
    list->words[list->n++] = word;
    return CW_OK;
}

static enum cw_err append_new(struct cw_arena *arena, struct grants_list *list, struct cw_str word)
{
    for (size_t i = 0; i < list->n; i++) {
        if (cw_str_eq(list->words[i], word)) {
            return CW_OK;
        }
    }
    return append(arena, list, word);
}

static bool has_more_than_can_be_read(struct cw_str array)
{
    size_t commas = 0;
    for (size_t i = 0; i < array.n; i++) {
        commas += array.p[i] == ',';
    }
    return commas >= CW_DOC_VALUES_MAX;
}

/* The validator's reader wants an object. */
static enum cw_err read_array(struct cw_arena *arena, struct cw_str array,
                              const struct cw_doc_value **ret_array)
{
    static const char head[] = "{\"a\":";
    ENSURE(array.n <= GRANTS_TEXT_MAX, CW_NO_MEMORY);
    size_t n = sizeof(head) - 1 + array.n + 1;
    char *text = cw_arena_alloc(arena, n);
    ENSURE(text != NULL, CW_NO_MEMORY);
    memcpy(text, head, sizeof(head) - 1);
    memcpy(text + sizeof(head) - 1, array.p, array.n);
    text[n - 1] = '}';
    const struct cw_doc_value *object = NULL;
    enum cw_err err = cw_doc_parse(text, n, CW_STORE_UNAVAILABLE, arena, &object); /* damaged */
    ENSURE(err != CW_STORE_UNAVAILABLE || !has_more_than_can_be_read(array), CW_NO_MEMORY);
    TRY(err);
    *ret_array = cw_doc_get(object, CW_STR("a"));
    return object->n == 1 && cw_doc_is(*ret_array, CW_DOC_ARRAY) ? CW_OK : CW_STORE_UNAVAILABLE;
}

static enum cw_err add_all(struct cw_arena *arena, struct grants_list *list, struct cw_str array)
{
    if (cw_str_is(array, "[]")) {
        return CW_OK;
    }
    const struct cw_doc_value *value = NULL;
    TRY(read_array(arena, array, &value));
    const struct cw_doc_value *each = cw_doc_first(value);
    for (size_t i = 0; i < value->n; i++, each = cw_doc_next(each)) {
        if (cw_doc_is(each, CW_DOC_STRING)) {
            TRY(append_new(arena, list, cw_doc_str(each)));
        }
    }
    return CW_OK;
}

void grants_sum_init(struct grants_sum *sum)
{
    *sum = (struct grants_sum){.arena = CW_ARENA_INIT(GRANTS_ARENA_MAX)};
    sum->arena.block = GRANTS_ARENA_BLOCK;
}

void grants_sum_done(struct grants_sum *sum)
{
    cw_arena_done(&sum->arena);
}

enum cw_err grants_sum_add(void *ctx, const struct store_group *group)
{
    struct grants_sum *sum = ctx;
    TRY(add_all(&sum->arena, &sum->roles, group->roles));
    TRY(add_all(&sum->arena, &sum->permissions, group->permissions));
    char *name = cw_arena_dup(&sum->arena, group->name);
    ENSURE(name != NULL, CW_NO_MEMORY);
    return append(&sum->arena, &sum->groups, (struct cw_str){name, group->name.n});
}

static enum cw_err write_list(const struct grants_list *list, struct cw_buf *ret_json)
{
    cw_buf_add_char(ret_json, '[');
    for (size_t i = 0; i < list->n; i++) {
        cw_buf_add_cstr(ret_json, i > 0 ? "," : "");
        cw_buf_add_json(ret_json, list->words[i]);
    }
    cw_buf_add_char(ret_json, ']');
    return cw_buf_check(ret_json);
}

/* The user's own, then what the groups have beside them. */
static enum cw_err write_union(struct cw_arena *arena, struct cw_str own,
                               const struct grants_list *more, struct cw_buf *ret_json)
{
    struct grants_list all = {0};
    TRY(add_all(arena, &all, own));
    for (size_t i = 0; i < more->n; i++) {
        TRY(append_new(arena, &all, more->words[i]));
    }
    return write_list(&all, ret_json);
}

static void grants_init(struct grants *grants)
{
    *grants = (struct grants){
        .roles = CW_BUF_INIT(GRANTS_MAX),
        .permissions = CW_BUF_INIT(GRANTS_MAX),
        .groups = CW_BUF_INIT(GRANTS_MAX),
    };
}

enum cw_err grants_sum_end(struct grants_sum *sum, const struct store_user *user,
                           struct grants *ret_grants)
{
    grants_init(ret_grants);
    TRY(write_union(&sum->arena, user->roles, &sum->roles, &ret_grants->roles));
    TRY(write_union(&sum->arena, user->permissions, &sum->permissions, &ret_grants->permissions));
    return write_list(&sum->groups, &ret_grants->groups);
}

enum cw_err grants_read(struct store *store, struct cw_str tenant, const struct store_user *user,
                        struct grants *ret_grants)
{
    struct grants_sum sum;
    grants_init(ret_grants);
    grants_sum_init(&sum);
    enum cw_err err = store_groups_of(store, tenant, user->subject, grants_sum_add, &sum);
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
