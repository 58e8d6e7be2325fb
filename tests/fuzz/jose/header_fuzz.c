/* cw_jws_split and cw_jws_header_parse: segments lie within the token, and an accepted header has
 * what its struct promises. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/jose/b64url.h"
#include "common/jose/compact.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_header(struct cw_str encoded)
{
    struct cw_jws_header header;
    if (cw_jws_header_parse(encoded, &header) != CW_OK) {
        return;
    }
    if (header.has_kid != (header.kid_n > 0) || header.kid_n > CW_JWS_KID_MAX ||
        strlen(header.kid) != header.kid_n || strlen(header.typ) > CW_JWS_TYP_MAX ||
        (header.alg && strcmp(header.alg->name, header.alg_name) != 0)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cw_str input = {(const char *)data, size};
    struct cw_jws jws;
    if (cw_jws_split(input, &jws) == CW_OK) {
        if (jws.header.n + jws.payload.n + jws.signature.n + 2 != size ||
            jws.signing_input.p != input.p || !jws.header.n || !jws.payload.n || !jws.signature.n) {
            abort();
        }
        check_header(jws.header);
    }
    /* the JSON itself, too, so that the fuzzer need not learn base64url */
    if (size <= CW_JWS_HEADER_MAX) {
        char *encoded = malloc(cw_b64url_encoded_size(size) + 1);
        cw_b64url_encode(data, size, encoded);
        check_header((struct cw_str){encoded, cw_b64url_encoded_size(size)});
        free(encoded);
    }
    return 0;
}
