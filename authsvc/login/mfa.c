/* How a login goes on whose password was right:
 *
 *   login → mfa_required, mfa_token ─▶ challenge (where a code must be sent) ─▶ verify → session
 *
 * An mfa_token is opaque and random; the database has its SHA-256, tenant, user, client, and what
 * the kind of login wants to keep. It lives for minutes, can be tried a few times, and whoever
 * deletes its row has used it. */
#include "authsvc/login/mfa.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "authsvc/keys/sealed.h"
#include "authsvc/login/mfa_kind.h"

enum { TOKEN_BYTES = 32, ARENA_MAX = 256 * 1024 };

#define TOKEN_PREFIX "cwm_"

static const struct mfa_kind *const kinds[] = {&mfa_database, &mfa_idp};

void login_challenge_done(struct login_challenge *challenge)
{
    free(challenge->challenge_type);
    free(challenge->oob_code);
    free(challenge->binding_method);
    *challenge = (struct login_challenge){.retry_after_ms = challenge->retry_after_ms};
}

static void hash_token(struct cw_str token, uint8_t ret_id[STORE_HASH_SIZE])
{
    _Static_assert(STORE_HASH_SIZE == crypto_hash_sha256_BYTES, "SHA-256");
    crypto_hash_sha256(ret_id, (const uint8_t *)token.p, token.n);
}

static struct cw_str id_of(const uint8_t *id)
{
    return (struct cw_str){(const char *)id, STORE_HASH_SIZE};
}

static void new_token(char ret_token[MFA_TOKEN_SIZE])
{
    _Static_assert(MFA_TOKEN_SIZE == sizeof(TOKEN_PREFIX) + 43, "32 bytes in base64url");
    uint8_t random[TOKEN_BYTES];
    randombytes_buf(random, sizeof(random));
    memcpy(ret_token, TOKEN_PREFIX, sizeof(TOKEN_PREFIX));
    sodium_bin2base64(ret_token + sizeof(TOKEN_PREFIX) - 1,
                      MFA_TOKEN_SIZE - (sizeof(TOKEN_PREFIX) - 1), random, sizeof(random),
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(random, sizeof(random));
}

static enum cw_err keep(struct login *login, const struct login_scene *scene,
                        const struct mfa_start *start, struct cw_str token)
{
    struct cw_str tenant = scene->tenant->name;
    struct store_challenge row = {
        .kind = cw_str(start->kind->name),
        .subject = start->subject,
        .username = start->username,
        .client_id = scene->client->id,
        .scope = start->scope,
        .methods = start->methods,
        .expires_at = cw_clock_wall_ms(login->deps.clock) + MFA_LIFE_MS,
        .password_changed_at = start->password_changed_at,
    };
    ENSURE(start->state.n <= MFA_STATE_MAX, CW_INTERNAL);
    hash_token(token, row.id);
    CW_CLEANUP(cw_buf_done) struct cw_buf sealed = CW_BUF_INIT(2 * MFA_STATE_MAX);
    TRY(sealed_make(keyring_kek(login->deps.keys), STORE_SEALED_CHALLENGE, tenant, id_of(row.id),
                    start->state, &sealed));
    row.sealed = cw_buf_str(&sealed);
    return store_challenge_add(login->deps.store, tenant, &row);
}

enum cw_err mfa_begin(struct login *login, const struct login_scene *scene,
                      const struct mfa_start *start, struct login_answer *answer)
{
    char token[MFA_TOKEN_SIZE];
    new_token(token);
    TRY(keep(login, scene, start, cw_str(token)));
    answer->mfa_methods = cw_str_dup(start->methods);
    ENSURE(answer->mfa_methods != NULL, CW_NO_MEMORY);
    memcpy(answer->mfa_token, token, sizeof(token));
    return CW_MFA_REQUIRED;
}

/* --- a turn ----------------------------------------------------------------------------- */

static enum cw_err find_kind(struct mfa_turn *turn)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(kinds); i++) {
        if (cw_str_is(turn->row.kind, kinds[i]->name)) {
            turn->kind = kinds[i];
            return CW_OK;
        }
    }
    return CW_MFA_TOKEN_INVALID; /* of another version of this program */
}

