/* What the Eureka client logs: one table. */
#include "common/log/log.h"
#include "sidecar/registry/eureka_internal.h"

enum { OFTEN_MS = 1000, RARELY_MS = 60000 };

static struct cw_log_event events[EUREKA_EVENT_COUNT] = {
    [EUREKA_EVENT_READING] = {.action = "eureka-reading",
                              .level = CW_LOG_INFO,
                              .message = "registry read from a Eureka server"},
    [EUREKA_EVENT_UNREAD] = {.action = "eureka-unread",
                             .level = CW_LOG_WARN,
                             .message = "no Eureka server tells its registry; the last good one "
                                        "is kept",
                             .every_ms = RARELY_MS},
    [EUREKA_EVENT_FAILOVER] = {.action = "eureka-failover",
                               .level = CW_LOG_WARN,
                               .message = "a Eureka server failed, the next one is asked",
                               .every_ms = OFTEN_MS},
    [EUREKA_EVENT_MISMATCH] = {.action = "eureka-mismatch",
                               .level = CW_LOG_INFO,
                               .message = "reconcile hash differs, the whole registry is fetched",
                               .every_ms = RARELY_MS},
    [EUREKA_EVENT_HOLDING] = {.action = "eureka-holding",
                              .level = CW_LOG_WARN,
                              .message = "a Eureka server no longer lists instances that it never "
                                         "said had left; they are held for a while"},
    [EUREKA_EVENT_LEFT_OUT] = {.action = "eureka-left-out",
                               .level = CW_LOG_ERROR,
                               .message = "more instances at the Eureka server than "
                                          "registry.eureka.max-instances",
                               .every_ms = RARELY_MS},
    [EUREKA_EVENT_UNREADABLE] = {.action = "eureka-unreadable",
                                 .level = CW_LOG_WARN,
                                 .message = "instances at the Eureka server cannot be read: no id, "
                                            "no address, or past a bound",
                                 .every_ms = RARELY_MS},
    [EUREKA_EVENT_DUPLICATES] = {.action = "eureka-duplicates",
                                 .level = CW_LOG_WARN,
                                 .message = "the Eureka server lists ids twice, the newer record "
                                            "counts",
                                 .every_ms = RARELY_MS},
    [EUREKA_EVENT_OUTBID] = {.action = "eureka-outbid",
                             .level = CW_LOG_WARN,
                             .message = "Eureka holds the instance with a time from the future, "
                                        "which is outbid: was a clock set back?",
                             .every_ms = OFTEN_MS},
    [EUREKA_EVENT_REGISTERED] = {.action = "eureka-registered",
                                 .level = CW_LOG_INFO,
                                 .message = "instance registered at Eureka"},
    [EUREKA_EVENT_REFUSED] = {.action = "eureka-refused",
                              .level = CW_LOG_ERROR,
                              .message = "instance not registered at Eureka",
                              .every_ms = OFTEN_MS},
    [EUREKA_EVENT_FORGOTTEN] = {.action = "eureka-forgotten",
                                .level = CW_LOG_WARN,
                                .message = "Eureka does not know the instance, it is registered "
                                           "again",
                                .every_ms = OFTEN_MS},
    [EUREKA_EVENT_UNRENEWED] = {.action = "eureka-unrenewed",
                                .level = CW_LOG_WARN,
                                .message = "no Eureka server takes heartbeats",
                                .every_ms = RARELY_MS},
    [EUREKA_EVENT_DRAINED] = {.action = "eureka-drained",
                              .level = CW_LOG_INFO,
                              .message = "instance out of service at Eureka"},
    [EUREKA_EVENT_CANCELLED] = {.action = "eureka-deregistered",
                                .level = CW_LOG_INFO,
                                .message = "instance deregistered at Eureka"},
    [EUREKA_EVENT_ZONE] = {.action = "eureka-zone",
                           .level = CW_LOG_INFO,
                           .message = "zone learned from the metadata service"},
    [EUREKA_EVENT_NO_ZONE] = {.action = "eureka-no-zone",
                              .level = CW_LOG_WARN,
                              .message = "the metadata service does not tell the zone, the "
                                         "configured one counts"},
};

void eureka_log_server(enum eureka_event event, const char *server, const char *why, size_t n)
{
    struct cw_log_field fields[3] = {cw_log_cstr("clinicwave.eureka_server", server)};
    size_t used = 1;
    if (why != NULL && why[0] != '\0') {
        fields[used++] = cw_log_cstr("error.message", why);
    }
    if (n > 0) {
        fields[used++] = cw_log_int("clinicwave.instances", (int64_t)n);
    }
    cw_log_write(&events[event], fields, used);
}

void eureka_log_instance(enum eureka_event event, const struct eureka_published *published,
                         const char *why)
{
    struct cw_log_field fields[3] = {cw_log_cstr("clinicwave.application", published->app),
                                     cw_log_cstr("clinicwave.instance_id", published->id)};
    size_t used = 2;
    if (why != NULL && why[0] != '\0') {
        fields[used++] = cw_log_cstr("error.message", why);
    }
    cw_log_write(&events[event], fields, used);
}
