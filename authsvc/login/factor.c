/* TOTP secrets are sealed under the key-encryption key, bound to their user. Recovery codes are 80
 * random bits each; the database has an HMAC of them under a key that it does not hold. */
#include "authsvc/login/factor.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/keys/sealed.h"
#include "authsvc/password/code.h"
#include "authsvc/totp/totp.h"

enum {
    ARENA_MAX = 16 * 1024,
    START_LIFE_MS = 10 * 60 * 1000, /* of a secret that nobody confirms */
};

static enum cw_err open_secret(struct login *login, struct cw_str tenant, struct cw_str subject,
                               struct cw_str sealed, struct cw_secret *ret_secret)
{
    return sealed_open(keyring_kek(login->deps.keys), STORE_SEALED_TOTP, tenant, subject, sealed,
                       ret_secret);
}

enum cw_err factor_methods(struct login *login, struct cw_str tenant, struct cw_str subject,
                           struct cw_str *ret_methods)
{
    struct cw_arena arena = CW_ARENA_INIT(ARENA_MAX);
    struct store_totp totp = {0};
    enum cw_err err = store_totp_get(login->deps.store, tenant, subject, &arena, &totp);
    cw_arena_done(&arena);
    *ret_methods = (struct cw_str){0};
    if (err == CW_NOT_FOUND || (err == CW_OK && !totp.confirmed)) {
        return CW_OK;
    }
    TRY(err);
    int64_t codes = 0;
    TRY(store_recovery_count(login->deps.store, tenant, subject, &codes));
    *ret_methods = codes > 0 ? CW_STR("otp recovery_code") : CW_STR("otp");
    return CW_OK;
}

/* --- TOTP ------------------------------------------------------------------------------- */

/* The time step of a code, by a secret that is or is not yet in use. */
static enum cw_err step_of(struct login *login, struct cw_str tenant, struct cw_str subject,
                           const struct store_totp *totp, struct cw_str otp, int64_t *ret_step)
{
    struct cw_secret secret = {0};
    TRY(open_secret(login, tenant, subject, totp->sealed, &secret));
    enum cw_err err = totp_check(cw_secret_str(&secret), otp, cw_clock_wall_s(login->deps.clock),
                                 totp->last_step, ret_step);
    cw_secret_done(&secret);
    return err;
}

/* After a CW_CONFLICT: whether it is only that the secret was sealed anew (or is another) since it
 * was read; then it is read again, and the question is open. */
static bool sealed_anew(struct login *login, struct cw_str tenant, struct cw_str subject,
                        struct cw_arena *arena, struct store_totp *totp)
{
    struct store_totp now = {0};
    if (store_totp_get(login->deps.store, tenant, subject, arena, &now) != CW_OK ||
        now.confirmed != totp->confirmed || cw_str_eq(now.sealed, totp->sealed)) {
        return false;
    }
    *totp = now;
    return true;
}

static enum cw_err check_otp(struct login *login, struct cw_str tenant, struct cw_str subject,
                             struct cw_arena *arena, struct store_totp *totp, struct cw_str otp)
{
    struct store *store = login->deps.store;
    int64_t step = 0;
    enum cw_err err = store_totp_attempt(store, tenant, subject, login->deps.limits.mfa_failures);
    ENSURE(err != CW_CONFLICT, CW_MFA_BLOCKED);
    TRY(err);
    do {
        TRY(step_of(login, tenant, subject, totp, otp, &step));
        err = store_totp_use(store, tenant, subject, totp->sealed, step);
    } while (err == CW_CONFLICT && sealed_anew(login, tenant, subject, arena, totp));
    return err == CW_CONFLICT ? CW_MFA_INVALID : err; /* another login was faster with it */
}

/* --- recovery codes --------------------------------------------------------------------- */

static void hash_code(struct login *login, struct cw_str tenant, struct cw_str subject,
                      const char plain[CODE_CHARS], uint8_t ret_hash[STORE_HASH_SIZE])
{
    const uint8_t *key = keyring_secret(login->deps.keys, KEYRING_RECOVERY_CODES);
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, key, KEYRING_SECRET_SIZE);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)tenant.p, tenant.n);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)"", 1);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)subject.p, subject.n);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)"", 1);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)plain, CODE_CHARS);
    crypto_auth_hmacsha256_final(&state, ret_hash);
    sodium_memzero(&state, sizeof(state));
}

static enum cw_err check_code(struct login *login, struct cw_str tenant, struct cw_str subject,
                              struct cw_str typed)
{
    char plain[CODE_CHARS];
    uint8_t hash[STORE_HASH_SIZE];
    ENSURE(code_plain(typed, plain), CW_MFA_INVALID);
    hash_code(login, tenant, subject, plain, hash);
    sodium_memzero(plain, sizeof(plain));
    enum cw_err err = store_recovery_use(login->deps.store, tenant, subject, hash);
    return err == CW_NOT_FOUND ? CW_MFA_INVALID : err;
}

static enum cw_err make_codes(struct login *login, struct cw_str tenant, struct cw_str subject,
                              struct login_mfa_codes *ret_codes,
                              uint8_t hashes[RECOVERY_CODES][STORE_HASH_SIZE])
{
    for (size_t i = 0; i < RECOVERY_CODES; i++) {
        char plain[CODE_CHARS];
        code_new(ret_codes->codes[i]);
        ENSURE(code_plain(cw_str(ret_codes->codes[i]), plain), CW_INTERNAL);
        hash_code(login, tenant, subject, plain, hashes[i]);
        sodium_memzero(plain, sizeof(plain));
    }
    return CW_OK;
}

