/* What a session's owner may do with an access token: read the claims, list and end sessions, log
 * out. Tokens of our own are verified by the same library that the sidecar uses. */
#include "authsvc/login/login_impl.h"

#include <stdlib.h>
#include <string.h>

#include "common/jose/token.h"

enum { JWKS_MAX = 64 * 1024, SESSIONS_MAX = 1000, LEEWAY_S = 5 };

static enum cw_err open_tenant(struct login_owner *o)
{
    ENSURE(o->set == NULL, CW_OK);
    o->set = tenant_current_get(o->login->deps.tenants);
    if (o->bearer->domain.n > 0 || o->tenant_name.n == 0) {
        TRY(tenant_set_open(o->set, o->bearer->domain, &o->tenant));
    } else {
        o->tenant = tenant_set_by_name(o->set, o->tenant_name);
        ENSURE(o->tenant != NULL && !o->tenant->disabled, CW_SUBJECT_FORBIDDEN);
    }
    o->event.tenant = o->tenant->name;
    return CW_OK;
}

static enum cw_err keep(struct login_owner *o, struct cw_str s, struct cw_str *ret)
{
    char *copy = cw_arena_dup(&o->arena, s);
    ENSURE(copy != NULL, CW_NO_MEMORY);
    *ret = (struct cw_str){copy, s.n};
    return CW_OK;
}

static enum cw_err keep_claims(struct login_owner *o, const struct cw_claims *claims)
{
    ENSURE(cw_str_eq(claims->tenant, o->tenant->name), CW_TENANT_MISMATCH);
    TRY(keep(o, claims->subject, &o->subject));
    TRY(keep(o, claims->session_id, &o->session_id));
    TRY(keep(o, claims->client_id, &o->client_id));
    for (size_t i = 0; i < claims->roles.n && o->tenant->admin_role.n > 0; i++) {
        o->administers = o->administers || cw_str_eq(claims->roles.items[i], o->tenant->admin_role);
    }
    CW_CLEANUP(cw_buf_done) struct cw_buf scope = CW_BUF_INIT(16 * 1024);
    for (size_t i = 0; i < claims->scopes.n; i++) {
        cw_buf_add_cstr(&scope, i > 0 ? " " : "");
        cw_buf_add_str(&scope, claims->scopes.items[i]);
    }
    TRY(cw_buf_check(&scope));
    return keep(o, cw_buf_str(&scope), &o->scope);
}

static enum cw_err verify_parsed(struct login_owner *o, const struct cw_token *token,
                                 const struct cw_jwks *keys, struct cw_arena *arena)
{
    static const struct cw_str types[] = {CW_STR_INIT("at+jwt")};
    cw_alg_set algorithms = 0;
    static const char *const names[] = {"RS256", "ES256"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(names); i++) {
        algorithms |= cw_alg_bit(cw_alg_find(cw_str(names[i])));
    }
    const struct cw_token_policy policy = {
        .algorithms = algorithms,
        .types = types,
        .type_count = CW_ARRAY_SIZE(types),
        .claims = {.issuer = o->tenant->issuer,
                   .audiences = o->tenant->audiences,
                   .audience_count = o->tenant->n_audiences,
                   .leeway = LEEWAY_S},
    };
    struct cw_claims claims = {0};
    TRY(cw_token_verify(token, &policy, keys, cw_clock_wall_s(o->login->deps.clock), NULL, arena,
                        &claims, NULL));
    return keep_claims(o, &claims);
}

static enum cw_err verify(struct login_owner *o)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf json = CW_BUF_INIT(JWKS_MAX);
    TRY(keyring_jwks(o->login->deps.keys, o->tenant->name, &json));
    const struct cw_jwks_options options = {0};
    struct cw_jwks *keys = NULL;
    TRY(cw_jwks_parse(cw_buf_str(&json), &options, &keys, NULL));
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA);
    struct cw_token token;
    enum cw_err err = cw_token_parse(o->bearer->access_token, &arena, NULL, &token);
    if (err == CW_OK) {
        err = verify_parsed(o, &token, keys, &arena);
    }
    cw_jwks_unref(keys);
    return err;
}

