/* HTTP client (libcurl): one loop thread, many requests, nobody waits.
 *
 * Written for servers that are hostile or slow: the URL comes from configuration only, redirects
 * are not followed, certificates are always verified (TLS ≥ 1.2), answers have a bound, times have
 * a bound, proxies and .netrc of the environment do not count. */
#ifndef CW_HTTP_CLIENT_H
#define CW_HTTP_CLIENT_H

#include "common/base/str.h"

struct cw_http_client;

enum cw_http_plain {
    CW_HTTP_PLAIN_NEVER = 0, /* https only */
    CW_HTTP_PLAIN_LOOPBACK,  /* http where the address connected to is loopback */
    /* http where the address connected to is private: loopback, RFC 1918, RFC 6598, RFC 4193. For
     * registries only: ./dev lint keeps the name to sidecar/registry. */
    CW_HTTP_PLAIN_PRIVATE,
};

struct sockaddr;
/* Whether plain http may connect to this address. Exported for tests. */
bool cw_http_plain_allowed(enum cw_http_plain plain, const struct sockaddr *address);

struct cw_http_fetch {
    const char *method; /* NULL: GET, or POST with a body */
    const char *url;
    const char *const *headers; /* "Name: value"; NULL-terminated, or NULL */
    struct cw_str body;
    enum cw_http_plain plain;
    const char *ca_file;   /* PEM; NULL: the system's */
    const char *cert_file; /* client certificate and key, PEM; NULL: none */
    const char *key_file;
    const char *user; /* HTTP Basic; NULL: none */
    const char *password;
    bool gzip;           /* asks for it; the bound then counts what was inflated */
    unsigned connect_ms; /* 0: 2000 */
    unsigned total_ms;   /* 0: 5000 */
    size_t max_body;     /* bytes of the answer; 0: 256 KiB */
};

struct cw_http_result {
    enum cw_err err; /* CW_OK: an answer came, whatever its status. Else CW_TIMEOUT, CW_CANCELLED,
                      * CW_UNAVAILABLE (no connection, TLS), CW_REQUEST_TOO_LARGE, CW_FORBIDDEN (URL
                      * or address not allowed) */
    int status;      /* HTTP status, 0 without an answer */
    struct cw_str body; /* borrowed until the callback returns; NUL-terminated */
    /* Headers of the answer, "" where absent. */
    const char *content_type;
    const char *cache_control;
    const char *etag;
    const char *retry_after;
    const char *ratelimit_reset; /* X-RateLimit-Reset */
    const char *detail;          /* the library's sentence for the log; never for an answer */
    int64_t duration_ms;
};

/* Runs on the loop thread: must not block; may start and cancel requests. */
typedef void cw_http_fetched(void *ctx, const struct cw_http_result *result);

/* `max_active` requests at most (running and waiting); `user_agent` is copied. */
CW_MUST_USE enum cw_err cw_http_client_new(const char *user_agent, size_t max_active,
                                           struct cw_http_client **ret_client);
/* Cancels all, runs their callbacks, joins the thread. Not from a callback. NULL is fine. */
void cw_http_client_free(struct cw_http_client *client);

/* Copies all of `fetch`. After CW_OK the callback runs exactly once. Else it does not run:
 * CW_UNAVAILABLE max_active reached, CW_FORBIDDEN the URL is not allowed, CW_SHUTTING_DOWN.
 * `ret_id` (may be NULL) names it for cancel. Any thread. */
CW_MUST_USE enum cw_err cw_http_client_start(struct cw_http_client *client,
                                             const struct cw_http_fetch *fetch,
                                             cw_http_fetched *done, void *ctx, uint64_t *ret_id);
/* Asks for an early end: the callback runs with CW_CANCELLED, or with its result if that was first.
 * Unknown ids are ignored. Any thread. */
void cw_http_client_cancel(struct cw_http_client *client, uint64_t id);

#endif
