/* Says which setting of a tenant's provider is missing, by asking it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/idp/idp_impl.h"
#include "common/crypto/random.h"

enum { TEXT_MAX = 400 };

struct checking {
    struct idp *idp;
    const struct tenant *tenant;
    void (*each)(void *ctx, const struct idp_finding *finding);
    void *ctx;
};

static void tell(struct checking *c, const char *setting, enum idp_finding_state state,
                 const char *text)
{
    c->each(c->ctx, &(struct idp_finding){setting, state, text});
}

static void fine_or(struct checking *c, const char *setting, bool fine, const char *fine_text,
                    const char *missing)
{
    tell(c, setting, fine ? IDP_SETTING_FINE : IDP_SETTING_MISSING, fine ? fine_text : missing);
}

/* --- metadata and keys ------------------------------------------------------------------ */

static bool check_metadata(struct checking *c, struct metadata **ret)
{
    struct upstream *u = upstream_get(c->idp, c->tenant);
    enum cw_err err = u != NULL ? upstream_metadata(u, ret) : CW_NO_MEMORY;
    char text[TEXT_MAX] = "read, of this issuer";
    if (u == NULL) {
        snprintf(text, sizeof(text), "%s", cw_err_info(err)->meaning);
    } else if (err != CW_OK) {
        pthread_mutex_lock(&u->lock);
        snprintf(text, sizeof(text), "%s: %s (tenants[].issuer, idp.discovery-uri, idp.ca-file)",
                 u->discovery_uri, u->why[0] != '\0' ? u->why : "no answer yet");
        pthread_mutex_unlock(&u->lock);
    }
    fine_or(c, "metadata", err == CW_OK, text, text);
    upstream_unref(u);
    return err == CW_OK;
}

static void check_keys(struct checking *c)
{
    const struct tenant_idp *t = c->tenant->idp;
    struct upstream *u = upstream_get(c->idp, c->tenant);
    struct cw_jwks *set = u != NULL ? cw_key_source_get(u->keys) : NULL;
    bool fits = false;
    /* A provider that has just become known: its keys are on the way. */
    if (set == NULL && u != NULL &&
        idp_wait_for_key(c->idp, u->keys, NULL, (struct cw_str){0}) == CW_OK) {
        set = cw_key_source_get(u->keys);
    }
    for (size_t i = 0; set != NULL && i < t->n_algorithms; i++) {
        struct cw_jwk *found[CW_JWKS_CANDIDATES];
        size_t n = 0;
        const struct cw_alg *alg = cw_alg_find(t->algorithms[i]);
        fits = fits || (alg != NULL && cw_jwks_find(set, NULL, alg, found, &n) == CW_OK && n > 0);
    }
    fine_or(c, "keys", fits, "a key for the tenant's algorithms is published",
            set == NULL ? "its key set cannot be read (jwks_uri of the metadata)"
                        : "it publishes no key for idp.algorithms");
    cw_jwks_unref(set);
    upstream_unref(u);
}

static void check_offers(struct checking *c, const struct metadata *metadata)
{
    const struct tenant_idp *t = c->tenant->idp;
    struct cw_str scope = t->scope;
    struct cw_str word;
    bool asked = false;
    while (cw_str_word(&scope, ' ', &word)) {
        asked = asked || cw_str_is(word, "offline_access");
    }
    bool offered = metadata_offers(metadata, "scopes_supported", "offline_access");
    fine_or(c, "offline access", asked && offered,
            "asked for; that the API allows it (Auth0: Allow Offline Access) shows at a login",
            asked ? "the provider's metadata offers no scope offline_access"
                  : "idp.scope lacks offline_access: there will be no refresh tokens");
}

static void check_address(struct checking *c)
{
    if (!c->tenant->idp->forwarded_for) {
        tell(c, "address trust", IDP_SETTING_MISSING,
             "idp.forwarded-for is off: the provider counts all users as this host's address");
    } else if (c->tenant->idp->auth == TENANT_IDP_PUBLIC) {
        tell(c, "address trust", IDP_SETTING_MISSING,
             "Auth0 believes auth0-forwarded-for of clients with a secret or key only");
    } else {
        tell(c, "address trust", IDP_SETTING_UNKNOWN,
             "cannot be seen from here. Auth0: Advanced Settings, OAuth, Trust Token Endpoint IP "
             "Header; its log entries fepft then show the user's address in client_ip");
    }
}

