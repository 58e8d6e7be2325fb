/* The use cases without transport: what a login and a refresh decide, with the clock in hand. */
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

#include "authsvc/login/account.h"
#include "authsvc/login/mfa.h"
#include "authsvc/totp/totp.h"
#include "tests/unit/authsvc/clock_fake.h"
#include "tests/unit/authsvc/databases.h"

#define TENANT CW_STR("clinicwave")
#define HOST CW_STR("clinicwave.localhost:8443")
#define ANNA CW_STR("anna@clinicwave.com")
#define PASSWORD CW_STR("correct horse")

struct world {
    char dir[32];
    char kek[64];
    struct store *store;
    struct keyring *keys;
    struct password_hasher *hasher;
    struct tenant_current *tenants;
    struct login *login;
    struct cw_clock clock;   /* the login's; see between_steps */
    int steps_left;          /* of the clock's readings, until the password is changed; 0: never */
    pthread_mutex_t lock;    /* last */
    struct login_event last; /* strings of it are gone; outcome and note stay */
};

static void on_event(void *ctx, const struct login_event *event)
{
    struct world *w = ctx;
    pthread_mutex_lock(&w->lock);
    w->last = *event;
    pthread_mutex_unlock(&w->lock);
}

/* The login looks at its clock between its steps: so that is where the user can be quick. */
static int64_t between_steps(void *ctx)
{
    struct world *w = ctx;
    if (w->steps_left > 0 && --w->steps_left == 0) {
        char hash[PASSWORD_HASH_MAX];
        assert_int_equal(password_hash(w->hasher, PASSWORD, hash), CW_OK);
        assert_int_equal(store_user_set_password(w->store, TENANT, ANNA, cw_str(hash)), CW_OK);
    }
    return fake_now_ms;
}

static struct tenant_set *make_tenants(void)
{
    static const struct cw_str domains[] = {CW_STR_INIT("clinicwave.com"),
                                            CW_STR_INIT("clinicwave.localhost")};
    static const struct cw_str audiences[] = {CW_STR_INIT("https://api.clinicwave.com")};
    static const struct cw_str scopes[] = {CW_STR_INIT("openid"), CW_STR_INIT("email")};
    static const struct cw_str origins[] = {CW_STR_INIT("https://portal.example")};
    static const struct tenant_client clients[] = {
        {.id = CW_STR_INIT("portal"),
         .scopes = scopes,
         .n_scopes = 2,
         .origins = origins,
         .n_origins = 1},
    };
    struct tenant *tenant = tenant_new();
    assert_non_null(tenant);
    *tenant = (struct tenant){
        .refs = 1,
        .name = TENANT,
        .domains = domains,
        .n_domains = 2,
        .issuer = CW_STR("https://clinicwave.localhost:8443"),
        .issuer_origin = CW_STR("https://clinicwave.localhost:8443"),
        .audiences = audiences,
        .n_audiences = 1,
        .algorithm = "ES256",
        .access_life_s = 300,
        .id_life_s = 300,
        .refresh_idle_ms = 3600000,
        .refresh_absolute_ms = 7200000,
        .refresh_grace_ms = 30000,
        .sessions_max = 3,
        .password = {8, 64},
        .clients = clients,
        .n_clients = 1,
    };
    struct tenant_set *set = NULL;
    struct tenant_conflict conflict;
    assert_int_equal(tenant_set_new(&tenant, 1, &conflict, &set), CW_OK);
    tenant_unref(tenant);
    return set;
}

