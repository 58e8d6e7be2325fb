/* Why libjwt neither verifies (docs/decisions/0002) nor signs our tokens (0014): what Debian's
 * version accepts, and what a verification and a signature cost beside OpenSSL's EVP with the key
 * parsed once. Prints one line a finding: name, tab, value.
 */
#include <jwt.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

struct key {
    jwt_alg_t alg;
    EVP_PKEY *pkey;
    char private_pem[4096];
    char public_pem[4096];
};

static void to_pem(EVP_PKEY *pkey, int private, char out[4096])
{
    BIO *bio = BIO_new(BIO_s_mem());
    if (private) {
        PEM_write_bio_PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL);
    } else {
        PEM_write_bio_PUBKEY(bio, pkey);
    }
    int n = BIO_read(bio, out, 4095);
    out[n > 0 ? n : 0] = '\0';
    BIO_free(bio);
}

static void make_key(struct key *key, jwt_alg_t alg)
{
    key->alg = alg;
    key->pkey = alg == JWT_ALG_ES256 ? EVP_EC_gen("P-256") : EVP_RSA_gen(2048);
    to_pem(key->pkey, 1, key->private_pem);
    to_pem(key->pkey, 0, key->public_pem);
}

/* A token of about 800 bytes, as an access token is. */
static char *make_token(jwt_alg_t alg, const char *secret)
{
    jwt_t *jwt = NULL;
    char padding[401];
    memset(padding, 'x', 400);
    padding[400] = '\0';
    jwt_new(&jwt);
    jwt_add_grant(jwt, "iss", "https://issuer.example/");
    jwt_add_grant(jwt, "sub", padding);
    jwt_set_alg(jwt, alg, (const unsigned char *)secret, (int)strlen(secret));
    char *token = jwt_encode_str(jwt);
    jwt_free(jwt);
    return token;
}

static int libjwt_accepts(const char *token, const char *key)
{
    jwt_t *jwt = NULL;
    int r = jwt_decode(&jwt, token, (const unsigned char *)key, key ? (int)strlen(key) : 0);
    if (r == 0) {
        jwt_free(jwt);
    }
    return r == 0;
}

static void finding(const char *name, int accepted)
{
    printf("%s\t%s\n", name, accepted ? "accepted" : "refused");
}

static void findings(const struct key *key)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char changed[4096];
    char *good = make_token(key->alg, key->private_pem);
    char *confused = make_token(JWT_ALG_HS256, key->public_pem);
    finding("a good token", libjwt_accepts(good, key->public_pem));
    finding("HS256 made with the public key (RFC 8725 §2.1)",
            libjwt_accepts(confused, key->public_pem));
    snprintf(changed, sizeof(changed), "%s.garbage", good);
    finding("bytes after the signature", libjwt_accepts(changed, key->public_pem));
    snprintf(changed, sizeof(changed), "%s", good);
    char *last =
        &changed[strlen(changed) - 1]; /* its low bits are unused in a signature of 256 bytes */
    *last = letters[(size_t)(strchr(letters, *last) - letters) ^ 1];
    finding("a non-canonical last letter (RFC 4648 §3.5)",
            libjwt_accepts(changed, key->public_pem));
    snprintf(changed, sizeof(changed), "%s", good);
    changed[strlen(changed) - 40] ^= 1;
    finding("a damaged signature", libjwt_accepts(changed, key->public_pem));
    finding("a damaged signature, key NULL", libjwt_accepts(changed, NULL));
    free(good);
    free(confused);
}

static double libjwt_us(const struct key *key, int rounds)
{
    char *token = make_token(key->alg, key->private_pem);
    double begin = now();
    for (int i = 0; i < rounds; i++) {
        if (!libjwt_accepts(token, key->public_pem)) {
            abort();
        }
    }
    double us = (now() - begin) / rounds * 1e6;
    free(token);
    return us;
}

static double evp_us(const struct key *key, int rounds)
{
    static const unsigned char data[800];
    unsigned char signature[512];
    size_t n = sizeof(signature);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key->pkey);
    EVP_DigestSign(ctx, signature, &n, data, sizeof(data));
    EVP_MD_CTX_free(ctx);
    double begin = now();
    for (int i = 0; i < rounds; i++) {
        ctx = EVP_MD_CTX_new();
        if (EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key->pkey) != 1 ||
            EVP_DigestVerify(ctx, signature, n, data, sizeof(data)) != 1) {
            abort();
        }
        EVP_MD_CTX_free(ctx);
    }
    return (now() - begin) / rounds * 1e6;
}

/* Token by token, as jwt_encode_str makes them. */
static double libjwt_sign_us(const struct key *key, int rounds)
{
    double begin = now();
    for (int i = 0; i < rounds; i++) {
        free(make_token(key->alg, key->private_pem));
    }
    return (now() - begin) / rounds * 1e6;
}

static double evp_sign_us(const struct key *key, int rounds)
{
    static const unsigned char data[800];
    double begin = now();
    for (int i = 0; i < rounds; i++) {
        unsigned char signature[512];
        size_t n = sizeof(signature);
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key->pkey) != 1 ||
            EVP_DigestSign(ctx, signature, &n, data, sizeof(data)) != 1) {
            abort();
        }
        EVP_MD_CTX_free(ctx);
    }
    return (now() - begin) / rounds * 1e6;
}

static const struct {
    const char *name;
    double (*ours)(const struct key *key, int rounds);
    double (*theirs)(const struct key *key, int rounds);
} cases[] = {{"verification", evp_us, libjwt_us}, {"signature", evp_sign_us, libjwt_sign_us}};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    enum { RUNS_MAX = 31 };
    int runs = argc > 1 && argv[1][0] == 'q' ? 3 : 7;
    int rounds = argc > 1 && argv[1][0] == 'q' ? 50 : 400;
    struct key keys[2];
    make_key(&keys[0], JWT_ALG_RS256);
    make_key(&keys[1], JWT_ALG_ES256);
    findings(&keys[0]);
    for (int c = 0; c < 4; c++) {
        const struct key *key = &keys[c % 2];
        double ours[RUNS_MAX], theirs[RUNS_MAX];
        for (int i = 0; i < runs; i++) { /* alternating */
            ours[i] = cases[c / 2].ours(key, rounds);
            theirs[i] = cases[c / 2].theirs(key, rounds);
        }
        qsort(ours, (size_t)runs, sizeof(*ours), by_value);
        qsort(theirs, (size_t)runs, sizeof(*theirs), by_value);
        printf("us\t%s %s\t%.1f\t%.1f\t%d\n", c % 2 == 0 ? "RS256" : "ES256", cases[c / 2].name,
               ours[runs / 2], theirs[runs / 2], runs);
    }
    EVP_PKEY_free(keys[0].pkey);
    EVP_PKEY_free(keys[1].pkey);
    return 0;
}
