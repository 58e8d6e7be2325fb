/* Signing keys: generated, sealed, opened, published; and the tokens that they sign, checked with
 * OpenSSL alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <openssl/bio.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <sodium.h>

#include "authsvc/keys/keyring.h"
#include "authsvc/token/token.h"
#include "tests/unit/authsvc/clock_fake.h"
#include "tests/unit/authsvc/databases.h"

#define TENANT CW_STR("clinicwave")

enum { AHEAD_MS = 60 * 1000 };

struct world {
    char dir[32];
    char kek[64];
    char url[160];
    struct store *store;
    struct keyring *ring;
};

static void open_store(struct world *w)
{
    const struct store_options options = {.url = cw_str(w->url),
                                          .connect_timeout_ms = DATABASES_PATIENCE_MS,
                                          .statement_timeout_ms = DATABASES_PATIENCE_MS,
                                          .clock = &fake_clock};
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    assert_int_equal(store_open(&options, &message, &w->store), CW_OK);
    assert_int_equal(store_tenant_add(w->store, TENANT), CW_OK);
    assert_int_equal(store_tenant_add(w->store, CW_STR("other")), CW_OK);
}

static enum cw_err open_ring(struct world *w, const char *want_message)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    const struct keyring_options options = {
        .policy = {.publish_ahead_ms = AHEAD_MS, .retire_margin_ms = 1000}, .rsa_bits = 2048};
    enum cw_err err = keyring_open(w->store, w->kek, &options, &message, &w->ring);
    char *text = cw_buf_take(&message);
    assert_non_null(strstr(text != NULL ? text : "", want_message));
    free(text);
    return err;
}

static enum cw_err load(struct world *w, struct cw_str tenant, const char *algorithm)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    const struct keyring_want want = {.algorithm = algorithm, .life_ms = 300 * 1000};
    enum cw_err err = keyring_load(w->ring, tenant, &want, &message);
    assert_true((err == CW_OK) == (message.n == 0));
    return err;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    snprintf(w->dir, sizeof(w->dir), "/tmp/cwXXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->kek, sizeof(w->kek), "%s/kek", w->dir);
    if (databases_is_postgresql()) {
        snprintf(w->url, sizeof(w->url), "%s", databases_fresh_url());
    } else {
        snprintf(w->url, sizeof(w->url), "sqlite:%s/a.db", w->dir);
    }
    open_store(w);
    assert_int_equal(open_ring(w, ""), CW_OK);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    keyring_free(w->ring);
    store_close(w->store);
    static const char *const names[] = {"a.db", "a.db-wal", "a.db.lock", "kek"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(names); i++) {
        char path[64];
        snprintf(path, sizeof(path), "%s/%s", w->dir, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(w->dir), 0);
    free(w);
    return 0;
}

static void decode(struct cw_str text, uint8_t *ret, size_t size, size_t *ret_n)
{
    assert_int_equal(sodium_base642bin(ret, size, text.p, text.n, NULL, ret_n, NULL,
                                       sodium_base64_VARIANT_URLSAFE_NO_PADDING),
                     0);
}

/* Verifies with OpenSSL and returns the payload. */
static json_t *verified(const struct signing_key *key, const char *token, json_t **ret_header)
{
    struct cw_str t = cw_str(token);
    size_t first = cw_str_find(t, '.');
    struct cw_str rest = cw_str_slice(t, first + 1, t.n);
    size_t second = first + 1 + cw_str_find(rest, '.');
    uint8_t signature[600];
    size_t signature_n = 0;
    decode(cw_str_slice(t, second + 1, t.n), signature, sizeof(signature), &signature_n);

    BIO *bio = BIO_new_mem_buf(signing_key_pem(key).p, (int)signing_key_pem(key).n);
    EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    BIO_free(bio);
    uint8_t der[80];
    uint8_t *p = signature;
    if (strcmp(signing_key_algorithm(key), "ES256") == 0) {
        assert_int_equal(signature_n, 64);
        ECDSA_SIG *sig = ECDSA_SIG_new();
        assert_int_equal(ECDSA_SIG_set0(sig, BN_bin2bn(signature, 32, NULL),
                                        BN_bin2bn(signature + 32, 32, NULL)),
                         1);
        p = der;
        signature_n = (size_t)i2d_ECDSA_SIG(sig, &p);
        p = der;
        ECDSA_SIG_free(sig);
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey), 1);
    assert_int_equal(EVP_DigestVerify(ctx, p, signature_n, (const unsigned char *)token, second),
                     1);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);

    uint8_t json[8192];
    size_t n = 0;
    decode(cw_str_slice(t, 0, first), json, sizeof(json), &n);
    *ret_header = json_loadb((const char *)json, n, JSON_REJECT_DUPLICATES, NULL);
    decode(cw_str_slice(t, first + 1, second), json, sizeof(json), &n);
    json_t *payload = json_loadb((const char *)json, n, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(*ret_header);
    assert_non_null(payload);
    return payload;
}

