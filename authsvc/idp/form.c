/* Bodies of requests, and how our client proves who it is in them. */
#include <sodium.h>
#include <stdlib.h>

#include "authsvc/idp/idp_impl.h"
#include "authsvc/token/mint.h"

enum { ASSERTION_LIFE_S = 60, CLAIMS_MAX = 4096 }; /* Auth0 takes up to 5 minutes */

static void encode(struct cw_buf *out, struct cw_str value)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain) {
            cw_buf_add_char(out, (char)c);
        } else {
            const char triple[3] = {'%', hex[c >> 4], hex[c & 15]};
            cw_buf_add(out, triple, sizeof(triple));
        }
    }
}

void idp_body_add(struct idp_body *body, const char *name, struct cw_str value)
{
    struct cw_buf *text = &body->text;
    if (body->json) {
        cw_buf_addf(text, "%s\"%s\":", text->n == 0 ? "{" : ",", name);
        cw_buf_add_json(text, value);
        return;
    }
    cw_buf_addf(text, "%s%s=", text->n > 0 ? "&" : "", name);
    encode(text, value);
}

void idp_form_done(struct cw_buf *text)
{
    if (text->p != NULL) {
        cw_secret_wipe(text->p, text->n);
    }
    cw_buf_done(text);
}

void idp_body_done(struct idp_body *body)
{
    idp_form_done(&body->text);
}

/* RFC 6749 §2.3.1: both are form-encoded before they become user and password of RFC 7617. */
static enum cw_err add_basic(const struct tenant_idp *idp, struct cw_buf *ret_header)
{
    CW_CLEANUP(idp_form_done) struct cw_buf pair = CW_BUF_INIT(CLAIMS_MAX);
    encode(&pair, idp->client_id);
    cw_buf_add_char(&pair, ':');
    encode(&pair, cw_secret_str(&idp->secret));
    TRY(cw_buf_check(&pair));
    size_t size = sodium_base64_ENCODED_LEN(pair.n, sodium_base64_VARIANT_ORIGINAL);
    cw_buf_add_cstr(ret_header, "Authorization: Basic ");
    char *text = cw_buf_extend(ret_header, size); /* with its NUL */
    ENSURE(text != NULL, CW_NO_MEMORY);
    sodium_bin2base64(text, size, (const unsigned char *)pair.p, pair.n,
                      sodium_base64_VARIANT_ORIGINAL);
    return CW_OK;
}

/* RFC 7523 §2.2; the audience is the issuer, which is what Auth0 and RFC 7523bis want. */
static enum cw_err add_assertion(const struct idp *idp, const struct tenant *tenant,
                                 struct idp_body *body)
{
    const struct tenant_idp *t = tenant->idp;
    int64_t now = cw_clock_wall_s(idp->options.clock);
    char jti[CW_RANDOM_ID_SIZE];
    TRY(cw_random_id(&cw_random_system, jti)); /* good for one use */
    CW_CLEANUP(cw_buf_done) struct cw_buf claims = CW_BUF_INIT(CLAIMS_MAX);
    cw_buf_add_cstr(&claims, "{\"iss\":");
    cw_buf_add_json(&claims, t->client_id);
    cw_buf_add_cstr(&claims, ",\"sub\":");
    cw_buf_add_json(&claims, t->client_id);
    cw_buf_add_cstr(&claims, ",\"aud\":");
    cw_buf_add_json(&claims, tenant->issuer);
    cw_buf_addf(&claims, ",\"jti\":\"%s\",\"iat\":%lld,\"exp\":%lld}", jti, (long long)now,
                (long long)now + ASSERTION_LIFE_S);
    TRY(cw_buf_check(&claims));
    const struct mint_key key = {
        .algorithm = t->key_algorithm,
        .kid = t->key_id.p,
        .pem = cw_secret_str(&t->secret),
    };
    char *assertion = NULL;
    enum cw_err err = mint_sign(&key, "JWT", cw_buf_str(&claims), &assertion);
    ENSURE(err == CW_OK || err == CW_NO_MEMORY, CW_IDP_MISCONFIGURED);
    TRY(err);
    idp_body_add(body, "client_id", t->client_id);
    idp_body_add(body, "client_assertion_type",
                 CW_STR("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
    idp_body_add(body, "client_assertion", cw_str(assertion));
    free(assertion);
    return CW_OK;
}

enum cw_err idp_client_auth(const struct idp *idp, const struct tenant *tenant,
                            struct idp_body *body, struct cw_buf *ret_header)
{
    const struct tenant_idp *t = tenant->idp;
    switch (t->auth) {
    case TENANT_IDP_SECRET_POST:
        idp_body_add(body, "client_id", t->client_id);
        idp_body_add(body, "client_secret", cw_secret_str(&t->secret));
        return CW_OK;
    case TENANT_IDP_SECRET_BASIC:
        return add_basic(t, ret_header);
    case TENANT_IDP_PRIVATE_KEY_JWT:
        return add_assertion(idp, tenant, body);
    case TENANT_IDP_PUBLIC:
        break;
    }
    idp_body_add(body, "client_id", t->client_id);
    return CW_OK;
}
