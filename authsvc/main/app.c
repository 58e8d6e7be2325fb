/* Builds authsvc from its parts, from the store upwards, and stops it from the doors downwards. */
#include "authsvc/main/app.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authsvc/admin/keeper.h"
#include "authsvc/main/events.h"
#include "authsvc/main/idp_health.h"
#include "authsvc/main/registration.h"
#include "authsvc/rest/rest.h"
#include "authsvc/rpc/admin.h"
#include "authsvc/rpc/feed.h"
#include "authsvc/rpc/identity.h"
#include "authsvc/rpc/revocations.h"
#include "common/base/version.h"
#include "common/http/actuator.h"

enum {
    GRACE_MS = 5000,
    REVOKED_WAIT_MS = 1000, /* a sidecar on a busy host was seen to take 200 ms */
    REFRESHES_PER_CORE = 8, /* some sign while the others wait for the disk in one transaction */
    ADMIN_THREADS = 2,
    ADMIN_QUEUE = 256,
    UIDS_MAX = 64,
    MESSAGE_MAX = 512 * 1024, /* a tenant's document */
    /* Bytes for a request's header, a record for each of its lines, and the answer's header: room
     * for what nginx takes with its defaults (4 buffers of 8k) and adds, in 100 lines or in 4.
     * libmicrohttpd clears all of it after each request. */
    REST_HEADER_MAX = 48 * 1024,
    FEED_OUTBOX = 16 * 1024 * 1024, /* bytes: a snapshot of very many tenants */
    KEEP_MS = 7 * 24 * 3600 * 1000, /* ended sessions stay for the audit of a week */
};

extern const struct cw_rpc_descriptor authsvc_descriptors[];

struct app {
    struct cw_config *config; /* a reference */
    struct cw_metrics *metrics;
    struct store *store;
    struct keyring *keys;
    struct password_hasher *hasher;
    struct book *book;
    struct keeper *keeper;
    struct password_blocklist *blocklist; /* NULL: none is configured */
    struct login *login;
    struct cw_work *logins;
    struct cw_work *refreshes;
    struct idp *idp;
    struct cw_work *idp_work;
    struct cw_work *admin_work;
    struct admin *admin;
    struct admin_door admin_door;
    struct feed *feed;
    struct revocations *revocations;
    struct rest *rest;
    struct cw_http_server *rest_server;
    uid_t gateway_uids[UIDS_MAX];
    uid_t service_uids[2 * UIDS_MAX]; /* with the gateway's behind them */
    struct identity identity;
    char *socket;
    char *admin_socket;
    struct cw_rpc_runtime *runtime;
    struct cw_rpc_server *rpc_server;
    bool rpc_started;
    struct registration *_Atomic registration; /* NULL: none is configured, or not yet */
    struct cw_health_component health[5];
    struct cw_actuator *actuator;
    struct cw_http_server *management;
};

enum cw_err app_make_dir(const char *path, unsigned mode, struct cw_buf *ret_message)
{
    char *copy = strdup(path);
    ENSURE(copy != NULL, CW_NO_MEMORY);
    int rc = 0;
    for (char *p = copy + 1; rc == 0; p++) {
        if (*p == '/' || *p == '\0') {
            char end = *p;
            *p = '\0';
            bool last = end == '\0' || p[1 + strspn(p + 1, "/")] == '\0';
            rc = mkdir(copy, last ? mode : 0755) == 0 || errno == EEXIST ? 0 : -1;
            *p = end;
            if (end == '\0') {
                break;
            }
        }
    }
    free(copy);
    if (rc != 0) {
        cw_buf_addf(ret_message, "%s: %s", path, strerror(errno));
        return CW_IO;
    }
    return CW_OK;
}

/* --- from the store to the use cases ---------------------------------------------------- */

static enum cw_err open_keys(struct app *app, const char *kek, struct cw_buf *message)
{
    struct keyring_options keys = authsvc_keyring_options(app->config);
    char **others = NULL;
    TRY(authsvc_other_kek_files(app->config, &others, &keys.n_other_kek_files));
    keys.other_kek_files = others;
    enum cw_err err = keyring_open(app->store, kek, &keys, message, &app->keys);
    authsvc_kek_files_free(others);
    if (err == CW_OK && keyring_damaged(app->keys).n > 0) {
        CW_LOG(&events[EVENT_VALUES_DAMAGED],
               cw_log_str("error.message", keyring_damaged(app->keys)));
    }
    return err;
}

