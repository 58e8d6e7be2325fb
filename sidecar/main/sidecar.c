/* The program is put together: from the configuration to sockets that serve, and back. Whatever is
 * built first is freed last. */
#include "sidecar/main/sidecar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/version.h"
#include "common/crypto/random.h"
#include "sidecar/listeners.h"
#include "sidecar/main/config.h"
#include "sidecar/main/events.h"
#include "sidecar/main/metrics.h"

enum {
    CONFIG_ARENA = 256 * 1024 * 1024,
    HTTP_ACTIVE = 64,
    MAX_MESSAGE = 256 * 1024,
    OUTBOX_BYTES = 4 * 1024 * 1024,
    SOCKET_PATH_MAX = 108,
};

extern const struct cw_rpc_descriptor sidecar_descriptors[];

static struct cw_config_at root(const struct sidecar *sidecar)
{
    return cw_config_root(sidecar->first);
}

/* ---- callbacks of the parts ---- */

static void keys_withdrawn(void *ctx, size_t n)
{
    struct sidecar *sidecar = ctx;

    cache_advance(sidecar->cache);
    cw_series_add(sidecar->keys_withdrawn, n);
    CW_LOG(&events[EVENT_KEYS_WITHDRAWN], cw_log_int("clinicwave.keys", (int64_t)n));
}

/* Identities that were verified with keys which nobody may decide by any more. */
static void keys_stale(void *ctx)
{
    struct sidecar *sidecar = ctx;

    (void)cache_flush(sidecar->cache, 0);
    CW_LOG0(&events[EVENT_KEYS_STALE]);
}

static void keys_fetched(void *ctx, const char *tenant, const char *issuer, bool good,
                         const char *why)
{
    struct sidecar *sidecar = ctx;

    cw_series_add(good ? sidecar->fetches_good : sidecar->fetches_bad, 1);
    CW_LOG(&events[good ? EVENT_KEYS_FETCHED : EVENT_KEYS_FAILED],
           cw_log_cstr("clinicwave.tenant", tenant), cw_log_cstr("clinicwave.issuer", issuer),
           cw_log_cstr("error.message", why));
}

static void tenants_changed(void *ctx)
{
    struct sidecar *sidecar = ctx;

    cache_advance(sidecar->cache);
    origins_wake(sidecar->origins);
}

static void origins_left_out(void *ctx, size_t n)
{
    (void)ctx;
    if (n) {
        CW_LOG(&events[EVENT_ORIGINS_LEFT_OUT], cw_log_int("clinicwave.tenants", (int64_t)n));
    }
}

static void route_refused(void *ctx, struct cw_str domain, struct cw_str why)
{
    (void)ctx;
    CW_LOG(&events[EVENT_ROUTE_REFUSED], cw_log_str("url.domain", domain),
           cw_log_str("error.message", why));
}

/* ---- parts ---- */

/* Like mkdir -p; what is made is the owner's and the group's only. */
static enum cw_err make_directory(const char *path, mode_t mode, struct cw_buf *why)
{
    char part[512];
    int n = snprintf(part, sizeof(part), "%s", path);

    ENSURE(n > 0 && (size_t)n < sizeof(part), CW_IO);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(part, 0755);
        *slash = '/';
    }
    if (mkdir(part, mode) != 0 && errno != EEXIST) {
        cw_buf_addf(why, "cannot make directory %s: %s", path, strerror(errno));
        return CW_IO;
    }
    return CW_OK;
}

static enum cw_err make_cache(struct sidecar *sidecar)
{
    struct cw_config_at at = root(sidecar);
    struct cache_config config = {
        .max_entries = (uint32_t)cw_config_int(&at, "sidecar.cache.max-entries"),
        .max_bytes = cw_config_bytes(&at, "sidecar.cache.max-bytes"),
        .ttl_ms = cw_config_ms(&at, "sidecar.cache.ttl"),
        .clock = &cw_clock_system,
    };

    TRY(cw_random_fill(&cw_random_system, &config.seed, sizeof(config.seed)));
    sidecar->cache = cache_new(&config);
    return sidecar->cache ? CW_OK : CW_NO_MEMORY;
}

static enum cw_err make_keys(struct sidecar *sidecar, const char *state_dir)
{
    TRY(cw_http_client_new("cw-sidecar/" CW_VERSION, HTTP_ACTIVE, &sidecar->http));
    struct cw_config_at at = root(sidecar);
    unsigned queue = (unsigned)cw_config_int(&at, "sidecar.queue");
    struct cw_key_store_config config = {
        /* Of the 2 × queue tokens that may be under way, half never wait for keys, and an issuer
         * that does not answer holds an eighth. */
        .waiters = queue,
        .waiters_each = CW_MAX(queue / 4, 1u),
        .clock = &cw_clock_system,
        .random = &cw_random_system,
        .getter = cw_key_getter_of(sidecar->http),
        .state_dir = state_dir,
        .withdrawn = keys_withdrawn,
        .stale = keys_stale,
        .fetched = keys_fetched,
        .ctx = sidecar,
    };
    sidecar->keys = cw_key_store_new(&config);
    return sidecar->keys ? CW_OK : CW_NO_MEMORY;
}

