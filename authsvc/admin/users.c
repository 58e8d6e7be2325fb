/* Users of database tenants. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/admin/admin_impl.h"

enum {
    LIST_JSON_MAX = 64 * 1024, /* bytes of a user's roles, or permissions */
    WORD_MAX = 256,            /* bytes of one */
    TEXT_MAX = 1024,           /* bytes of a name or an address */
};

enum cw_err admin_act_database(struct admin_act *act)
{
    TRY(admin_act_open(act));
    return act->found->login == TENANT_LOGIN_DATABASE ? CW_OK : CW_IDP_MANAGED;
}

/* --- what comes in ---------------------------------------------------------------------- */

static bool word_ok(struct cw_str s, size_t max)
{
    bool ok = s.n <= max && cw_str_is_utf8(s);
    for (size_t i = 0; ok && i < s.n; i++) {
        ok = (unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7f;
    }
    return ok;
}

/* A JSON array of strings, in the arena. Commas divide roles in X-Auth-Roles. */
enum cw_err admin_list_json(struct cw_arena *arena, const struct cw_str *list, size_t n,
                            struct cw_str *ret_json)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf json = CW_BUF_INIT(LIST_JSON_MAX);
    cw_buf_add_char(&json, '[');
    for (size_t i = 0; i < n; i++) {
        bool fits =
            list[i].n > 0 && word_ok(list[i], WORD_MAX) && cw_str_find(list[i], ',') == list[i].n;
        ENSURE(fits, CW_REQUEST_MALFORMED);
        cw_buf_add_cstr(&json, i > 0 ? "," : "");
        cw_buf_add_json(&json, list[i]);
    }
    cw_buf_add_char(&json, ']');
    ENSURE(cw_buf_check(&json) == CW_OK, CW_REQUEST_MALFORMED);
    char *copy = cw_arena_dup(arena, cw_buf_str(&json));
    ENSURE(copy != NULL, CW_NO_MEMORY);
    *ret_json = (struct cw_str){copy, json.n};
    return CW_OK;
}

static enum cw_err fill(struct cw_arena *arena, const struct admin_user *in,
                        struct store_user *user)
{
    ENSURE(word_ok(in->name, TEXT_MAX) && word_ok(in->email, TEXT_MAX), CW_REQUEST_MALFORMED);
    if (in->fields & ADMIN_FIELD_NAME) {
        user->name = in->name;
    }
    if (in->fields & ADMIN_FIELD_EMAIL) {
        user->email = in->email;
    }
    if (in->fields & ADMIN_FIELD_EMAIL_VERIFIED) {
        user->email_verified = in->email_verified;
    }
    if (in->fields & ADMIN_FIELD_ROLES) {
        TRY(admin_list_json(arena, in->roles, in->n_roles, &user->roles));
    }
    if (in->fields & ADMIN_FIELD_PERMISSIONS) {
        TRY(admin_list_json(arena, in->permissions, in->n_permissions, &user->permissions));
    }
    return CW_OK;
}

/* Prepared, in the arena. */
enum cw_err admin_username(struct cw_arena *arena, struct cw_str typed, struct cw_str *ret_name)
{
    char *name = NULL;
    TRY(password_prepare_name(typed, &name));
    char *copy = cw_arena_dup(arena, cw_str(name));
    free(name);
    ENSURE(copy != NULL, CW_NO_MEMORY);
    ENSURE(copy[0] != '\0', CW_REQUEST_MALFORMED);
    *ret_name = cw_str(copy);
    return CW_OK;
}

static enum cw_err hash_of(struct admin_act *act, struct cw_str username, struct cw_str password,
                           struct cw_buf *detail, char ret_hash[PASSWORD_HASH_MAX])
{
    struct cw_secret prepared = {0};
    enum cw_err err = password_prepare(password, &prepared);
    if (err == CW_OK && prepared.n == 0) {
        err = CW_REQUEST_MALFORMED;
    }
    if (err != CW_OK) {
        cw_buf_add_cstr(detail, "the password is empty, no UTF-8, or too long");
    } else {
        err = login_password_allowed(act->admin->deps.blocklist, act->found, username,
                                     cw_secret_str(&prepared));
    }
    if (err == CW_OK) {
        err = password_hash(act->admin->deps.hasher, cw_secret_str(&prepared), ret_hash);
    }
    cw_secret_done(&prepared);
    return err;
}

/* --- use cases -------------------------------------------------------------------------- */

static enum cw_err create(struct admin_act *act, const struct admin_user *in,
                          struct cw_str password, struct cw_arena *arena, struct store_user *user,
                          struct cw_buf *detail)
{
    uint8_t random[16];
    char subject[2 * sizeof(random) + 1];
    char hash[PASSWORD_HASH_MAX];
    struct admin_user all = *in;
    all.fields = ~0U;
    TRY(admin_act_database(act));
    enum cw_err named = admin_username(arena, in->username, &user->username);
    if (named == CW_REQUEST_MALFORMED) {
        cw_buf_addf(detail, "a user name has 1 to %d bytes of UTF-8 and no control characters",
                    PASSWORD_NAME_MAX);
    }
    TRY(named);
    TRY(fill(arena, &all, user));
    TRY(hash_of(act, user->username, password, detail, hash));
    randombytes_buf(random, sizeof(random));
    sodium_bin2hex(subject, sizeof(subject), random, sizeof(random));
    user->subject = cw_str(cw_arena_dup(arena, cw_str(subject)));
    ENSURE(user->subject.p != NULL, CW_NO_MEMORY);
    struct store_user row = *user;
    row.password_hash = cw_str(hash);
    enum cw_err err = store_user_add(act->admin->deps.store, act->found->name, &row);
    if (err == CW_CONFLICT) {
        cw_buf_add_cstr(detail, "there is a user of this name already");
    }
    return err;
}

