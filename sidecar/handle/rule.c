/* Rules are copied out of their messages, since a stream's rules outlive the message that defined
 * them. */
#include "sidecar/handle/rule.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"

enum { RULE_BYTES_MAX = 64 * 1024 };

static struct rule none = {.refs = 1};

struct rule *rule_none(void)
{
    return &none;
}

struct rule *rule_ref(struct rule *rule)
{
    if (rule != &none) {
        __atomic_fetch_add(&rule->refs, 1, __ATOMIC_RELAXED);
    }
    return rule;
}

static void free_list(struct cw_str_list *list)
{
    free(list->items);
}

void rule_unref(struct rule *rule)
{
    if (!rule || rule == &none || __atomic_sub_fetch(&rule->refs, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    free_list(&rule->requirement.audiences);
    free_list(&rule->requirement.scopes_all);
    free_list(&rule->requirement.scopes_any);
    free_list(&rule->requirement.roles_any);
    free_list(&rule->requirement.roles_all);
    free_list(&rule->claims);
    free(rule->memory);
    free(rule);
}

/* Strings go into `text`; items keep offsets until it stops moving. */
static enum cw_err add_list(char *const *values, size_t n, struct cw_buf *text,
                            struct cw_str_list *ret)
{
    ENSURE(n <= RULE_LIST_MAX, CW_REQUEST_MALFORMED);
    if (n == 0) {
        return CW_OK;
    }
    ret->items = calloc(n, sizeof(*ret->items));
    ENSURE(ret->items, CW_NO_MEMORY);
    ret->n = n;
    for (size_t i = 0; i < n; i++) {
        struct cw_str value = cw_str(values[i]);
        ENSURE(value.n > 0 && cw_str_is_utf8(value), CW_REQUEST_MALFORMED);
        ret->items[i] = (struct cw_str){(const char *)(uintptr_t)text->n, value.n};
        cw_buf_add_str(text, value);
    }
    return CW_OK;
}

static void place(struct cw_str_list *list, const char *memory)
{
    for (size_t i = 0; i < list->n; i++) {
        list->items[i].p = memory + (uintptr_t)list->items[i].p;
    }
}

/* RFC 6750 §3: all of `all`, and the first of `any`, would have been enough. */
static struct cw_str add_scope(const Clinicwave__Token__V1__Requirement *requirement,
                               struct cw_buf *text)
{
    size_t begin = text->n;

    for (size_t i = 0; i < requirement->n_scopes_all; i++) {
        cw_buf_addf(text, "%s%s", i ? " " : "", requirement->scopes_all[i]);
    }
    if (requirement->n_scopes_any) {
        cw_buf_addf(text, "%s%s", text->n > begin ? " " : "", requirement->scopes_any[0]);
    }
    return (struct cw_str){(const char *)(uintptr_t)begin, text->n - begin};
}

static enum cw_err fill(struct rule *rule, const Clinicwave__Token__V1__Requirement *from,
                        char *const *claims, size_t n_claims, struct cw_buf *text)
{
    struct policy_requirement *to = &rule->requirement;
    struct cw_str_list *lists[] = {&to->audiences, &to->scopes_all, &to->scopes_any,
                                   &to->roles_any, &to->roles_all,  &rule->claims};

    for (size_t i = 0; i < n_claims; i++) {
        rule->all_claims = rule->all_claims || strcmp(claims[i], "*") == 0;
    }
    TRY(add_list(claims, n_claims, text, &rule->claims));
    if (from) {
        TRY(add_list(from->audiences, from->n_audiences, text, &to->audiences));
        TRY(add_list(from->scopes_all, from->n_scopes_all, text, &to->scopes_all));
        TRY(add_list(from->scopes_any, from->n_scopes_any, text, &to->scopes_any));
        TRY(add_list(from->roles_any, from->n_roles_any, text, &to->roles_any));
        TRY(add_list(from->roles_all, from->n_roles_all, text, &to->roles_all));
        rule->required_scope = add_scope(from, text);
    }
    cw_buf_add_char(text, '\0');
    ENSURE(!text->failed, CW_REQUEST_MALFORMED);
    rule->memory = cw_buf_take(text);
    ENSURE(rule->memory, CW_NO_MEMORY);
    for (size_t i = 0; i < CW_ARRAY_SIZE(lists); i++) {
        place(lists[i], rule->memory);
    }
    rule->required_scope.p = rule->memory + (uintptr_t)rule->required_scope.p;
    return CW_OK;
}

enum cw_err rule_new(const Clinicwave__Token__V1__Requirement *requirement, char *const *claims,
                     size_t n_claims, struct rule **ret_rule)
{
    struct cw_buf text CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(RULE_BYTES_MAX);
    struct rule *rule = calloc(1, sizeof(*rule));

    ENSURE(rule, CW_NO_MEMORY);
    rule->refs = 1;
    enum cw_err err = fill(rule, requirement, claims, n_claims, &text);
    if (err != CW_OK) {
        rule_unref(rule);
        return err;
    }
    *ret_rule = rule;
    return CW_OK;
}