/* --- a login that cannot succeed -------------------------------------------------------- */

/* What the probes tell: rows by the provider's code and a word of its description. */
struct verdict {
    const char *error;
    const char *hint;    /* in the description, lower case; NULL: any */
    const char *setting; /* that is missing */
    const char *text;
};

static const struct verdict verdicts[] = {
    {"invalid_client", NULL, "client",
     "idp.client-id, or its secret or key, is not the provider's"},
    {"access_denied", "unauthorized", "client",
     "idp.client-id, or its secret or key, is not the provider's"},
    {"unauthorized_client", "connection", "connection",
     "the connection is not enabled for this application (Auth0: Connections)"},
    {"unauthorized_client", "credential", "client",
     "idp.client-id, or its secret or key, is not the provider's"},
    {"unauthorized_client", NULL, "grant",
     "the password grant is not allowed for this application (Auth0: Advanced Settings, Grant "
     "Types, Password; Keycloak: Direct access grants)"},
    {"unsupported_grant_type", NULL, "grant", "the provider has no such password grant"},
    {"server_error", "default connection", "connection",
     "idp.connection is not set, and the tenant has no Default Directory"},
    {"invalid_request", "connection", "connection", "there is no connection of this name"},
    {"invalid_request", "strategy", "connection", "the connection is not a database"},
    {"invalid_request", "realm", "connection", "there is no connection of this name"},
    {"access_denied", "service not found", "audience", "no API has idp.audience as its identifier"},
    {"invalid_target", NULL, "audience", "no API has idp.audience as its identifier"},
    {"invalid_scope", NULL, "scope", "the provider does not know a scope of idp.scope"},
};

static bool has(struct cw_str text, const char *hint)
{
    size_t n = strlen(hint);
    for (size_t at = 0; at + n <= text.n; at++) {
        size_t i = 0;
        while (i < n && (text.p[at + i] | 0x20) == (hint[i] | 0x20)) {
            i++;
        }
        if (i == n) {
            return true;
        }
    }
    return false;
}

static const struct verdict *judge(const struct idp_refused *r)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(verdicts); i++) {
        const struct verdict *v = &verdicts[i];
        if (cw_str_is(r->error, v->error) && (v->hint == NULL || has(r->description, v->hint))) {
            return v;
        }
    }
    return NULL;
}

/* A grant that must be refused; what the refusal tells. */
static enum cw_err probe(struct checking *c, enum idp_step step, struct idp_body *body,
                         const struct verdict **ret_verdict)
{
    struct idp_refusal refusal = {0};
    struct idp_call call = {.idp = c->idp,
                            .tenant = c->tenant,
                            .operation = "check",
                            .step = step,
                            .refusal = &refusal};
    *ret_verdict = NULL;
    enum cw_err err = idp_call_open(&call);
    if (err == CW_OK) {
        err = idp_call_body(&call, call.metadata->token_endpoint, body, CW_STR(""));
    }
    if (err != CW_OK) {
        json_t *answer = NULL;
        struct idp_refused refused = idp_call_refused(&call, &answer);
        *ret_verdict = judge(&refused);
        json_decref(answer);
    }
    idp_call_done(&call);
    idp_refusal_done(&refusal);
    return err;
}

static void tell_login(struct checking *c, enum cw_err err, const struct verdict *v)
{
    static const char *const settings[] = {"client", "grant", "connection", "audience", "scope"};
    bool reached = false; /* of those in the order in which a provider looks at them */
    for (size_t i = 0; i < CW_ARRAY_SIZE(settings); i++) {
        if (v != NULL && strcmp(v->setting, settings[i]) == 0) {
            tell(c, settings[i], IDP_SETTING_MISSING, v->text);
            reached = true;
        } else if (err == CW_CREDENTIALS_INVALID || (v != NULL && !reached)) {
            tell(c, settings[i], IDP_SETTING_FINE,
                 "a login of nobody was refused for its password");
        } else {
            tell(c, settings[i], IDP_SETTING_UNKNOWN,
                 v != NULL ? "to be seen once the setting above is right"
                           : "the provider gave no answer that tells");
        }
    }
}