static void warn_plain(const struct tenant_spec *specs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < specs[i].n_issuers; j++) {
            if (specs[i].issuers[j].plain_loopback) {
                CW_LOG(&events[EVENT_PLAIN_HTTP],
                       cw_log_str("clinicwave.issuer", specs[i].issuers[j].issuer));
            }
        }
    }
}

static enum cw_err configure_tenants(struct sidecar *sidecar, const struct cw_config *config,
                                     struct cw_buf *why)
{
    struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(CONFIG_ARENA);
    struct tenant_spec *specs = NULL;
    size_t n = 0;

    TRY(config_tenants(config, &arena, &specs, &n));
    TRY(tenants_configure(sidecar->tenants, specs, n, why));
    if (why->n > 0) { /* of learned ones */
        CW_LOG(&events[EVENT_TENANT_REFUSED], cw_log_str("error.message", cw_buf_str(why)));
        cw_buf_clear(why);
    }
    warn_plain(specs, n);
    return CW_OK;
}

static enum cw_err make_tenants(struct sidecar *sidecar, const char *state_dir, struct cw_buf *why)
{
    struct tenants_config config = {
        .keys = sidecar->keys,
        .clock = &cw_clock_system,
        .state_dir = state_dir,
        .changed = tenants_changed,
        .ctx = sidecar,
    };

    sidecar->tenants = tenants_new(&config);
    ENSURE(sidecar->tenants, CW_NO_MEMORY);
    return configure_tenants(sidecar, sidecar->first, why);
}

static enum cw_err make_origins(struct sidecar *sidecar, bool learns)
{
    struct origins_config config = {
        .tenants = sidecar->tenants,
        .learns = learns,
        .left_out = origins_left_out,
        .ctx = sidecar,
    };

    TRY(origins_new(&config, &sidecar->origins));
    return origins_start(sidecar->origins);
}

static enum cw_err make_handle(struct sidecar *sidecar)
{
    struct cw_config_at at = root(sidecar);
    int64_t verifiers = cw_config_int(&at, "sidecar.verifiers");
    struct handle_config config = {
        .cache = sidecar->cache,
        .tenants = sidecar->tenants,
        .keys = sidecar->keys,
        .clock = &cw_clock_system,
        .revocations = sidecar->revocations,
        .queue_max = (unsigned)cw_config_int(&at, "sidecar.queue"),
        .timeout_ms = cw_config_ms(&at, "sidecar.timeout"),
        .key_wait_ms = cw_config_ms(&at, "sidecar.key-wait"),
        .answers = sidecar->answers,
        .hits = cw_metrics_series(sidecar->metrics, METRIC_HITS, NULL),
        .verify = cw_metrics_series(sidecar->metrics, METRIC_VERIFY, NULL),
        .health = health_list,
        .health_ctx = sidecar,
    };

    if (verifiers == 0) {
        verifiers = CW_MAX(sysconf(_SC_NPROCESSORS_ONLN) - 1, 1);
    }
    config.verifiers = (unsigned)verifiers;
    TRY(handle_new(&config, &sidecar->handle));
    sidecar->ext_authz = (struct ext_authz){.handle = sidecar->handle, .refused = route_refused};
    return CW_OK;
}

