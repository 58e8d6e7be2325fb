/* What cw-authsvc is measured against: the work that a login or a refresh cannot do without, in a
 * loop on so many threads, without a door.
 *
 *   authsvc_loop login ALGORITHM THREADS MILLISECONDS MEMORY_KIB ITERATIONS
 *     one argon2id hash, and the two signatures through libjwt (docs/decisions/0014)
 *   authsvc_loop refresh ALGORITHM THREADS MILLISECONDS STORE_URL
 *     the statements of a refresh, and the two signatures; the store must be empty
 *
 * Prints rounds and seconds. Tokens and statements are authsvc's own (authsvc/token,
 * authsvc/store/statements.def), so that both sides go on to do the same. */
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "authsvc/keys/signing_key.h"
#include "authsvc/store/store.h"
#include "authsvc/token/refresh.h"
#include "authsvc/token/token.h"
#include "tests/bench/authsvc_loop.h"

enum { THREADS_MAX = 64, DAY_MS = 24 * 3600 * 1000 };

static const struct cw_str tenant = CW_STR_INIT("clinicwave");
static const struct cw_str subject = CW_STR_INIT("5f0c1f4e-9d4c-4c5a-8c58-2f7f3a1d9f01");
static const struct cw_str client = CW_STR_INIT("portal");
static const struct cw_str scope = CW_STR_INIT("openid profile email");
static const enum db_statement used[] = {DB_FAMILY_ROTATE, DB_FAMILY_GET_ALL};

/* Set before the threads start, and only read by them. */
static struct {
    struct signing_key *key;
    double end;
    struct cw_str url;
    uint64_t iterations;
    size_t memory;
    char hash[crypto_pwhash_argon2id_STRBYTES];
    uint8_t refresh_key[REFRESH_KEY_SIZE];
    struct loop_db *db; /* that all share */
} work;

struct worker {
    pthread_t thread;
    struct loop_db *db;
    char session[24];
    struct refresh_token token;
    uint64_t rounds;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(enum cw_err err, const char *what)
{
    if (err != CW_OK) {
        loop_die(what, cw_err_code(err));
    }
}

static void sign_both(const char *session)
{
    static const struct cw_str audience = CW_STR_INIT("https://api.clinicwave.com");
    const int64_t now = (int64_t)time(NULL);
    const struct token_facts facts = {
        .tenant = tenant,
        .issuer = CW_STR("https://clinicwave.localhost:8443"),
        .subject = subject,
        .client_id = client,
        .session_id = cw_str(session),
        .audiences = &audience,
        .n_audiences = 1,
        .scope = scope,
        .roles = CW_STR("[\"doctor\"]"),
        .permissions = CW_STR("[]"),
        .groups = CW_STR("[]"),
        .username = CW_STR("user0@clinicwave.com"),
        .amr = CW_STR("[\"pwd\"]"),
        .auth_time = now,
        .now = now,
        .access_life = 300,
        .id_life = 300,
    };
    const struct mint_key key = {
        .algorithm = signing_key_algorithm(work.key),
        .kid = signing_key_kid(work.key),
        .pem = signing_key_pem(work.key),
    };
    char *access = NULL;
    char *id = NULL;
    must(token_access(&key, &facts, &access), "access token");
    must(token_id(&key, &facts, access, &id), "ID token");
    free(access);
    free(id);
}

/* --- login ------------------------------------------------------------------------------ */

static const char password[] = "correct horse battery staple";

static void log_in(struct worker *w)
{
    if (crypto_pwhash_argon2id_str_verify(work.hash, password, sizeof(password) - 1) != 0) {
        loop_die("argon2id", "the hash is another");
    }
    sign_both(w->session);
}

static void set_up_login(char **arguments)
{
    work.memory = strtoul(arguments[0], NULL, 10) * 1024;
    work.iterations = strtoul(arguments[1], NULL, 10);
    if (crypto_pwhash_argon2id_str(work.hash, password, sizeof(password) - 1, work.iterations,
                                   work.memory) != 0) {
        loop_die("argon2id", "no memory, or no such parameters");
    }
}

/* --- refresh ---------------------------------------------------------------------------- */

static void refresh(struct worker *w)
{
    struct refresh_token next;
    uint8_t hash[REFRESH_HASH_SIZE], next_hash[REFRESH_HASH_SIZE];
    refresh_token_hash(&w->token, hash);
    refresh_token_next(work.refresh_key, &w->token, &next);
    refresh_token_hash(&next, next_hash);
    const int64_t now = cw_clock_wall_ms(&cw_clock_system);
    const struct db_value rotate[] = {
        db_text(tenant),
        db_bytes(w->token.family, STORE_FAMILY_SIZE),
        db_bytes(hash, sizeof(hash)),
        db_int(w->token.generation),
        db_bytes(next_hash, sizeof(next_hash)),
        db_int(now),
        db_int(now + DAY_MS),
        db_text(client),
    };
    loop_db_begin(w->db);
    int64_t n = loop_db_run(w->db, DB_FAMILY_ROTATE, rotate, CW_ARRAY_SIZE(rotate));
    n += loop_db_run(w->db, DB_FAMILY_GET_ALL, rotate, 2);
    loop_db_end(w->db);
    if (n != 2) {
        loop_die("refresh", "a statement found no row");
    }
    sign_both(w->session);
    w->token = next;
}

static void start_session(struct store *store, struct worker *w)
{
    const int64_t now = cw_clock_wall_ms(&cw_clock_system);
    refresh_token_new(&w->token);
    const struct store_session session = {
        .id = cw_str(w->session),
        .subject = subject,
        .client_id = client,
        .scope = scope,
        .started_at = now,
        .expires_at = now + DAY_MS,
        .amr = CW_STR("[\"pwd\"]"),
        .password_changed_at = STORE_NO_PASSWORD,
    };
    struct store_family family = {.idle_expires_at = now + DAY_MS};
    memcpy(family.id, w->token.family, sizeof(family.id));
    refresh_token_hash(&w->token, family.hash);
    must(store_session_start(store, tenant, &session, &family, THREADS_MAX), "session");
}

static void set_up_refresh(char **arguments, struct worker *workers, size_t n)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(4096);
    work.url = cw_str(arguments[0]);
    randombytes_buf(work.refresh_key, sizeof(work.refresh_key));
    struct store *store = NULL;
    const struct store_options options = {.url = work.url, .clock = &cw_clock_system};
    if (store_open(&options, &message, &store) != CW_OK) {
        loop_die("store", message.n > 0 ? message.p : "cannot be opened");
    }
    const struct store_user user = {
        .subject = subject,
        .username = CW_STR("user0@clinicwave.com"),
        .roles = CW_STR("[\"doctor\"]"),
        .permissions = CW_STR("[]"),
    };
    must(store_tenant_add(store, tenant), "tenant");
    must(store_user_add(store, tenant, &user), "user");
    for (size_t i = 0; i < n; i++) {
        start_session(store, &workers[i]);
    }
    store_close(store);
    bool shared = !loop_db_per_thread(work.url);
    work.db = shared ? loop_db_open(work.url, used, CW_ARRAY_SIZE(used)) : NULL;
    for (size_t i = 0; i < n; i++) {
        workers[i].db = shared ? work.db : loop_db_open(work.url, used, CW_ARRAY_SIZE(used));
    }
}