static void add_anna(struct world *w)
{
    char hash[PASSWORD_HASH_MAX];
    assert_int_equal(password_hash(w->hasher, PASSWORD, hash), CW_OK);
    const struct store_user user = {
        .subject = CW_STR("s-1"),
        .username = ANNA,
        .password_hash = cw_str(hash),
        .name = CW_STR("Anna"),
        .email = ANNA,
        .roles = CW_STR("[]"),
        .permissions = CW_STR("[]"),
    };
    assert_int_equal(store_user_add(w->store, TENANT, &user), CW_OK);
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    pthread_mutex_init(&w->lock, NULL);
    snprintf(w->dir, sizeof(w->dir), "/tmp/cwXXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(w->kek, sizeof(w->kek), "%s/kek", w->dir);
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    const struct store_options options = {.url = cw_str(databases_fresh_url()),
                                          .connect_timeout_ms = DATABASES_PATIENCE_MS,
                                          .statement_timeout_ms = DATABASES_PATIENCE_MS,
                                          .clock = &fake_clock};
    assert_int_equal(store_open(&options, &message, &w->store), CW_OK);
    assert_int_equal(store_tenant_add(w->store, TENANT), CW_OK);
    const struct keyring_options keys = {.policy = {1000, 0, 1000}, .rsa_bits = 2048};
    const struct keyring_want want = {.algorithm = "ES256", .life_ms = 300 * 1000};
    assert_int_equal(keyring_open(w->store, w->kek, &keys, &message, &w->keys), CW_OK);
    assert_int_equal(keyring_load(w->keys, TENANT, &want, &message), CW_OK);
    const struct password_params cheap = {8, 1};
    assert_int_equal(password_hasher_new(cheap, cheap, &w->hasher), CW_OK);
    w->tenants = tenant_current_new(make_tenants());
    w->clock = (struct cw_clock){
        .wall_ms = between_steps, .monotonic_ms = fake_clock.monotonic_ms, .ctx = w};
    const struct login_deps deps = {
        .tenants = w->tenants,
        .store = w->store,
        .keys = w->keys,
        .hasher = w->hasher,
        .limits = {.account = {3, 1},
                   .address = {10, 1},
                   .tenant = {20, 1},
                   .mfa = {5, 1},
                   .mfa_failures = 100},
        .clock = &w->clock,
        .on_event = on_event,
        .ctx = w,
    };
    assert_int_equal(login_new(&deps, &w->login), CW_OK);
    add_anna(w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    login_free(w->login);
    tenant_current_free(w->tenants);
    password_hasher_free(w->hasher);
    keyring_free(w->keys);
    store_close(w->store);
    unlink(w->kek);
    rmdir(w->dir);
    free(w);
    return 0;
}

static struct login_request request(struct cw_str password, struct cw_str address)
{
    return (struct login_request){
        .domain = HOST, .username = ANNA, .password = password, .address = address};
}

static enum cw_err try_login(struct world *w, struct cw_str password, const char *address)
{
    struct login_request r = request(password, cw_str(address));
    struct login_answer a = {0};
    enum cw_err err = login_run(w->login, &r, &a);
    login_answer_done(&a);
    return err;
}

static void first_token(struct world *w, char ret_token[REFRESH_TEXT_SIZE])
{
    struct login_request r = request(PASSWORD, CW_STR("192.0.2.1"));
    struct login_answer a = {0};
    assert_int_equal(login_run(w->login, &r, &a), CW_OK);
    memcpy(ret_token, a.refresh_token, REFRESH_TEXT_SIZE);
    login_answer_done(&a);
}

static enum cw_err refresh(struct world *w, const char *token, char ret_next[REFRESH_TEXT_SIZE])
{
    const struct login_refresh_request r = {.domain = HOST, .refresh_token = cw_str(token)};
    struct login_answer a = {0};
    enum cw_err err = login_refresh(w->login, &r, &a);
    if (err == CW_OK && ret_next != NULL) {
        memcpy(ret_next, a.refresh_token, REFRESH_TEXT_SIZE);
    }
    login_answer_done(&a);
    return err;
}

static void a_login_answers_with_tokens_and_times(void **state)
{
    struct world *w = *state;
    struct login_request r = request(PASSWORD, CW_STR("192.0.2.1"));
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
    assert_int_equal(try_login(w, CW_STR("wrong"), "192.0.2.1"), CW_CREDENTIALS_INVALID);
    assert_int_equal(try_login(w, PASSWORD, "192.0.2.1"), CW_ACCOUNT_BLOCKED);
}

static void failures_are_counted_and_forgotten(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(try_login(w, CW_STR("wrong"), "192.0.2.1"), CW_CREDENTIALS_INVALID);
    }
    struct login_request r = request(PASSWORD, CW_STR("192.0.2.1"));
    struct login_answer a = {0};
    assert_int_equal(login_run(w->login, &r, &a), CW_THROTTLED);
    assert_in_range(a.retry_after_ms, 1, 60000);
    fake_now_ms += a.retry_after_ms;
    assert_int_equal(try_login(w, PASSWORD, "192.0.2.1"), CW_OK); /* as Retry-After promised */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(try_login(w, CW_STR("wrong"), "192.0.2.1"), CW_CREDENTIALS_INVALID);
    }
    assert_int_equal(try_login(w, PASSWORD, "192.0.2.1"), CW_THROTTLED);
    assert_int_equal(try_login(w, PASSWORD, "192.0.2.2"), CW_OK);
}

