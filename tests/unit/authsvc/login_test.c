/* What a login and a refresh decide, with the clock in hand. */
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

#include "tests/unit/authsvc/login_world.h"

static void a_login_answers_with_tokens_and_times(void **state)
{
    struct world *w = *state;
    struct login_request r = world_request(PASSWORD, CW_STR("192.0.2.1"));
    struct login_answer a = {0};
    assert_int_equal(login_run(w->login, &r, &a), CW_OK);
    assert_non_null(a.access_token);
    assert_non_null(a.id_token);
    assert_int_equal(a.expires_in, 300);
    assert_int_equal(a.expires_at, fake_now_ms / 1000 + 300);
    assert_int_equal(a.refresh_expires_in, 3600);
    assert_string_equal(a.scope, "openid email");
    assert_int_equal(strlen(a.session_id), 22); /* 128 bits */
    assert_int_equal(w->last.outcome, CW_OK);
    login_answer_done(&a);
}

static void each_refusal_has_its_reason(void **state)
{
    struct world *w = *state;
    const struct {
        struct login_request request;
        enum cw_err want;
    } rows[] = {
        {{.domain = CW_STR("unknown.com"), .username = ANNA, .password = PASSWORD},
         CW_TENANT_UNKNOWN},
        {{.domain = CW_STR(""), .username = ANNA, .password = PASSWORD}, CW_TENANT_UNKNOWN},
        {{.domain = HOST, .username = ANNA, .password = PASSWORD, .client_id = CW_STR("x")},
         CW_CLIENT_UNKNOWN},
        {{.domain = HOST,
          .username = ANNA,
          .password = PASSWORD,
          .origin = CW_STR("https://evil.example")},
         CW_ORIGIN_FORBIDDEN},
        {{.domain = HOST, .username = CW_STR("\xff"), .password = PASSWORD}, CW_REQUEST_MALFORMED},
        {{.domain = HOST, .username = ANNA, .password = CW_STR("\xff")}, CW_REQUEST_MALFORMED},
        {{.domain = HOST, .username = ANNA, .password = CW_STR("wrong")}, CW_CREDENTIALS_INVALID},
        {{.domain = HOST, .username = CW_STR("nobody"), .password = PASSWORD},
         CW_CREDENTIALS_INVALID},
        {{.domain = HOST, .username = ANNA, .password = CW_STR("")}, CW_CREDENTIALS_INVALID},
        {{.domain = HOST,
          .username = ANNA,
          .password = PASSWORD,
          .origin = CW_STR("https://portal.example")},
         CW_OK},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        struct login_answer a = {0};
        assert_int_equal(login_run(w->login, &rows[i].request, &a), rows[i].want);
        assert_int_equal(w->last.outcome, rows[i].want);
        assert_true((a.access_token != NULL) == (rows[i].want == CW_OK));
        login_answer_done(&a);
    }
}

static void a_block_is_told_only_after_the_right_password(void **state)
{
    struct world *w = *state;
    assert_int_equal(store_user_set_disabled(w->store, TENANT, ANNA, true), CW_OK);
    assert_int_equal(world_try_login(w, CW_STR("wrong"), "192.0.2.1"), CW_CREDENTIALS_INVALID);
    assert_int_equal(world_try_login(w, PASSWORD, "192.0.2.1"), CW_ACCOUNT_BLOCKED);
}

static void failures_are_counted_and_forgotten(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(world_try_login(w, CW_STR("wrong"), "192.0.2.1"), CW_CREDENTIALS_INVALID);
    }
    struct login_request r = world_request(PASSWORD, CW_STR("192.0.2.1"));
    struct login_answer a = {0};
    assert_int_equal(login_run(w->login, &r, &a), CW_THROTTLED);
    assert_in_range(a.retry_after_ms, 1, 60000);
    fake_now_ms += a.retry_after_ms;
    assert_int_equal(world_try_login(w, PASSWORD, "192.0.2.1"),
                     CW_OK); /* as Retry-After promised */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(world_try_login(w, CW_STR("wrong"), "192.0.2.1"), CW_CREDENTIALS_INVALID);
    }
    assert_int_equal(world_try_login(w, PASSWORD, "192.0.2.1"), CW_THROTTLED);
    assert_int_equal(world_try_login(w, PASSWORD, "192.0.2.2"), CW_OK);
}

static void a_tenant_as_a_whole_is_protected_too(void **state)
{
    struct world *w = *state;
    enum cw_err err = CW_OK;
    int failed = 0;
    for (int i = 0; i < 40 && err != CW_THROTTLED; i++) {
        char address[32];
        snprintf(address, sizeof(address), "198.51.100.%d", i);
        err = world_try_login(w, CW_STR("wrong"), address);
        failed += err == CW_CREDENTIALS_INVALID;
    }
    assert_int_equal(failed, 20);
}

