/* Forms, and how our client proves who it is in them. */
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

void idp_form_add(struct cw_buf *form, const char *name, struct cw_str value)
{
    cw_buf_add_cstr(form, form->n > 0 ? "&" : "");
    cw_buf_add_cstr(form, name);
    cw_buf_add_char(form, '=');
    encode(form, value);
}

void idp_form_done(struct cw_buf *form)
{
    if (form->p != NULL) {
        cw_secret_wipe(form->p, form->n);
    }
    cw_buf_done(form);
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
                                 struct cw_buf *form)
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
    cw_buf_add_char(&claims, '\0');
    TRY(cw_buf_check(&claims));
    const struct mint_key key = {
        .algorithm = t->key_algorithm,
        .kid = t->key_id.p,
        .pem = cw_secret_str(&t->secret),
    };
    char *assertion = NULL;
    enum cw_err err = mint_sign(&key, "JWT", claims.p, &assertion);
    ENSURE(err == CW_OK || err == CW_NO_MEMORY, CW_IDP_MISCONFIGURED);
    TRY(err);
    idp_form_add(form, "client_id", t->client_id);
    idp_form_add(form, "client_assertion_type",
                 CW_STR("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"));
    idp_form_add(form, "client_assertion", cw_str(assertion));
    free(assertion);
    return CW_OK;
}

enum cw_err idp_client_auth(const struct idp *idp, const struct tenant *tenant, struct cw_buf *form,
                            struct cw_buf *ret_header)
{
    const struct tenant_idp *t = tenant->idp;
    switch (t->auth) {
    case TENANT_IDP_SECRET_POST:
        idp_form_add(form, "client_id", t->client_id);
        idp_form_add(form, "client_secret", cw_secret_str(&t->secret));
        return CW_OK;
    case TENANT_IDP_SECRET_BASIC:
        return add_basic(t, ret_header);
    case TENANT_IDP_PRIVATE_KEY_JWT:
        return add_assertion(idp, tenant, form);
    case TENANT_IDP_PUBLIC:
        break;
    }
    idp_form_add(form, "client_id", t->client_id);
    return CW_OK;
}
