/* A whole token against a set of public keys that nobody holds the private half of: nothing that
 * the fuzzer writes is ever accepted, except for the one example that the corpus begins with. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/jose/token.h"
#include "common/jose/verify.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* RFC 7515 A.2 and A.3, RFC 8037 A.2 */
static const char keys[] =
    "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"e\","
    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"o\","
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
    "{\"kty\":\"RSA\",\"kid\":\"r\",\"e\":\"AQAB\","
    "\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1"
    "Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5"
    "z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhy"
    "xXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}]}";

static void sink(void *ctx, const char *name, bool passed, struct cw_str detail)
{
    *(size_t *)ctx += strlen(name) + detail.n + passed;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cw_jwks *set;
    if (!set) {
        struct cw_jwks_options options = {.allow_oct = false};
        if (cw_jwks_parse(CW_STR(keys), &options, &set, NULL) != CW_OK) {
            abort();
        }
    }
    static const struct cw_str types[] = {CW_STR_INIT("jwt")};
    struct cw_token_policy policy = {
        .algorithms = CW_ALG_SET_PUBLIC, .types = types, .type_count = 1, .type_optional = true};
    size_t told = 0;
    struct cw_checks checks = {.add = sink, .ctx = &told};
    struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA);
    struct cw_token token;
    struct cw_claims claims;
    struct cw_str bytes = {(const char *)data, size};
    if (cw_token_parse(bytes, &arena, size % 2 ? &checks : NULL, &token) == CW_OK) {
        policy.claims.issuer = token.issuer;
        enum cw_err err = cw_token_verify(&token, &policy, set, 1300819000,
                                          size % 2 ? &checks : NULL, &arena, &claims, NULL);
        if (err == CW_OK) {
            abort(); /* none of the examples has a subject */
        }
    }
    cw_arena_done(&arena);
    (void)!cw_jws_verify(bytes, set);
    return 0;
}