static struct token_facts facts(void)
{
    static const struct cw_str audiences[] = {CW_STR_INIT("https://api.clinicwave.com")};
    return (struct token_facts){
        .tenant = TENANT,
        .issuer = CW_STR("https://clinicwave.localhost:8443"),
        .subject = CW_STR("s-1"),
        .client_id = CW_STR("portal"),
        .session_id = CW_STR("sid-1"),
        .audiences = audiences,
        .n_audiences = 1,
        .scope = CW_STR("openid profile email"),
        .roles = CW_STR("[\"doctor\"]"),
        .permissions = CW_STR("[\"files:read\"]"),
        .username = CW_STR("anna@clinicwave.com"),
        .name = CW_STR("Anna \"A\" \u00d6"),
        .email = CW_STR("anna@clinicwave.com"),
        .email_verified = true,
        .auth_time = 1700000000,
        .now = 1700000100,
        .access_life = 300,
        .id_life = 3600,
    };
}

/* How the tokens are signed. */
enum signer { BY_OPENSSL, BY_LIBJWT };

static struct mint_key mint_key_of(const struct signing_key *key, enum signer signer)
{
    return (struct mint_key){
        .algorithm = signing_key_algorithm(key),
        .kid = signing_key_kid(key),
        .pem = signer == BY_LIBJWT ? signing_key_pem(key) : (struct cw_str){0},
        .signer = signer == BY_OPENSSL ? signing_key_signer(key) : NULL,
    };
}

static void assert_text(json_t *object, const char *name, const char *want)
{
    assert_string_equal(json_string_value(json_object_get(object, name)), want);
}