static enum cw_err start_store(struct app *app, struct cw_buf *message)
{
    struct cw_config_at root = cw_config_root(app->config);
    TRY(app_make_dir(cw_config_string(&root, "authsvc.state-dir"), 0750, message));
    TRY(app_make_dir(cw_config_string(&root, "authsvc.run-dir"), 0755, message));
    char *url = authsvc_store_url(app->config);
    char *kek = authsvc_kek_file(app->config);
    enum cw_err err = url != NULL && kek != NULL ? CW_OK : CW_NO_MEMORY;
    if (err == CW_OK) {
        struct store_options options;
        authsvc_store_options(app->config, url, &options);
        options.on_error = events_on_store_error;
        err = store_open(&options, message, &app->store);
    }
    if (err == CW_OK) {
        err = open_keys(app, kek, message);
    }
    free(url);
    free(kek);
    return err;
}

static enum cw_err on_tenants(void *ctx, const struct tenant_set *set, unsigned wait_ms)
{
    struct app *app = ctx;
    idp_warm(app->idp, set);
    return feed_publish(app->feed, set, wait_ms);
}

/* Another cw-authsvc on the same database has changed something. */
static void on_change(void *ctx, enum store_topic topic)
{
    struct app *app = ctx;
    if (topic == STORE_TOPIC_REVOCATIONS) {
        revocations_poke(app->revocations);
    } else if (topic == STORE_TOPIC_TENANTS) {
        book_poke(app->book);
    } else {
        keeper_poke(app->keeper);
    }
}

static enum cw_err start_keeper(struct app *app)
{
    const struct keeper_deps deps = {
        .store = app->store,
        .keys = app->keys,
        .book = app->book,
        .calm_ms = authsvc_keyring_options(app->config).policy.retire_margin_ms,
        .on_problem = events_on_tenant_problem,
    };
    return keeper_new(&deps, &app->keeper);
}

static enum cw_err start_tenants(struct app *app, struct cw_buf *message)
{
    const struct book_deps deps = {
        .store = app->store,
        .keys = app->keys,
        .publish = on_tenants,
        .on_problem = events_on_tenant_problem,
        .ctx = app,
    };
    const struct idp_options idp = {
        .clock = &cw_clock_system, .on_event = events_on_idp, .ctx = app->metrics};
    TRY(idp_new(&idp, &app->idp));
    TRY(feed_new(app->store, app->keys, &app->feed));
    TRY(book_new(&deps, &app->book));
    TRY(book_configure(app->book, app->config, message));
    TRY(revocations_new(app->store, book_current(app->book), &app->revocations));
    TRY(start_keeper(app));
    TRY(store_on_change(app->store, on_change, app));
    return book_follow(app->book);
}

/* A logout's answer waits so long for the sidecars (docs/AUTHSVC.md). */
static void on_revoked(void *ctx)
{
    struct app *app = ctx;
    revocations_announce(app->revocations, REVOKED_WAIT_MS);
}

static enum cw_err start_login(struct app *app, struct cw_buf *message)
{
    struct cw_config_at root = cw_config_root(app->config);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t threads = cw_config_int(&root, "authsvc.login.threads");
    threads = threads > 0 ? threads : CW_MAX(cores, 1);
    int64_t refreshes = cw_config_int(&root, "authsvc.refresh.threads");
    refreshes = refreshes > 0 ? refreshes : REFRESHES_PER_CORE * CW_MAX(cores, 1);
    TRY(password_hasher_new(authsvc_password_params(app->config),
                            authsvc_password_bound(app->config), &app->hasher));
    password_hasher_limit(app->hasher, (unsigned)threads);
    const char *blocklist = cw_config_string(&root, "authsvc.password.blocklist");
    if (blocklist != NULL) {
        TRY(password_blocklist_read(blocklist, message, &app->blocklist));
    }
    /* Threads that mostly wait: apart, so that a provider that hangs holds up nobody else. */
    TRY(cw_work_new("idp", (unsigned)cw_config_int(&root, "authsvc.idp.threads"),
                    (size_t)cw_config_int(&root, "authsvc.idp.queue"), &app->idp_work));
    const struct login_deps deps = {
        .tenants = book_current(app->book),
        .store = app->store,
        .keys = app->keys,
        .hasher = app->hasher,
        .idp = app->idp,
        .blocklist = app->blocklist,
        .idp_work = app->idp_work,
        .limits = authsvc_limits(app->config),
        .clock = &cw_clock_system,
        .on_event = events_on_login,
        .ctx = app->metrics,
        .on_revoked = on_revoked,
        .on_revoked_ctx = app,
    };
    TRY(login_new(&deps, &app->login));
    /* One login more for each that is hashed: while it waits for the database, its core hashes. */
    TRY(cw_work_new("login", 2 * (unsigned)threads,
                    (size_t)cw_config_int(&root, "authsvc.login.queue"), &app->logins));
    return cw_work_new("refresh", (unsigned)refreshes,
                       (size_t)cw_config_int(&root, "authsvc.refresh.queue"), &app->refreshes);
}