struct crowd {
    struct world *w;
    enum cw_err err;
};

static void *join_in(void *arg)
{
    struct crowd *c = arg;
    struct login_request r = world_request(PASSWORD, CW_STR("192.0.2.1"));
    struct login_answer a = {0};
    c->err = login_run(c->w->login, &r, &a);
    login_answer_done(&a);
    return NULL;
}

static void a_crowd_with_the_right_password_is_let_in(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 2; i++) { /* one more failure is all that fits */
        assert_int_equal(world_try_login(w, CW_STR("wrong"), "192.0.2.1"), CW_CREDENTIALS_INVALID);
    }
    struct crowd crowd[12];
    pthread_t threads[12];
    for (size_t i = 0; i < 12; i++) {
        crowd[i] = (struct crowd){.w = w};
        assert_int_equal(pthread_create(&threads[i], NULL, join_in, &crowd[i]), 0);
    }
    for (size_t i = 0; i < 12; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(crowd[i].err, CW_OK);
    }
}

static void a_refresh_token_from_long_ago_ends_the_session(void **state)
{
    struct world *w = *state;
    char first[REFRESH_TEXT_SIZE];
    char second[REFRESH_TEXT_SIZE];
    char again[REFRESH_TEXT_SIZE];
    world_first_token(w, first);
    assert_int_equal(world_refresh(w, first, second), CW_OK);
    fake_now_ms += 30000;
    assert_int_equal(world_refresh(w, first, again), CW_OK);
    assert_string_equal(again, second);
    assert_string_equal(w->last.note, "repeated");
    fake_now_ms += 1;
    assert_int_equal(world_refresh(w, first, again), CW_REFRESH_INVALID);
    assert_string_equal(w->last.note, "reused");
    assert_int_equal(world_refresh(w, second, again), CW_REFRESH_INVALID);
    assert_null(w->last.note);
}

/* Groups that fit one by one, and together into no token. */
static void a_refresh_that_could_not_be_answered_is_good_again(void **state)
{
    struct world *w = *state;
    static const struct {
        int n;       /* groups with 9 KiB each */
        bool broken; /* what they hold is no list */
        enum cw_err wanted;
    } rows[] = {{2, false, CW_NO_MEMORY}, {1, true, CW_STORE_UNAVAILABLE}};
    for (size_t k = 0; k < CW_ARRAY_SIZE(rows); k++) {
        char token[REFRESH_TEXT_SIZE];
        char next[REFRESH_TEXT_SIZE];
        world_first_token(w, token);
        for (int i = 0; i < rows[k].n; i++) {
            char name[16];
            char roles[9 * 1024];
            snprintf(name, sizeof(name), "group-%d", i);
            snprintf(roles, sizeof(roles), "[\"%d%08000d%s", i, 0, rows[k].broken ? "" : "\"]");
            const struct store_group group = {
                .name = cw_str(name), .roles = cw_str(roles), .permissions = CW_STR("[]")};
            assert_int_equal(store_group_put(w->store, TENANT, &group), CW_OK);
            assert_int_equal(store_member_add(w->store, TENANT, group.name, ANNA), CW_OK);
        }
        assert_int_equal(world_refresh(w, token, next), rows[k].wanted);
        assert_int_equal(world_refresh(w, token, next), rows[k].wanted);
        fake_now_ms += 60 * 1000; /* the grace is over */
        assert_int_equal(world_refresh(w, token, next), rows[k].wanted);
        for (int i = 0; i < rows[k].n; i++) { /* somebody repairs them */
            char name[16];
            snprintf(name, sizeof(name), "group-%d", i);
            const struct store_group group = {
                .name = cw_str(name), .roles = CW_STR("[]"), .permissions = CW_STR("[]")};
            assert_int_equal(store_group_put(w->store, TENANT, &group), CW_OK);
        }
        fake_now_ms += 60 * 1000;
        assert_int_equal(world_refresh(w, token, next), CW_OK);
        char third[REFRESH_TEXT_SIZE];
        assert_int_equal(world_refresh(w, next, third), CW_OK);
        fake_now_ms += 60 * 1000;
        assert_int_equal(world_refresh(w, token, next),
                         CW_REFRESH_INVALID); /* used twice after all */
        assert_int_equal(world_refresh(w, third, next), CW_REFRESH_INVALID);
    }
}