static enum cw_err make_server(struct sidecar *sidecar, const char *run_dir,
                               const struct config_uids *gateway, const struct config_uids *service,
                               gid_t group, struct cw_buf *why)
{
    struct cw_config_at at = root(sidecar);
    char paths[3][SOCKET_PATH_MAX + 32];
    static const char *const names[] = {"gateway", "sidecar", "admin"};

    for (size_t i = 0; i < CW_ARRAY_SIZE(names); i++) {
        int n = snprintf(paths[i], sizeof(paths[i]), "%s/%s.sock", run_dir, names[i]);
        if (n < 0 || n >= SOCKET_PATH_MAX) {
            cw_buf_addf(why, "%s is too long for a socket's directory", run_dir);
            return CW_CONFIG_INVALID;
        }
    }
    struct cw_rpc_listener listeners[] = {
        {.name = names[0],
         .bit = ON_GATEWAY,
         .path = paths[0],
         .group = group,
         .uids = gateway->uids,
         .n_uids = gateway->n},
        {.name = names[1],
         .bit = ON_SIDECAR,
         .path = paths[1],
         .group = group,
         .any_uid = service->n == 0,
         .uids = service->uids,
         .n_uids = service->n,
         .max_streams = (uint32_t)cw_config_int(&at, "sidecar.streams")},
        {.name = names[2], .bit = ON_ADMIN, .path = paths[2], .group = group},
    };
    struct cw_rpc_server_config config = {
        .listeners = listeners,
        .n_listeners = CW_ARRAY_SIZE(listeners),
        .max_message = MAX_MESSAGE,
        .outbox_bytes = OUTBOX_BYTES,
        .descriptors = sidecar_descriptors,
        .reflection = cw_config_bool(&at, "sidecar.reflection") ? ON_SIDECAR | ON_ADMIN : 0,
    };
    TRY(cw_rpc_runtime_new_spinning((unsigned)cw_config_int(&at, "sidecar.pollers"),
                                    (unsigned)cw_config_int(&at, "sidecar.spin-us"),
                                    &sidecar->runtime));
    TRY(cw_rpc_server_new(sidecar->runtime, &config, &sidecar->server));
    TRY(cw_rpc_server_add(sidecar->server, handle_methods, handle_n_methods, sidecar->handle));
    TRY(cw_rpc_server_add(sidecar->server, ext_authz_methods, ext_authz_n_methods,
                          &sidecar->ext_authz));
    TRY(cw_rpc_server_add(sidecar->server, registry_methods, registry_n_methods,
                          sidecar->registry));
    TRY(cw_rpc_server_add(sidecar->server, origins_methods, origins_n_methods, sidecar->origins));
    return cw_rpc_server_start(sidecar->server, why);
}

static enum cw_err start_server(struct sidecar *sidecar, struct cw_buf *why)
{
    struct cw_config_at at = root(sidecar);
    struct config_uids gateway = {0};
    struct config_uids service = {0};
    gid_t group = 0;
    enum cw_err err = config_uids(sidecar->first, "sidecar.gateway-uids", &gateway);

    if (err == CW_OK) {
        err = config_uids(sidecar->first, "sidecar.service-uids", &service);
    }
    if (err == CW_OK) {
        err = config_group(sidecar->first, &group);
    }
    if (err == CW_OK) {
        err = make_server(sidecar, cw_config_string(&at, "sidecar.run-dir"), &gateway, &service,
                          group, why);
    }
    free(gateway.uids);
    free(service.uids);
    return err;
}

static enum cw_err start_registry(struct sidecar *sidecar, struct cw_buf *why)
{
    char detail[160] = "";
    enum cw_err err = registry_start(sidecar->registry, detail);

    if (err != CW_OK) {
        cw_buf_addf(why, "registry: %s", detail);
    }
    return err;
}

static enum cw_err make_management(struct sidecar *sidecar, struct cw_buf *why)
{
    struct cw_config_at at = root(sidecar);
    char detail[160] = "";

    health_components(sidecar, sidecar->components);
    struct cw_actuator_options options = {
        .application = "cw-sidecar",
        .version = CW_VERSION,
        .components = sidecar->components,
        .n_components = SIDECAR_COMPONENTS,
        .metrics = sidecar->metrics,
    };
    sidecar->actuator = cw_actuator_new(&options);
    ENSURE(sidecar->actuator, CW_NO_MEMORY);
    struct cw_http_routes routes = cw_actuator_routes(sidecar->actuator);
    struct cw_http_server_options server = {
        .name = "management",
        .address = cw_config_string(&at, "sidecar.management.address"),
        .port = (uint16_t)cw_config_int(&at, "sidecar.management.port"),
        .tables = &routes,
        .n_tables = 1,
        .connections = 32,
    };
    if (server.port == 0) {
        return CW_OK;
    }
    enum cw_err err = cw_http_server_start(&server, detail, &sidecar->management);
    if (err != CW_OK) {
        cw_buf_addf(why, "management port %d: %s", server.port, detail);
    }
    return err;
}

static enum cw_err start_feeds(struct sidecar *sidecar, const struct config_authsvc *where,
                               const char *state_dir)
{
    struct config_uids uids = {0};

    TRY(config_uids(sidecar->config, "sidecar.authsvc.uids", &uids));
    const struct authsvc_place authsvc = {where->path, uids.uids, uids.n, &where->remote};
    enum cw_err err = feed_new(sidecar->runtime, &authsvc, sidecar->tenants, &sidecar->feed);
    if (err == CW_OK) {
        err = revocation_feed_new(sidecar->runtime, &authsvc, state_dir, sidecar->revocations,
                                  &sidecar->revocation_feed);
    }
    free(uids.uids);
    return err;
}

