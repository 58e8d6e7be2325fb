/* storage-service: puts the parts together, runs until it is told to stop.
 *
 *   gateway ─HTTP─▶ rest ─▶ application ─▶ store (disk)
 *                              └─▶ sidecar (verdict; registration beside it) */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/process.h"
#include "common/base/version.h"
#include "common/http/actuator.h"
#include "common/log/log.h"
#include "examples/storage-service/config.h"
#include "examples/storage-service/rest/rest.h"
#include "examples/storage-service/sidecar/sidecar.h"
#include "examples/storage-service/store/disk.h"

enum { EXIT_CANNOT_RUN = 2 };

enum { EVENT_STARTED, EVENT_STOPPING, EVENT_CANNOT_START, EVENT_RELOADED, EVENT_RELOAD_REFUSED };

static struct cw_log_event events[] = {
    [EVENT_STARTED] = {.action = "started", .level = CW_LOG_INFO, .message = "serving"},
    [EVENT_STOPPING] = {.action = "stopping", .level = CW_LOG_INFO, .message = "stopping"},
    [EVENT_CANNOT_START] = {.action = "cannot-start",
                            .level = CW_LOG_ERROR,
                            .message = "cannot start"},
    [EVENT_RELOADED] = {.action = "config-reloaded",
                        .level = CW_LOG_INFO,
                        .message = "configuration reloaded"},
    [EVENT_RELOAD_REFUSED] = {.action = "config-refused",
                              .level = CW_LOG_ERROR,
                              .message = "the new configuration was refused; nothing changed"},
};

struct service {
    struct cw_config *config;
    struct disk *disk;
    struct sidecar *sidecar;
    struct files files;
    struct rest rest;
    struct cw_http_server *server;
    struct cw_actuator *actuator;
    struct cw_http_server *management;
    struct cw_health_component health[2];
};

/* ---- health ---- */

static enum cw_health check_disk(void *ctx, json_t *details)
{
    const struct service *service = ctx;
    bool writable = disk_writable(service->disk);
    json_object_set_new(details, "writable", json_boolean(writable));
    return writable ? CW_HEALTH_UP : CW_HEALTH_DOWN;
}

static enum cw_health check_sidecar(void *ctx, json_t *details)
{
    const struct service *service = ctx;
    bool registered = sidecar_registered(service->sidecar);
    json_object_set_new(details, "registered", json_boolean(registered));
    return registered ? CW_HEALTH_UP : CW_HEALTH_OUT_OF_SERVICE;
}

/* ---- start ---- */

static void apply_log_level(const struct cw_config *config)
{
    struct cw_config_at at = cw_config_root(config);
    cw_log_set_level((enum cw_log_level)cw_config_enum(&at, "log.level"));
}

static enum cw_err start_server(struct service *service, const char *key_address,
                                const char *key_port, struct cw_http_server_options *options,
                                struct cw_http_server **ret_server)
{
    struct cw_config_at at = cw_config_root(service->config);
    char detail[160] = "";
    options->address = cw_config_string(&at, key_address);
    options->port = (uint16_t)cw_config_int(&at, key_port);
    enum cw_err err = cw_http_server_start(options, detail, ret_server);
    if (err != CW_OK) {
        CW_LOG(&events[EVENT_CANNOT_START], cw_log_err(err), cw_log_cstr("error.message", detail),
               cw_log_cstr("labels.key", key_port));
    }
    return err;
}

static enum cw_err start_management(struct service *service)
{
    service->health[0] = (struct cw_health_component){
        .name = "disk", .groups = CW_HEALTH_READINESS, .check = check_disk, .ctx = service};
    service->health[1] = (struct cw_health_component){
        .name = "sidecar", .groups = CW_HEALTH_READINESS, .check = check_sidecar, .ctx = service};
    struct cw_actuator_options options = {.application = "storage-service",
                                          .version = CW_VERSION,
                                          .components = service->health,
                                          .n_components = CW_ARRAY_SIZE(service->health)};
    service->actuator = cw_actuator_new(&options);
    ENSURE(service->actuator, CW_NO_MEMORY);
    struct cw_http_routes tables[] = {cw_actuator_routes(service->actuator)};
    struct cw_http_server_options server = {.name = "management", .tables = tables, .n_tables = 1};
    return start_server(service, "storage.management.address", "storage.management.port", &server,
                        &service->management);
}

