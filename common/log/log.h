/* The log: one JSON object a line in Elastic Common Schema, dotted keys, to stderr.
 *
 * A component declares its events in one table and logs by
 *
 *   CW_LOG(&events[EVENT_KEYS_FETCH_FAILED], cw_log_str("url.domain", host), cw_log_err(err));
 *
 *   {"@timestamp":"2025-03-01T12:00:00.123Z","log.level":"warn","message":"…","ecs.version":"8.11.0",
 *    "service.name":"cw-sidecar","process.pid":1,"event.action":"keys-fetch-failed","url.domain":…,
 *    "error.code":"keys_unavailable"}
 *
 * Each fact is logged once, by the one who handles it; library code does not log. Tokens, passwords
 * and keys never: where a token must be named, cw_log_digest() shows the first 8 hex digits of its
 * SHA-256. A line is at most 4096 bytes (PIPE_BUF), so that lines of two threads never mix; what
 * does not fit is cut and `labels.truncated` says so. No lock is held while writing. */
#ifndef CW_LOG_LOG_H
#define CW_LOG_LOG_H

#include <stdatomic.h>

#include "common/base/clock.h"
#include "common/base/str.h"

enum cw_log_level { CW_LOG_DEBUG = 0, CW_LOG_INFO, CW_LOG_WARN, CW_LOG_ERROR };

/* Repeats of one condition: the first is written, those within the interval are counted, and the
 * next line carries the count as `event.repeated`. Zero-initialised. */
struct cw_log_repeat {
    _Atomic int64_t next_ms; /* monotonic; not written again before */
    _Atomic uint64_t count;  /* not written since the last line */
};

struct cw_log_event {
    const char *action; /* event.action: words divided by `-` */
    enum cw_log_level level;
    const char *message;
    const char *category; /* event.category, one of ECS: authentication, api, web, …; NULL: none */
    uint32_t every_ms;    /* at most one line in this time; 0: all are written */
    struct cw_log_repeat repeat;
};

enum cw_log_type { CW_LOG_NONE = 0, CW_LOG_STRING, CW_LOG_INTEGER, CW_LOG_BOOLEAN, CW_LOG_TOKEN };

struct cw_log_field {
    const char *key; /* dotted ECS name; own ones below `labels.` or `clinicwave.` */
    enum cw_log_type type;
    struct cw_str s;
    int64_t i;
};

struct cw_log_options {
    const char *service;          /* service.name */
    const char *version;          /* service.version */
    enum cw_log_level level;      /* lower ones are dropped */
    int fd;                       /* usually 2 */
    const struct cw_clock *clock; /* NULL: the system's */
};

/* Once, by main, before threads are started; may be called again in tests. Before it, lines go to
 * stderr from level info on, without a service name. */
void cw_log_init(const struct cw_log_options *options);
/* Any time (reload). */
void cw_log_set_level(enum cw_log_level level);
/* "debug", "info", "warn", "error"; false for anything else. */
bool cw_log_level_parse(const char *name, enum cw_log_level *ret_level);
bool cw_log_enabled(enum cw_log_level level);

/* Any thread; not from a signal handler. */
void cw_log_write(struct cw_log_event *event, const struct cw_log_field *fields, size_t n);
/* As cw_log_write, with repeats counted per `repeat` (one per issuer, say) instead of per event. */
void cw_log_write_limited(struct cw_log_event *event, struct cw_log_repeat *repeat,
                          const struct cw_log_field *fields, size_t n);

#define CW_LOG(event, ...)                                                                         \
    cw_log_write((event), (const struct cw_log_field[]){__VA_ARGS__, {0}},                         \
                 CW_ARRAY_SIZE(((const struct cw_log_field[]){__VA_ARGS__, {0}})) - 1)
#define CW_LOG0(event) cw_log_write((event), NULL, 0)
#define CW_LOG_LIMITED(event, repeat, ...)                                                         \
    cw_log_write_limited((event), (repeat), (const struct cw_log_field[]){__VA_ARGS__, {0}},       \
                         CW_ARRAY_SIZE(((const struct cw_log_field[]){__VA_ARGS__, {0}})) - 1)

static inline struct cw_log_field cw_log_str(const char *key, struct cw_str s)
{
    return (struct cw_log_field){.key = key, .type = CW_LOG_STRING, .s = s};
}

static inline struct cw_log_field cw_log_cstr(const char *key, const char *s)
{
    return (struct cw_log_field){.key = key, .type = CW_LOG_STRING, .s = cw_str(s)};
}

static inline struct cw_log_field cw_log_int(const char *key, int64_t i)
{
    return (struct cw_log_field){.key = key, .type = CW_LOG_INTEGER, .i = i};
}

static inline struct cw_log_field cw_log_bool(const char *key, bool b)
{
    return (struct cw_log_field){.key = key, .type = CW_LOG_BOOLEAN, .i = b};
}

/* event.duration, which ECS counts in nanoseconds. */
static inline struct cw_log_field cw_log_ms(int64_t ms)
{
    return cw_log_int("event.duration", ms * 1000000);
}

/* error.code. */
static inline struct cw_log_field cw_log_err(enum cw_err err)
{
    return cw_log_cstr("error.code", cw_err_code(err));
}

/* Names a token or another secret by the first 8 hex digits of its SHA-256. */
static inline struct cw_log_field cw_log_digest(const char *key, struct cw_str secret)
{
    return (struct cw_log_field){.key = key, .type = CW_LOG_TOKEN, .s = secret};
}

#endif
