/* An identity provider's metadata (OpenID Connect Discovery 1.0 §3), as far as we need it. */
#ifndef AUTHSVC_IDP_METADATA_H
#define AUTHSVC_IDP_METADATA_H

#include <jansson.h>

#include "common/base/str.h"

enum { METADATA_WHY_SIZE = 160, METADATA_URL_MAX = 2048 };

/* Immutable, shared by reference count. Absent endpoints are NULL. */
struct metadata {
    _Atomic unsigned refs;
    json_t *document; /* whole, for checks; holds the strings below */
    const char *token_endpoint;
    const char *userinfo_endpoint;
    const char *revocation_endpoint;    /* RFC 7009 */
    const char *mfa_challenge_endpoint; /* Auth0's */
};

/* The document must name `issuer` byte for byte (§4.3), a token endpoint, and only endpoints that
 * are https (or http on loopback where that is allowed). CW_IDP_MISCONFIGURED with the reason for
 * people; CW_NO_MEMORY. */
CW_MUST_USE enum cw_err metadata_parse(struct cw_str text, struct cw_str issuer,
                                       bool plain_loopback, struct metadata **ret_metadata,
                                       char ret_why[METADATA_WHY_SIZE]);
struct metadata *metadata_ref(struct metadata *metadata);
/* NULL is fine. */
void metadata_unref(struct metadata *metadata);
/* Whether the array `name` of the document has `value`; true where the document does not say. */
bool metadata_offers(const struct metadata *metadata, const char *name, const char *value);

#endif
