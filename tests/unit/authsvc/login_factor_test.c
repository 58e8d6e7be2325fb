/* Second factors and passwords that change while a login is under way, with the clock in hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>

#include "authsvc/totp/totp.h"
#include "tests/unit/authsvc/login_world.h"

/* --- second factors --------------------------------------------------------------------- */

static const struct login_request anna_logs_in = {
    .domain = CW_STR_INIT("clinicwave.localhost:8443"),
    .username = CW_STR_INIT("anna@clinicwave.com"),
    .password = CW_STR_INIT("correct horse"),
};

static enum cw_err challenge_mfa(struct world *w, const char *token)
{
    struct login_challenge challenge;
    const struct login_mfa_request request = {.domain = HOST, .mfa_token = cw_str(token)};
    enum cw_err err = login_mfa_challenge(w->login, &request, &challenge);
    login_challenge_done(&challenge);
    return err;
}

static void an_mfa_token_lives_five_minutes(void **state)
{
    struct world *w = *state;
    const struct cw_str subject = CW_STR("s-1"), sealed = CW_STR("of no interest here");
    static const uint8_t no_codes[1][STORE_HASH_SIZE];
    assert_int_equal(store_totp_start(w->store, TENANT, subject, sealed), CW_OK);
    assert_int_equal(store_totp_confirm(w->store, TENANT, subject, sealed, 1, no_codes, 0), CW_OK);
    struct login_answer answer;
    assert_int_equal(login_run(w->login, &anna_logs_in, &answer), CW_MFA_REQUIRED);
    assert_null(answer.access_token);
    assert_string_equal(answer.mfa_methods, "otp");
    fake_now_ms += 5 * 60 * 1000 - 1;
    assert_int_equal(challenge_mfa(w, answer.mfa_token), CW_OK);
    fake_now_ms += 1;
    assert_int_equal(challenge_mfa(w, answer.mfa_token), CW_MFA_TOKEN_INVALID);
    assert_int_equal(store_purge(w->store, 0), CW_OK);
    login_answer_done(&answer);
}

static enum cw_err reset_with(struct world *w, const char *code, struct cw_str new_password)
{
    uint32_t wait_ms = 0;
    const struct login_password_reset request = {
        .domain = HOST, .code = cw_str(code), .new_password = new_password};
    return login_password_reset(w->login, &request, &wait_ms);
}

static void a_reset_code_lives_a_day(void **state)
{
    struct world *w = *state;
    char code[CODE_TEXT_SIZE];
    assert_int_equal(login_reset_issue(w->store, TENANT, ANNA, RESET_LIFE_DEFAULT_MS, code), CW_OK);
    fake_now_ms += 24 * 3600 * 1000 - 1;
    /* A password that is refused leaves the code good. */
    assert_int_equal(reset_with(w, code, CW_STR("short")), CW_PASSWORD_TOO_SHORT);
    fake_now_ms += 1;
    assert_int_equal(reset_with(w, code, CW_STR("short")), CW_RESET_INVALID);
    assert_int_equal(reset_with(w, code, CW_STR("a new one of hers")), CW_RESET_INVALID);
    assert_int_equal(login_reset_issue(w->store, TENANT, ANNA, 60 * 1000, code), CW_OK);
    fake_now_ms += 60 * 1000 - 1;
    assert_int_equal(reset_with(w, code, CW_STR("a new one of hers")), CW_OK);
    assert_int_equal(reset_with(w, code, CW_STR("a new one of hers")), CW_RESET_INVALID);
}

/* Its end may come between the two looks that a reset takes at it. */
static void a_reset_code_that_ended_meanwhile_is_not_redeemed(void **state)
{
    struct world *w = *state;
    static const uint8_t hash[STORE_HASH_SIZE] = {1};
    CW_CLEANUP(cw_arena_done) struct cw_arena arena = CW_ARENA_INIT(4096);
    struct store_user user;
    assert_int_equal(store_reset_add(w->store, TENANT, ANNA, hash, fake_now_ms + 1), CW_OK);
    assert_int_equal(store_reset_user(w->store, TENANT, hash, &arena, &user), CW_OK);
    fake_now_ms += 1;
    assert_int_equal(store_reset_redeem(w->store, TENANT, hash, CW_STR("$x")), CW_NOT_FOUND);
}

static void a_new_totp_secret_waits_ten_minutes_for_its_first_code(void **state)
{
    struct world *w = *state;
    struct login_answer answer;
    struct login_totp_secret secret;
    struct login_mfa_codes codes;
    assert_int_equal(login_run(w->login, &anna_logs_in, &answer), CW_OK);
    struct login_bearer bearer = {.domain = HOST, .access_token = cw_str(answer.access_token)};
    assert_int_equal(login_totp_start(w->login, &bearer, PASSWORD, &secret), CW_OK);
    login_totp_secret_done(&secret);
    assert_int_equal(login_totp_confirm(w->login, &bearer, CW_STR("x"), &codes), CW_MFA_INVALID);
    login_answer_done(&answer);
    fake_now_ms += 10 * 60 * 1000 + 1;
    assert_int_equal(login_run(w->login, &anna_logs_in, &answer), CW_OK); /* it does not count */
    bearer.access_token = cw_str(answer.access_token);
    assert_int_equal(login_totp_confirm(w->login, &bearer, CW_STR("x"), &codes), CW_NOT_FOUND);
    login_answer_done(&answer);
}