static void a_guess_at_a_family_ends_nothing(void **state)
{
    struct world *w = *state;
    char token[REFRESH_TEXT_SIZE];
    world_first_token(w, token);
    struct refresh_token forged;
    assert_int_equal(refresh_token_parse(cw_str(token), &forged), CW_OK);
    for (uint32_t generation = 0; generation < 3; generation++) {
        char text[REFRESH_TEXT_SIZE];
        forged.generation = generation;
        memset(forged.secret, 7, sizeof(forged.secret));
        refresh_token_encode(&forged, text);
        assert_int_equal(world_refresh(w, text, NULL), CW_REFRESH_INVALID);
        assert_null(w->last.note);
    }
    assert_int_equal(world_refresh(w, token, NULL), CW_OK);
}

static enum cw_err show(struct world *w, const char *access_token)
{
    struct login_mfa_status status;
    const struct login_bearer bearer = {.domain = HOST, .access_token = cw_str(access_token)};
    return login_mfa_status(w->login, &bearer, &status);
}

/* A step of the clock, back and forth again: sessions go on, and no token is redeemed twice. */
static void a_clock_that_steps_ends_no_session(void **state)
{
    enum { STEP_MS = 1800 * 1000 };
    struct world *w = *state;
    char second[REFRESH_TEXT_SIZE], again[REFRESH_TEXT_SIZE], third[REFRESH_TEXT_SIZE];
    struct login_request r = world_request(PASSWORD, CW_STR("192.0.2.1"));
    struct login_answer first = {0}, later = {0};
    assert_int_equal(login_run(w->login, &r, &first), CW_OK);
    assert_int_equal(show(w, first.access_token), CW_OK);

    fake_now_ms -= STEP_MS; /* the session began in the future */
    assert_int_equal(show(w, first.access_token), CW_TOKEN_NOT_YET_VALID);
    assert_int_equal(world_refresh(w, first.refresh_token, second), CW_OK);
    assert_int_equal(world_refresh(w, first.refresh_token, again), CW_OK); /* a lost answer */
    assert_string_equal(second, again);
    assert_int_equal(world_try_login(w, CW_STR("wrong"), "192.0.2.1"), CW_CREDENTIALS_INVALID);
    assert_int_equal(login_run(w->login, &r, &later), CW_OK);
    assert_int_equal(show(w, later.access_token), CW_OK);

    fake_now_ms += STEP_MS;
    assert_int_equal(show(w, first.access_token), CW_OK);
    assert_int_equal(show(w, later.access_token), CW_TOKEN_EXPIRED);
    assert_int_equal(world_refresh(w, second, third), CW_OK);
    assert_int_equal(world_refresh(w, first.refresh_token, NULL),
                     CW_REFRESH_INVALID); /* long ago: reuse */
    assert_int_equal(world_refresh(w, third, NULL), CW_REFRESH_INVALID);
    assert_int_equal(world_refresh(w, later.refresh_token, NULL),
                     CW_OK); /* the other session goes on */
    login_answer_done(&first);
    login_answer_done(&later);
}

static void a_session_ends_when_idle_and_at_its_absolute_end(void **state)
{
    struct world *w = *state;
    char token[REFRESH_TEXT_SIZE];
    world_first_token(w, token);
    fake_now_ms += 3600000;
    assert_int_equal(world_refresh(w, token, token), CW_REFRESH_INVALID);
    world_first_token(w, token);
    fake_now_ms += 3599999;
    assert_int_equal(world_refresh(w, token, token), CW_OK);
    fake_now_ms += 3599999;
    assert_int_equal(world_refresh(w, token, token), CW_OK);
    fake_now_ms += 2;
    assert_int_equal(world_refresh(w, token, token), CW_REFRESH_INVALID);
}

static void a_user_has_only_so_many_sessions(void **state)
{
    struct world *w = *state;
    char tokens[4][REFRESH_TEXT_SIZE];
    for (size_t i = 0; i < 4; i++) {
        fake_now_ms++;
        world_first_token(w, tokens[i]);
    }
    assert_int_equal(world_refresh(w, tokens[0], NULL), CW_REFRESH_INVALID);
    assert_int_equal(world_refresh(w, tokens[1], NULL), CW_OK);
    assert_int_equal(world_refresh(w, tokens[3], NULL), CW_OK);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_login_answers_with_tokens_and_times),
        CASE(each_refusal_has_its_reason),
        CASE(a_block_is_told_only_after_the_right_password),
        CASE(failures_are_counted_and_forgotten),
        CASE(a_tenant_as_a_whole_is_protected_too),
        CASE(a_crowd_with_the_right_password_is_let_in),
        CASE(a_refresh_token_from_long_ago_ends_the_session),
        CASE(a_refresh_that_could_not_be_answered_is_good_again),
        CASE(a_guess_at_a_family_ends_nothing),
        CASE(a_clock_that_steps_ends_no_session),
        CASE(a_session_ends_when_idle_and_at_its_absolute_end),
        CASE(a_user_has_only_so_many_sessions),
    };
#undef CASE
    return DATABASES_RUN(tests);
}
