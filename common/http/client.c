/* One thread drives curl's multi handle; requests come to it over a list and leave by callback.
 *
 *   start(): easy handle made ─▶ pending ─▶ loop: running ─▶ finished or cancelled ─▶ callback,
 * freed */
#include "common/http/client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buf.h"

enum {
    DEFAULT_CONNECT_MS = 2000,
    DEFAULT_TOTAL_MS = 5000,
    DEFAULT_BODY = 256 << 10,
    HEADERS_MAX = 64 << 10, /* bytes of an answer's header section */
    CONNECTIONS_MAX = 64,
    LOW_SPEED_SECONDS = 10, /* without a byte */
    POLL_MS = 1000,
    LATE_MS = 50, /* libcurl's own bound goes first */
};

struct transfer {
    struct transfer *next;
    struct cw_http_client *client;
    uint64_t id;
    CURL *easy;
    struct curl_slist *headers;
    struct cw_buf body;
    size_t n_headers; /* bytes */
    bool too_large;
    bool refused;               /* the address is not loopback */
    bool plain;                 /* http */
    enum cw_http_plain allowed; /* to which addresses */
    _Atomic bool cancelled;
    bool added; /* to the multi handle; loop thread only */
    struct timespec started;
    int64_t total_ms;
    char error[CURL_ERROR_SIZE];
    cw_http_fetched *done;
    void *ctx;
};

struct cw_http_client {
    char *user_agent;
    size_t max_active;
    CURLM *multi;
    pthread_t thread;
    pthread_mutex_t lock;     /* what follows */
    struct transfer *pending; /* put there by anybody */
    struct transfer *running; /* changed by the loop thread only */
    size_t active;
    uint64_t next_id;
    bool stopping;
};

static void global_init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* ---- callbacks of curl ---- */

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *transfer = arg;
    size_t bytes = size * n;
    /* one byte of the bound stays for the NUL */
    if (bytes > transfer->body.max - 1 - transfer->body.n) {
        transfer->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    cw_buf_add(&transfer->body, p, bytes);
    return transfer->body.failed ? CURL_WRITEFUNC_ERROR : bytes;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    struct transfer *transfer = arg;
    (void)p;
    transfer->n_headers += size * n;
    if (transfer->n_headers > HEADERS_MAX) {
        transfer->too_large = true;
        return 0;
    }
    return size * n;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof(in));
        return ntohl(in.sin_addr.s_addr) >> 24 == 127;
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof(in6));
        return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
    }
    return false;
}

/* Link-local is not private: clouds answer there with credentials. */
static bool is_private(const struct sockaddr *address)
{
    static const struct {
        uint32_t net, mask;
    } nets[] = {
        {0x0a000000, 0xff000000}, /* 10/8, RFC 1918 */
        {0xac100000, 0xfff00000}, /* 172.16/12 */
        {0xc0a80000, 0xffff0000}, /* 192.168/16 */
        {0x64400000, 0xffc00000}, /* 100.64/10, RFC 6598 */
    };
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof(in6));
        return (in6.sin6_addr.s6_addr[0] & 0xfe) == 0xfc; /* RFC 4193 */
    }
    struct sockaddr_in in;
    memcpy(&in, address, sizeof(in));
    bool found = false;
    for (size_t i = 0; address->sa_family == AF_INET && i < CW_ARRAY_SIZE(nets); i++) {
        found |= (ntohl(in.sin_addr.s_addr) & nets[i].mask) == nets[i].net;
    }
    return found;
}

bool cw_http_plain_allowed(enum cw_http_plain plain, const struct sockaddr *address)
{
    return (plain != CW_HTTP_PLAIN_NEVER && is_loopback(address)) ||
           (plain == CW_HTTP_PLAIN_PRIVATE && is_private(address));
}

