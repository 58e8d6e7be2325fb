/* The audit trail of logins and refreshes (OWASP ASVS 16.3.1): who, from where, with which outcome;
 * never a password, never a token. */
#include "authsvc/main/events.h"

#include <stdio.h>

struct cw_log_event events[EVENT_COUNT] = {
    [EVENT_STARTED] = {"started", CW_LOG_INFO, "cw-authsvc is ready", "process", 0, {0}},
    [EVENT_START_FAILED] =
        {"start-failed", CW_LOG_ERROR, "cw-authsvc could not start", "process", 0, {0}},
    [EVENT_STOPPING] = {"stopping", CW_LOG_INFO, "cw-authsvc takes no new work", "process", 0, {0}},
    [EVENT_STOPPED] = {"stopped", CW_LOG_INFO, "cw-authsvc has stopped", "process", 0, {0}},
    [EVENT_RELOADED] = {"configuration-reloaded",
                        CW_LOG_INFO,
                        "the new configuration is in effect",
                        "configuration",
                        0,
                        {0}},
    [EVENT_RELOAD_REFUSED] = {"configuration-refused",
                              CW_LOG_ERROR,
                              "the configuration was refused; nothing has changed",
                              "configuration",
                              0,
                              {0}},
    [EVENT_STORE_FAILED] =
        {"store-failed", CW_LOG_ERROR, "the database failed", "database", 1000, {0}},
    [EVENT_VALUES_DAMAGED] = {"values-damaged",
                              CW_LOG_ERROR,
                              "sealed values of single users cannot be opened",
                              "database",
                              0,
                              {0}},
    [EVENT_LOGIN_SUCCEEDED] =
        {"login-succeeded", CW_LOG_INFO, "a user has logged in", "authentication", 0, {0}},
    [EVENT_LOGIN_FAILED] =
        {"login-failed", CW_LOG_INFO, "a login was refused", "authentication", 0, {0}},
    [EVENT_LOGIN_THROTTLED] = {"login-throttled",
                               CW_LOG_WARN,
                               "too many logins failed; further ones have to wait",
                               "authentication",
                               100,
                               {0}},
    [EVENT_LOGIN_REFUSED] = {"login-undecided",
                             CW_LOG_WARN,
                             "a login could not be decided",
                             "authentication",
                             100,
                             {0}},
    [EVENT_REFRESH_REUSED] = {"refresh-token-reused",
                              CW_LOG_WARN,
                              "a used refresh token came again; its session was ended",
                              "authentication",
                              0,
                              {0}},
    [EVENT_REFRESH_FAILED] =
        {"refresh-failed", CW_LOG_INFO, "a refresh was refused", "authentication", 100, {0}},
    [EVENT_REFRESHED] =
        {"refreshed", CW_LOG_DEBUG, "a session was refreshed", "authentication", 0, {0}},
    [EVENT_SESSION_ENDED] =
        {"session-ended", CW_LOG_INFO, "a user has ended a session", "authentication", 0, {0}},
    [EVENT_LOGOUT_FAILED] =
        {"logout-failed", CW_LOG_INFO, "a logout was refused", "authentication", 100, {0}},
    [EVENT_TENANT_REFUSED] = {"tenant-refused",
                              CW_LOG_ERROR,
                              "a tenant of the database cannot be used",
                              "configuration",
                              100,
                              {0}},
    [EVENT_ADMINISTERED] =
        {"administered", CW_LOG_INFO, "an administrator has changed something", "iam", 0, {0}},
    [EVENT_ADMIN_REFUSED] = {"administration-refused",
                             CW_LOG_WARN,
                             "an administrator's change was refused",
                             "iam",
                             100,
                             {0}},
    [EVENT_MFA_REQUIRED] = {"login-mfa-required",
                            CW_LOG_INFO,
                            "the password was right, a second factor must follow",
                            "authentication",
                            0,
                            {0}},
    [EVENT_MFA_SUCCEEDED] = {"login-mfa-succeeded",
                             CW_LOG_INFO,
                             "a user has logged in with a second factor",
                             "authentication",
                             0,
                             {0}},
    [EVENT_MFA_FAILED] =
        {"login-mfa-failed", CW_LOG_INFO, "a second factor was refused", "authentication", 0, {0}},
    [EVENT_MFA_CHALLENGED] = {"login-mfa-challenged",
                              CW_LOG_INFO,
                              "a user has asked for a code",
                              "authentication",
                              100,
                              {0}},
    [EVENT_ACCOUNT_CHANGED] =
        {"account-changed", CW_LOG_INFO, "a user has changed how it logs in", "iam", 0, {0}},
    [EVENT_ACCOUNT_REFUSED] = {"account-change-refused",
                               CW_LOG_INFO,
                               "a change of how a user logs in was refused",
                               "iam",
                               0,
                               {0}},
    [EVENT_IDP_REFUSED] = {"idp-refused",
                           CW_LOG_DEBUG,
                           "an identity provider refused a user",
                           "authentication",
                           0,
                           {0}},
    [EVENT_IDP_FAILED] = {"idp-failed",
                          CW_LOG_WARN,
                          "an identity provider gave no answer that counts",
                          "authentication",
                          1000,
                          {0}},
    [EVENT_IDP_MISCONFIGURED] = {"idp-misconfigured",
                                 CW_LOG_ERROR,
                                 "an identity provider refuses us: cwctl tenants check",
                                 "configuration",
                                 1000,
                                 {0}},
    [EVENT_REGISTERED] =
        {"registered", CW_LOG_INFO, "registered at the sidecar", "network", 0, {0}},
    [EVENT_UNREGISTERED] = {"registration-lost",
                            CW_LOG_WARN,
                            "the registration ended; trying again",
                            "network",
                            10000,
                            {0}},
};

