/* cw-authsvc's own secrets. Earlier versions derived them from the one KEK that there was. What
 * they made has to stay good, so a database that they have written gets those same keys, once, and
 * keeps them sealed from then on; another one gets random ones. */
#include <sodium.h>
#include <string.h>

#include "authsvc/keys/keyring_impl.h"
#include "authsvc/keys/sealed.h"

enum { SEALED_MAX = 1024 };

static const struct {
    const char *name;
    const char *derived; /* the purpose for which earlier versions derived it */
} secrets[KEYRING_SECRETS] = {
    [KEYRING_REFRESH_TOKENS] = {"refresh-tokens", "clinicwave refresh tokens"},
    [KEYRING_RECOVERY_CODES] = {"recovery-codes", "clinicwave recovery codes"},
};

/* Puts one into the database, unless another process was faster. */
static enum cw_err make(struct keyring *ring, size_t i, const uint8_t *derive_from)
{
    uint8_t key[KEYRING_SECRET_SIZE];
    enum cw_err err = CW_OK;
    if (derive_from != NULL) {
        err = kek_derive(ring->kek, derive_from, secrets[i].derived, key);
    } else {
        randombytes_buf(key, sizeof(key));
    }
    CW_CLEANUP(cw_buf_done) struct cw_buf sealed = CW_BUF_INIT(SEALED_MAX);
    struct cw_str name = cw_str(secrets[i].name);
    if (err == CW_OK) {
        err = sealed_make(ring->kek, STORE_SEALED_SECRET, name, CW_STR(""),
                          (struct cw_str){(const char *)key, sizeof(key)}, &sealed);
    }
    sodium_memzero(key, sizeof(key));
    TRY(err);
    return store_secret_add(ring->store, name, cw_buf_str(&sealed));
}

static enum cw_err open_one(struct keyring *ring, size_t i)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf sealed = CW_BUF_INIT(SEALED_MAX);
    struct cw_secret plain = {0};
    struct cw_str name = cw_str(secrets[i].name);
    TRY(store_secret_get(ring->store, name, &sealed));
    TRY(sealed_open(ring->kek, STORE_SEALED_SECRET, name, CW_STR(""), cw_buf_str(&sealed), &plain));
    bool fits = plain.n == KEYRING_SECRET_SIZE;
    if (fits) {
        memcpy(ring->secrets[i], plain.p, KEYRING_SECRET_SIZE);
    }
    cw_secret_done(&plain);
    return fits ? CW_OK : CW_STORE_UNAVAILABLE;
}

enum cw_err keyring_open_secrets(struct keyring *ring, struct cw_buf *ret_message)
{
    uint8_t id[KEK_ID_SIZE];
    enum cw_err found = sealed_first(ring->store, id);
    ENSURE(found == CW_OK || found == CW_NOT_FOUND, found);
    ring->secrets = sodium_allocarray(KEYRING_SECRETS, sizeof(*ring->secrets));
    ENSURE(ring->secrets != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < KEYRING_SECRETS; i++) {
        enum cw_err err = open_one(ring, i);
        if (err == CW_NOT_FOUND) {
            TRY(make(ring, i, found == CW_OK ? id : NULL));
            err = open_one(ring, i);
        }
        if (err != CW_OK) {
            cw_buf_addf(ret_message, "the secret for %s in the database cannot be opened",
                        secrets[i].name);
            return err;
        }
    }
    sodium_mprotect_readonly(ring->secrets);
    return CW_OK;
}

const uint8_t *keyring_secret(const struct keyring *ring, enum keyring_secret secret)
{
    return ring->secrets[secret];
}