/* The owner of a living session by access token. */
enum cw_err login_owner_bearer(struct login_owner *o)
{
    TRY(open_tenant(o));
    ENSURE(o->bearer->access_token.n > 0, CW_TOKEN_MISSING);
    if (o->tenant->login == TENANT_LOGIN_IDP) {
        return login_idp_owner(o);
    }
    TRY(verify(o));
    o->event.subject = o->subject;
    o->event.session_id = o->session_id;
    o->event.client_id = o->client_id;
    enum cw_err err =
        store_session_check(o->login->deps.store, o->tenant->name, o->session_id, o->subject);
    return err == CW_NOT_FOUND ? CW_TOKEN_REVOKED : err;
}

enum cw_err login_owner_database(struct login_owner *o)
{
    TRY(open_tenant(o));
    ENSURE(o->tenant->login == TENANT_LOGIN_DATABASE, CW_IDP_MANAGED);
    return login_owner_bearer(o);
}

struct login_owner login_owner_of(struct login *login, const struct login_bearer *bearer)
{
    return (struct login_owner){
        .login = login,
        .bearer = bearer,
        .arena = CW_ARENA_INIT(256 * 1024),
        .event = {.kind = LOGIN_KIND_LOGOUT, .address = bearer->address},
    };
}

void login_owner_done(struct login_owner *o)
{
    cw_arena_done(&o->arena);
    tenant_set_unref(o->set);
}

static enum cw_err end(struct login_owner *o, struct cw_str session_id, const char *reason)
{
    enum cw_err err = store_session_end(o->login->deps.store, o->tenant->name, session_id, reason);
    if (err == CW_OK) {
        login_revoked(o->login);
        login_idp_farewell(o->login, o->tenant, session_id);
    }
    return err;
}

/* --- administrators --------------------------------------------------------------------- */

static enum cw_err administrator(struct login_owner *o, struct cw_arena *arena,
                                 struct cw_str *ret_subject)
{
    TRY(login_owner_bearer(o));
    ENSURE(o->administers, CW_SUBJECT_FORBIDDEN);
    char *copy = cw_arena_dup(arena, o->subject);
    ENSURE(copy != NULL, CW_NO_MEMORY);
    *ret_subject = (struct cw_str){copy, o->subject.n};
    return CW_OK;
}

enum cw_err login_administrator(struct login *login, struct cw_str tenant,
                                const struct login_bearer *bearer, struct cw_arena *arena,
                                struct cw_str *ret_subject)
{
    struct login_owner o = login_owner_of(login, bearer);
    o.tenant_name = tenant;
    enum cw_err err = tenant.n > 0 ? administrator(&o, arena, ret_subject) : CW_SUBJECT_FORBIDDEN;
    login_owner_done(&o);
    /* A good token of another tenant is not bad, it only counts for nothing here. */
    return err == CW_ISSUER_UNKNOWN || err == CW_TENANT_MISMATCH ? CW_SUBJECT_FORBIDDEN : err;
}

/* --- logout ----------------------------------------------------------------------------- */

/* A refresh token of any generation stands for its session, if it was really given out. */
static enum cw_err logout_by_refresh(struct login_owner *o)
{
    struct refresh_token token;
    struct store_rotated family = {0};
    TRY(refresh_token_parse(o->bearer->refresh_token, &token));
    enum cw_err err =
        store_family_find(o->login->deps.store, o->tenant->name, token.family, &o->arena, &family);
    bool genuine = err == CW_OK && refresh_token_leads_to(o->login->refresh_key, &token,
                                                          family.generation, family.current_hash);
    cw_secret_wipe(&token, sizeof(token));
    ENSURE(err == CW_OK || err == CW_NOT_FOUND, err);
    ENSURE(genuine, CW_REFRESH_INVALID);
    o->event.subject = family.session.subject;
    o->event.session_id = family.session.id;
    err = end(o, family.session.id, "logout");
    return err == CW_NOT_FOUND ? CW_OK : err; /* it was over already */
}