enum {
    METRIC_IDP,
    METRIC_LOGINS,
    METRIC_LOGIN_SECONDS,
    METRIC_REFRESHES,
    METRIC_LOGOUTS,
    METRIC_MFA,
    METRIC_ACCOUNT,
    METRIC_HTTP
};

static const struct cw_metric metrics[] = {
    [METRIC_IDP] = {"cw_authsvc_idp_calls_total",
                    CW_METRIC_COUNTER,
                    "Calls to identity providers by outcome.",
                    {"tenant", "operation", "outcome"},
                    {0},
                    0},
    [METRIC_LOGINS] = {"cw_authsvc_logins_total",
                       CW_METRIC_COUNTER,
                       "Logins by outcome.",
                       {"tenant", "outcome"},
                       {0},
                       0},
    [METRIC_LOGIN_SECONDS] = {"cw_authsvc_login_seconds",
                              CW_METRIC_HISTOGRAM,
                              "Time of a login, waiting excluded.",
                              {NULL},
                              {1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 0},
                              1e-3},
    [METRIC_REFRESHES] = {"cw_authsvc_refreshes_total",
                          CW_METRIC_COUNTER,
                          "Refreshes by outcome.",
                          {"tenant", "outcome"},
                          {0},
                          0},
    [METRIC_LOGOUTS] = {"cw_authsvc_logouts_total",
                        CW_METRIC_COUNTER,
                        "Logouts and sessions ended by their user, by outcome.",
                        {"tenant", "outcome"},
                        {0},
                        0},
    [METRIC_MFA] = {"cw_authsvc_mfa_total",
                    CW_METRIC_COUNTER,
                    "Second factors of logins, by outcome.",
                    {"tenant", "outcome"},
                    {0},
                    0},
    [METRIC_ACCOUNT] = {"cw_authsvc_account_changes_total",
                        CW_METRIC_COUNTER,
                        "Changes of passwords and second factors, by outcome.",
                        {"tenant", "outcome"},
                        {0},
                        0},
    [METRIC_HTTP] = {"cw_authsvc_http_requests_total",
                     CW_METRIC_COUNTER,
                     "Requests of the REST door.",
                     {"route", "status"},
                     {0},
                     0},
};

struct cw_metrics *events_metrics_new(void)
{
    return cw_metrics_new(metrics, CW_ARRAY_SIZE(metrics));
}

/* What is logged and counted for a kind, when it went well and when not. */
static const struct {
    enum event good;
    enum event bad;
    size_t counter;
} kinds[LOGIN_KIND_COUNT] = {
    [LOGIN_KIND_LOGIN] = {EVENT_LOGIN_SUCCEEDED, EVENT_LOGIN_FAILED, METRIC_LOGINS},
    [LOGIN_KIND_REFRESH] = {EVENT_REFRESHED, EVENT_REFRESH_FAILED, METRIC_REFRESHES},
    [LOGIN_KIND_LOGOUT] = {EVENT_SESSION_ENDED, EVENT_LOGOUT_FAILED, METRIC_LOGOUTS},
    [LOGIN_KIND_MFA] = {EVENT_MFA_SUCCEEDED, EVENT_MFA_FAILED, METRIC_MFA},
    [LOGIN_KIND_MFA_CHALLENGE] = {EVENT_MFA_CHALLENGED, EVENT_MFA_FAILED, METRIC_MFA},
    [LOGIN_KIND_ACCOUNT] = {EVENT_ACCOUNT_CHANGED, EVENT_ACCOUNT_REFUSED, METRIC_ACCOUNT},
};