/* --- the doors -------------------------------------------------------------------------- */

static enum cw_err start_http(const struct cw_http_server_options *options, struct cw_buf *message,
                              struct cw_http_server **ret_server)
{
    char detail[160] = "";
    enum cw_err err = cw_http_server_start(options, detail, ret_server);
    cw_buf_add_cstr(message, err != CW_OK ? detail : "");
    return err;
}

static enum cw_err start_rest(struct app *app, struct cw_buf *message)
{
    struct cw_config_at root = cw_config_root(app->config);
    size_t n_proxies = 0;
    const char *const *proxies = cw_config_list(&root, "authsvc.rest.trusted-proxies", &n_proxies);
    const struct rest_options rest = {
        .login = app->login,
        .tenants = book_current(app->book),
        .keys = app->keys,
        .logins = app->logins,
        .refreshes = app->refreshes,
        .trusted_proxies = proxies,
        .n_trusted_proxies = n_proxies,
        .documents_max_age_s = authsvc_jwks_max_age(app->config),
    };
    app->rest = rest_new(&rest);
    ENSURE(app->rest != NULL, CW_NO_MEMORY);
    const struct cw_http_routes tables[] = {rest_routes(app->rest), rest_mfa_routes(app->rest),
                                            rest_password_routes(app->rest),
                                            rest_openapi_routes(app->rest)};
    const struct cw_http_server_options options = {
        .name = "rest",
        .address = cw_config_string(&root, "authsvc.rest.address"),
        .port = (uint16_t)cw_config_int(&root, "authsvc.rest.port"),
        .tables = tables,
        .n_tables = CW_ARRAY_SIZE(tables),
        .connections = 1024,
        .max_header = REST_HEADER_MAX,
        .done = events_on_http,
        .done_ctx = app->metrics,
    };
    return start_http(&options, message, &app->rest_server);
}

static enum cw_err start_admin(struct app *app)
{
    const struct admin_deps deps = {
        .book = app->book,
        .store = app->store,
        .keys = app->keys,
        .login = app->login,
        .idp = app->idp,
        .hasher = app->hasher,
        .blocklist = app->blocklist,
        .clock = &cw_clock_system,
        .on_event = events_on_admin,
        .on_revoked = on_revoked,
        .on_revoked_ctx = app,
    };
    app->admin = admin_new(&deps);
    ENSURE(app->admin != NULL, CW_NO_MEMORY);
    TRY(cw_work_new("admin", ADMIN_THREADS, ADMIN_QUEUE, &app->admin_work));
    app->admin_door = (struct admin_door){.admin = app->admin, .work = app->admin_work};
    return CW_OK;
}

static size_t read_uids(const struct cw_config *config, const char *key, uid_t uids[UIDS_MAX])
{
    struct cw_config_at root = cw_config_root(config);
    size_t n = 0;
    const char *const *values = cw_config_list(&root, key, &n);
    for (size_t i = 0; i < n; i++) {
        uint64_t uid = 0;
        if (cw_str_to_u64(cw_str(values[i]), UINT32_MAX - 1, &uid) != CW_OK) {
            uid = 0; /* the check of the schema has refused it */
        }
        uids[i] = (uid_t)uid;
    }
    return n;
}

