/* The registry's log events, one table. */
#include "common/log/log.h"
#include "sidecar/registry/registry_internal.h"

static struct cw_log_event events[REGISTRY_EVENT_COUNT] = {
    [REGISTRY_EVENT_REGISTERED] = {.action = "registry-registered",
                                   .level = CW_LOG_INFO,
                                   .message = "instance registered"},
    [REGISTRY_EVENT_REFUSED] = {.action = "registry-refused",
                                .level = CW_LOG_WARN,
                                .message = "registration refused",
                                .every_ms = 1000},
    [REGISTRY_EVENT_LOST] = {.action = "registry-connection-lost",
                             .level = CW_LOG_WARN,
                             .message = "instance's connection lost, grace period begins"},
    [REGISTRY_EVENT_ENDED] = {.action = "registry-deregistered",
                              .level = CW_LOG_INFO,
                              .message = "instance deregistered"},
    [REGISTRY_EVENT_RESTORED] = {.action = "registry-restored",
                                 .level = CW_LOG_INFO,
                                 .message = "instances of the last run restored, provisional"},
    [REGISTRY_EVENT_STATE_UNREADABLE] = {.action = "registry-state-unreadable",
                                         .level = CW_LOG_WARN,
                                         .message = "state of the last run cannot be read"},
    [REGISTRY_EVENT_STATE_UNSAVED] = {.action = "registry-state-unsaved",
                                      .level = CW_LOG_WARN,
                                      .message = "state cannot be saved",
                                      .every_ms = 60000},
    [REGISTRY_EVENT_LISTENING] = {.action = "registry-listening",
                                  .level = CW_LOG_INFO,
                                  .message = "embedded registry serves Eureka's REST API"},
    [REGISTRY_EVENT_CHECKED] = {.action = "registry-checked",
                                .level = CW_LOG_INFO,
                                .message = "a static instance's health check has another answer"},
};

void registry_log(enum registry_event event, const char *app, const char *id, enum cw_err err)
{
    struct cw_log_field fields[3];
    size_t n = 0;
    if (app != NULL) {
        fields[n++] = cw_log_cstr("clinicwave.application", app);
    }
    if (id != NULL) {
        fields[n++] = cw_log_cstr("clinicwave.instance_id", id);
    }
    if (err != CW_OK) {
        fields[n++] = cw_log_err(err);
    }
    cw_log_write(&events[event], fields, n);
}

void registry_log_status(enum registry_event event, const char *app, const char *id,
                         const char *status)
{
    CW_LOG(&events[event], cw_log_cstr("clinicwave.application", app),
           cw_log_cstr("clinicwave.instance_id", id), cw_log_cstr("clinicwave.status", status));
}

void registry_log_count(enum registry_event event, size_t restored, size_t skipped)
{
    CW_LOG(&events[event], cw_log_int("clinicwave.restored", (int64_t)restored),
           cw_log_int("clinicwave.skipped", (int64_t)skipped));
}
