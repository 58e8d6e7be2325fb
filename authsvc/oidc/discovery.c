/* Writes the provider metadata. Users log in by the first-party API; there is no redirect flow, so
 * no authorization or token endpoint stands here and no response or grant type is named. */
#include "authsvc/oidc/discovery.h"

/* The issuer without a trailing slash, and a path. */
static void url(struct cw_buf *json, const char *name, struct cw_str issuer, const char *path)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf text = CW_BUF_INIT(4096);
    cw_buf_add_str(&text, cw_str_ends(issuer, CW_STR("/")) ? cw_str_slice(issuer, 0, issuer.n - 1)
                                                           : issuer);
    cw_buf_add_cstr(&text, path);
    cw_buf_addf(json, ",\"%s\":", name);
    cw_buf_add_json(json, cw_buf_str(&text));
}

/* What any of the tenant's clients may ask for, each once. */
static void scopes(struct cw_buf *json, const struct tenant *tenant)
{
    bool first = true;
    cw_buf_add_cstr(json, ",\"scopes_supported\":[");
    for (size_t c = 0; c < tenant->n_clients; c++) {
        for (size_t i = 0; i < tenant->clients[c].n_scopes; i++) {
            struct cw_str scope = tenant->clients[c].scopes[i];
            bool seen = false;
            for (size_t k = 0; k < c && !seen; k++) {
                for (size_t m = 0; m < tenant->clients[k].n_scopes && !seen; m++) {
                    seen = cw_str_eq(tenant->clients[k].scopes[m], scope);
                }
            }
            if (!seen) {
                cw_buf_add_cstr(json, first ? "" : ",");
                cw_buf_add_json(json, scope);
                first = false;
            }
        }
    }
    cw_buf_add_char(json, ']');
}

enum cw_err discovery_write(const struct tenant *tenant, struct keyring *keys,
                            struct cw_buf *ret_json)
{
    cw_buf_add_cstr(ret_json, "{\"issuer\":");
    cw_buf_add_json(ret_json, tenant->issuer);
    url(ret_json, "userinfo_endpoint", tenant->issuer, "/auth/v1/userinfo");
    url(ret_json, "jwks_uri", tenant->issuer, "/.well-known/jwks.json");
    scopes(ret_json, tenant);
    cw_buf_add_cstr(ret_json, ",\"response_types_supported\":[],\"grant_types_supported\":[]"
                              ",\"subject_types_supported\":[\"public\"]");
    cw_buf_add_cstr(ret_json, ",\"id_token_signing_alg_values_supported\":[");
    TRY(keyring_algorithms(keys, tenant->name, ret_json));
    cw_buf_add_char(ret_json, ']');
    cw_buf_add_cstr(ret_json,
                    ",\"claims_supported\":[\"iss\",\"sub\",\"aud\",\"exp\",\"iat\",\"auth_time\","
                    "\"at_hash\",\"sid\",\"amr\",\"tenant\",\"roles\",\"permissions\","
                    "\"preferred_username\",\"name\",\"email\",\"email_verified\"]}");
    return cw_buf_check(ret_json);
}
