/* One request to Eureka, from the first server that is asked to the answer that counts. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/registry/eureka_internal.h"

enum { PATH_MAX_SIZE = 2048, ERROR_TEXT_MAX = 100 };

struct call {
    struct eureka *eureka;
    enum eureka_kind kind;
    struct eureka_published *published; /* NULL: the reader's; busy for as long as this lives */
    size_t server;
    uint32_t tried;
    struct cw_buf path, body;
};

static const struct {
    const char *method;
    int also; /* a status beside 2xx that is an answer, not a failure; 0: none */
} kinds[] = {
    [EUREKA_FULL] = {"GET", 0},           [EUREKA_DELTA] = {"GET", 0},
    [EUREKA_LOOK] = {"GET", 404},         [EUREKA_REGISTER] = {"POST", 400},
    [EUREKA_BEAT] = {"PUT", 404},         [EUREKA_DRAIN] = {"PUT", 404},
    [EUREKA_DRAIN_END] = {"DELETE", 404}, [EUREKA_CANCEL] = {"DELETE", 404},
};

static void call_free(struct call *call)
{
    cw_buf_done(&call->path);
    cw_buf_done(&call->body);
    free(call);
}

static void write_path(struct call *call)
{
    const struct eureka_published *p = call->published;
    struct cw_buf *path = &call->path;
    switch (call->kind) {
    case EUREKA_FULL:
        cw_buf_add_cstr(path, "apps/");
        return;
    case EUREKA_DELTA:
        cw_buf_add_cstr(path, "apps/delta");
        return;
    case EUREKA_REGISTER:
        cw_buf_addf(path, "apps/%s", p->app);
        return;
    case EUREKA_LOOK:
    case EUREKA_CANCEL:
        eureka_path(p, "", path);
        return;
    case EUREKA_BEAT:
        eureka_path(p, "?status=", path);
        break;
    case EUREKA_DRAIN:
    case EUREKA_DRAIN_END:
        eureka_path(p, "/status?value=", path);
        break;
    }
    /* never UNKNOWN: heartbeats of such an instance are answered 404 for ever */
    cw_buf_addf(path, "%s&lastDirtyTimestamp=%" PRId64,
                call->kind == EUREKA_DRAIN ? "OUT_OF_SERVICE"
                                           : cw_eureka_status_name(p->wanted->eureka.status),
                p->dirty_ms);
}

/* ---- answers ---- */

static bool is_markup(struct cw_str body)
{
    size_t i = 0;
    while (i < body.n && strchr(" \t\r\n\xef\xbb\xbf", body.p[i]) != NULL) {
        i++;
    }
    return i < body.n && body.p[i] == '<';
}

static bool is_html(const struct eureka_answer *answer)
{
    return strcasestr(answer->content_type, "html") != NULL ||
           cw_str_eq_nocase(cw_str_slice(cw_str_trim(answer->body), 0, 5), CW_STR("<html")) ||
           cw_str_eq_nocase(cw_str_slice(cw_str_trim(answer->body), 0, 9), CW_STR("<!doctype"));
}

/* Why an answer does not count, in words for the log; "" when it does. */
static void judge(const struct call *call, const struct eureka_answer *answer, bool document,
                  enum cw_err read, char ret_error[ERROR_TEXT_MAX])
{
    int status = answer->status;
    ret_error[0] = '\0';
    if (answer->err != CW_OK) {
        snprintf(ret_error, ERROR_TEXT_MAX, "%s: %.70s", cw_err_code(answer->err), answer->detail);
    } else if (status >= 300 && status < 400) {
        snprintf(ret_error, ERROR_TEXT_MAX, "HTTP %d: redirects are not followed", status);
    } else if (status == 401 || (status == 403 && call->kind != EUREKA_DELTA)) {
        snprintf(ret_error, ERROR_TEXT_MAX, "HTTP %d: %s", status,
                 status == 401 ? "wrong user or password" : "not ready yet, or this user may not");
    } else if ((status < 200 || status >= 300) &&
               (status != kinds[call->kind].also || status == 0)) {
        snprintf(ret_error, ERROR_TEXT_MAX, "HTTP %d", status);
    } else if (document && read != CW_OK) {
        snprintf(ret_error, ERROR_TEXT_MAX, "%s",
                 is_html(answer)           ? "an HTML page: is the server's path right?"
                 : is_markup(answer->body) ? "XML, although JSON was asked for"
                 : read == CW_NO_MEMORY    ? "no memory for the document"
                                           : "no registry document, or a part of one");
    }
}

