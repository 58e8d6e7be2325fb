/* The inside of the Eureka client: eureka.c holds it together, eureka_call.c asks servers,
 * eureka_reader.c and eureka_publish.c decide what is asked. All under one lock. */
#ifndef SIDECAR_REGISTRY_EUREKA_INTERNAL_H
#define SIDECAR_REGISTRY_EUREKA_INTERNAL_H

#include <pthread.h>

#include "sidecar/registry/eureka.h"
#include "sidecar/registry/eureka_mirror.h"

enum {
    EUREKA_PUBLISHING_MAX = 8,     /* requests for services on their way at a time */
    EUREKA_ANSWER_MAX = 256 << 10, /* bytes of an answer that is no document */
    EUREKA_RETRY_MS = 1000,        /* after a failure, doubled up to the interval */
};

enum { EUREKA_ZONE_MAX = 64 };

enum eureka_zone_step {
    EUREKA_ZONE_KNOWN = 0, /* or given up */
    EUREKA_ZONE_TOKEN,
    EUREKA_ZONE_NAME,
};

enum eureka_kind {
    EUREKA_FULL = 0,
    EUREKA_DELTA,
    EUREKA_LOOK, /* what the servers have under the id */
    EUREKA_REGISTER,
    EUREKA_BEAT,
    EUREKA_DRAIN, /* status override OUT_OF_SERVICE */
    EUREKA_DRAIN_END,
    EUREKA_CANCEL,
};

struct eureka_reader {
    struct eureka_mirror mirror;
    bool busy;
    bool complete; /* a full document came since the start */
    int64_t due_ms;
    int64_t good_ms; /* when the servers last told all; with `complete` */
    int64_t started_ms;
    unsigned failures; /* in a row */
    unsigned forced;   /* full documents in a row that a wrong hash asked for */
    int64_t forced_after_ms;
};

/* A service of this host as the servers have it. */
struct eureka_published {
    char app[CW_EUREKA_NAME_MAX + 1];
    char id[CW_EUREKA_ID_MAX + 1];
    struct registry_instance *wanted; /* one reference; NULL: it has left */
    struct registry_instance *sent;   /* what was registered last; NULL: nothing */
    uint64_t seen;                    /* the sync that saw it last */
    bool busy;
    bool looked;           /* the servers' dirty timestamp is known */
    bool asked;            /* a registration was sent: there may be something to cancel */
    bool known;            /* the servers hold it */
    bool drained;          /* our override stands */
    int64_t echo_until_ms; /* until then the servers may still show an override that was ours */
    bool cancelled; /* out; its key is kept until `due_ms`, lest an old delta brings it back */
    int64_t dirty_ms;
    int64_t due_ms;
    int64_t cancel_until_ms; /* when its lease is over anyway; 0: not being cancelled */
    unsigned failures;
};

struct eureka_publisher {
    struct eureka_published **p; /* by application and id */
    size_t n, cap;
    uint64_t sync;
    unsigned busy;
};

struct eureka {
    struct eureka_options options;
    const struct eureka_config *config;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t idle;
    struct eureka_servers servers;
    struct eureka_reader reader;
    struct eureka_publisher publisher;
    char zone[EUREKA_ZONE_MAX]; /* "" where unknown */
    const char *zone_base;      /* of the metadata service; in the configuration */
    enum eureka_zone_step zone_step;
    bool zone_busy;
    bool stopping;
    struct eureka_stats stats; /* counters and texts; the rest is filled in when asked */
};

/* How a request ended, for whoever asked. */
struct eureka_outcome {
    enum eureka_kind kind;
    bool
        answered; /* a server gave an answer that counts; else `error` says what the last one did */
    int status;
    struct cw_str body;         /* borrowed */
    struct eureka_batch *batch; /* of FULL and DELTA with 200; may be taken */
    const char *error;
};

/* ---- eureka.c ---- */

int64_t eureka_now(const struct eureka *eureka);

/* ---- eureka_call.c; lock held ---- */

/* Asks a server, and the others as long as they fail. False when nothing could be started: the end
 * is not told then. */
CW_MUST_USE bool eureka_call(struct eureka *eureka, enum eureka_kind kind,
                             struct eureka_published *published);

/* ---- eureka_zone.c; lock held ---- */

/* Asks the metadata service where that is configured; false as long as the answer is on its way. */
bool eureka_zone_tick(struct eureka *eureka);

/* ---- eureka_reader.c; lock held ---- */

void eureka_reader_start(struct eureka *eureka);
/* Milliseconds until it is due again. */
int64_t eureka_reader_tick(struct eureka *eureka, int64_t now_ms);
void eureka_reader_done(struct eureka *eureka, struct eureka_outcome *outcome);
/* What is told to the store, without what this host is the agent of. */
void eureka_tell(struct eureka *eureka, struct registry_news *news);

/* ---- eureka_publish.c; lock held ---- */

void eureka_publisher_sync(struct eureka *eureka, const struct registry_snapshot *snapshot);
int64_t eureka_publisher_tick(struct eureka *eureka, int64_t now_ms);
void eureka_publisher_answered(struct eureka *eureka, struct eureka_published *published,
                               const struct eureka_outcome *outcome);
struct eureka_published *eureka_publisher_find(const struct eureka *eureka, const char *app,
                                               const char *id);
/* What administrators have overridden at the servers counts here too. */
void eureka_publisher_overrides(struct eureka *eureka);
bool eureka_publisher_cancels(const struct eureka *eureka);
void eureka_publisher_free(struct eureka *eureka);

/* ---- eureka_body.c ---- */

/* `apps/APP/ID`, encoded, with `suffix` behind it. */
void eureka_path(const struct eureka_published *published, const char *suffix, struct cw_buf *out);
/* The registration: what the service said, as other hosts have to see it. */
void eureka_body(const struct eureka *eureka, const struct eureka_published *published,
                 struct cw_buf *out);

/* ---- eureka_events.c ---- */

enum eureka_event {
    EUREKA_EVENT_READING = 0, /* the first document, or again after failures */
    EUREKA_EVENT_UNREAD,
    EUREKA_EVENT_FAILOVER,
    EUREKA_EVENT_MISMATCH,
    EUREKA_EVENT_HOLDING,
    EUREKA_EVENT_LEFT_OUT,
    EUREKA_EVENT_UNREADABLE,
    EUREKA_EVENT_DUPLICATES,
    EUREKA_EVENT_OUTBID,
    EUREKA_EVENT_REGISTERED,
    EUREKA_EVENT_REFUSED,
    EUREKA_EVENT_FORGOTTEN, /* a heartbeat was answered 404 */
    EUREKA_EVENT_UNRENEWED,
    EUREKA_EVENT_DRAINED,
    EUREKA_EVENT_CANCELLED,
    EUREKA_EVENT_ZONE,
    EUREKA_EVENT_NO_ZONE,
    EUREKA_EVENT_COUNT,
};

void eureka_log_server(enum eureka_event event, const char *server, const char *why, size_t n);
void eureka_log_instance(enum eureka_event event, const struct eureka_published *published,
                         const char *why);

#endif
