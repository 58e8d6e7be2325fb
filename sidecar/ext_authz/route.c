/* A route that names no rule is closed, and so is one whose rule cannot be followed to the letter:
 * a key that is not known may have been meant as a demand. */
#include "sidecar/ext_authz/route.h"

enum { WORDS_MAX = 3, SHOWN_MAX = 64 };

enum kind { WORD, TEXT, LIST };

/* In the order of the table. */
enum key { AUTH, AUTHORIZATION, AMBIGUOUS_PATH, REALM, AUDIENCE, SCOPE, SCOPE_ANY, ROLE, ROLE_ALL };

enum { KEYS = ROLE_ALL + 1, FIRST_LIST = AUDIENCE, LISTS = KEYS - FIRST_LIST };

static const struct {
    const char *name;
    enum kind kind;
    char separator;               /* of a LIST */
    const char *words[WORDS_MAX]; /* of a WORD; what they stand for counts from 1 */
} keys[KEYS] = {
    [AUTH] = {"cw_auth", WORD, 0, {"required", "optional", "off"}},
    [AUTHORIZATION] = {"cw_authorization", WORD, 0, {"strip", "pass"}},
    [AMBIGUOUS_PATH] = {"cw_ambiguous_path", WORD, 0, {"refuse", "allow"}},
    [REALM] = {"cw_realm", TEXT, 0, {0}},
    /* Divided as in the headers that a service gets. */
    [AUDIENCE] = {"cw_audience", LIST, ' ', {0}},
    [SCOPE] = {"cw_scope", LIST, ' ', {0}},
    [SCOPE_ANY] = {"cw_scope_any", LIST, ' ', {0}},
    [ROLE] = {"cw_role", LIST, ',', {0}},
    [ROLE_ALL] = {"cw_role_all", LIST, ',', {0}},
};

struct list {
    char *items[RULE_LIST_MAX];
    size_t n;
};

struct reading {
    struct cw_arena *arena;
    struct cw_buf *why;
    bool seen[KEYS];
    unsigned words[KEYS]; /* 0: not said */
    struct cw_str realm;
    struct list lists[LISTS];
};

bool route_is_quotable(struct cw_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        ENSURE(s.p[i] >= 0x20 && s.p[i] < 0x7f && s.p[i] != '"' && s.p[i] != '\\', false);
    }
    return true;
}

static enum cw_err bad(struct reading *reading, struct cw_str key, struct cw_str value,
                       const char *what)
{
    struct cw_str shown = cw_str_slice(value, 0, SHOWN_MAX);

    key = cw_str_slice(key, 0, SHOWN_MAX);
    cw_buf_addf(reading->why, "%.*s: \"%.*s\" %s", CW_STR_ARG(key), CW_STR_ARG(shown), what);
    return CW_CONFIG_INVALID;
}

static enum cw_err read_word(struct reading *reading, enum key key, struct cw_str value)
{
    for (unsigned i = 0; i < WORDS_MAX && keys[key].words[i]; i++) {
        if (cw_str_is(value, keys[key].words[i])) {
            reading->words[key] = i + 1;
            return CW_OK;
        }
    }
    return bad(reading, cw_str(keys[key].name), value, "is none of its words");
}

static enum cw_err read_list(struct reading *reading, enum key key, struct cw_str value)
{
    struct list *list = &reading->lists[key - FIRST_LIST];
    char separator = keys[key].separator;
    struct cw_str rest = value;

    for (bool more = true; more;) {
        size_t end = cw_str_find(rest, separator);
        struct cw_str item = cw_str_trim(cw_str_slice(rest, 0, end));
        more = end < rest.n;
        rest = cw_str_slice(rest, end + 1, rest.n);
        if (item.n == 0 && separator == ' ' && (more || list->n > 0)) {
            continue; /* several spaces are one */
        }
        if (item.n == 0 || list->n == RULE_LIST_MAX) {
            return bad(reading, cw_str(keys[key].name), value,
                       item.n ? "has too many items" : "has an empty item");
        }
        list->items[list->n] = cw_arena_dup(reading->arena, item);
        ENSURE(list->items[list->n], CW_NO_MEMORY);
        list->n++;
    }
    return CW_OK;
}