enum cw_err admin_user_create(struct admin *admin, const struct admin_caller *caller,
                              struct cw_str tenant, const struct admin_user *user,
                              struct cw_str password, struct cw_arena *arena,
                              struct store_user *ret_user, struct cw_buf *detail)
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    *ret_user = (struct store_user){0};
    enum cw_err err = create(&act, user, password, arena, ret_user, detail);
    err = admin_act_tell(&act, "user-created", user->username, detail, err);
    admin_act_done(&act);
    return err;
}

static enum cw_err get(struct admin_act *act, struct cw_str username, struct cw_arena *arena,
                       struct store_user *ret_user)
{
    struct cw_str name;
    TRY(admin_act_database(act));
    TRY(admin_username(arena, username, &name));
    return store_user_by_name(act->admin->deps.store, act->found->name, name, arena, ret_user);
}

enum cw_err admin_user_get(struct admin *admin, const struct admin_caller *caller,
                           struct cw_str tenant, struct cw_str username, struct cw_arena *arena,
                           struct store_user *ret_user)
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    enum cw_err err = get(&act, username, arena, ret_user);
    admin_act_done(&act);
    return err;
}

enum cw_err admin_user_list(struct admin *admin, const struct admin_caller *caller,
                            struct cw_str tenant, struct cw_str after, int64_t max,
                            enum cw_err (*each)(void *ctx, const struct store_user *user),
                            void *ctx)
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    enum cw_err err = admin_act_database(&act);
    if (err == CW_OK) {
        err = store_user_list(admin->deps.store, act.found->name, after, max, each, ctx);
    }
    admin_act_done(&act);
    return err;
}

static enum cw_err update(struct admin_act *act, const struct admin_user *in,
                          struct cw_arena *arena, struct store_user *user)
{
    TRY(get(act, in->username, arena, user));
    TRY(fill(arena, in, user));
    return store_user_update(act->admin->deps.store, act->found->name, user);
}

enum cw_err admin_user_update(struct admin *admin, const struct admin_caller *caller,
                              struct cw_str tenant, const struct admin_user *user,
                              struct cw_arena *arena, struct store_user *ret_user,
                              struct cw_buf *detail)
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    enum cw_err err = update(&act, user, arena, ret_user);
    err = admin_act_tell(&act, "user-changed", user->username, detail, err);
    admin_act_done(&act);
    return err;
}

enum cw_err admin_user_set_disabled(struct admin *admin, const struct admin_caller *caller,
                                    struct cw_str tenant, struct cw_str username, bool disabled)
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    struct cw_str name;
    enum cw_err err = admin_act_database(&act);
    if (err == CW_OK) {
        err = admin_username(&act.arena, username, &name);
    }
    if (err == CW_OK) {
        err = store_user_set_disabled(admin->deps.store, act.found->name, name, disabled);
    }
    if (err == CW_OK && disabled) {
        admin_act_revoked(&act);
    }
    err = admin_act_tell(&act, disabled ? "user-disabled" : "user-enabled", username, NULL, err);
    admin_act_done(&act);
    return err;
}

static enum cw_err set_password(struct admin_act *act, struct cw_str username,
                                struct cw_str password, struct cw_buf *detail)
{
    struct cw_str name;
    char hash[PASSWORD_HASH_MAX];
    TRY(admin_act_database(act));
    TRY(admin_username(&act->arena, username, &name));
    TRY(hash_of(act, name, password, detail, hash));
    TRY(store_user_set_password(act->admin->deps.store, act->found->name, name, cw_str(hash)));
    admin_act_revoked(act);
    return CW_OK;
}

enum cw_err admin_user_set_password(struct admin *admin, const struct admin_caller *caller,
                                    struct cw_str tenant, struct cw_str username,
                                    struct cw_str password, struct cw_buf *detail)
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    enum cw_err err = set_password(&act, username, password, detail);
    err = admin_act_tell(&act, "user-password-set", username, detail, err);
    admin_act_done(&act);
    return err;
}

static enum cw_err
list_sessions(struct admin_act *act, struct cw_str username,
              enum cw_err (*each)(void *ctx, const struct store_session *session), void *ctx)
{
    struct store_user user;
    TRY(get(act, username, &act->arena, &user));
    return store_session_list(act->admin->deps.store, act->found->name, user.subject,
                              ADMIN_SESSIONS_MAX, each, ctx);
}

enum cw_err admin_session_list(struct admin *admin, const struct admin_caller *caller,
                               struct cw_str tenant, struct cw_str username,
                               enum cw_err (*each)(void *ctx, const struct store_session *session),
                               void *ctx)
{
    struct admin_act act = admin_act_of(admin, caller, tenant);
    enum cw_err err = list_sessions(&act, username, each, ctx);
    admin_act_done(&act);
    return err;
}
