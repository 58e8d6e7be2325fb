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

int world_setup(void **state)
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

int world_teardown(void **state)
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

struct login_request world_request(struct cw_str password, struct cw_str address)
{
    return (struct login_request){
        .domain = HOST, .username = ANNA, .password = password, .address = address};
}

enum cw_err world_try_login(struct world *w, struct cw_str password, const char *address)
{
    struct login_request r = world_request(password, cw_str(address));
    struct login_answer a = {0};
    enum cw_err err = login_run(w->login, &r, &a);
    login_answer_done(&a);
    return err;
}

void world_first_token(struct world *w, char ret_token[REFRESH_TEXT_SIZE])
{
    struct login_request r = world_request(PASSWORD, CW_STR("192.0.2.1"));
    struct login_answer a = {0};
    assert_int_equal(login_run(w->login, &r, &a), CW_OK);
    memcpy(ret_token, a.refresh_token, REFRESH_TEXT_SIZE);
    login_answer_done(&a);
}

enum cw_err world_refresh(struct world *w, const char *token, char ret_next[REFRESH_TEXT_SIZE])
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