static void a_tenant_as_a_whole_is_protected_too(void **state)
{
    struct world *w = *state;
    enum cw_err err = CW_OK;
    int failed = 0;
    for (int i = 0; i < 40 && err != CW_THROTTLED; i++) {
        char address[32];
        snprintf(address, sizeof(address), "198.51.100.%d", i);
        err = try_login(w, CW_STR("wrong"), address);
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
    struct login_request r = request(PASSWORD, CW_STR("192.0.2.1"));
    struct login_answer a = {0};
    c->err = login_run(c->w->login, &r, &a);
    login_answer_done(&a);
    return NULL;
}

static void a_crowd_with_the_right_password_is_let_in(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 2; i++) { /* one more failure is all that fits */
        assert_int_equal(try_login(w, CW_STR("wrong"), "192.0.2.1"), CW_CREDENTIALS_INVALID);
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
    first_token(w, first);
    assert_int_equal(refresh(w, first, second), CW_OK);
    fake_now_ms += 30000;
    assert_int_equal(refresh(w, first, again), CW_OK);
    assert_string_equal(again, second);
    assert_string_equal(w->last.note, "repeated");
    fake_now_ms += 1;
    assert_int_equal(refresh(w, first, again), CW_REFRESH_INVALID);
    assert_string_equal(w->last.note, "reused");
    assert_int_equal(refresh(w, second, again), CW_REFRESH_INVALID);
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
        first_token(w, token);
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
        assert_int_equal(refresh(w, token, next), rows[k].wanted);
        assert_int_equal(refresh(w, token, next), rows[k].wanted);
        fake_now_ms += 60 * 1000; /* the grace is over */
        assert_int_equal(refresh(w, token, next), rows[k].wanted);
        for (int i = 0; i < rows[k].n; i++) { /* somebody repairs them */
            char name[16];
            snprintf(name, sizeof(name), "group-%d", i);
            const struct store_group group = {
                .name = cw_str(name), .roles = CW_STR("[]"), .permissions = CW_STR("[]")};
            assert_int_equal(store_group_put(w->store, TENANT, &group), CW_OK);
        }
        fake_now_ms += 60 * 1000;
        assert_int_equal(refresh(w, token, next), CW_OK);
        char third[REFRESH_TEXT_SIZE];
        assert_int_equal(refresh(w, next, third), CW_OK);
        fake_now_ms += 60 * 1000;
        assert_int_equal(refresh(w, token, next), CW_REFRESH_INVALID); /* used twice after all */
        assert_int_equal(refresh(w, third, next), CW_REFRESH_INVALID);
    }
}

static void a_guess_at_a_family_ends_nothing(void **state)
{
    struct world *w = *state;
    char token[REFRESH_TEXT_SIZE];
    first_token(w, token);
    struct refresh_token forged;
    assert_int_equal(refresh_token_parse(cw_str(token), &forged), CW_OK);
    for (uint32_t generation = 0; generation < 3; generation++) {
        char text[REFRESH_TEXT_SIZE];
        forged.generation = generation;
        memset(forged.secret, 7, sizeof(forged.secret));
        refresh_token_encode(&forged, text);
        assert_int_equal(refresh(w, text, NULL), CW_REFRESH_INVALID);
        assert_null(w->last.note);
    }
    assert_int_equal(refresh(w, token, NULL), CW_OK);
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
    struct login_request r = request(PASSWORD, CW_STR("192.0.2.1"));
    struct login_answer first = {0}, later = {0};
    assert_int_equal(login_run(w->login, &r, &first), CW_OK);
    assert_int_equal(show(w, first.access_token), CW_OK);

    fake_now_ms -= STEP_MS; /* the session began in the future */
    assert_int_equal(show(w, first.access_token), CW_TOKEN_NOT_YET_VALID);
    assert_int_equal(refresh(w, first.refresh_token, second), CW_OK);
    assert_int_equal(refresh(w, first.refresh_token, again), CW_OK); /* a lost answer */
    assert_string_equal(second, again);
    assert_int_equal(try_login(w, CW_STR("wrong"), "192.0.2.1"), CW_CREDENTIALS_INVALID);
    assert_int_equal(login_run(w->login, &r, &later), CW_OK);
    assert_int_equal(show(w, later.access_token), CW_OK);

    fake_now_ms += STEP_MS;
    assert_int_equal(show(w, first.access_token), CW_OK);
    assert_int_equal(show(w, later.access_token), CW_TOKEN_EXPIRED);
    assert_int_equal(refresh(w, second, third), CW_OK);
    assert_int_equal(refresh(w, first.refresh_token, NULL),
                     CW_REFRESH_INVALID); /* long ago: reuse */
    assert_int_equal(refresh(w, third, NULL), CW_REFRESH_INVALID);
    assert_int_equal(refresh(w, later.refresh_token, NULL), CW_OK); /* the other session goes on */
    login_answer_done(&first);
    login_answer_done(&later);
}

static void a_session_ends_when_idle_and_at_its_absolute_end(void **state)
{
    struct world *w = *state;
    char token[REFRESH_TEXT_SIZE];
    first_token(w, token);
    fake_now_ms += 3600000;
    assert_int_equal(refresh(w, token, token), CW_REFRESH_INVALID);
    first_token(w, token);
    fake_now_ms += 3599999;
    assert_int_equal(refresh(w, token, token), CW_OK);
    fake_now_ms += 3599999;
    assert_int_equal(refresh(w, token, token), CW_OK);
    fake_now_ms += 2;
    assert_int_equal(refresh(w, token, token), CW_REFRESH_INVALID);
}

static void a_user_has_only_so_many_sessions(void **state)
{
    struct world *w = *state;
    char tokens[4][REFRESH_TEXT_SIZE];
    for (size_t i = 0; i < 4; i++) {
        fake_now_ms++;
        first_token(w, tokens[i]);
    }
    assert_int_equal(refresh(w, tokens[0], NULL), CW_REFRESH_INVALID);
    assert_int_equal(refresh(w, tokens[1], NULL), CW_OK);
    assert_int_equal(refresh(w, tokens[3], NULL), CW_OK);
}

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
        refreshed = refresh(w, answer->refresh_token, NULL);
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
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
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
