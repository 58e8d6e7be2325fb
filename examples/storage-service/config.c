/* Every key of storage-service. */
#include "examples/storage-service/config.h"

static const struct cw_config_key keys[] = {
    {"storage.address", CW_CONFIG_STRING, "127.0.0.1", 0, 0, NULL, 0,
     "Address of the service; also the one that is registered."},
    {"storage.port", CW_CONFIG_INT, "9084", 0, 65535, NULL, 0, "Port of the service."},
    {"storage.management.address", CW_CONFIG_STRING, "127.0.0.1", 0, 0, NULL, 0,
     "Address of /actuator."},
    {"storage.management.port", CW_CONFIG_INT, "9085", 0, 65535, NULL, 0,
     "Port of /actuator: one of its own, so that the gateway does not lead there."},
    {"storage.data-dir", CW_CONFIG_PATH, "/var/lib/clinicwave/storage", 0, 0, NULL, 0,
     "Directory of the files, one below it per tenant."},
    {"storage.max-file", CW_CONFIG_SIZE, "64MiB", 1, 1 << 30, NULL, 0, "Largest file."},
    {"storage.connections", CW_CONFIG_INT, "128", 1, 4096, NULL, 0,
     "Connections served at once; each has a thread."},
    {"storage.application", CW_CONFIG_STRING, "STORAGE-SERVICE", 0, 0, NULL, 0,
     "Name under which it is registered."},
    {"storage.sidecar.socket", CW_CONFIG_PATH, "/run/clinicwave/sidecar.sock", 0, 0, NULL, 0,
     "The sidecar of this host."},
    {"storage.sidecar.user", CW_CONFIG_STRING, NULL, 0, 0, NULL, 0,
     "User (name or number) beside root and the own one whose socket is believed to be the "
     "sidecar's."},
    {"storage.sidecar.timeout", CW_CONFIG_DURATION, "2s", 1, 60000, NULL, 0,
     "Longest wait for a verdict."},
    {"storage.shutdown-delay", CW_CONFIG_DURATION, "500ms", 0, 60000, NULL, 0,
     "Between the end of the registration and the last new request."},
    {"storage.shutdown-grace", CW_CONFIG_DURATION, "5s", 0, 600000, NULL, 0,
     "For requests that run when the service stops."},
    {"log.level", CW_CONFIG_ENUM, "info", 0, 0, "debug|info|warn|error", CW_CONFIG_RELOADABLE,
     "Lowest level that is written."},
};

const struct cw_config_schema storage_schema = {
    .program = "storage-service",
    .summary = "Stores files per tenant: the example of a microservice behind the gateway",
    .keys = keys,
    .n_keys = CW_ARRAY_SIZE(keys),
};