/* The address that a name resolved to decides, not the name. */
static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *transfer = arg;
    (void)purpose;
    if (transfer->plain && !cw_http_plain_allowed(transfer->allowed, &address->addr)) {
        transfer->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* ---- making a transfer ---- */

static void transfer_free(struct transfer *transfer)
{
    curl_easy_cleanup(transfer->easy);
    curl_slist_free_all(transfer->headers);
    cw_buf_done(&transfer->body);
    free(transfer);
}

static enum cw_err check_url(const struct cw_http_fetch *fetch, bool *ret_plain)
{
    CURLU *url = curl_url();
    ENSURE(url, CW_NO_MEMORY);
    char *scheme = NULL;
    bool ok = curl_url_set(url, CURLUPART_URL, fetch->url, CURLU_DISALLOW_USER) == CURLUE_OK &&
              curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK;
    *ret_plain = ok && strcmp(scheme, "http") == 0;
    ok =
        ok && (strcmp(scheme, "https") == 0 || (*ret_plain && fetch->plain != CW_HTTP_PLAIN_NEVER));
    curl_free(scheme);
    curl_url_cleanup(url);
    return ok ? CW_OK : CW_FORBIDDEN;
}

static bool add_header(struct transfer *transfer, const char *header)
{
    if (strpbrk(header, "\r\n")) {
        return false;
    }
    struct curl_slist *headers = curl_slist_append(transfer->headers, header);
    transfer->headers = headers ? headers : transfer->headers;
    return headers != NULL;
}

/* Method, headers, body. */
static bool set_request(struct transfer *transfer, const struct cw_http_fetch *fetch)
{
    CURL *easy = transfer->easy;
    const char *method = fetch->method ? fetch->method : fetch->body.n > 0 ? "POST" : "GET";
    bool ok = curl_easy_setopt(easy, CURLOPT_URL, fetch->url) == CURLE_OK;
    if (strcmp(method, "HEAD") == 0) {
        ok &= curl_easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
    } else if (fetch->body.n > 0 || strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0) {
        ok &= curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)fetch->body.n) ==
                  CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, fetch->body.n ? fetch->body.p : "") ==
                  CURLE_OK;
        ok &= curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK;
        /* no waiting for "100 Continue"; curl's own guess of a type only where the caller says one
         */
        ok &= add_header(transfer, "Expect:");
        ok &= fetch->body.n > 0 || add_header(transfer, "Content-Type:");
    } else {
        ok &= curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK;
    }
    if (fetch->gzip) {
        ok &= curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip") == CURLE_OK;
    }
    for (const char *const *header = fetch->headers; ok && header && *header; header++) {
        ok = add_header(transfer, *header);
    }
    return ok && curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers) == CURLE_OK;
}

static bool set_trust(CURL *easy, const struct cw_http_fetch *fetch)
{
    bool ok = curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) == CURLE_OK;
    if (fetch->ca_file) {
        /* this CA alone, not beside the system's */
        ok &= curl_easy_setopt(easy, CURLOPT_CAINFO, fetch->ca_file) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) == CURLE_OK;
    }
    if (fetch->cert_file) {
        ok &= curl_easy_setopt(easy, CURLOPT_SSLCERT, fetch->cert_file) == CURLE_OK;
    }
    if (fetch->key_file) {
        ok &= curl_easy_setopt(easy, CURLOPT_SSLKEY, fetch->key_file) == CURLE_OK;
    }
    if (fetch->user) {
        ok &= curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_USERNAME, fetch->user) == CURLE_OK &&
              curl_easy_setopt(easy, CURLOPT_PASSWORD, fetch->password ? fetch->password : "") ==
                  CURLE_OK;
    }
    return ok;
}

static bool set_bounds(const struct transfer *transfer, const struct cw_http_fetch *fetch,
                       size_t max_body)
{
    CURL *easy = transfer->easy;
    bool plain = transfer->plain;
    long connect_ms = fetch->connect_ms ? (long)fetch->connect_ms : DEFAULT_CONNECT_MS;
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, plain ? "http" : "https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           /* without it the loop waits for the thread that looks a name up, however long that
            * takes; with it the thread is left behind and cleans up after itself */
           curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, connect_ms) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)transfer->total_ms) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)LOW_SPEED_SECONDS) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)max_body) == CURLE_OK;
}

static bool set_callbacks(struct transfer *transfer)
{
    CURL *easy = transfer->easy;
    return curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, transfer->client->user_agent) == CURLE_OK;
}

static enum cw_err transfer_new(struct cw_http_client *client, const struct cw_http_fetch *fetch,
                                struct transfer **ret)
{
    bool plain;
    TRY(check_url(fetch, &plain));
    struct transfer *transfer = calloc(1, sizeof(*transfer));
    ENSURE(transfer, CW_NO_MEMORY);
    size_t max_body = fetch->max_body ? fetch->max_body : DEFAULT_BODY;
    transfer->client = client;
    transfer->plain = plain;
    transfer->allowed = fetch->plain;
    transfer->body.max = max_body + 1;
    transfer->total_ms = fetch->total_ms ? fetch->total_ms : DEFAULT_TOTAL_MS;
    transfer->easy = curl_easy_init();
    clock_gettime(CLOCK_MONOTONIC, &transfer->started);
    if (!transfer->easy || !set_callbacks(transfer) || !set_request(transfer, fetch) ||
        !set_trust(transfer->easy, fetch) || !set_bounds(transfer, fetch, max_body)) {
        transfer_free(transfer);
        return CW_FORBIDDEN;
    }
    *ret = transfer;
    return CW_OK;
}

