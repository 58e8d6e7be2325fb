/* The JWS compact serialisation (RFC 7515 §3.1) and its header (§4), with nothing verified yet. */
#ifndef CW_JOSE_COMPACT_H
#define CW_JOSE_COMPACT_H

#include "common/base/str.h"
#include "common/jose/alg.h"

enum {
    CW_JWS_TOKEN_MAX = 16 * 1024, /* bytes of a token */
    CW_JWS_HEADER_MAX = 4 * 1024, /* bytes of a decoded header */
    CW_JWS_KID_MAX = 256,         /* bytes of a key id */
    CW_JWS_TYP_MAX = 64,          /* bytes of a media type */
};

/* The three segments, borrowed from the token and still encoded. */
struct cw_jws {
    struct cw_str header;
    struct cw_str payload;
    struct cw_str signature;
    struct cw_str signing_input; /* header.payload, as sent (RFC 7515 §5.2) */
};

/* What of a header counts. */
struct cw_jws_header {
    const struct cw_alg *alg; /* NULL: a name that is not in the table */
    char alg_name[16];        /* cut, for people */
    bool has_kid;
    bool has_typ;
    bool nested;     /* `cty` says JWT (RFC 7519 §5.2) */
    bool thumbprint; /* names a certificate (x5t, x5t#S256; RFC 7515 §4.1.7): never looked at, and
                        refused unless the issuer is known to send it */
    size_t kid_n;
    char kid[CW_JWS_KID_MAX + 1];
    char typ[CW_JWS_TYP_MAX + 1]; /* lower case, without "application/" (RFC 7515 §4.1.9) */
};

/* Only looks for the dots; the segments' bytes are checked when they are decoded.
 * CW_TOKEN_TOO_LARGE; CW_TOKEN_ENCRYPTED for five segments (RFC 7516 §3.1); CW_TOKEN_MALFORMED for
 * any other number than three, and for an empty segment. Any thread. */
CW_MUST_USE enum cw_err cw_jws_split(struct cw_str token, struct cw_jws *ret_jws);

/* The encoded header. CW_TOKEN_MALFORMED (base64url), CW_HEADER_MALFORMED, CW_HEADER_FORBIDDEN,
 * CW_CRITICAL_UNSUPPORTED, CW_ALGORITHM_MISSING, CW_KID_INVALID, CW_TYPE_MISMATCH (no string). An
 * unknown algorithm is no error here. */
CW_MUST_USE enum cw_err cw_jws_header_parse(struct cw_str encoded,
                                            struct cw_jws_header *ret_header);

static inline struct cw_str cw_jws_header_kid(const struct cw_jws_header *header)
{
    return (struct cw_str){header->kid, header->kid_n};
}

#endif
