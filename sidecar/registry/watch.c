/* Tells watchers what is registered: the newest snapshot is all that matters, so a slow one skips
 * those between. */
#include "sidecar/registry/watch.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_ARENA_MAX = 64 << 20 };

struct watched {
    char *name;
    uint64_t generation; /* of the application when it was sent last, 0: it had no instance */
};

struct watcher {
    _Atomic unsigned refs;
    struct cw_rpc_stream *stream; /* one reference */
    struct watcher *next;
    size_t n;
    /* of the publishing thread only: */
    bool sent;
    bool provisional;
    struct watched apps[];
};

struct registry_watchers {
    pthread_mutex_t lock;
    struct watcher *first;
    size_t n, max;
};

enum cw_err registry_watchers_new(size_t max, struct registry_watchers **ret_watchers)
{
    struct registry_watchers *watchers = calloc(1, sizeof(*watchers));
    ENSURE(watchers != NULL, CW_NO_MEMORY);
    watchers->max = max;
    pthread_mutex_init(&watchers->lock, NULL);
    *ret_watchers = watchers;
    return CW_OK;
}

static void watcher_unref(struct watcher *watcher)
{
    if (atomic_fetch_sub_explicit(&watcher->refs, 1, memory_order_acq_rel) == 1) {
        cw_rpc_stream_unref(watcher->stream);
        for (size_t i = 0; i < watcher->n; i++) {
            free(watcher->apps[i].name);
        }
        free(watcher);
    }
}

void registry_watchers_free(struct registry_watchers *watchers)
{
    if (watchers == NULL) {
        return;
    }
    while (watchers->first != NULL) {
        struct watcher *next = watchers->first->next;
        watcher_unref(watchers->first);
        watchers->first = next;
    }
    pthread_mutex_destroy(&watchers->lock);
    free(watchers);
}

static struct watcher *watcher_new(struct cw_rpc_stream *stream, char *const *apps, size_t n)
{
    struct watcher *watcher = calloc(1, sizeof(*watcher) + n * sizeof(struct watched));
    if (watcher == NULL) {
        return NULL;
    }
    atomic_init(&watcher->refs, 1);
    watcher->stream = cw_rpc_stream_ref(stream);
    for (size_t i = 0; i < n; i++) {
        watcher->apps[i].name = cw_str_dup(cw_str(apps[i]));
        if (watcher->apps[i].name == NULL) {
            watcher->n = i;
            watcher_unref(watcher);
            return NULL;
        }
        for (char *c = watcher->apps[i].name; *c != '\0'; c++) {
            *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
        }
    }
    watcher->n = n;
    return watcher;
}

enum cw_err registry_watchers_add(struct registry_watchers *watchers, struct cw_rpc_stream *stream,
                                  char *const *apps, size_t n)
{
    ENSURE(n > 0 && n <= REGISTRY_WATCH_APPS_MAX, CW_REQUEST_MALFORMED);
    for (size_t i = 0; i < n; i++) {
        ENSURE(cw_eureka_app_is_valid(cw_str(apps[i])), CW_REQUEST_MALFORMED);
    }
    struct watcher *watcher = watcher_new(stream, apps, n);
    ENSURE(watcher != NULL, CW_NO_MEMORY);
    pthread_mutex_lock(&watchers->lock);
    bool room = watchers->n < watchers->max;
    if (room) {
        watcher->next = watchers->first;
        watchers->first = watcher;
        watchers->n++;
    }
    pthread_mutex_unlock(&watchers->lock);
    if (!room) {
        watcher_unref(watcher);
    }
    return room ? CW_OK : CW_REGISTRY_FULL;
}

void registry_watchers_remove(struct registry_watchers *watchers, struct cw_rpc_stream *stream)
{
    struct watcher *found = NULL;
    pthread_mutex_lock(&watchers->lock);
    for (struct watcher **at = &watchers->first; *at != NULL; at = &(*at)->next) {
        if ((*at)->stream == stream) {
            found = *at;
            *at = found->next;
            watchers->n--;
            break;
        }
    }
    pthread_mutex_unlock(&watchers->lock);
    if (found != NULL) {
        watcher_unref(found);
    }
}

size_t registry_watchers_count(struct registry_watchers *watchers)
{
    pthread_mutex_lock(&watchers->lock);
    size_t n = watchers->n;
    pthread_mutex_unlock(&watchers->lock);
    return n;
}

/* Looks each application up, remembers its generation; true when anything differs from what was
 * sent. */
static bool is_news(struct watcher *watcher, const struct registry_snapshot *snapshot)
{
    bool news = !watcher->sent || watcher->provisional != snapshot->provisional;
    for (size_t i = 0; i < watcher->n; i++) {
        const struct registry_app *app = registry_snapshot_find(snapshot, watcher->apps[i].name);
        uint64_t generation = app != NULL ? app->generation : 0;
        news = news || watcher->apps[i].generation != generation;
        watcher->apps[i].generation = generation;
    }
    watcher->provisional = snapshot->provisional;
    return news;
}

static enum cw_err message_send(struct watcher *watcher, const struct registry_snapshot *snapshot,
                                struct cw_arena *arena)
{
    Clinicwave__Discovery__V1__WatchResponse message;
    clinicwave__discovery__v1__watch_response__init(&message);
    message.generation = snapshot->generation;
    message.provisional = snapshot->provisional;
    message.applications = cw_arena_alloc(arena, watcher->n * sizeof(*message.applications));
    ENSURE(message.applications != NULL, CW_NO_MEMORY);
    size_t room = REGISTRY_WATCH_INSTANCES_MAX;
    for (size_t i = 0; i < watcher->n; i++) {
        const char *name = watcher->apps[i].name;
        TRY(registry_pack_app(arena, name, registry_snapshot_find(snapshot, name), true, room,
                              &message.applications[i]));
        message.n_applications++;
        room -= message.applications[i]->n_instances;
    }
    (void)cw_rpc_stream_send_latest(watcher->stream, &message.base);
    return CW_OK;
}

static struct watcher **watchers_list(struct registry_watchers *watchers, size_t *ret_n)
{
    pthread_mutex_lock(&watchers->lock);
    struct watcher **list = calloc(watchers->n + 1, sizeof(struct watcher *));
    size_t n = 0;
    for (struct watcher *w = watchers->first; list != NULL && w != NULL; w = w->next) {
        atomic_fetch_add_explicit(&w->refs, 1, memory_order_relaxed);
        list[n++] = w;
    }
    pthread_mutex_unlock(&watchers->lock);
    *ret_n = n;
    return list;
}

void registry_watchers_publish(struct registry_watchers *watchers,
                               const struct registry_snapshot *snapshot)
{
    size_t n;
    struct watcher **list = watchers_list(watchers, &n);
    struct cw_arena arena = CW_ARENA_INIT(MESSAGE_ARENA_MAX);
    for (size_t i = 0; i < n; i++) {
        if (is_news(list[i], snapshot)) {
            /* without memory it is tried again with the next change */
            list[i]->sent = message_send(list[i], snapshot, &arena) == CW_OK;
            cw_arena_reset(&arena);
        }
        watcher_unref(list[i]);
    }
    cw_arena_done(&arena);
    free(list);
}