enum cw_err mfa_turn_open(struct mfa_turn *turn, enum store_challenge_use use)
{
    struct login *login = turn->login;
    const struct login_mfa_request *r = turn->request;
    turn->arena = (struct cw_arena)CW_ARENA_INIT(ARENA_MAX);
    turn->event.address = r->address;
    TRY(login_scene_open(login, r->domain, r->client_id, r->origin, &turn->scene));
    struct cw_str tenant = turn->scene.tenant->name;
    turn->event.tenant = tenant;
    turn->event.client_id = turn->scene.client->id;
    ENSURE(r->mfa_token.n == MFA_TOKEN_SIZE - 1 &&
               cw_str_starts(r->mfa_token, CW_STR(TOKEN_PREFIX)),
           CW_MFA_TOKEN_INVALID);
    hash_token(r->mfa_token, turn->id);
    enum cw_err err = store_challenge_take(login->deps.store, tenant, turn->id, use,
                                           MFA_ATTEMPTS_MAX, &turn->arena, &turn->row);
    ENSURE(err != CW_NOT_FOUND, CW_MFA_TOKEN_INVALID);
    TRY(err);
    ENSURE(cw_str_eq(turn->row.client_id, turn->scene.client->id), CW_MFA_TOKEN_INVALID);
    turn->event.subject = turn->row.subject;
    turn->event.name = turn->row.username;
    TRY(find_kind(turn));
    return sealed_open(keyring_kek(login->deps.keys), STORE_SEALED_CHALLENGE, tenant,
                       id_of(turn->id), turn->row.sealed, &turn->state);
}

void mfa_turn_done(struct mfa_turn *turn)
{
    if (turn->kind != NULL && turn->kind->done != NULL) {
        turn->kind->done(turn);
    }
    cw_secret_done(&turn->state);
    cw_arena_done(&turn->arena);
    login_scene_done(&turn->scene);
}

/* --- the use cases ---------------------------------------------------------------------- */

enum cw_err login_mfa_challenge(struct login *login, const struct login_mfa_request *request,
                                struct login_challenge *ret_challenge)
{
    *ret_challenge = (struct login_challenge){0};
    int64_t started = cw_clock_monotonic_ms(login->deps.clock);
    struct mfa_turn turn = {
        .login = login, .request = request, .event = {.kind = LOGIN_KIND_MFA_CHALLENGE}};
    enum cw_err err = mfa_turn_open(&turn, STORE_CHALLENGE_SEND);
    if (err == CW_OK) {
        err = turn.kind->challenge(&turn, ret_challenge);
    }
    login_tell(login, &turn.event, started, err);
    if (err != CW_OK) {
        login_challenge_done(ret_challenge);
        ret_challenge->retry_after_ms = turn.retry_after_ms;
    }
    mfa_turn_done(&turn);
    return err;
}

/* Waiting for the user's other device is no attempt at guessing. */
static enum store_challenge_use use_of(const struct login_mfa_request *r)
{
    bool waits =
        r->oob_code.n > 0 && r->binding_code.n == 0 && r->otp.n == 0 && r->recovery_code.n == 0;
    return waits ? STORE_CHALLENGE_LOOK : STORE_CHALLENGE_ATTEMPT;
}

static enum cw_err verify(struct mfa_turn *turn, struct login_answer *answer)
{
    struct login *login = turn->login;
    const struct login_mfa_request *r = turn->request;
    size_t proofs = (r->otp.n > 0) + (r->recovery_code.n > 0) + (r->oob_code.n > 0);
    ENSURE(proofs == 1 && (r->binding_code.n == 0 || r->oob_code.n > 0), CW_REQUEST_MALFORMED);
    TRY(mfa_turn_open(turn, use_of(r)));
    struct throttle_attempt counted;
    TRY(login_throttle(login, THROTTLE_MFA, turn->scene.tenant->name, turn->row.username,
                       r->address, &counted, &turn->retry_after_ms));
    enum cw_err err = turn->kind->check(turn);
    throttle_end(login->throttle, &counted, throttle_verdict(err, CW_MFA_INVALID));
    TRY(err);
    err = store_challenge_claim(login->deps.store, turn->scene.tenant->name, turn->id);
    ENSURE(err != CW_NOT_FOUND, CW_MFA_TOKEN_INVALID);
    TRY(err);
    TRY(turn->kind->finish(turn, answer));
    turn->event.session_id = cw_str(answer->session_id);
    return CW_OK;
}

enum cw_err login_mfa_verify(struct login *login, const struct login_mfa_request *request,
                             struct login_answer *ret_answer)
{
    *ret_answer = (struct login_answer){0};
    int64_t started = cw_clock_monotonic_ms(login->deps.clock);
    struct mfa_turn turn = {.login = login, .request = request, .event = {.kind = LOGIN_KIND_MFA}};
    enum cw_err err = verify(&turn, ret_answer);
    login_tell(login, &turn.event, started, err);
    if (err != CW_OK) {
        login_answer_done(ret_answer);
        ret_answer->retry_after_ms = turn.retry_after_ms;
    }
    mfa_turn_done(&turn);
    return err;
}