static void check_login(struct checking *c)
{
    const struct tenant_idp *t = c->tenant->idp;
    char nobody[CW_RANDOM_ID_SIZE] = "";
    char name[64];
    const struct verdict *v = NULL;
    enum cw_err err = cw_random_id(&cw_random_system, nobody);
    snprintf(name, sizeof(name), "nobody-%s@check.invalid", nobody);
    CW_CLEANUP(idp_body_done) struct idp_body body = IDP_BODY_INIT;
    if (t->connection.n > 0) {
        idp_body_add(&body, "grant_type",
                     CW_STR("http://auth0.com/oauth/grant-type/password-realm"));
        idp_body_add(&body, "realm", t->connection);
    } else {
        idp_body_add(&body, "grant_type", CW_STR("password"));
    }
    idp_body_add(&body, "username", cw_str(name));
    idp_body_add(&body, "password", cw_str(nobody));
    idp_body_add(&body, "scope", t->scope);
    if (t->audience.n > 0) {
        idp_body_add(&body, "audience", t->audience);
    }
    err = err == CW_OK ? probe(c, IDP_STEP_LOGIN, &body, &v) : err;
    tell_login(c, err, v);
}

static void check_refresh(struct checking *c)
{
    char nothing[CW_RANDOM_ID_SIZE] = "";
    const struct verdict *v = NULL;
    enum cw_err err = cw_random_id(&cw_random_system, nothing);
    CW_CLEANUP(idp_body_done) struct idp_body body = IDP_BODY_INIT;
    idp_body_add(&body, "grant_type", CW_STR("refresh_token"));
    idp_body_add(&body, "refresh_token", cw_str(nothing));
    err = err == CW_OK ? probe(c, IDP_STEP_REFRESH, &body, &v) : err;
    if (err == CW_REFRESH_INVALID) {
        tell(c, "refresh grant", IDP_SETTING_FINE, "a made-up refresh token was refused as such");
    } else if (v != NULL && strcmp(v->setting, "client") != 0) {
        tell(c, "refresh grant", IDP_SETTING_MISSING,
             "the refresh token grant is not allowed for this application (Auth0: Advanced "
             "Settings, Grant Types, Refresh Token)");
    } else {
        tell(c, "refresh grant", IDP_SETTING_UNKNOWN, "the provider gave no answer that tells");
    }
}

/* --- a real login ----------------------------------------------------------------------- */

static void check_tokens(struct checking *c, const struct idp_tokens *tokens)
{
    bool opaque = strncmp(tokens->name, "opaque:", 7) == 0;
    enum cw_err err = idp_check_access(c->idp, c->tenant, cw_str(tokens->access_token));
    char text[TEXT_MAX];
    snprintf(text, sizeof(text), "the access token is refused here: %s", cw_err_code(err));
    if (opaque) {
        tell(c, "audience of tokens", IDP_SETTING_MISSING,
             "the access token is opaque: idp.audience names no API, or none is asked for");
    } else {
        fine_or(c, "audience of tokens", err == CW_OK,
                "the access token is one that the sidecar "
                "takes",
                text);
    }
    fine_or(c, "refresh token", tokens->refresh_token != NULL, "one was given",
            "none was given (Auth0: the API's Allow Offline Access, the application's Refresh "
            "Token grant)");
    if (tokens->refresh_token != NULL) {
        idp_revoke(c->idp, c->tenant, cw_str(tokens->refresh_token));
    }
}

static void check_user(struct checking *c, struct cw_str username, struct cw_str password)
{
    const struct idp_password request = {.username = username, .password = password};
    struct idp_tokens tokens;
    struct idp_refusal refusal;
    enum cw_err err = idp_password(c->idp, c->tenant, &request, &tokens, &refusal);
    char text[TEXT_MAX];
    snprintf(text, sizeof(text), "refused: %s", cw_err_code(err));
    fine_or(c, "login", err == CW_OK, "the user can log in", text);
    if (err == CW_OK) {
        check_tokens(c, &tokens);
    }
    idp_tokens_done(&tokens);
    idp_refusal_done(&refusal);
}

void idp_check(struct idp *idp, const struct tenant *tenant, struct cw_str username,
               struct cw_str password, void (*each)(void *ctx, const struct idp_finding *finding),
               void *ctx)
{
    struct checking c = {.idp = idp, .tenant = tenant, .each = each, .ctx = ctx};
    struct metadata *metadata = NULL;
    if (!check_metadata(&c, &metadata)) {
        return; /* nothing else can be asked */
    }
    check_keys(&c);
    check_login(&c);
    check_refresh(&c);
    check_offers(&c, metadata);
    check_address(&c);
    if (username.n > 0) {
        check_user(&c, username, password);
    }
    metadata_unref(metadata);
}
