/* Writes N different tokens of one key, and the key set that verifies them; and measures the bare
 * verification.
 *
 *   mint_tokens write ALG N BYTES ISSUER AUDIENCE JWKS TOKENS   tokens of about BYTES bytes, good
 * for an hour mint_tokens evp ALG BYTES MILLISECONDS   prints nanoseconds of CPU per EVP
 * verification with a parsed key */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/str.h"
#include "tests/support/jose/mint.h"

#define HEADER "{\"alg\":\"%s\",\"typ\":\"at+jwt\",\"kid\":\"bench\"}"

static char *payload(const char *issuer, const char *audience, unsigned long i, size_t padding)
{
    long now = (long)time(NULL);
    return mint_format(
        "{\"iss\":\"%s\",\"sub\":\"user|%08lu\",\"aud\":\"%s\",\"exp\":%ld,\"iat\":%ld,"
        "\"jti\":\"%016lx\",\"client_id\":\"portal\",\"scope\":\"openid files:read files:write\","
        "\"sid\":\"%016lx\",\"roles\":[\"doctor\"],\"permissions\":[\"files:read\"],\"padding\":\"%"
        "0*d\"}",
        issuer, i, audience, now + 3600, now - 1, i, i * 7, (int)padding, 0);
}

static char *token(const struct mint_key *key, char **to, unsigned long i, size_t padding)
{
    char *header = mint_format(HEADER, to[0]), *body = payload(to[3], to[4], i, padding);
    char *result = mint_token(key, to[0], cw_str(header), cw_str(body));
    free(header);
    free(body);
    return result;
}

/* argv: ALG N BYTES ISSUER AUDIENCE JWKS TOKENS */
static int write_all(char **argv)
{
    const char *alg = argv[0];
    unsigned long n = strtoul(argv[1], NULL, 10), bytes = strtoul(argv[2], NULL, 10);
    const struct mint_key *key = mint_key(alg);
    FILE *jwks = fopen(argv[5], "w"), *tokens = fopen(argv[6], "w");
    if (!jwks || !tokens) {
        perror("mint_tokens");
        return 1;
    }
    char *members = mint_format("\"kid\":\"bench\",\"alg\":\"%s\",\"use\":\"sig\"", alg);
    char *jwk = mint_jwk(key, alg, members);
    fprintf(jwks, "{\"keys\":[%s]}\n", jwk);
    free(members);
    free(jwk);
    char *shortest = token(key, argv, 0, 1);
    size_t least = strlen(shortest);
    free(shortest);
    size_t padding = bytes > least ? 1 + (bytes - least) * 3 / 4 : 1; /* base64url */
    for (unsigned long i = 0; i < n; i++) {
        char *t = token(key, argv, i, padding);
        fprintf(tokens, "%s\n", t);
        free(t);
    }
    mint_done();
    return fclose(jwks) == 0 && fclose(tokens) == 0 ? 0 : 1;
}

static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* JWS carries ECDSA as r || s, EVP wants DER: the conversion is part of the verifier, so the bare
 * loop starts from DER. */
static int evp(char **argv)
{
    const char *alg = argv[0];
    unsigned long bytes = strtoul(argv[1], NULL, 10), ms = strtoul(argv[2], NULL, 10);
    const struct mint_key *key = mint_key(alg);
    unsigned char *input = malloc(bytes), signature[1024];
    size_t signature_n = sizeof signature;
    const EVP_MD *md = strcmp(alg, "EdDSA") == 0 ? NULL : EVP_sha256();
    if (!input) {
        return 1;
    }
    memset(input, 'a', bytes);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (EVP_DigestSignInit(ctx, NULL, md, NULL, key->pkey) != 1 ||
        EVP_DigestSign(ctx, signature, &signature_n, input, bytes) != 1) {
        return 1;
    }
    EVP_MD_CTX_free(ctx);
    double start = cpu_ns(), used = 0;
    unsigned long n = 0;
    while (used < (double)ms * 1e6) {
        for (int i = 0; i < 16; i++, n++) {
            ctx = EVP_MD_CTX_new();
            if (EVP_DigestVerifyInit(ctx, NULL, md, NULL, key->pkey) != 1 ||
                EVP_DigestVerify(ctx, signature, signature_n, input, bytes) != 1) {
                return 1;
            }
            EVP_MD_CTX_free(ctx);
        }
        used = cpu_ns() - start;
    }
    printf("%.0f\n", used / (double)n);
    free(input);
    mint_done();
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 9 && strcmp(argv[1], "write") == 0) {
        return write_all(argv + 2);
    }
    if (argc == 5 && strcmp(argv[1], "evp") == 0) {
        return evp(argv + 2);
    }
    fputs("usage: mint_tokens write ALG N BYTES ISSUER AUDIENCE JWKS TOKENS | evp ALG BYTES "
          "MILLISECONDS\n",
          stderr);
    return 64;
}
