/* The grants that we use, and the claims endpoint. */
#include <stdlib.h>
#include <string.h>

#include "authsvc/idp/idp_impl.h"
#include "common/jose/json.h"

static const char realm_grant[] = "http://auth0.com/oauth/grant-type/password-realm";

/* The tenant's scopes and those asked for beyond them, each once. */
static void add_scope(struct idp_body *body, const struct tenant_idp *t, struct cw_str more)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf scope = CW_BUF_INIT(8192);
    cw_buf_add_str(&scope, t->scope);
    struct cw_str word;
    while (cw_str_word(&more, ' ', &word)) {
        struct cw_str known = cw_buf_str(&scope);
        struct cw_str one;
        bool there = false;
        while (!there && cw_str_word(&known, ' ', &one)) {
            there = cw_str_eq(one, word);
        }
        if (!there) {
            cw_buf_add_char(&scope, ' ');
            cw_buf_add_str(&scope, word);
        }
    }
    body->text.failed = body->text.failed || scope.failed;
    idp_body_add(body, "scope", cw_buf_str(&scope));
}

static enum cw_err password(struct idp_call *call, const struct idp_password *request,
                            struct idp_tokens *ret_tokens)
{
    const struct tenant_idp *t = call->tenant->idp;
    TRY(idp_call_open(call));
    CW_CLEANUP(idp_body_done) struct idp_body body = IDP_BODY_INIT;
    /* Without a tenant-wide default directory Auth0 knows no plain password grant. */
    if (t->connection.n > 0) {
        idp_body_add(&body, "grant_type", cw_str(realm_grant));
        idp_body_add(&body, "realm", t->connection);
    } else {
        idp_body_add(&body, "grant_type", CW_STR("password"));
    }
    idp_body_add(&body, "username", request->username);
    idp_body_add(&body, "password", request->password);
    if (t->audience.n > 0) {
        idp_body_add(&body, "audience", t->audience);
    }
    add_scope(&body, t, request->scope);
    TRY(idp_call_body(call, call->metadata->token_endpoint, &body, request->address));
    return idp_read_tokens(call, CW_STR(""), ret_tokens);
}

enum cw_err idp_password(struct idp *idp, const struct tenant *tenant,
                         const struct idp_password *request, struct idp_tokens *ret_tokens,
                         struct idp_refusal *ret_refusal)
{
    struct idp_call call = {.idp = idp,
                            .tenant = tenant,
                            .operation = "password",
                            .step = IDP_STEP_LOGIN,
                            .refusal = ret_refusal};
    *ret_tokens = (struct idp_tokens){0};
    *ret_refusal = (struct idp_refusal){0};
    enum cw_err err = password(&call, request, ret_tokens);
    idp_call_done(&call);
    if (err != CW_OK) {
        idp_tokens_done(ret_tokens);
    }
    return err;
}

static enum cw_err refresh(struct idp_call *call, struct cw_str refresh_token,
                           struct cw_str subject, struct cw_str address,
                           struct idp_tokens *ret_tokens)
{
    TRY(idp_call_open(call));
    CW_CLEANUP(idp_body_done) struct idp_body body = IDP_BODY_INIT;
    idp_body_add(&body, "grant_type", CW_STR("refresh_token"));
    idp_body_add(&body, "refresh_token", refresh_token);
    TRY(idp_call_body(call, call->metadata->token_endpoint, &body, address));
    return idp_read_tokens(call, subject, ret_tokens);
}

enum cw_err idp_refresh(struct idp *idp, const struct tenant *tenant, struct cw_str refresh_token,
                        struct cw_str subject, struct cw_str address, struct idp_tokens *ret_tokens,
                        struct idp_refusal *ret_refusal)
{
    struct idp_call call = {.idp = idp,
                            .tenant = tenant,
                            .operation = "refresh",
                            .step = IDP_STEP_REFRESH,
                            .refusal = ret_refusal};
    *ret_tokens = (struct idp_tokens){0};
    *ret_refusal = (struct idp_refusal){0};
    enum cw_err err = refresh(&call, refresh_token, subject, address, ret_tokens);
    idp_call_done(&call);
    if (err != CW_OK) {
        idp_tokens_done(ret_tokens);
    }
    return err;
}

static enum cw_err userinfo(struct idp_call *call, struct cw_str access_token,
                            struct cw_str subject, struct cw_buf *ret_json)
{
    TRY(idp_call_open(call));
    const char *url = call->metadata->userinfo_endpoint;
    ENSURE(url != NULL, CW_IDP_MISCONFIGURED);
    TRY(idp_call_bearer(call, url, access_token));
    json_t *claims = NULL;
    struct cw_str named;
    if (cw_json_parse_object(cw_buf_str(&call->body), CW_IDP_UNAVAILABLE, &claims) != CW_OK) {
        return idp_call_bad_answer(call, "the claims are no JSON object");
    }
    bool same = cw_json_get_str(claims, "sub", &named) && cw_str_eq(named, subject);
    json_decref(claims);
    if (!same) {
        return idp_call_bad_answer(call, "the claims are about another subject");
    }
    cw_buf_add_str(ret_json, cw_buf_str(&call->body));
    return cw_buf_check(ret_json);
}

enum cw_err idp_userinfo(struct idp *idp, const struct tenant *tenant, struct cw_str access_token,
                         struct cw_str subject, struct cw_buf *ret_json,
                         struct idp_refusal *ret_refusal)
{
    struct idp_call call = {.idp = idp,
                            .tenant = tenant,
                            .operation = "userinfo",
                            .step = IDP_STEP_USERINFO,
                            .refusal = ret_refusal};
    *ret_refusal = (struct idp_refusal){0};
    enum cw_err err = userinfo(&call, access_token, subject, ret_json);
    idp_call_done(&call);
    return err;
}