enum cw_err cw_http_client_start(struct cw_http_client *client, const struct cw_http_fetch *fetch,
                                 cw_http_fetched *done, void *ctx, uint64_t *ret_id)
{
    struct transfer *transfer;
    TRY(transfer_new(client, fetch, &transfer));
    transfer->done = done;
    transfer->ctx = ctx;
    enum cw_err err = CW_OK;
    pthread_mutex_lock(&client->lock);
    if (client->stopping) {
        err = CW_SHUTTING_DOWN;
    } else if (client->active == client->max_active) {
        err = CW_UNAVAILABLE;
    } else {
        transfer->id = ++client->next_id;
        if (ret_id) {
            *ret_id = transfer->id; /* before the callback can run */
        }
        client->active++;
        transfer->next = client->pending;
        client->pending = transfer;
    }
    pthread_mutex_unlock(&client->lock);
    if (err != CW_OK) {
        transfer_free(transfer);
        return err;
    }
    curl_multi_wakeup(client->multi);
    return CW_OK;
}

/* Marks the transfer where it is in the list. */
static void mark(struct transfer *list, uint64_t id)
{
    for (struct transfer *transfer = list; transfer; transfer = transfer->next) {
        if (transfer->id == id) {
            transfer->cancelled = true;
        }
    }
}

void cw_http_client_cancel(struct cw_http_client *client, uint64_t id)
{
    pthread_mutex_lock(&client->lock);
    mark(client->pending, id);
    mark(client->running, id);
    pthread_mutex_unlock(&client->lock);
    curl_multi_wakeup(client->multi);
}

/* ---- the loop ---- */

static enum cw_err error_of(const struct transfer *transfer, CURLcode code)
{
    if (transfer->cancelled) {
        return CW_CANCELLED;
    }
    if (transfer->refused) {
        return CW_FORBIDDEN;
    }
    if (transfer->too_large) {
        return CW_REQUEST_TOO_LARGE;
    }
    switch ((int)code) {
    case CURLE_OK:
        return CW_OK;
    case CURLE_OPERATION_TIMEDOUT:
        return CW_TIMEOUT;
    case CURLE_FILESIZE_EXCEEDED:
        return CW_REQUEST_TOO_LARGE;
    case CURLE_OUT_OF_MEMORY:
        return CW_NO_MEMORY;
    default:
        return CW_UNAVAILABLE;
    }
}