enum cw_err sidecar_start(struct sidecar *sidecar, struct cw_config *config, struct cw_buf *why)
{
    memset(sidecar, 0, sizeof(*sidecar));
    sidecar->first = config;
    sidecar->config = cw_config_ref(config);
    struct cw_config_at at = root(sidecar);
    const char *run_dir = cw_config_string(&at, "sidecar.run-dir");
    const char *state_dir = cw_config_string(&at, "sidecar.state-dir");
    struct config_authsvc authsvc;
    config_authsvc(config, &authsvc);

    TRY(make_directory(run_dir, 0755, why));
    TRY(make_directory(state_dir, 0700, why));
    TRY(sidecar_metrics(sidecar));
    TRY(make_cache(sidecar));
    TRY(make_keys(sidecar, state_dir));
    TRY(make_tenants(sidecar, state_dir, why));
    TRY(make_origins(sidecar, authsvc.set));
    TRY(cw_key_store_start(sidecar->keys));
    if (authsvc.set) {
        sidecar->revocations =
            revocation_feed_restore(state_dir, cw_config_ms(&at, "sidecar.authsvc.max-stale"));
        ENSURE(sidecar->revocations, CW_NO_MEMORY);
    }
    TRY(make_handle(sidecar));
    TRY(registry_new(config, state_dir, &cw_clock_system, &sidecar->registry));
    TRY(start_server(sidecar, why));
    TRY(start_registry(sidecar, why));
    if (authsvc.set) {
        TRY(start_feeds(sidecar, &authsvc, state_dir));
    }
    __atomic_store_n(&sidecar->serving, true, __ATOMIC_RELEASE);
    TRY(make_management(sidecar, why));
    cw_rpc_server_set_serving(sidecar->server, NULL, true);
    return CW_OK;
}

/* All parts or none. The registry goes first, since it alone can be put back: with a full one, or
 * without memory, it may have taken half of the new list. */
static enum cw_err swap(struct sidecar *sidecar, const struct cw_config *config,
                        struct cw_buf *problems)
{
    enum cw_err err = registry_reload(sidecar->registry, config);

    if (err == CW_OK) {
        err = configure_tenants(sidecar, config, problems);
    } else {
        cw_buf_addf(problems, "registry.static: %s", cw_err_info(err)->title);
    }
    if (err != CW_OK && registry_reload(sidecar->registry, sidecar->config) != CW_OK) {
        cw_buf_add_cstr(problems, "; the registry's part of the old one is not back as a whole");
    }
    return err;
}

void sidecar_reload(struct sidecar *sidecar)
{
    struct cw_buf problems CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(CW_CONFIG_PROBLEMS_MAX);
    struct cw_config *config = NULL;
    enum cw_err err = cw_config_reload(sidecar->config, &problems, &config);

    if (err == CW_OK) {
        err = swap(sidecar, config, &problems);
    }
    if (err != CW_OK) {
        CW_LOG(&events[EVENT_RELOAD_REFUSED], cw_log_err(err),
               cw_log_str("error.message", cw_buf_str(&problems)));
        cw_config_unref(config);
        return;
    }
    struct cw_config_at at = cw_config_root(config);
    cw_log_set_level((enum cw_log_level)cw_config_enum(&at, "log.level"));
    cw_config_unref(sidecar->config);
    sidecar->config = config;
    cw_key_store_reread(sidecar->keys);
    CW_LOG0(&events[EVENT_RELOADED]);
}

void sidecar_stop(struct sidecar *sidecar)
{
    struct cw_config_at at = root(sidecar);

    __atomic_store_n(&sidecar->serving, false, __ATOMIC_RELEASE);
    if (sidecar->server) {
        cw_rpc_server_stop(sidecar->server, (unsigned)cw_config_ms(&at, "sidecar.grace"));
    }
    if (sidecar->registry) {
        registry_stop(sidecar->registry);
    }
    origins_stop(sidecar->origins);
    feed_free(sidecar->feed);
    revocation_feed_free(sidecar->revocation_feed);
    /* Who waits for keys is answered here; who waits for a verifier, next. */
    if (sidecar->keys) {
        cw_key_store_stop(sidecar->keys);
    }
    if (sidecar->handle) {
        handle_stop(sidecar->handle);
    }
    cw_http_server_stop(sidecar->management, 500);
    cw_rpc_server_free(sidecar->server);
    cw_rpc_runtime_free(sidecar->runtime);
    cw_http_client_free(sidecar->http);
    handle_free(sidecar->handle);
    revocations_free(sidecar->revocations);
    registry_free(sidecar->registry);
    origins_free(sidecar->origins);
    tenants_free(sidecar->tenants);
    cw_key_store_free(sidecar->keys);
    cache_free(sidecar->cache);
    cw_actuator_free(sidecar->actuator);
    cw_metrics_free(sidecar->metrics);
    free((void *)sidecar->answers);
    cw_config_unref(sidecar->config);
    cw_config_unref(sidecar->first);
}