static void check_tokens(struct world *w, enum signer signer)
{
    struct signing_key *key = NULL;
    assert_int_equal(keyring_signer(w->ring, TENANT, &key), CW_OK);
    struct mint_key mint = mint_key_of(key, signer);
    struct token_facts f = facts();
    char *access = NULL;
    char *id = NULL;
    assert_int_equal(token_access(&mint, &f, &access), CW_OK);
    assert_int_equal(token_id(&mint, &f, access, &id), CW_OK);

    json_t *header = NULL;
    json_t *claims = verified(key, access, &header);
    assert_text(header, "typ", "at+jwt");
    assert_text(header, "alg", signing_key_algorithm(key));
    assert_text(header, "kid", signing_key_kid(key));
    assert_int_equal(json_object_size(header), 3);
    static const char *const names[] = {"iss",    "sub", "aud",       "exp",
                                        "iat",    "jti", "client_id", "scope",
                                        "tenant", "sid", "roles",     "permissions"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(names); i++) {
        assert_non_null(json_object_get(claims, names[i]));
    }
    assert_int_equal(json_object_size(claims), CW_ARRAY_SIZE(names));
    assert_text(claims, "aud", "https://api.clinicwave.com");
    assert_int_equal(json_integer_value(json_object_get(claims, "exp")), 1700000400);
    assert_string_equal(json_string_value(json_array_get(json_object_get(claims, "roles"), 0)),
                        "doctor");
    json_decref(header);
    json_decref(claims);

    claims = verified(key, id, &header);
    assert_text(header, "typ", "JWT");
    assert_text(claims, "aud", "portal");
    assert_text(claims, "sid", "sid-1");
    assert_text(claims, "name", "Anna \"A\" \u00d6");
    assert_true(json_is_true(json_object_get(claims, "email_verified")));
    assert_int_equal(json_integer_value(json_object_get(claims, "auth_time")), 1700000000);
    assert_null(json_object_get(claims, "nonce"));
    uint8_t digest[32];
    crypto_hash_sha256(digest, (const unsigned char *)access, strlen(access));
    char hash[32];
    sodium_bin2base64(hash, sizeof(hash), digest, 16, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    assert_text(claims, "at_hash", hash);
    json_decref(header);
    json_decref(claims);
    free(access);
    free(id);
    signing_key_unref(key);
}

static void rs256_tokens_verify_and_say_what_the_contract_says(void **state)
{
    assert_int_equal(load(*state, TENANT, "RS256"), CW_OK);
    check_tokens(*state, BY_OPENSSL);
    check_tokens(*state, BY_LIBJWT);
}

static void es256_tokens_verify_and_say_what_the_contract_says(void **state)
{
    assert_int_equal(load(*state, TENANT, "ES256"), CW_OK);
    check_tokens(*state, BY_OPENSSL);
    check_tokens(*state, BY_LIBJWT);
}

static void claims_that_were_not_asked_for_stay_away(void **state)
{
    struct world *w = *state;
    assert_int_equal(load(w, TENANT, "ES256"), CW_OK);
    struct signing_key *key = NULL;
    assert_int_equal(keyring_signer(w->ring, TENANT, &key), CW_OK);
    struct mint_key mint = mint_key_of(key, BY_OPENSSL);
    struct token_facts f = facts();
    f.scope = CW_STR("openid profiles emails");
    char *id = NULL;
    assert_int_equal(token_id(&mint, &f, "x", &id), CW_OK);
    json_t *header = NULL;
    json_t *claims = verified(key, id, &header);
    assert_null(json_object_get(claims, "email"));
    assert_null(json_object_get(claims, "name"));
    assert_null(json_object_get(claims, "preferred_username"));
    json_decref(header);
    json_decref(claims);
    free(id);
    signing_key_unref(key);
}

struct signer_thread {
    pthread_t thread;
    struct mint_key mint;
    char *tokens[32];
};

static void *sign_some(void *arg)
{
    struct signer_thread *t = arg;
    for (size_t i = 0; i < CW_ARRAY_SIZE(t->tokens); i++) {
        char claims[32];
        snprintf(claims, sizeof(claims), "{\"n\":%zu}", i);
        if (mint_sign(&t->mint, "JWT", cw_str(claims), &t->tokens[i]) != CW_OK) {
            t->tokens[i] = NULL;
        }
    }
    return NULL;
}

static void threads_sign_with_one_key_at_once(void **state)
{
    (void)state;
    struct signing_key *key = NULL;
    assert_int_equal(signing_key_generate("ES256", 0, &key), CW_OK);
    struct signer_thread threads[4];
    for (size_t i = 0; i < CW_ARRAY_SIZE(threads); i++) {
        threads[i] = (struct signer_thread){.mint = mint_key_of(key, BY_OPENSSL)};
        assert_int_equal(pthread_create(&threads[i].thread, NULL, sign_some, &threads[i]), 0);
    }
    for (size_t i = 0; i < CW_ARRAY_SIZE(threads); i++) {
        assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
        for (size_t k = 0; k < CW_ARRAY_SIZE(threads[i].tokens); k++) {
            assert_non_null(threads[i].tokens[k]);
            json_t *header = NULL;
            json_t *claims = verified(key, threads[i].tokens[k], &header);
            assert_int_equal(json_integer_value(json_object_get(claims, "n")), k);
            json_decref(header);
            json_decref(claims);
            free(threads[i].tokens[k]);
        }
    }
    signing_key_unref(key);
}

static void nothing_is_minted_unsigned_or_with_a_shared_secret(void **state)
{
    (void)state;
    static const char *const algorithms[] = {"none", "HS256", "", "rs256", "RS512"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(algorithms); i++) {
        struct mint_key mint = {.algorithm = algorithms[i], .kid = "k", .pem = CW_STR("x")};
        char *token = NULL;
        assert_int_equal(mint_sign(&mint, "at+jwt", CW_STR("{}"), &token), CW_INTERNAL);
        assert_null(token);
    }
}

static void a_key_of_another_kind_signs_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {"RS256", "ES256"};
    struct signing_key *keys[2] = {0};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(signing_key_generate(names[i], 2048, &keys[i]), CW_OK);
    }
    for (size_t i = 0; i < 4; i++) {
        char *token = NULL;
        const struct mint_key mint = {
            .algorithm = names[i / 2], .kid = "k", .signer = signing_key_signer(keys[i % 2])};
        assert_int_equal(mint_sign(&mint, "at+jwt", CW_STR("{}"), &token),
                         i / 2 == i % 2 ? CW_OK : CW_INTERNAL);
        free(token);
    }
    signing_key_unref(keys[0]);
    signing_key_unref(keys[1]);
}