static enum cw_err start_store(struct service *service)
{
    struct cw_config_at at = cw_config_root(service->config);
    enum cw_err err = disk_open(cw_config_string(&at, "storage.data-dir"), &service->disk);
    if (err != CW_OK) {
        CW_LOG(&events[EVENT_CANNOT_START], cw_log_err(err),
               cw_log_cstr("labels.key", "storage.data-dir"),
               cw_log_cstr("file.path", cw_config_string(&at, "storage.data-dir")));
    }
    return err;
}

static enum cw_err start_service(struct service *service)
{
    struct cw_config_at at = cw_config_root(service->config);
    service->files = (struct files){.tokens = sidecar_port(service->sidecar),
                                    .store = disk_port(service->disk),
                                    .max_file = cw_config_bytes(&at, "storage.max-file")};
    rest_init(&service->rest, &service->files);
    struct cw_http_routes tables[] = {rest_routes(&service->rest)};
    struct cw_http_server_options options = {
        .name = "rest",
        .tables = tables,
        .n_tables = 1,
        .thread_per_connection = true, /* handlers wait for verdicts and the disk */
        .connections = (unsigned)cw_config_int(&at, "storage.connections"),
        .done = rest_done};
    return start_server(service, "storage.address", "storage.port", &options, &service->server);
}

static enum cw_err start(struct service *service)
{
    struct cw_config_at at = cw_config_root(service->config);
    TRY(start_store(service));
    struct sidecar_options options = {
        .socket = cw_config_string(&at, "storage.sidecar.socket"),
        .user = cw_config_string(&at, "storage.sidecar.user"),
        .application = cw_config_string(&at, "storage.application"),
        .address = cw_config_string(&at, "storage.address"),
        .port = (uint16_t)cw_config_int(&at, "storage.port"),
        .management_port = (uint16_t)cw_config_int(&at, "storage.management.port"),
        .validate_ms = (unsigned)cw_config_ms(&at, "storage.sidecar.timeout"),
    };
    TRY(sidecar_new(&options, &service->sidecar));
    TRY(start_service(service));
    TRY(start_management(service));
    /* last: who is found must be there */
    TRY(sidecar_register(service->sidecar));
    CW_LOG(&events[EVENT_STARTED], cw_log_int("server.port", cw_http_server_port(service->server)));
    return CW_OK;
}

/* ---- stop ---- */

static void pause_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0) {
    }
}

/* First nobody finds it any more, then what runs may end. */
static void stop(struct service *service)
{
    struct cw_config_at at = cw_config_root(service->config);
    unsigned grace_ms = (unsigned)cw_config_ms(&at, "storage.shutdown-grace");
    if (service->sidecar && sidecar_registered(service->sidecar)) {
        sidecar_deregister(service->sidecar);
        pause_ms(cw_config_ms(&at, "storage.shutdown-delay"));
    }
    cw_http_server_stop(service->server, grace_ms);
    cw_http_server_stop(service->management, 0);
    cw_actuator_free(service->actuator);
    sidecar_free(service->sidecar);
    disk_close(service->disk);
}

static void reload(struct service *service)
{
    struct cw_buf problems = CW_BUF_INIT(CW_CONFIG_PROBLEMS_MAX);
    struct cw_config *config;
    enum cw_err err = cw_config_reload(service->config, &problems, &config);
    if (err == CW_OK) {
        apply_log_level(config);
        /* only the level can differ; the old one stays, since strings of it are in use */
        cw_config_unref(config);
        CW_LOG0(&events[EVENT_RELOADED]);
    } else {
        CW_LOG(&events[EVENT_RELOAD_REFUSED], cw_log_err(err),
               cw_log_str("error.message", cw_buf_str(&problems)));
    }
    cw_buf_done(&problems);
}

static void run(struct service *service, const sigset_t *signals)
{
    int signal_number;
    for (;;) {
        if (sigwait(signals, &signal_number) != 0) {
            continue;
        }
        if (signal_number != SIGHUP) {
            break;
        }
        reload(service);
    }
    CW_LOG0(&events[EVENT_STOPPING]);
}

int main(int argc, char **argv)
{
    cw_process_conceal(); /* tokens of its callers */
    struct service service = {0};
    int code = cw_config_start(&storage_schema, argc, argv, &service.config);
    if (code >= 0) {
        return code;
    }
    sigset_t signals; /* before the first thread, so that all of them have them blocked */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    struct cw_log_options log = {
        .service = "storage-service", .version = CW_VERSION, .fd = STDERR_FILENO};
    cw_log_init(&log);
    apply_log_level(service.config);
    enum cw_err err = start(&service);
    if (err == CW_OK) {
        run(&service, &signals);
    }
    stop(&service);
    cw_config_unref(service.config);
    return err == CW_OK ? EXIT_SUCCESS : EXIT_CANNOT_RUN;
}
