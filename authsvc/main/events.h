/* What authsvc writes into its log and counts: one table each. */
#ifndef AUTHSVC_MAIN_EVENTS_H
#define AUTHSVC_MAIN_EVENTS_H

#include "authsvc/admin/admin.h"
#include "authsvc/login/login.h"
#include "common/http/server.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"

enum event {
    EVENT_STARTED,
    EVENT_START_FAILED,
    EVENT_STOPPING,
    EVENT_STOPPED,
    EVENT_RELOADED,
    EVENT_RELOAD_REFUSED,
    EVENT_STORE_FAILED,
    EVENT_VALUES_DAMAGED,
    EVENT_LOGIN_SUCCEEDED,
    EVENT_LOGIN_FAILED,
    EVENT_LOGIN_THROTTLED,
    EVENT_LOGIN_REFUSED,
    EVENT_REFRESH_REUSED,
    EVENT_REFRESH_FAILED,
    EVENT_REFRESHED,
    EVENT_SESSION_ENDED,
    EVENT_LOGOUT_FAILED,
    EVENT_TENANT_REFUSED,
    EVENT_ADMINISTERED,
    EVENT_ADMIN_REFUSED,
    EVENT_MFA_REQUIRED,
    EVENT_MFA_SUCCEEDED,
    EVENT_MFA_FAILED,
    EVENT_MFA_CHALLENGED,
    EVENT_ACCOUNT_CHANGED,
    EVENT_ACCOUNT_REFUSED,
    EVENT_IDP_REFUSED,
    EVENT_IDP_FAILED,
    EVENT_IDP_MISCONFIGURED,
    EVENT_REGISTERED,
    EVENT_UNREGISTERED,
    EVENT_COUNT,
};

extern struct cw_log_event events[EVENT_COUNT];

/* A new registry with authsvc's metrics; NULL without memory. */
struct cw_metrics *events_metrics_new(void);

/* login_deps.on_event; ctx is the struct cw_metrics. */
void events_on_login(void *ctx, const struct login_event *event);
/* idp_options.on_event; ctx is the struct cw_metrics. */
void events_on_idp(void *ctx, const struct idp_event *event);
/* store_options.on_error; ctx is not used. */
void events_on_store_error(void *ctx, const char *operation, const char *message);
/* book_deps.on_problem; ctx is not used. */
void events_on_tenant_problem(void *ctx, struct cw_str tenant, struct cw_str text);
/* admin_deps.on_event; ctx is not used. */
void events_on_admin(void *ctx, const struct admin_event *event);
/* cw_http_server_options.done; ctx is the struct cw_metrics. */
void events_on_http(void *ctx, const struct cw_http_done *done);

#endif