static enum cw_err start_rpc(struct app *app, struct cw_buf *message)
{
    app->identity = (struct identity){
        .login = app->login,
        .logins = app->logins,
        .refreshes = app->refreshes,
        .trusted_uids = app->gateway_uids,
        .n_trusted_uids = read_uids(app->config, "authsvc.gateway-uids", app->gateway_uids),
    };
    size_t n_service = read_uids(app->config, "authsvc.service-uids", app->service_uids);
    bool any_uid = n_service == 0;
    for (size_t i = 0; i < app->identity.n_trusted_uids; i++) {
        app->service_uids[n_service++] = app->gateway_uids[i];
    }
    gid_t group = 0;
    TRY(authsvc_socket_group(app->config, &group));
    app->socket = authsvc_path(app->config, "authsvc.run-dir", "authsvc.sock");
    app->admin_socket = authsvc_path(app->config, "authsvc.run-dir", "authsvc-admin.sock");
    ENSURE(app->socket != NULL && app->admin_socket != NULL, CW_NO_MEMORY);
    const struct cw_rpc_listener listeners[] = {
        {
            .name = "authsvc",
            .bit = LISTENER_AUTHSVC,
            .path = app->socket,
            .group = group,
            .any_uid = any_uid,
            .uids = app->service_uids,
            .n_uids = n_service,
        },
        {.name = "admin", .bit = LISTENER_ADMIN, .path = app->admin_socket},
    };
    const struct cw_rpc_server_config config = {
        .listeners = listeners,
        .n_listeners = CW_ARRAY_SIZE(listeners),
        .max_message = MESSAGE_MAX,
        .outbox_bytes = FEED_OUTBOX,
        .descriptors = authsvc_descriptors,
        .reflection = LISTENER_AUTHSVC | LISTENER_ADMIN,
    };
    TRY(cw_rpc_runtime_new(1, &app->runtime));
    TRY(cw_rpc_server_new(app->runtime, &config, &app->rpc_server));
    TRY(cw_rpc_server_add(app->rpc_server, identity_methods, identity_n_methods, &app->identity));
    TRY(cw_rpc_server_add(app->rpc_server, admin_methods, admin_n_methods, &app->admin_door));
    TRY(cw_rpc_server_add(app->rpc_server, feed_methods, feed_n_methods, app->feed));
    TRY(cw_rpc_server_add(app->rpc_server, revocations_methods, revocations_n_methods,
                          app->revocations));
    TRY(cw_rpc_server_start(app->rpc_server, message));
    app->rpc_started = true;
    return CW_OK;
}

/* --- health ----------------------------------------------------------------------------- */

static enum cw_health check_database(void *ctx, json_t *details)
{
    (void)details;
    struct app *app = ctx;
    return store_check(app->store) == CW_OK ? CW_HEALTH_UP : CW_HEALTH_DOWN;
}

static enum cw_health check_tenants(void *ctx, json_t *details)
{
    struct app *app = ctx;
    struct tenant_set *set = tenant_current_get(book_current(app->book));
    json_object_set_new(details, "tenants", json_integer((json_int_t)set->n));
    tenant_set_unref(set);
    json_object_set_new(details, "watchers", json_integer((json_int_t)feed_watchers(app->feed)));
    return CW_HEALTH_UP;
}

static enum cw_health check_logins(void *ctx, json_t *details)
{
    struct app *app = ctx;
    json_object_set_new(details, "waiting", json_integer((json_int_t)cw_work_depth(app->logins)));
    return CW_HEALTH_UP;
}

static enum cw_health check_registration(void *ctx, json_t *details)
{
    struct app *app = ctx;
    bool stands = registration_stands(app->registration);
    json_object_set_new(details, "registered", json_boolean(stands));
    return stands ? CW_HEALTH_UP : CW_HEALTH_OUT_OF_SERVICE;
}

static enum cw_err start_management(struct app *app, struct cw_buf *message)
{
    struct cw_config_at root = cw_config_root(app->config);
    app->health[0] =
        (struct cw_health_component){"database", CW_HEALTH_READINESS, false, check_database, app};
    app->health[1] =
        (struct cw_health_component){"tenants", CW_HEALTH_READINESS, false, check_tenants, app};
    app->health[2] = (struct cw_health_component){"logins", 0, true, check_logins, app};
    app->health[3] =
        (struct cw_health_component){"identityProviders", 0, true, idp_health_check, app->idp};
    /* who is not found by others can log in all the same */
    app->health[4] = (struct cw_health_component){"registration", 0, true, check_registration, app};
    bool registers = cw_config_string(&root, "authsvc.registry.socket") != NULL;
    const struct cw_actuator_options actuator = {
        .application = "cw-authsvc",
        .version = CW_VERSION,
        .components = app->health,
        .n_components = CW_ARRAY_SIZE(app->health) - !registers,
        .metrics = app->metrics,
    };
    app->actuator = cw_actuator_new(&actuator);
    ENSURE(app->actuator != NULL, CW_NO_MEMORY);
    const struct cw_http_routes tables[] = {cw_actuator_routes(app->actuator)};
    const struct cw_http_server_options options = {
        .name = "management",
        .address = cw_config_string(&root, "authsvc.management.address"),
        .port = (uint16_t)cw_config_int(&root, "authsvc.management.port"),
        .tables = tables,
        .n_tables = CW_ARRAY_SIZE(tables),
        .thread_per_connection = true, /* who asks for liveness does not wait for the database */
        .connections = 64,
    };
    return start_http(&options, message, &app->management);
}

