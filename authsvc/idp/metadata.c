/* Reads the metadata document of an identity provider. */
#include "authsvc/idp/metadata.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/jose/json.h"
#include "common/keys/key_fetch.h"

/* Reads one endpoint; false: it is there and cannot be used. */
static bool endpoint(const json_t *document, const char *name, bool plain_loopback,
                     const char **ret_url)
{
    struct cw_str url;
    *ret_url = NULL;
    if (json_object_get(document, name) == NULL) {
        return true;
    }
    if (!cw_json_get_str(document, name, &url) || !cw_key_fetch_url_ok(url, plain_loopback)) {
        return false;
    }
    *ret_url = url.p;
    return true;
}

static enum cw_err read(struct metadata *m, struct cw_str issuer, bool plain_loopback,
                        char why[METADATA_WHY_SIZE])
{
    struct cw_str named;
    if (!cw_json_get_str(m->document, "issuer", &named) || !cw_str_eq(named, issuer)) {
        snprintf(why, METADATA_WHY_SIZE, "the metadata is of another issuer");
        return CW_IDP_MISCONFIGURED;
    }
    const struct {
        const char *name;
        const char **url;
    } rows[] = {
        {"token_endpoint", &m->token_endpoint},
        {"userinfo_endpoint", &m->userinfo_endpoint},
        {"revocation_endpoint", &m->revocation_endpoint},
        {"mfa_challenge_endpoint", &m->mfa_challenge_endpoint},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        if (!endpoint(m->document, rows[i].name, plain_loopback, rows[i].url)) {
            snprintf(why, METADATA_WHY_SIZE, "the metadata's %s is no https URL", rows[i].name);
            return CW_IDP_MISCONFIGURED;
        }
    }
    if (m->token_endpoint == NULL) {
        snprintf(why, METADATA_WHY_SIZE, "the metadata has no token_endpoint");
        return CW_IDP_MISCONFIGURED;
    }
    return CW_OK;
}

enum cw_err metadata_parse(struct cw_str text, struct cw_str issuer, bool plain_loopback,
                           struct metadata **ret_metadata, char ret_why[METADATA_WHY_SIZE])
{
    struct metadata *m = calloc(1, sizeof(*m));
    ENSURE(m != NULL, CW_NO_MEMORY);
    atomic_init(&m->refs, 1);
    enum cw_err err = cw_json_parse_object(text, CW_IDP_MISCONFIGURED, &m->document);
    if (err == CW_OK) {
        err = read(m, issuer, plain_loopback, ret_why);
    } else {
        snprintf(ret_why, METADATA_WHY_SIZE, "the metadata is no JSON object");
    }
    if (err != CW_OK) {
        metadata_unref(m);
        return err;
    }
    *ret_metadata = m;
    return CW_OK;
}

struct metadata *metadata_ref(struct metadata *metadata)
{
    atomic_fetch_add_explicit(&metadata->refs, 1, memory_order_relaxed);
    return metadata;
}

void metadata_unref(struct metadata *metadata)
{
    if (metadata != NULL &&
        atomic_fetch_sub_explicit(&metadata->refs, 1, memory_order_acq_rel) == 1) {
        json_decref(metadata->document);
        free(metadata);
    }
}

bool metadata_offers(const struct metadata *metadata, const char *name, const char *value)
{
    const json_t *list = json_object_get(metadata->document, name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *one = json_string_value(json_array_get(list, i));
        if (one != NULL && strcmp(one, value) == 0) {
            return true;
        }
    }
    return list == NULL;
}
