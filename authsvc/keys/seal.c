/* The sealed form: version 1 | KEK id 8 | nonce 12 | ciphertext | tag 16. The store finds values by
 * the id in it (statements.def, SEALED_…). */
#include "authsvc/keys/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VERSION = 1, NONCE_SIZE = 12, TAG_SIZE = 16, HEAD_SIZE = 1 + KEK_ID_SIZE + NONCE_SIZE };

struct kek_one {
    uint8_t key[KEK_SIZE];
    uint8_t id[KEK_ID_SIZE];
};

struct kek {
    size_t n;
    struct kek_one list[KEK_COUNT_MAX]; /* the first is the current one */
};

static enum cw_err create_file(const char *path, struct cw_buf *ret_message)
{
    uint8_t key[KEK_SIZE];
    char hex[2 * KEK_SIZE + 1];
    randombytes_buf(key, sizeof(key));
    sodium_bin2hex(hex, sizeof(hex), key, sizeof(key));
    sodium_memzero(key, sizeof(key));
    hex[sizeof(hex) - 1] = '\n';
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    bool ok = fd >= 0 && write(fd, hex, sizeof(hex)) == (ssize_t)sizeof(hex) && fsync(fd) == 0;
    if (!ok) {
        cw_buf_addf(ret_message, "%s: %s", path, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    sodium_memzero(hex, sizeof(hex));
    return ok ? CW_OK : CW_IO;
}

/* `size` of the file: what was read has lost a newline at its end, which may be the key's last
 * byte.
 */
static bool parse(struct cw_str text, off_t size, uint8_t ret_key[KEK_SIZE])
{
    if (text.n == KEK_SIZE - 1 && size == KEK_SIZE) {
        memcpy(ret_key, text.p, text.n);
        ret_key[KEK_SIZE - 1] = '\n';
        return true;
    }
    if (text.n == KEK_SIZE) {
        memcpy(ret_key, text.p, KEK_SIZE);
        return true;
    }
    size_t n = 0;
    return text.n == 2 * KEK_SIZE &&
           sodium_hex2bin(ret_key, KEK_SIZE, text.p, text.n, NULL, &n, NULL) == 0 && n == KEK_SIZE;
}

/* Reads a key that is there. */
static enum cw_err read_file(const char *path, struct cw_buf *ret_message, struct kek_one *ret_one)
{
    struct stat st = {0};
    struct cw_secret text = {0};
    enum cw_err err = stat(path, &st) == 0 ? cw_secret_read(&text, path) : CW_IO;
    if (err != CW_OK) {
        cw_buf_addf(ret_message, "%s: cannot be read", path);
    } else if (!parse(cw_secret_str(&text), st.st_size, ret_one->key)) {
        cw_buf_addf(ret_message, "%s: expected 32 bytes or 64 hex digits", path);
        err = CW_CONFIG_INVALID;
    }
    cw_secret_done(&text);
    TRY(err);
    uint8_t digest[crypto_hash_sha256_BYTES];
    crypto_hash_sha256(digest, ret_one->key, KEK_SIZE);
    memcpy(ret_one->id, digest, KEK_ID_SIZE);
    return CW_OK;
}

enum cw_err kek_open(const char *path, bool create, struct cw_buf *ret_message,
                     struct kek **ret_kek)
{
    ENSURE(sodium_init() >= 0, CW_INTERNAL);
    if (access(path, F_OK) != 0 && errno == ENOENT) {
        if (!create) {
            cw_buf_addf(ret_message,
                        "%s is missing, the file of the current key-encryption key, and none is "
                        "made while the database holds what is sealed: bring it back from the "
                        "backup",
                        path);
            return CW_CONFIG_INVALID;
        }
        TRY(create_file(path, ret_message));
    }
    struct kek *kek = sodium_malloc(sizeof(*kek));
    ENSURE(kek != NULL, CW_NO_MEMORY);
    kek->n = 1;
    enum cw_err err = read_file(path, ret_message, &kek->list[0]);
    if (err != CW_OK) {
        kek_free(kek);
        return err;
    }
    *ret_kek = kek;
    return CW_OK;
}

enum cw_err kek_add(struct kek *kek, const char *path, struct cw_buf *ret_message)
{
    if (kek->n == KEK_COUNT_MAX) {
        cw_buf_addf(ret_message, "%s: there are more than %d key-encryption keys", path,
                    KEK_COUNT_MAX);
        return CW_CONFIG_INVALID;
    }
    TRY(read_file(path, ret_message, &kek->list[kek->n]));
    if (!kek_knows(kek, kek->list[kek->n].id)) {
        kek->n++;
    }
    return CW_OK;
}

void kek_free(struct kek *kek)
{
    sodium_free(kek); /* wipes; takes NULL */
}

size_t kek_count(const struct kek *kek)
{
    return kek->n;
}

const uint8_t *kek_id(const struct kek *kek, size_t i)
{
    return kek->list[i].id;
}

static const struct kek_one *find(const struct kek *kek, const uint8_t id[KEK_ID_SIZE])
{
    for (size_t i = 0; i < kek->n; i++) {
        if (memcmp(kek->list[i].id, id, KEK_ID_SIZE) == 0) {
            return &kek->list[i];
        }
    }
    return NULL;
}

bool kek_knows(const struct kek *kek, const uint8_t id[KEK_ID_SIZE])
{
    return find(kek, id) != NULL;
}

void kek_fingerprint(const uint8_t id[KEK_ID_SIZE], char ret_text[KEK_FINGERPRINT_SIZE])
{
    sodium_bin2hex(ret_text, KEK_FINGERPRINT_SIZE, id, KEK_ID_SIZE);
}

enum cw_err kek_derive(const struct kek *kek, const uint8_t id[KEK_ID_SIZE], const char *purpose,
                       uint8_t ret_key[32])
{
    const struct kek_one *one = find(kek, id);
    ENSURE(one != NULL, CW_CONFIG_INVALID);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    ENSURE(ctx != NULL, CW_NO_MEMORY);
    size_t n = 32;
    bool ok = EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_CTX_set_hkdf_md(ctx, EVP_sha256()) == 1 &&
              EVP_PKEY_CTX_set1_hkdf_key(ctx, one->key, KEK_SIZE) == 1 &&
              EVP_PKEY_CTX_add1_hkdf_info(ctx, (const unsigned char *)purpose,
                                          (int)strlen(purpose)) == 1 &&
              EVP_PKEY_derive(ctx, ret_key, &n) == 1 && n == 32;
    EVP_PKEY_CTX_free(ctx);
    return ok ? CW_OK : CW_INTERNAL;
}

static bool encrypt(EVP_CIPHER_CTX *ctx, const struct kek_one *kek, struct cw_str context,
                    struct cw_str plain, uint8_t *head)
{
    uint8_t *nonce = head + 1 + KEK_ID_SIZE;
    uint8_t *body = head + HEAD_SIZE;
    int n = 0;
    return EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, kek->key, nonce) == 1 &&
           EVP_EncryptUpdate(ctx, NULL, &n, (const uint8_t *)context.p, (int)context.n) == 1 &&
           EVP_EncryptUpdate(ctx, body, &n, (const uint8_t *)plain.p, (int)plain.n) == 1 &&
           EVP_EncryptFinal_ex(ctx, body + n, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, body + plain.n) == 1;
}

enum cw_err seal(const struct kek *kek, struct cw_str context, struct cw_str plain,
                 struct cw_buf *ret_sealed)
{
    ENSURE(plain.n <= 64 * 1024 && context.n <= 64 * 1024, CW_INTERNAL);
    uint8_t *head = (uint8_t *)cw_buf_extend(ret_sealed, HEAD_SIZE + plain.n + TAG_SIZE);
    ENSURE(head != NULL, CW_NO_MEMORY);
    head[0] = VERSION;
    memcpy(head + 1, kek->list[0].id, KEK_ID_SIZE);
    randombytes_buf(head + 1 + KEK_ID_SIZE, NONCE_SIZE);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    ENSURE(ctx != NULL, CW_NO_MEMORY);
    bool ok = encrypt(ctx, &kek->list[0], context, plain, head);
    EVP_CIPHER_CTX_free(ctx);
    return ok ? CW_OK : CW_INTERNAL;
}

static bool decrypt(EVP_CIPHER_CTX *ctx, const struct kek_one *kek, struct cw_str context,
                    const uint8_t *head, size_t n, uint8_t *ret_plain)
{
    uint8_t tag[TAG_SIZE];
    memcpy(tag, head + HEAD_SIZE + n, TAG_SIZE);
    int out = 0;
    return EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, kek->key, head + 1 + KEK_ID_SIZE) ==
               1 &&
           EVP_DecryptUpdate(ctx, NULL, &out, (const uint8_t *)context.p, (int)context.n) == 1 &&
           EVP_DecryptUpdate(ctx, ret_plain, &out, head + HEAD_SIZE, (int)n) == 1 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) == 1 &&
           EVP_DecryptFinal_ex(ctx, ret_plain + out, &out) == 1;
}

enum cw_err seal_open(const struct kek *kek, struct cw_str context, struct cw_str sealed,
                      struct cw_secret *ret_plain)
{
    ENSURE(sealed.n >= HEAD_SIZE + TAG_SIZE && sealed.n <= 128 * 1024, CW_STORE_UNAVAILABLE);
    const uint8_t *head = (const uint8_t *)sealed.p;
    ENSURE(head[0] == VERSION, CW_STORE_UNAVAILABLE);
    const struct kek_one *one = find(kek, head + 1);
    ENSURE(one != NULL, CW_CONFIG_INVALID);
    size_t n = sealed.n - HEAD_SIZE - TAG_SIZE;
    uint8_t *plain = malloc(n + 1);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    enum cw_err err = plain == NULL || ctx == NULL ? CW_NO_MEMORY : CW_OK;
    if (err == CW_OK && !decrypt(ctx, one, context, head, n, plain)) {
        err = CW_STORE_UNAVAILABLE;
    }
    if (err == CW_OK) {
        err = cw_secret_init(ret_plain, (struct cw_str){(const char *)plain, n});
    }
    EVP_CIPHER_CTX_free(ctx);
    if (plain != NULL) {
        cw_secret_wipe(plain, n);
        free(plain);
    }
    return err;
}