/* --- a password that is changed while a login is under way -------------------------------- */

/* What a login came to beside a change; its session does not outlive it. */
static bool outlived(struct world *w, enum cw_err err, struct login_answer *answer)
{
    enum cw_err refreshed = CW_REFRESH_INVALID;
    if (err == CW_OK) {
        refreshed = world_refresh(w, answer->refresh_token, NULL);
    } else {
        assert_true(err == CW_CREDENTIALS_INVALID || err == CW_MFA_TOKEN_INVALID);
        assert_null(answer->access_token);
    }
    login_answer_done(answer);
    return refreshed == CW_OK;
}

static void a_login_does_not_outlive_a_change_of_its_password(void **state)
{
    struct world *w = *state;
    bool changed = true;
    for (int steps = 1; changed; steps++) {
        struct login_answer answer;
        w->steps_left = steps;
        enum cw_err err = login_run(w->login, &anna_logs_in, &answer);
        changed = w->steps_left == 0;
        w->steps_left = 0;
        assert_true(outlived(w, err, &answer) != changed);
        assert_true(changed || steps > 1); /* it was tried */
    }
}

struct authenticator {
    uint8_t secret[TOTP_SECRET_SIZE];
    char code[TOTP_DIGITS + 1];
};

/* The present code; the clock goes on, since each counts once. */
static struct cw_str next_code(struct authenticator *a)
{
    uint32_t code = 0;
    const struct cw_str secret = {(const char *)a->secret, sizeof(a->secret)};
    fake_now_ms += TOTP_STEP_S * 1000;
    uint64_t step = (uint64_t)fake_now_ms / 1000 / TOTP_STEP_S;
    assert_int_equal(hotp_code(secret, step, TOTP_DIGITS, &code), CW_OK);
    snprintf(a->code, sizeof(a->code), "%06u", code);
    return cw_str(a->code);
}

/* RFC 4648 §6, as the user's app reads it. */
static void read_base32(const char *text, uint8_t *ret, size_t n)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    assert_int_equal(strlen(text), n * 8 / 5);
    uint64_t bits = 0;
    for (size_t i = 0, have = 0; *text != '\0'; text++) {
        bits = bits << 5 | (uint64_t)(strchr(letters, *text) - letters);
        have += 5;
        if (have >= 8) {
            have -= 8;
            ret[i++] = (uint8_t)(bits >> have);
        }
    }
}

static struct authenticator enrol(struct world *w)
{
    struct authenticator a = {0};
    struct login_answer answer;
    struct login_totp_secret secret;
    struct login_mfa_codes codes;
    assert_int_equal(login_run(w->login, &anna_logs_in, &answer), CW_OK);
    const struct login_bearer bearer = {.domain = HOST,
                                        .access_token = cw_str(answer.access_token)};
    assert_int_equal(login_totp_start(w->login, &bearer, PASSWORD, &secret), CW_OK);
    read_base32(secret.secret, a.secret, sizeof(a.secret));
    login_totp_secret_done(&secret);
    assert_int_equal(login_totp_confirm(w->login, &bearer, next_code(&a), &codes), CW_OK);
    login_answer_done(&answer);
    return a;
}

static void nor_does_one_that_waits_for_its_second_factor(void **state)
{
    struct world *w = *state;
    struct authenticator a = enrol(w);
    bool changed = true;
    for (int steps = 1; changed; steps++) {
        struct login_answer first;
        struct login_answer answer = {0};
        struct cw_str code = next_code(&a);
        w->steps_left = steps;
        enum cw_err err = login_run(w->login, &anna_logs_in, &first);
        if (err == CW_MFA_REQUIRED) {
            const struct login_mfa_request request = {
                .domain = HOST, .mfa_token = cw_str(first.mfa_token), .otp = code};
            err = login_mfa_verify(w->login, &request, &answer);
        }
        changed = w->steps_left == 0;
        w->steps_left = 0;
        assert_true(outlived(w, err, &answer) != changed);
        assert_true(changed || steps > 2);
        login_answer_done(&first);
    }
}

static void a_pending_login_ends_with_a_password_that_expires(void **state)
{
    struct world *w = *state;
    struct authenticator a = enrol(w);
    struct login_answer first;
    struct login_answer answer;
    assert_int_equal(login_run(w->login, &anna_logs_in, &first), CW_MFA_REQUIRED);
    assert_int_equal(store_user_expire_password(w->store, TENANT, ANNA), CW_OK);
    const struct login_mfa_request request = {
        .domain = HOST, .mfa_token = cw_str(first.mfa_token), .otp = next_code(&a)};
    assert_int_equal(login_mfa_verify(w->login, &request, &answer), CW_PASSWORD_EXPIRED);
    login_answer_done(&answer);
    login_answer_done(&first);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        CASE(an_mfa_token_lives_five_minutes),
        CASE(a_reset_code_lives_a_day),
        CASE(a_reset_code_that_ended_meanwhile_is_not_redeemed),
        CASE(a_new_totp_secret_waits_ten_minutes_for_its_first_code),
        CASE(a_login_does_not_outlive_a_change_of_its_password),
        CASE(nor_does_one_that_waits_for_its_second_factor),
        CASE(a_pending_login_ends_with_a_password_that_expires),
    };
#undef CASE
    return DATABASES_RUN(tests);
}