enum cw_err factor_renew_codes(struct login *login, struct cw_str tenant, struct cw_str subject,
                               struct login_mfa_codes *ret_codes)
{
    uint8_t hashes[RECOVERY_CODES][STORE_HASH_SIZE];
    TRY(make_codes(login, tenant, subject, ret_codes, hashes));
    return store_recovery_replace(login->deps.store, tenant, subject,
                                  (const uint8_t(*)[STORE_HASH_SIZE])hashes, RECOVERY_CODES);
}

/* --- both ------------------------------------------------------------------------------- */

enum cw_err factor_check(struct login *login, struct cw_str tenant, struct cw_str subject,
                         struct cw_str otp, struct cw_str recovery_code)
{
    ENSURE((otp.n > 0) != (recovery_code.n > 0), CW_REQUEST_MALFORMED);
    struct cw_arena arena = CW_ARENA_INIT(ARENA_MAX);
    struct store_totp totp = {0};
    enum cw_err err = store_totp_get(login->deps.store, tenant, subject, &arena, &totp);
    if (err == CW_NOT_FOUND || (err == CW_OK && !totp.confirmed)) {
        err = CW_MFA_METHOD_UNSUPPORTED;
    } else if (err == CW_OK && otp.n > 0) {
        err = check_otp(login, tenant, subject, &arena, &totp, otp);
    } else if (err == CW_OK) {
        err = check_code(login, tenant, subject, recovery_code);
    }
    cw_arena_done(&arena);
    return err;
}

enum cw_err factor_check_counted(struct login *login, struct cw_str tenant,
                                 const struct store_user *user, struct cw_str address,
                                 struct cw_str otp, struct cw_str recovery_code,
                                 uint32_t *ret_retry_after_ms)
{
    struct throttle_attempt counted;
    TRY(login_throttle(login, THROTTLE_MFA, tenant, user->username, address, &counted,
                       ret_retry_after_ms));
    enum cw_err err = factor_check(login, tenant, user->subject, otp, recovery_code);
    throttle_end(login->throttle, &counted, throttle_verdict(err, CW_MFA_INVALID));
    return err;
}

enum cw_err factor_start(struct login *login, const struct tenant *tenant,
                         const struct store_user *user, struct login_totp_secret *ret_secret)
{
    uint8_t secret[TOTP_SECRET_SIZE];
    randombytes_buf(secret, sizeof(secret));
    const struct cw_str bytes = {(const char *)secret, sizeof(secret)};
    CW_CLEANUP(cw_buf_done) struct cw_buf sealed = CW_BUF_INIT(4096);
    TRY(sealed_make(keyring_kek(login->deps.keys), STORE_SEALED_TOTP, tenant->name, user->subject,
                    bytes, &sealed));
    struct cw_buf text = CW_BUF_INIT(256);
    struct cw_buf url = CW_BUF_INIT(8 * 1024);
    totp_base32(&text, bytes);
    totp_url(&url, tenant->name, user->username, bytes);
    sodium_memzero(secret, sizeof(secret));
    ret_secret->secret = cw_buf_take(&text);
    ret_secret->url = cw_buf_take(&url);
    ENSURE(ret_secret->secret != NULL && ret_secret->url != NULL, CW_NO_MEMORY);
    return store_totp_start(login->deps.store, tenant->name, user->subject, cw_buf_str(&sealed));
}

static enum cw_err confirm(struct login *login, struct cw_str tenant, struct cw_str subject,
                           const struct store_totp *totp, struct cw_str otp,
                           struct login_mfa_codes *ret_codes)
{
    ENSURE(!totp->confirmed, CW_CONFLICT);
    int64_t age = cw_clock_wall_ms(login->deps.clock) - totp->created_at;
    ENSURE(age <= START_LIFE_MS, CW_NOT_FOUND);
    int64_t step = 0;
    TRY(step_of(login, tenant, subject, totp, otp, &step));
    uint8_t hashes[RECOVERY_CODES][STORE_HASH_SIZE];
    size_t n = 0;
    if (ret_codes != NULL) {
        TRY(make_codes(login, tenant, subject, ret_codes, hashes));
        n = RECOVERY_CODES;
    }
    return store_totp_confirm(login->deps.store, tenant, subject, totp->sealed, step,
                              (const uint8_t(*)[STORE_HASH_SIZE])hashes, n);
}

enum cw_err factor_confirm(struct login *login, struct cw_str tenant, struct cw_str subject,
                           struct cw_str otp, struct login_mfa_codes *ret_codes)
{
    struct cw_arena arena = CW_ARENA_INIT(ARENA_MAX);
    struct store_totp totp = {0};
    enum cw_err err = store_totp_get(login->deps.store, tenant, subject, &arena, &totp);
    if (err == CW_OK) {
        do {
            err = confirm(login, tenant, subject, &totp, otp, ret_codes);
        } while (err == CW_CONFLICT && sealed_anew(login, tenant, subject, &arena, &totp));
    }
    cw_arena_done(&arena);
    return err;
}