static const char *answer_header(const struct transfer *transfer, const char *name)
{
    struct curl_header *header;
    return curl_easy_header(transfer->easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK
               ? header->value
               : "";
}

/* Milliseconds since the caller has asked. */
static int64_t age_at(const struct transfer *transfer, const struct timespec *now)
{
    return (now->tv_sec - transfer->started.tv_sec) * 1000 +
           (now->tv_nsec - transfer->started.tv_nsec) / 1000000;
}

/* Tells the caller and frees. Not in the multi handle any more. */
static void finish(struct transfer *transfer, CURLcode code)
{
    struct cw_http_client *client = transfer->client;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    long status = 0;
    struct cw_http_result result = {.err = error_of(transfer, code)};
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    result.status = (int)status;
    result.duration_ms = age_at(transfer, &now);
    result.content_type = answer_header(transfer, "Content-Type");
    result.cache_control = answer_header(transfer, "Cache-Control");
    result.etag = answer_header(transfer, "ETag");
    result.retry_after = answer_header(transfer, "Retry-After");
    result.ratelimit_reset = answer_header(transfer, "X-RateLimit-Reset");
    result.detail = *transfer->error ? transfer->error : curl_easy_strerror(code);
    cw_buf_add_char(&transfer->body, '\0');
    if (transfer->body.failed && result.err == CW_OK) {
        result.err = CW_NO_MEMORY;
    }
    result.body =
        result.err == CW_OK ? (struct cw_str){transfer->body.p, transfer->body.n - 1} : CW_STR("");
    transfer->done(transfer->ctx, &result);
    transfer_free(transfer);
    pthread_mutex_lock(&client->lock);
    client->active--;
    pthread_mutex_unlock(&client->lock);
}

static void remove_running(struct transfer *transfer)
{
    struct cw_http_client *client = transfer->client;
    pthread_mutex_lock(&client->lock);
    struct transfer **at = &client->running;
    while (*at != transfer) {
        at = &(*at)->next;
    }
    *at = transfer->next;
    pthread_mutex_unlock(&client->lock);
    if (transfer->added) {
        curl_multi_remove_handle(client->multi, transfer->easy);
    }
}

static void end_running(struct transfer *transfer, CURLcode code)
{
    remove_running(transfer);
    finish(transfer, code);
}

/* Takes what is pending; *ret_stopping says whether this is the last time. */
static void take_pending(struct cw_http_client *client, bool *ret_stopping)
{
    pthread_mutex_lock(&client->lock);
    while (client->pending) {
        struct transfer *transfer = client->pending;
        client->pending = transfer->next;
        transfer->next = client->running;
        client->running = transfer;
    }
    *ret_stopping = client->stopping;
    pthread_mutex_unlock(&client->lock);
}

/* Starts what is new, ends what was cancelled and what is too late: libcurl counts no time while a
 * transfer waits for a connection, of which there are CONNECTIONS_MAX. The callbacks may only add
 * to `pending`. Returns the milliseconds until it wants to look again. */
static int update_running(struct cw_http_client *client)
{
    int64_t soon = POLL_MS;
    struct timespec now; /* once for all: there may be thousands */
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct transfer *next;
    for (struct transfer *transfer = client->running; transfer; transfer = next) {
        next = transfer->next;
        int64_t left = transfer->total_ms + LATE_MS - age_at(transfer, &now);
        if (transfer->cancelled) {
            end_running(transfer, CURLE_ABORTED_BY_CALLBACK);
        } else if (left <= 0) {
            end_running(transfer, CURLE_OPERATION_TIMEDOUT);
        } else if (!transfer->added) {
            soon = CW_MIN(soon, left);
            transfer->added = curl_multi_add_handle(client->multi, transfer->easy) == CURLM_OK;
            if (!transfer->added) {
                end_running(transfer, CURLE_OUT_OF_MEMORY);
            }
        } else {
            soon = CW_MIN(soon, left);
        }
    }
    return (int)soon;
}

static void finish_done(struct cw_http_client *client)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left))) {
        struct transfer *transfer = NULL;
        CURLcode code = message->data.result;
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer) == CURLE_OK) {
            end_running(transfer, code);
        }
    }
}

static void *loop(void *arg)
{
    struct cw_http_client *client = arg;
    bool stopping;
    sigset_t all; /* they belong to main; and OpenSSL writes to closed sockets (SIGPIPE) */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    for (;;) {
        int running;
        take_pending(client, &stopping);
        if (stopping) {
            break;
        }
        int soon = update_running(client);
        curl_multi_perform(client->multi, &running);
        finish_done(client);
        curl_multi_poll(client->multi, NULL, 0, soon, NULL);
    }
    while (client->running) {
        client->running->cancelled = true;
        end_running(client->running, CURLE_ABORTED_BY_CALLBACK);
    }
    return NULL;
}

/* ---- the client ---- */

static void free_parts(struct cw_http_client *client)
{
    if (client->multi) {
        curl_multi_cleanup(client->multi);
    }
    pthread_mutex_destroy(&client->lock);
    free(client->user_agent);
    free(client);
}

enum cw_err cw_http_client_new(const char *user_agent, size_t max_active,
                               struct cw_http_client **ret_client)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, global_init);
    struct cw_http_client *client = calloc(1, sizeof(*client));
    ENSURE(client, CW_NO_MEMORY);
    pthread_mutex_init(&client->lock, NULL);
    client->max_active = max_active;
    client->user_agent = cw_str_dup(cw_str(user_agent));
    client->multi = curl_multi_init();
    bool ok = client->user_agent && client->multi;
    if (ok) {
        curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)CONNECTIONS_MAX);
        ok = pthread_create(&client->thread, NULL, loop, client) == 0;
    }
    if (!ok) {
        free_parts(client);
        return CW_NO_MEMORY;
    }
    pthread_setname_np(client->thread, "http-client");
    *ret_client = client;
    return CW_OK;
}

void cw_http_client_free(struct cw_http_client *client)
{
    if (!client) {
        return;
    }
    pthread_mutex_lock(&client->lock);
    client->stopping = true;
    pthread_mutex_unlock(&client->lock);
    curl_multi_wakeup(client->multi);
    pthread_join(client->thread, NULL);
    free_parts(client);
}
