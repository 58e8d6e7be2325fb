/* Cuts a compact JWS into its segments and reads its header: whatever is not plainly a signed token
 * that names its key by kid ends here. */
#include "common/jose/compact.h"

#include <string.h>

#include "common/jose/b64url.h"
#include "common/jose/doc.h"

enum {
    MEMO_MAX = 512,             /* characters of an encoded header that is remembered */
    HEADER_MEMORY = 256 * 1024, /* bytes that reading one may take: any fits */
};

enum cw_err cw_jws_split(struct cw_str token, struct cw_jws *ret_jws)
{
    enum { SEGMENTS_MAX = 5 };
    ENSURE(token.n <= CW_JWS_TOKEN_MAX, CW_TOKEN_TOO_LARGE);
    struct cw_str segments[SEGMENTS_MAX];
    size_t n = 0, from = 0;
    for (;;) {
        ENSURE(n < SEGMENTS_MAX, CW_TOKEN_MALFORMED);
        size_t length = cw_str_find(cw_str_slice(token, from, token.n), '.');
        segments[n++] = cw_str_slice(token, from, from + length);
        from += length + 1;
        if (from > token.n) {
            break;
        }
    }
    /* RFC 7516 §3.1; also JWE with an empty key, which is why empty segments come later */
    ENSURE(n != 5, CW_TOKEN_ENCRYPTED);
    ENSURE(n == 3, CW_TOKEN_MALFORMED); /* RFC 7515 §7.1 */
    for (size_t i = 0; i < n; i++) {
        ENSURE(segments[i].n > 0, CW_TOKEN_MALFORMED);
    }
    *ret_jws = (struct cw_jws){
        .header = segments[0],
        .payload = segments[1],
        .signature = segments[2],
        .signing_input = cw_str_slice(token, 0, segments[0].n + 1 + segments[1].n),
    };
    return CW_OK;
}

/* Members that end the validation by being there. */
static const struct {
    const char *name;
    enum cw_err err;
} refused[] = {
    {"crit", CW_CRITICAL_UNSUPPORTED}, /* RFC 7515 §4.1.11: no extension is implemented */
    {"b64", CW_CRITICAL_UNSUPPORTED},  /* RFC 7797 §3 */
    {"jwk", CW_HEADER_FORBIDDEN},      /* RFC 8725 §3.10: keys come from configuration only */
    {"jku", CW_HEADER_FORBIDDEN},      {"x5u", CW_HEADER_FORBIDDEN}, {"x5c", CW_HEADER_FORBIDDEN},
    {"enc", CW_HEADER_FORBIDDEN}, /* RFC 7516 §4.1: members of an encrypted token */
    {"zip", CW_HEADER_FORBIDDEN},      {"epk", CW_HEADER_FORBIDDEN}, {"apu", CW_HEADER_FORBIDDEN},
    {"apv", CW_HEADER_FORBIDDEN},      {"p2c", CW_HEADER_FORBIDDEN}, {"p2s", CW_HEADER_FORBIDDEN},
};

static enum cw_err check_names(const struct cw_doc_value *json)
{
    const struct cw_doc_value *name = cw_doc_first(json);
    for (uint32_t member = 0; member < json->n; member++) {
        for (size_t i = 0; i < CW_ARRAY_SIZE(refused); i++) {
            ENSURE(!cw_str_is(cw_doc_str(name), refused[i].name), refused[i].err);
        }
        name = cw_doc_next(name + 1);
    }
    return CW_OK;
}

static enum cw_err read_alg(const struct cw_doc_value *json, struct cw_jws_header *header)
{
    struct cw_str name;
    ENSURE(cw_doc_get_str(json, CW_STR("alg"), &name), CW_ALGORITHM_MISSING); /* RFC 7515 §4.1.1 */
    header->alg = cw_alg_find(name);
    size_t n = CW_MIN(name.n, sizeof header->alg_name - 1);
    memcpy(header->alg_name, name.p, n);
    header->alg_name[n] = '\0';
    return CW_OK;
}