static void keys_survive_a_restart_under_the_same_names(void **state)
{
    struct world *w = *state;
    assert_int_equal(load(w, TENANT, "ES256"), CW_OK);
    CW_CLEANUP(cw_buf_done) struct cw_buf before = CW_BUF_INIT(8192);
    CW_CLEANUP(cw_buf_done) struct cw_buf after = CW_BUF_INIT(8192);
    assert_int_equal(keyring_jwks(w->ring, TENANT, &before), CW_OK);
    keyring_free(w->ring);
    store_close(w->store);
    open_store(w);
    assert_int_equal(open_ring(w, ""), CW_OK);
    assert_int_equal(load(w, TENANT, "ES256"), CW_OK);
    assert_int_equal(keyring_jwks(w->ring, TENANT, &after), CW_OK);
    assert_true(cw_str_eq(cw_buf_str(&before), cw_buf_str(&after)));
    check_tokens(w, BY_OPENSSL);
    check_tokens(w, BY_LIBJWT);
}

static void assert_signs(struct world *w, const char *algorithm)
{
    struct signing_key *key = NULL;
    assert_int_equal(keyring_signer(w->ring, TENANT, &key), CW_OK);
    assert_string_equal(signing_key_algorithm(key), algorithm);
    signing_key_unref(key);
}

static void another_algorithm_signs_when_its_key_has_been_published_for_a_while(void **state)
{
    struct world *w = *state;
    assert_int_equal(load(w, TENANT, "ES256"), CW_OK);
    assert_int_equal(load(w, TENANT, "RS256"), CW_OK);
    assert_int_equal(load(w, TENANT, "RS256"), CW_OK);
    CW_CLEANUP(cw_buf_done) struct cw_buf jwks = CW_BUF_INIT(8192);
    assert_int_equal(keyring_jwks(w->ring, TENANT, &jwks), CW_OK);
    json_t *set = json_loadb(jwks.p, jwks.n, 0, NULL);
    assert_int_equal(json_array_size(json_object_get(set, "keys")), 2);
    json_decref(set);
    CW_CLEANUP(cw_buf_done) struct cw_buf algorithms = CW_BUF_INIT(64);
    assert_int_equal(keyring_algorithms(w->ring, TENANT, &algorithms), CW_OK);
    assert_true(cw_str_is(cw_buf_str(&algorithms), "\"ES256\",\"RS256\""));
    assert_signs(w, "ES256");
    fake_now_ms += AHEAD_MS - 1;
    assert_signs(w, "ES256");
    fake_now_ms += 1;
    assert_signs(w, "RS256");
}

static size_t published(struct world *w)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf jwks = CW_BUF_INIT(32 * 1024);
    assert_int_equal(keyring_jwks(w->ring, TENANT, &jwks), CW_OK);
    json_t *set = json_loadb(jwks.p, jwks.n, 0, NULL);
    size_t n = json_array_size(json_object_get(set, "keys"));
    json_decref(set);
    return n;
}

static void an_algorithm_that_is_changed_back_in_time_leaves_nothing_behind(void **state)
{
    struct world *w = *state;
    assert_int_equal(load(w, TENANT, "ES256"), CW_OK);
    assert_int_equal(load(w, TENANT, "RS256"), CW_OK);
    assert_int_equal(published(w), 2);
    assert_int_equal(load(w, TENANT, "ES256"), CW_OK);
    assert_int_equal(published(w), 1);
    fake_now_ms += AHEAD_MS;
    assert_signs(w, "ES256");
}