static enum event login_event_of(const struct login_event *e)
{
    bool reused = e->note != NULL && cw_str_is(cw_str(e->note), "reused");
    if (e->outcome == CW_OK) {
        return kinds[e->kind].good;
    }
    if (e->outcome == CW_MFA_REQUIRED) {
        return EVENT_MFA_REQUIRED;
    }
    if (e->kind == LOGIN_KIND_REFRESH && reused) {
        return EVENT_REFRESH_REUSED;
    }
    if (e->kind == LOGIN_KIND_REFRESH || e->kind == LOGIN_KIND_LOGOUT) {
        return kinds[e->kind].bad;
    }
    if (e->outcome == CW_THROTTLED) {
        return EVENT_LOGIN_THROTTLED;
    }
    return cw_err_info(e->outcome)->http >= 500 ? EVENT_LOGIN_REFUSED : kinds[e->kind].bad;
}

void events_on_login(void *ctx, const struct login_event *e)
{
    struct cw_str tenant = e->tenant.n > 0 ? e->tenant : CW_STR("none");
    struct cw_str labels[] = {tenant, cw_str(cw_err_code(e->outcome))};
    bool login = e->kind == LOGIN_KIND_LOGIN;
    cw_series_add(cw_metrics_series(ctx, kinds[e->kind].counter, labels), 1);
    if (login) {
        cw_series_observe(cw_metrics_series(ctx, METRIC_LOGIN_SECONDS, NULL),
                          (uint64_t)CW_MAX(e->duration_ms, 0));
    }
    /* A name that is nobody's may be a password in the wrong field: only its digest is kept. */
    CW_LOG(&events[login_event_of(e)],
           cw_log_cstr("event.outcome", e->outcome == CW_OK ? "success" : "failure"),
           cw_log_err(e->outcome), cw_log_str("organization.name", e->tenant),
           cw_log_str("user.id", e->subject), cw_log_digest("user.hash", e->name),
           cw_log_str("source.address", e->address), cw_log_str("clinicwave.client", e->client_id),
           cw_log_str("clinicwave.session", e->session_id),
           cw_log_cstr("event.reason", e->note != NULL ? e->note : ""), cw_log_ms(e->duration_ms));
}

static enum event idp_event_of(const struct idp_event *e)
{
    switch (e->outcome) {
    case CW_IDP_MISCONFIGURED:
        return EVENT_IDP_MISCONFIGURED;
    case CW_IDP_UNAVAILABLE:
    case CW_KEYS_UNAVAILABLE:
        return EVENT_IDP_FAILED;
    default:
        return EVENT_IDP_REFUSED;
    }
}

void events_on_idp(void *ctx, const struct idp_event *e)
{
    struct cw_str labels[] = {e->tenant, cw_str(e->operation), cw_str(cw_err_code(e->outcome))};
    cw_series_add(cw_metrics_series(ctx, METRIC_IDP, labels), 1);
    if (e->outcome == CW_OK) {
        return;
    }
    CW_LOG(&events[idp_event_of(e)], cw_log_err(e->outcome),
           cw_log_str("organization.name", e->tenant),
           cw_log_cstr("clinicwave.operation", e->operation),
           cw_log_int("http.response.status_code", e->status), cw_log_cstr("error.type", e->error),
           cw_log_cstr("error.message", e->detail), cw_log_ms(e->duration_ms));
}

void events_on_store_error(void *ctx, const char *operation, const char *message)
{
    (void)ctx;
    CW_LOG(&events[EVENT_STORE_FAILED], cw_log_cstr("error.message", message),
           cw_log_cstr("db.statement", operation));
}

void events_on_http(void *ctx, const struct cw_http_done *done)
{
    char status[16];
    snprintf(status, sizeof(status), "%d", done->status);
    struct cw_str labels[] = {cw_str(done->route != NULL ? done->route : "none"), cw_str(status)};
    cw_series_add(cw_metrics_series(ctx, METRIC_HTTP, labels), 1);
}

void events_on_tenant_problem(void *ctx, struct cw_str tenant, struct cw_str text)
{
    (void)ctx;
    CW_LOG(&events[EVENT_TENANT_REFUSED], cw_log_str("organization.name", tenant),
           cw_log_str("error.message", text));
}

void events_on_admin(void *ctx, const struct admin_event *e)
{
    (void)ctx;
    CW_LOG(&events[e->outcome == CW_OK ? EVENT_ADMINISTERED : EVENT_ADMIN_REFUSED],
           cw_log_cstr("clinicwave.action", e->action),
           cw_log_cstr("event.outcome", e->outcome == CW_OK ? "success" : "failure"),
           cw_log_err(e->outcome), cw_log_str("organization.name", e->tenant),
           cw_log_str("user.target.name", e->target), cw_log_str("user.id", e->subject),
           cw_log_int("user.effective.id", (int64_t)e->uid),
           cw_log_str("error.message", e->detail));
}