static enum cw_err read_kid(const struct cw_doc_value *json, struct cw_jws_header *header)
{
    if (!cw_doc_get(json, CW_STR("kid"))) {
        return CW_OK;
    }
    struct cw_str kid;
    /* RFC 7515 §4.1.4: a string; opaque here, only ever compared */
    ENSURE(cw_doc_get_str(json, CW_STR("kid"), &kid) && kid.n >= 1 && kid.n <= CW_JWS_KID_MAX,
           CW_KID_INVALID);
    header->has_kid = true;
    header->kid_n = kid.n;
    memcpy(header->kid, kid.p, kid.n);
    header->kid[kid.n] = '\0';
    return CW_OK;
}

static void copy_lower(char *to, struct cw_str from)
{
    for (size_t i = 0; i < from.n; i++) {
        char c = from.p[i];
        to[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    to[from.n] = '\0';
}

static enum cw_err read_typ(const struct cw_doc_value *json, struct cw_jws_header *header)
{
    static const struct cw_str application = CW_STR_INIT("application/");
    if (cw_doc_get(json, CW_STR("typ"))) {
        struct cw_str typ;
        ENSURE(cw_doc_get_str(json, CW_STR("typ"), &typ), CW_TYPE_MISMATCH);
        /* RFC 7515 §4.1.9: media types compare without case, and "application/" may be left out */
        if (typ.n > application.n &&
            cw_str_eq_nocase(cw_str_slice(typ, 0, application.n), application)) {
            typ = cw_str_slice(typ, application.n, typ.n);
        }
        ENSURE(typ.n <= CW_JWS_TYP_MAX, CW_TYPE_MISMATCH);
        header->has_typ = true;
        copy_lower(header->typ, typ);
    }
    struct cw_str cty;
    header->nested =
        cw_doc_get_str(json, CW_STR("cty"), &cty) &&
        (cw_str_eq_nocase(cty, CW_STR("jwt")) || cw_str_eq_nocase(cty, CW_STR("application/jwt")));
    return CW_OK;
}

static enum cw_err read_members(const struct cw_doc_value *json, struct cw_jws_header *header)
{
    TRY(check_names(json));
    header->thumbprint = cw_doc_get(json, CW_STR("x5t")) || cw_doc_get(json, CW_STR("x5t#S256"));
    TRY(read_alg(json, header));
    TRY(read_kid(json, header));
    return read_typ(json, header);
}

/* Tokens of one key mostly have one header, byte for byte: the last good one is not read again. A
 * function of its bytes alone, so that this is not to be seen from outside. */
static _Thread_local struct {
    size_t n;
    char encoded[MEMO_MAX];
    struct cw_jws_header header;
} last;

static void remember(struct cw_str encoded, const struct cw_jws_header *header)
{
    if (encoded.n <= MEMO_MAX) {
        memcpy(last.encoded, encoded.p, encoded.n);
        last.n = encoded.n;
        last.header = *header;
    }
}

static enum cw_err parse_header(struct cw_str encoded, struct cw_jws_header *ret_header)
{
    unsigned char bytes[CW_JWS_HEADER_MAX];
    struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(HEADER_MEMORY);
    size_t n = cw_b64url_decoded_size(encoded.n);
    ENSURE(n <= sizeof bytes, CW_HEADER_MALFORMED);
    TRY(cw_b64url_decode(encoded, bytes));
    const struct cw_doc_value *json;
    TRY(cw_doc_parse((char *)bytes, n, CW_HEADER_MALFORMED, &arena, &json));
    struct cw_jws_header header;
    header.has_kid = header.has_typ = header.nested = false;
    header.kid_n = 0;
    header.kid[0] = header.typ[0] = '\0';
    TRY(read_members(json, &header));
    *ret_header = header;
    return CW_OK;
}

enum cw_err cw_jws_header_parse(struct cw_str encoded, struct cw_jws_header *ret_header)
{
    if (encoded.n > 0 && encoded.n == last.n && memcmp(encoded.p, last.encoded, last.n) == 0) {
        *ret_header = last.header;
        return CW_OK;
    }
    TRY(parse_header(encoded, ret_header));
    remember(encoded, ret_header);
    return CW_OK;
}
