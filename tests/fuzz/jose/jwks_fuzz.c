/* cw_jwks_parse: a set that is accepted has keys within the bounds, and a second reading of the
 * same text carries all of them over. */
#include <stdint.h>
#include <stdlib.h>

#include "common/jose/jwks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cw_str text = {(const char *)data, size};
    struct cw_jwks_options options = {.allow_oct = size % 2};
    struct cw_jwks *set = NULL;
    if (cw_jwks_parse(text, &options, &set, NULL) != CW_OK) {
        return 0;
    }
    if (cw_jwks_count(set) == 0 || cw_jwks_count(set) > CW_JWKS_KEYS_MAX) {
        abort();
    }
    for (size_t i = 0; i < cw_jwks_count(set); i++) {
        const struct cw_jwk *key = cw_jwks_at(set, i);
        if (!cw_jwk_algorithms(key) || cw_jwk_kid(key).n > 256 ||
            (!options.allow_oct && (cw_jwk_algorithms(key) & CW_ALG_SET_SECRET))) {
            abort();
        }
    }
    struct cw_jwks *again = NULL;
    options.previous = set;
    if (cw_jwks_parse(text, &options, &again, NULL) != CW_OK ||
        cw_jwks_withdraw_missing(set, again) != 0) {
        abort();
    }
    cw_jwks_unref(again);
    cw_jwks_unref(set);
    return 0;
}