static void close_databases(struct worker *workers, size_t n)
{
    for (size_t i = 0; i < n && work.db == NULL; i++) {
        if (workers[i].db != NULL) {
            loop_db_close(workers[i].db);
        }
    }
    if (work.db != NULL) {
        loop_db_close(work.db);
    }
}

/* --- the loop --------------------------------------------------------------------------- */

static void *run(void *arg)
{
    struct worker *w = arg;
    while (now_s() < work.end) {
        if (work.url.n > 0) {
            refresh(w);
        } else {
            log_in(w);
        }
        w->rounds++;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static struct worker workers[THREADS_MAX];
    const bool refreshes = argc == 6 && strcmp(argv[1], "refresh") == 0;
    if (!refreshes && !(argc == 7 && strcmp(argv[1], "login") == 0)) {
        loop_die("usage", "login | refresh ALGORITHM THREADS MILLISECONDS …");
    }
    const size_t n = CW_MIN(strtoul(argv[3], NULL, 10), (unsigned long)THREADS_MAX);
    if (sodium_init() < 0) {
        loop_die("libsodium", "cannot be used");
    }
    must(signing_key_generate(argv[2], 2048, &work.key), "key");
    for (size_t i = 0; i < n; i++) {
        snprintf(workers[i].session, sizeof(workers[i].session), "session-%014zu", i);
    }
    if (refreshes) {
        set_up_refresh(&argv[5], workers, n);
    } else {
        set_up_login(&argv[5]);
    }
    const double begin = now_s();
    work.end = begin + (double)strtoul(argv[4], NULL, 10) / 1e3;
    for (size_t i = 0; i < n; i++) {
        if (pthread_create(&workers[i].thread, NULL, run, &workers[i]) != 0) {
            loop_die("pthread_create", "failed");
        }
    }
    uint64_t rounds = 0;
    for (size_t i = 0; i < n; i++) {
        pthread_join(workers[i].thread, NULL);
        rounds += workers[i].rounds;
    }
    printf("%llu %.6f\n", (unsigned long long)rounds, now_s() - begin);
    close_databases(workers, n);
    signing_key_unref(work.key);
    return 0;
}