static enum cw_err logout(struct login_owner *o)
{
    if (o->bearer->refresh_token.n > 0) {
        TRY(open_tenant(o));
        return logout_by_refresh(o);
    }
    TRY(login_owner_bearer(o));
    enum cw_err err = end(o, o->session_id, "logout");
    return err == CW_NOT_FOUND ? CW_OK : err;
}

enum cw_err login_logout(struct login *login, const struct login_bearer *bearer)
{
    int64_t started = cw_clock_monotonic_ms(login->deps.clock);
    struct login_owner o = login_owner_of(login, bearer);
    enum cw_err err = logout(&o);
    login_tell(login, &o.event, started, err);
    login_owner_done(&o);
    return err;
}

/* --- claims and sessions ---------------------------------------------------------------- */

static enum cw_err userinfo(struct login_owner *o, struct cw_buf *ret_json)
{
    TRY(login_owner_bearer(o));
    if (o->tenant->login == TENANT_LOGIN_IDP) {
        return login_idp_userinfo(o, ret_json);
    }
    ENSURE(token_scope_has(o->scope, "openid"), CW_SCOPE_INSUFFICIENT);
    struct store_user user;
    enum cw_err err =
        store_user_by_subject(o->login->deps.store, o->tenant->name, o->subject, &o->arena, &user);
    ENSURE(err != CW_NOT_FOUND, CW_TOKEN_REVOKED);
    TRY(err);
    CW_CLEANUP(grants_done) struct grants grants = {.roles = CW_BUF_INIT(0)};
    TRY(grants_read(o->login->deps.store, o->tenant->name, &user, &grants));
    const struct token_facts facts = {
        .tenant = o->tenant->name,
        .scope = o->scope,
        .roles = cw_buf_str(&grants.roles),
        .permissions = cw_buf_str(&grants.permissions),
        .groups = cw_buf_str(&grants.groups),
        .names = login_claim_names(o->tenant),
        .username = user.username,
        .name = user.name,
        .email = user.email,
        .email_verified = user.email_verified,
    };
    cw_buf_add_cstr(ret_json, "{\"sub\":");
    cw_buf_add_json(ret_json, user.subject);
    token_user_claims(ret_json, &facts);
    cw_buf_add_char(ret_json, '}');
    return cw_buf_check(ret_json);
}

enum cw_err login_userinfo(struct login *login, const struct login_bearer *bearer,
                           struct cw_buf *ret_json)
{
    struct login_owner o = login_owner_of(login, bearer);
    enum cw_err err = userinfo(&o, ret_json);
    login_owner_done(&o);
    return err;
}

struct listing {
    struct login_owner *owner;
    enum cw_err (*each)(void *ctx, const struct store_session *session, bool current);
    void *ctx;
};

static enum cw_err list_one(void *ctx, const struct store_session *session)
{
    const struct listing *listing = ctx;
    return listing->each(listing->ctx, session, cw_str_eq(session->id, listing->owner->session_id));
}

enum cw_err login_sessions(struct login *login, const struct login_bearer *bearer,
                           enum cw_err (*each)(void *ctx, const struct store_session *session,
                                               bool current),
                           void *ctx)
{
    struct login_owner o = login_owner_of(login, bearer);
    struct listing listing = {.owner = &o, .each = each, .ctx = ctx};
    enum cw_err err = login_owner_bearer(&o);
    if (err == CW_OK) {
        err = store_session_list(login->deps.store, o.tenant->name, o.subject, SESSIONS_MAX,
                                 list_one, &listing);
    }
    login_owner_done(&o);
    return err;
}

static enum cw_err end_one(struct login_owner *o, struct cw_str session_id)
{
    TRY(login_owner_bearer(o));
    TRY(store_session_check(o->login->deps.store, o->tenant->name, session_id, o->subject));
    o->event.session_id = session_id;
    return end(o, session_id, "ended_by_user");
}

enum cw_err login_end_session(struct login *login, const struct login_bearer *bearer,
                              struct cw_str session_id)
{
    int64_t started = cw_clock_monotonic_ms(login->deps.clock);
    struct login_owner o = login_owner_of(login, bearer);
    enum cw_err err = end_one(&o, session_id);
    login_tell(login, &o.event, started, err);
    login_owner_done(&o);
    return err;
}
