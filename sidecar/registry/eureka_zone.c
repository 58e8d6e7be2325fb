/* This host's zone, from EC2's metadata service in its second version: a token first, then the
 * name. Nothing else begins before it has answered or failed, since the zone decides which server
 * is asked and is part of each registration. */
#include <stdlib.h>
#include <string.h>

#include "sidecar/registry/eureka_internal.h"

enum { TOKEN_MAX = 512 };

#define TOKEN_PATH "latest/api/token"
#define ZONE_PATH "latest/meta-data/placement/availability-zone"

static void answered(void *arg, const struct eureka_answer *answer);

static void ask(struct eureka *eureka, const char *method, const char *path,
                const char *const *headers)
{
    struct eureka_server server = {.base = eureka->zone_base, .name = "EC2"};
    struct eureka_request request = {
        .method = method, .path = path, .headers = headers, .max_body = EUREKA_ANSWER_MAX};
    eureka->zone_busy = eureka->options.transport.start(eureka->options.transport.ctx, &server,
                                                        &request, answered, eureka) == CW_OK;
    if (!eureka->zone_busy) {
        eureka->zone_step = EUREKA_ZONE_KNOWN;
    }
}

/* A header's value that a server sent must not end the header. */
static bool is_plain(struct cw_str s, size_t max)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] <= 0x20 || (unsigned char)s.p[i] >= 0x7f) {
            return false;
        }
    }
    return s.n > 0 && s.n <= max;
}

static void token_came(struct eureka *eureka, struct cw_str token)
{
    struct cw_buf header = CW_BUF_INIT(TOKEN_MAX + 64);
    cw_buf_addf(&header, "X-aws-ec2-metadata-token: %.*s", CW_STR_ARG(token));
    cw_buf_add_char(&header, '\0');
    const char *headers[] = {header.p, NULL};
    if (cw_buf_check(&header) == CW_OK) {
        eureka->zone_step = EUREKA_ZONE_NAME;
        ask(eureka, "GET", ZONE_PATH, headers);
    } else {
        eureka->zone_step = EUREKA_ZONE_KNOWN;
    }
    cw_buf_done(&header);
}

static void answered(void *arg, const struct eureka_answer *answer)
{
    struct eureka *eureka = arg;
    bool good = answer->err == CW_OK && answer->status == 200;
    struct cw_str body = cw_str_trim(answer->body);
    pthread_mutex_lock(&eureka->lock);
    eureka->zone_busy = false;
    if (good && eureka->zone_step == EUREKA_ZONE_TOKEN && is_plain(body, TOKEN_MAX) &&
        !eureka->stopping) {
        token_came(eureka, body);
    } else {
        if (good && eureka->zone_step == EUREKA_ZONE_NAME &&
            is_plain(body, sizeof(eureka->zone) - 1)) {
            memcpy(eureka->zone, body.p, body.n);
            eureka->zone[body.n] = '\0';
            eureka_log_server(EUREKA_EVENT_ZONE, "EC2", eureka->zone, 0);
            eureka_servers_init(&eureka->servers, eureka->config, eureka->zone,
                                eureka->options.random, eureka_now(eureka));
        } else {
            eureka_log_server(EUREKA_EVENT_NO_ZONE, "EC2", answer->detail, 0);
        }
        eureka->zone_step = EUREKA_ZONE_KNOWN;
    }
    pthread_cond_broadcast(&eureka->idle);
    pthread_mutex_unlock(&eureka->lock);
    eureka->options.wake(eureka->options.wake_ctx);
}

bool eureka_zone_tick(struct eureka *eureka)
{
    if (eureka->zone_step == EUREKA_ZONE_TOKEN && !eureka->zone_busy && !eureka->stopping) {
        static const char *const headers[] = {"X-aws-ec2-metadata-token-ttl-seconds: 60", NULL};
        ask(eureka, "PUT", TOKEN_PATH, headers);
    }
    return eureka->zone_step == EUREKA_ZONE_KNOWN;
}