static void the_jwks_holds_public_parts_only(void **state)
{
    struct world *w = *state;
    assert_int_equal(load(w, TENANT, "RS256"), CW_OK);
    CW_CLEANUP(cw_buf_done) struct cw_buf jwks = CW_BUF_INIT(8192);
    assert_int_equal(keyring_jwks(w->ring, TENANT, &jwks), CW_OK);
    json_t *set = json_loadb(jwks.p, jwks.n, 0, NULL);
    json_t *key = json_array_get(json_object_get(set, "keys"), 0);
    assert_text(key, "kty", "RSA");
    assert_text(key, "use", "sig");
    assert_text(key, "e", "AQAB");
    assert_int_equal(json_object_size(key), 6);
    json_decref(set);
}

static void tenants_have_keys_of_their_own(void **state)
{
    struct world *w = *state;
    assert_int_equal(load(w, TENANT, "ES256"), CW_OK);
    struct signing_key *key = NULL;
    assert_int_equal(keyring_signer(w->ring, CW_STR("other"), &key), CW_KEYS_UNAVAILABLE);
    assert_int_equal(load(w, CW_STR("other"), "ES256"), CW_OK);
    struct signing_key *other = NULL;
    assert_int_equal(keyring_signer(w->ring, TENANT, &key), CW_OK);
    assert_int_equal(keyring_signer(w->ring, CW_STR("other"), &other), CW_OK);
    assert_string_not_equal(signing_key_kid(key), signing_key_kid(other));
    signing_key_unref(key);
    signing_key_unref(other);
}

static void a_sealed_key_opens_in_its_own_row_only(void **state)
{
    struct world *w = *state;
    struct signing_key *key = NULL;
    assert_int_equal(signing_key_generate("ES256", 0, &key), CW_OK);
    const struct kek *kek = keyring_kek(w->ring);
    CW_CLEANUP(cw_buf_done) struct cw_buf sealed = CW_BUF_INIT(65536);
    assert_int_equal(signing_key_seal(key, kek, TENANT, &sealed), CW_OK);
    assert_null(memmem(sealed.p, sealed.n, "PRIVATE", 7));
    struct cw_str kid = cw_str(signing_key_kid(key));
    struct signing_key *open = NULL;
    assert_int_equal(
        signing_key_unseal(kek, TENANT, kid, CW_STR("ES256"), cw_buf_str(&sealed), &open), CW_OK);
    signing_key_unref(open);
    open = NULL;
    assert_int_equal(
        signing_key_unseal(kek, CW_STR("other"), kid, CW_STR("ES256"), cw_buf_str(&sealed), &open),
        CW_STORE_UNAVAILABLE);
    sealed.p[sealed.n - 1] ^= 1;
    assert_int_equal(
        signing_key_unseal(kek, TENANT, kid, CW_STR("ES256"), cw_buf_str(&sealed), &open),
        CW_STORE_UNAVAILABLE);
    assert_null(open);
    signing_key_unref(key);
}

static void the_wrong_or_the_missing_kek_is_told_and_not_replaced(void **state)
{
    struct world *w = *state;
    struct stat st;
    assert_int_equal(stat(w->kek, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0400);
    assert_int_equal(load(w, TENANT, "ES256"), CW_OK);
    keyring_free(w->ring);
    w->ring = NULL;
    assert_int_equal(unlink(w->kek), 0);
    assert_int_equal(open_ring(w, "is missing"), CW_CONFIG_INVALID);
    FILE *f = fopen(w->kek, "w");
    fprintf(f, "%064d\n", 7);
    fclose(f);
    assert_int_equal(open_ring(w, "another key-encryption key"), CW_CONFIG_INVALID);
}

static void a_kek_of_bytes_may_end_as_a_line_does(void **state)
{
    static const struct {
        size_t n;
        enum cw_err want;
    } rows[] = {{32, CW_OK}, {31, CW_CONFIG_INVALID}, {33, CW_OK}, {34, CW_CONFIG_INVALID}};
    struct world *w = *state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
        struct kek *kek = NULL;
        (void)unlink(w->kek);
        FILE *f = fopen(w->kek, "w");
        for (size_t k = 1; k < rows[i].n; k++) {
            fputc(7, f);
        }
        fputc('\n', f); /* 32: the key's own; 33: behind it */
        fclose(f);
        assert_int_equal(kek_open(w->kek, false, &message, &kek), rows[i].want);
        const char *say = rows[i].want == CW_OK ? "" : "expected 32 bytes";
        assert_true(say[0] == '\0' || memmem(message.p, message.n, say, strlen(say)) != NULL);
        kek_free(kek);
    }
}

