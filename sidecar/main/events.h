/* What the sidecar logs: one table. */
#ifndef SIDECAR_MAIN_EVENTS_H
#define SIDECAR_MAIN_EVENTS_H

#include "common/log/log.h"

enum event {
    EVENT_STARTED,
    EVENT_STOPPING,
    EVENT_STOPPED,
    EVENT_CANNOT_RUN,
    EVENT_RELOADED,
    EVENT_RELOAD_REFUSED,
    EVENT_PLAIN_HTTP,
    EVENT_KEYS_FETCHED,
    EVENT_KEYS_FAILED,
    EVENT_KEYS_WITHDRAWN,
    EVENT_KEYS_STALE,
    EVENT_TENANTS_LEARNED,
    EVENT_TENANT_REFUSED,
    EVENT_FEED_LOST,
    EVENT_COUNT,
};

extern struct cw_log_event events[EVENT_COUNT];

#endif
