/* What the owner of a session may do with a provider's access token: it is verified as the sidecar
 * does, and must be one that was given out here. */
#include "authsvc/login/idp_tokens.h"

enum cw_err login_idp_owner(struct login_owner *o)
{
    struct login *login = o->login;
    ENSURE(login->deps.idp != NULL, CW_IDP_UNAVAILABLE);
    struct cw_str token = o->bearer->access_token;
    TRY(idp_check_access(login->deps.idp, o->tenant, token));
    char name[IDP_TOKEN_NAME_SIZE];
    TRY(idp_token_name(token, name));
    struct store_session session;
    enum cw_err err =
        store_idp_session_of(login->deps.store, o->tenant->name, cw_str(name), &o->arena, &session);
    /* Its session has ended, or it was got past us: nothing here is its. */
    ENSURE(err != CW_NOT_FOUND, CW_TOKEN_REVOKED);
    TRY(err);
    o->subject = session.subject;
    o->session_id = session.id;
    o->client_id = session.client_id;
    o->scope = session.scope;
    o->event.subject = o->subject;
    o->event.session_id = o->session_id;
    o->event.client_id = o->client_id;
    return CW_OK;
}

enum cw_err login_idp_userinfo(struct login_owner *o, struct cw_buf *ret_json)
{
    struct idp_refusal refusal;
    enum cw_err err = idp_userinfo(o->login->deps.idp, o->tenant, o->bearer->access_token,
                                   o->subject, ret_json, &refusal);
    idp_refusal_done(&refusal);
    return err;
}

void login_idp_farewell(struct login *login, const struct tenant *tenant, struct cw_str session_id)
{
    if (tenant->login != TENANT_LOGIN_IDP || login->deps.idp == NULL) {
        return;
    }
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(256 * 1024);
    struct cw_str sealed;
    struct idp_kept kept = {0};
    enum cw_err err =
        store_idp_sealed(login->deps.store, tenant->name, session_id, &arena, &sealed);
    if (err == CW_OK) {
        err = idp_kept_open(login, tenant, session_id, sealed, &kept);
    }
    if (err == CW_OK && kept.refresh_token.n > 0) {
        idp_revoke(login->deps.idp, tenant, kept.refresh_token);
    }
    idp_kept_done(&kept);
}