static const EVP_PKEY *key_in(const struct signing_key *key)
{
    return EVP_PKEY_CTX_get0_pkey(EVP_MD_CTX_get_pkey_ctx(signing_key_signer(key)));
}

static void a_stored_key_is_genuine_or_refused_before_it_is_opened(void **state)
{
    struct world *w = *state;
    struct signing_key *key = NULL;
    struct signing_key *stored = NULL;
    assert_int_equal(load(w, TENANT, "ES256"), CW_OK);
    assert_int_equal(keyring_signer(w->ring, TENANT, &key), CW_OK);
    const struct kek *kek = keyring_kek(w->ring);
    struct cw_str kid = cw_str(signing_key_kid(key));
    struct cw_str alg = CW_STR("ES256");
    struct cw_str jwk = cw_str(signing_key_public_jwk(key));
    CW_CLEANUP(cw_buf_done) struct cw_buf sealed = CW_BUF_INIT(65536);
    CW_CLEANUP(cw_buf_done) struct cw_buf other = CW_BUF_INIT(65536);
    assert_int_equal(signing_key_seal(key, kek, TENANT, &sealed), CW_OK);
    assert_int_equal(signing_key_stored(kek, TENANT, kid, alg, jwk, cw_buf_str(&sealed), &stored),
                     CW_OK);
    assert_int_equal(signing_key_pem(stored).n, 0);
    assert_null(signing_key_signer(stored));
    assert_int_equal(signing_key_open(stored), CW_OK);
    assert_int_equal(signing_key_open(stored), CW_OK);
    assert_true(cw_str_eq(signing_key_pem(stored), signing_key_pem(key)));
    assert_int_equal(EVP_PKEY_eq(key_in(stored), key_in(key)), 1);
    signing_key_unref(stored);
    /* Whoever writes the database could put a public key of his own beside the kid. */
    cw_buf_add_str(&other, jwk);
    other.p[other.n - 10] = other.p[other.n - 10] == 'A' ? 'B' : 'A';
    assert_int_equal(
        signing_key_stored(kek, TENANT, kid, alg, cw_buf_str(&other), cw_buf_str(&sealed), &stored),
        CW_STORE_UNAVAILABLE);
    assert_int_equal(
        signing_key_stored(kek, CW_STR("other"), kid, alg, jwk, cw_buf_str(&sealed), &stored),
        CW_STORE_UNAVAILABLE);
    sealed.p[sealed.n - 1] ^= 1;
    assert_int_equal(signing_key_stored(kek, TENANT, kid, alg, jwk, cw_buf_str(&sealed), &stored),
                     CW_STORE_UNAVAILABLE);
    signing_key_unref(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rs256_tokens_verify_and_say_what_the_contract_says, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(es256_tokens_verify_and_say_what_the_contract_says, setup,
                                        teardown),
        cmocka_unit_test(threads_sign_with_one_key_at_once),
        cmocka_unit_test_setup_teardown(claims_that_were_not_asked_for_stay_away, setup, teardown),
        cmocka_unit_test(nothing_is_minted_unsigned_or_with_a_shared_secret),
        cmocka_unit_test(a_key_of_another_kind_signs_nothing),
        cmocka_unit_test_setup_teardown(keys_survive_a_restart_under_the_same_names, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            another_algorithm_signs_when_its_key_has_been_published_for_a_while, setup, teardown),
        cmocka_unit_test_setup_teardown(
            an_algorithm_that_is_changed_back_in_time_leaves_nothing_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(the_jwks_holds_public_parts_only, setup, teardown),
        cmocka_unit_test_setup_teardown(tenants_have_keys_of_their_own, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sealed_key_opens_in_its_own_row_only, setup, teardown),
        cmocka_unit_test_setup_teardown(a_kek_of_bytes_may_end_as_a_line_does, setup, teardown),
        cmocka_unit_test_setup_teardown(a_stored_key_is_genuine_or_refused_before_it_is_opened,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(the_wrong_or_the_missing_kek_is_told_and_not_replaced,
                                        setup, teardown),
    };
    return DATABASES_RUN(tests);
}