/* --- as a whole ------------------------------------------------------------------------- */

static enum cw_err start(struct app *app, struct cw_buf *message)
{
    app->metrics = events_metrics_new();
    ENSURE(app->metrics != NULL, CW_NO_MEMORY);
    TRY(start_store(app, message));
    TRY(start_tenants(app, message));
    TRY(start_login(app, message));
    TRY(start_admin(app));
    TRY(start_rpc(app, message));
    TRY(start_management(app, message));
    TRY(start_rest(app, message));
    /* last: who is in the registry must be there */
    struct registration *registration = NULL;
    TRY(registration_start(app->config, app->runtime, message, &registration));
    app->registration = registration;
    static const char *const services[] = {
        NULL, "clinicwave.identity.v1.IdentityService", "clinicwave.identity.v1.AdminService",
        "clinicwave.identity.v1.TenantService", "clinicwave.identity.v1.RevocationService"};
    for (size_t i = 0; i < CW_ARRAY_SIZE(services); i++) {
        cw_rpc_server_set_serving(app->rpc_server, services[i], true);
    }
    return CW_OK;
}

enum cw_err app_start(const struct cw_config *config, struct cw_buf *ret_message,
                      struct app **ret_app)
{
    struct app *app = calloc(1, sizeof(*app));
    ENSURE(app != NULL, CW_NO_MEMORY);
    app->config = cw_config_ref(config);
    enum cw_err err = start(app, ret_message);
    if (err != CW_OK) {
        app_stop(app);
        return err;
    }
    *ret_app = app;
    return CW_OK;
}

enum cw_err app_reload(struct app *app, const struct cw_config *config, struct cw_buf *ret_message)
{
    return book_configure(app->book, config, ret_message);
}

void app_clean(struct app *app)
{
    enum cw_err err = store_purge(app->store, cw_clock_wall_ms(&cw_clock_system) - KEEP_MS);
    (void)err; /* told by the store itself; the next round tries again */
}

void app_trim(struct app *app)
{
    password_hasher_trim(app->hasher);
}

static void each_work(const struct app *app, void (*each)(struct cw_work *work))
{
    each(app->logins);
    each(app->refreshes);
    each(app->idp_work);
    each(app->admin_work);
}

void app_stop(struct app *app)
{
    if (app == NULL) {
        return;
    }
    registration_drain(app->registration);
    cw_http_server_stop(app->rest_server, GRACE_MS);
    store_end_changes(app->store);
    if (app->feed != NULL) {
        feed_stop(app->feed);
    }
    if (app->revocations != NULL) {
        revocations_stop(app->revocations);
    }
    if (app->rpc_started) {
        cw_rpc_server_stop(app->rpc_server, GRACE_MS);
    }
    cw_http_server_stop(app->management, 0);
    registration_free(app->registration);
    each_work(app, cw_work_stop);
    cw_rpc_server_free(app->rpc_server);
    cw_rpc_runtime_free(app->runtime);
    each_work(app, cw_work_free); /* no poller is within a submit any more */
    free(app->socket);
    free(app->admin_socket);
    cw_actuator_free(app->actuator);
    rest_free(app->rest);
    admin_free(app->admin);
    login_free(app->login);
    revocations_free(app->revocations);
    keeper_free(app->keeper);
    book_free(app->book); /* its thread publishes to the feed */
    idp_free(app->idp);
    feed_free(app->feed);
    password_hasher_free(app->hasher);
    password_blocklist_free(app->blocklist);
    keyring_free(app->keys);
    store_close(app->store);
    cw_metrics_free(app->metrics);
    cw_config_unref(app->config);
    free(app);
}