static enum cw_err read_value(struct reading *reading, enum key key, struct cw_str value)
{
    switch (keys[key].kind) {
    case WORD:
        return read_word(reading, key, value);
    case LIST:
        return read_list(reading, key, value);
    case TEXT:
    default:
        reading->realm = value;
        return value.n > 0 && route_is_quotable(value)
                   ? CW_OK
                   : bad(reading, cw_str(keys[key].name), value, "cannot stand in a header");
    }
}

static enum cw_err read_entry(struct reading *reading, const struct route_entry *entry)
{
    for (size_t key = 0; key < KEYS; key++) {
        if (!cw_str_is(entry->key, keys[key].name)) {
            continue;
        }
        if (reading->seen[key]) {
            return bad(reading, entry->key, entry->value, "comes twice");
        }
        reading->seen[key] = true;
        return read_value(reading, (enum key)key, entry->value);
    }
    return bad(reading, entry->key, entry->value, "belongs to no key that is known");
}

static enum cw_err make_rule(struct reading *reading, struct rule **ret_rule)
{
    Clinicwave__Token__V1__Requirement demand = CLINICWAVE__TOKEN__V1__REQUIREMENT__INIT;
    struct list *lists = reading->lists;
    size_t n = 0;

    for (size_t i = 0; i < LISTS; i++) {
        n += lists[i].n;
    }
    if (n == 0) {
        *ret_rule = rule_none();
        return CW_OK;
    }
    demand.audiences = lists[AUDIENCE - FIRST_LIST].items;
    demand.n_audiences = lists[AUDIENCE - FIRST_LIST].n;
    demand.scopes_all = lists[SCOPE - FIRST_LIST].items;
    demand.n_scopes_all = lists[SCOPE - FIRST_LIST].n;
    demand.scopes_any = lists[SCOPE_ANY - FIRST_LIST].items;
    demand.n_scopes_any = lists[SCOPE_ANY - FIRST_LIST].n;
    demand.roles_any = lists[ROLE - FIRST_LIST].items;
    demand.n_roles_any = lists[ROLE - FIRST_LIST].n;
    demand.roles_all = lists[ROLE_ALL - FIRST_LIST].items;
    demand.n_roles_all = lists[ROLE_ALL - FIRST_LIST].n;
    enum cw_err err = rule_new(&demand, NULL, 0, ret_rule);
    if (err == CW_REQUEST_MALFORMED) {
        cw_buf_add_cstr(reading->why, "the lists together are too long");
        err = CW_CONFIG_INVALID;
    }
    return err;
}

enum cw_err route_read(const struct route_entry *entries, size_t n, struct cw_arena *arena,
                       struct cw_buf *why, struct route *ret_route)
{
    struct reading reading = {.arena = arena, .why = why};

    for (size_t i = 0; i < n; i++) {
        TRY(read_entry(&reading, &entries[i]));
    }
    if (!reading.seen[AUTH]) {
        cw_buf_addf(why, "%s is not said", keys[AUTH].name);
        return CW_FORBIDDEN;
    }
    struct rule *rule = NULL;
    TRY(make_rule(&reading, &rule));
    *ret_route = (struct route){
        .auth = (enum route_auth)reading.words[AUTH],
        .pass_authorization = reading.words[AUTHORIZATION] == 2,
        .ambiguous_path = reading.words[AMBIGUOUS_PATH] == 2,
        .realm = reading.realm,
        .rule = rule,
    };
    return CW_OK;
}

void route_done(struct route *route)
{
    rule_unref(route->rule);
    route->rule = NULL;
}
