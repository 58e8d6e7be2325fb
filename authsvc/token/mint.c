/* Hands claims and key to libjwt and takes the signed token back. */
#include "authsvc/token/mint.h"

#include <jwt.h>
#include <stdlib.h>
#include <string.h>

/* Minted algorithms, with libjwt's names for them. */
static const struct {
    const char *name;
    jwt_alg_t alg;
} algorithms[] = {
    {"RS256", JWT_ALG_RS256},
    {"ES256", JWT_ALG_ES256},
};

static jwt_alg_t algorithm_of(const char *name)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(algorithms); i++) {
        if (strcmp(algorithms[i].name, name) == 0) {
            return algorithms[i].alg;
        }
    }
    return JWT_ALG_NONE;
}

static enum cw_err sign(jwt_t *jwt, const struct mint_key *key, jwt_alg_t alg, const char *typ,
                        const char *claims, char **ret_token)
{
    /* libjwt puts typ "JWT" only where there is none yet. */
    if (jwt_add_header(jwt, "typ", typ) != 0 || jwt_add_header(jwt, "kid", key->kid) != 0 ||
        jwt_add_grants_json(jwt, claims) != 0) {
        return CW_INTERNAL;
    }
    if (jwt_set_alg(jwt, alg, (const unsigned char *)key->pem.p, (int)key->pem.n) != 0) {
        return CW_INTERNAL;
    }
    char *token = jwt_encode_str(jwt);
    ENSURE(token != NULL, CW_INTERNAL);
    *ret_token = token;
    return CW_OK;
}

enum cw_err mint_sign(const struct mint_key *key, const char *typ, const char *claims,
                      char **ret_token)
{
    /* JWT_ALG_NONE here would be an unsigned token. */
    jwt_alg_t alg = algorithm_of(key->algorithm);
    ENSURE(alg != JWT_ALG_NONE && key->pem.n > 0 && key->pem.n <= 64 * 1024, CW_INTERNAL);
    jwt_t *jwt = NULL;
    ENSURE(jwt_new(&jwt) == 0, CW_NO_MEMORY);
    enum cw_err err = sign(jwt, key, alg, typ, claims, ret_token);
    jwt_free(jwt); /* scrubs its copy of the key */
    return err;
}