/* Deltas can be switched off at a server: that is an answer, and the full document is the way. */
static bool is_no_delta(const struct call *call, const struct eureka_answer *answer)
{
    return call->kind == EUREKA_DELTA && answer->err == CW_OK &&
           (answer->status == 403 || answer->status == 404);
}

static void finish(struct call *call, struct eureka_outcome *outcome)
{
    struct eureka *eureka = call->eureka;
    outcome->kind = call->kind;
    if (call->published == NULL) {
        eureka->reader.busy = false;
        eureka_reader_done(eureka, outcome);
    } else {
        call->published->busy = false;
        eureka->publisher.busy--;
        eureka_publisher_answered(eureka, call->published, outcome);
    }
    call_free(call);
}

static bool start(struct call *call);

/* The next server, if there is one that was not asked yet. */
static bool go_on(struct call *call, const char *error)
{
    struct eureka *eureka = call->eureka;
    size_t failed = call->server;
    eureka_servers_failed(&eureka->servers, failed, eureka_now(eureka));
    if (eureka->stopping && call->kind != EUREKA_CANCEL) {
        return false;
    }
    bool started = start(call);
    if (started) {
        eureka->stats.failovers++;
        eureka_log_server(EUREKA_EVENT_FAILOVER, eureka->config->servers[failed].name, error, 0);
    }
    return started;
}

static void answered(void *arg, const struct eureka_answer *answer)
{
    struct call *call = arg;
    struct eureka *eureka = call->eureka;
    char error[ERROR_TEXT_MAX];
    struct eureka_batch batch = {0};
    bool document = call->kind <= EUREKA_DELTA && answer->err == CW_OK && answer->status == 200;
    enum cw_err read = CW_OK;
    if (document) {
        /* before the lock: a large one takes its time */
        read = eureka_batch_read(answer->body, eureka->config->max_instances, &batch);
    }
    judge(call, answer, document, read, error);
    pthread_mutex_lock(&eureka->lock);
    bool counts = error[0] == '\0' || is_no_delta(call, answer);
    if (counts) {
        const char *name = eureka->config->servers[call->server].name;
        (void)eureka_servers_answered(&eureka->servers, call->server);
        snprintf(eureka->stats.server, sizeof(eureka->stats.server), "%s", name);
    }
    if (counts || !go_on(call, error)) {
        struct eureka_outcome outcome = {.answered = counts,
                                         .status = answer->status,
                                         .body = answer->body,
                                         .batch = document && read == CW_OK ? &batch : NULL,
                                         .error = error};
        finish(call, &outcome);
    }
    pthread_cond_broadcast(&eureka->idle);
    pthread_mutex_unlock(&eureka->lock);
    eureka_batch_done(&batch);
    eureka->options.wake(eureka->options.wake_ctx);
}

/* ---- asking ---- */

static bool start(struct call *call)
{
    struct eureka *eureka = call->eureka;
    struct eureka_request request = {
        .headers = NULL,
        .method = kinds[call->kind].method,
        .path = call->path.p,
        .body = cw_buf_str(&call->body),
        .max_body = call->kind <= EUREKA_DELTA ? eureka->config->max_document : EUREKA_ANSWER_MAX,
    };
    for (;;) {
        size_t server = eureka_servers_pick(&eureka->servers, call->tried, eureka_now(eureka));
        if (server == EUREKA_NO_SERVER) {
            return false;
        }
        call->server = server;
        call->tried |= UINT32_C(1) << server;
        if (eureka->options.transport.start(eureka->options.transport.ctx,
                                            &eureka->config->servers[server], &request, answered,
                                            call) == CW_OK) {
            return true;
        }
    }
}

bool eureka_call(struct eureka *eureka, enum eureka_kind kind, struct eureka_published *published)
{
    struct call *call = calloc(1, sizeof(*call));
    if (call == NULL) {
        return false;
    }
    *call = (struct call){.eureka = eureka,
                          .kind = kind,
                          .published = published,
                          .path = CW_BUF_INIT(PATH_MAX_SIZE),
                          .body = CW_BUF_INIT(8 * CW_EUREKA_INSTANCE_MAX)};
    write_path(call);
    cw_buf_add_char(&call->path, '\0');
    if (kind == EUREKA_REGISTER) {
        eureka_body(eureka, published, &call->body);
    }
    if (cw_buf_check(&call->path) != CW_OK || cw_buf_check(&call->body) != CW_OK || !start(call)) {
        call_free(call);
        return false;
    }
    if (published != NULL) {
        published->busy = true;
        eureka->publisher.busy++;
    } else {
        eureka->reader.busy = true;
    }
    return true;
}
