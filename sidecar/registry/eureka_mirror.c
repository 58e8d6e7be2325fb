/* Full documents and deltas become a sorted set of instances, and news for the store. */
#include "sidecar/registry/eureka_mirror.h"

#include <stdlib.h>
#include <string.h>

/* ---- documents ---- */

static enum cw_err visit(void *ctx, const struct cw_eureka_instance *instance)
{
    struct eureka_batch *batch = ctx;
    if (batch->n == batch->room) {
        batch->dropped++;
        return CW_OK;
    }
    if (batch->n == batch->cap) {
        size_t cap = batch->cap == 0 ? 64 : 2 * batch->cap;
        struct registry_instance **p = reallocarray(batch->p, cap, sizeof(*p));
        ENSURE(p != NULL, CW_NO_MEMORY);
        batch->p = p;
        enum cw_eureka_action *actions = reallocarray(batch->actions, cap, sizeof(*actions));
        ENSURE(actions != NULL, CW_NO_MEMORY);
        batch->actions = actions;
        batch->cap = cap;
    }
    struct registry_spec spec = {.eureka = *instance, .source = REGISTRY_EUREKA};
    enum cw_err err = registry_instance_new(&spec, &batch->p[batch->n]);
    if (err == CW_REQUEST_MALFORMED) {
        batch->skipped++;
        return CW_OK;
    }
    TRY(err);
    batch->actions[batch->n++] = instance->action;
    return CW_OK;
}

enum cw_err eureka_batch_read(struct cw_str json, size_t max_instances,
                              struct eureka_batch *ret_batch)
{
    struct eureka_batch batch = {.room = max_instances};
    struct cw_arena scratch = CW_ARENA_INIT(CW_EUREKA_INSTANCE_MAX);
    struct cw_eureka_document document;
    enum cw_err err = cw_eureka_parse_document(&scratch, json, visit, &batch, &document);
    cw_arena_done(&scratch);
    if (err != CW_OK) {
        eureka_batch_done(&batch);
        return err;
    }
    memcpy(batch.hash, document.hash, sizeof(batch.hash));
    batch.skipped += document.skipped;
    *ret_batch = batch;
    return CW_OK;
}

void eureka_batch_done(struct eureka_batch *batch)
{
    for (size_t i = 0; i < batch->n; i++) {
        registry_instance_unref(batch->p[i]);
    }
    free((void *)batch->p);
    free(batch->actions);
    *batch = (struct eureka_batch){0};
}

/* ---- the set ---- */

static int order(const struct registry_instance *a, const char *app, const char *id)
{
    int by_app = strcmp(a->eureka.app, app);
    return by_app != 0 ? by_app : strcmp(a->id, id);
}

static size_t position(const struct eureka_mirror *mirror, const char *app, const char *id,
                       bool *ret_found)
{
    size_t low = 0, high = mirror->n;
    *ret_found = false;
    while (low < high && !*ret_found) {
        size_t middle = low + (high - low) / 2;
        int o = order(mirror->p[middle].instance, app, id);
        *ret_found = o == 0;
        low = o < 0 ? middle + 1 : o == 0 ? middle : low;
        high = o > 0 ? middle : high;
    }
    return low;
}

static enum cw_err grow(struct eureka_mirror *mirror)
{
    if (mirror->n == mirror->cap) {
        size_t cap = mirror->cap == 0 ? 64 : 2 * mirror->cap;
        struct eureka_mirrored *p = reallocarray(mirror->p, cap, sizeof(*p));
        ENSURE(p != NULL, CW_NO_MEMORY);
        mirror->p = p;
        mirror->cap = cap;
    }
    return CW_OK;
}

void eureka_mirror_done(struct eureka_mirror *mirror)
{
    for (size_t i = 0; i < mirror->n; i++) {
        registry_instance_unref(mirror->p[i].instance);
    }
    free(mirror->p);
    *mirror = (struct eureka_mirror){0};
}

struct registry_instance *eureka_mirror_find(const struct eureka_mirror *mirror, const char *app,
                                             const char *id)
{
    bool found;
    size_t at = position(mirror, app, id, &found);
    return found ? mirror->p[at].instance : NULL;
}

/* Times that the server moves with every change first: most of a document is old news. */
static bool same(const struct registry_instance *a, const struct registry_instance *b)
{
    if (a->source == b->source && a->eureka.last_updated_ms == b->eureka.last_updated_ms &&
        a->eureka.last_dirty_ms == b->eureka.last_dirty_ms && a->eureka.last_updated_ms != 0 &&
        a->eureka.status == b->eureka.status && a->eureka.overridden == b->eureka.overridden) {
        return true;
    }
    return registry_instance_same(a, b);
}

/* The entry counts, as one that is listed or one that is held. */
static void count(struct eureka_mirror *mirror, const struct eureka_mirrored *entry)
{
    if (entry->held_until_ms != 0) {
        mirror->held++;
    } else {
        cw_eureka_hash_add(&mirror->counts, entry->instance->eureka.status);
    }
}

/* It does not count as what it is, or was. */
static void uncount(struct eureka_mirror *mirror, const struct eureka_mirrored *entry)
{
    if (entry->held_until_ms != 0) {
        mirror->held--;
    } else {
        cw_eureka_hash_remove(&mirror->counts, entry->instance->eureka.status);
    }
}

static enum cw_err upsert(struct eureka_mirror *mirror, struct registry_instance *instance,
                          struct registry_news *news)
{
    bool found;
    size_t at = position(mirror, instance->eureka.app, instance->id, &found);
    if (found) {
        struct eureka_mirrored *entry = &mirror->p[at];
        bool old_news = same(entry->instance, instance);
        if (!old_news) {
            TRY(registry_news_add(news, instance, false));
        }
        uncount(mirror, entry);
        entry->held_until_ms = 0;
        if (!old_news) {
            registry_instance_unref(entry->instance);
            entry->instance = registry_instance_ref(instance);
        }
        count(mirror, entry);
        return CW_OK;
    }
    if (mirror->n >= mirror->max) {
        return CW_OK;
    }
    TRY(grow(mirror));
    TRY(registry_news_add(news, instance, false));
    memmove(&mirror->p[at + 1], &mirror->p[at], (mirror->n - at) * sizeof(*mirror->p));
    mirror->p[at] = (struct eureka_mirrored){.instance = registry_instance_ref(instance)};
    mirror->n++;
    count(mirror, &mirror->p[at]);
    return CW_OK;
}

static enum cw_err drop(struct eureka_mirror *mirror, size_t at, struct registry_news *news)
{
    TRY(registry_news_add(news, mirror->p[at].instance, true));
    uncount(mirror, &mirror->p[at]);
    registry_instance_unref(mirror->p[at].instance);
    mirror->n--;
    memmove(&mirror->p[at], &mirror->p[at + 1], (mirror->n - at) * sizeof(*mirror->p));
    return CW_OK;
}

enum cw_err eureka_mirror_apply(struct eureka_mirror *mirror, const struct eureka_batch *batch,
                                struct registry_news *news)
{
    for (size_t i = 0; i < batch->n; i++) {
        struct registry_instance *instance = batch->p[i];
        if (batch->actions[i] != CW_EUREKA_DELETED) {
            TRY(upsert(mirror, instance, news));
            continue;
        }
        bool found;
        size_t at = position(mirror, instance->eureka.app, instance->id, &found);
        if (found) {
            TRY(drop(mirror, at, news));
        }
    }
    return CW_OK;
}

enum cw_err eureka_mirror_restore(struct eureka_mirror *mirror, struct registry_instance *instance)
{
    struct registry_news ignored = {0};
    enum cw_err err = upsert(mirror, instance, &ignored);
    registry_news_done(&ignored);
    return err;
}

/* By key; of two with the same, the one that changed last comes first. */
static int batch_order(const void *a, const void *b)
{
    const struct registry_instance *one = *(struct registry_instance *const *)a;
    const struct registry_instance *other = *(struct registry_instance *const *)b;
    int o = order(one, other->eureka.app, other->id);
    if (o != 0) {
        return o;
    }
    return (one->eureka.last_dirty_ms < other->eureka.last_dirty_ms) -
           (one->eureka.last_dirty_ms > other->eureka.last_dirty_ms);
}

/* The old entry is not in the new document: what is kept of it, an empty one for nothing. */
static enum cw_err absent(const struct eureka_mirrored *entry, int64_t now_ms, int64_t hold_ms,
                          struct registry_news *news, struct eureka_mirrored *ret_kept)
{
    int64_t until = entry->held_until_ms != 0 ? entry->held_until_ms : now_ms + hold_ms;
    if (until <= now_ms) {
        return registry_news_add(news, entry->instance, true);
    }
    *ret_kept = (struct eureka_mirrored){entry->instance, until};
    return CW_OK;
}

/* One pass over two sorted lists. */
static enum cw_err merge(struct eureka_mirror *mirror, struct registry_instance *const *sorted,
                         size_t n, int64_t now_ms, int64_t hold_ms, struct eureka_mirror *next,
                         struct registry_news *news)
{
    size_t old = 0, new = 0;
    while (old < mirror->n || new < n) {
        struct eureka_mirrored *entry = old < mirror->n ? &mirror->p[old] : NULL;
        struct registry_instance *instance = new < n ? sorted[new] : NULL;
        int o = entry == NULL      ? 1
                : instance == NULL ? -1
                                   : order(entry->instance, instance->eureka.app, instance->id);
        struct eureka_mirrored kept = {0};
        TRY(grow(next));
        if (o < 0) {
            TRY(absent(entry, now_ms, hold_ms, news, &kept));
        } else if (o == 0 && same(entry->instance, instance)) {
            kept.instance = entry->instance;
        } else if (next->n < mirror->max) {
            TRY(registry_news_add(news, instance, false));
            kept.instance = instance;
        }
        if (kept.instance != NULL) {
            registry_instance_ref(kept.instance);
            count(next, &kept);
            next->p[next->n++] = kept;
        }
        old += o <= 0;
        while (o >= 0 && ++new < n && order(sorted[new], instance->eureka.app, instance->id) == 0) {
            next->duplicates++; /* the older one */
        }
    }
    return CW_OK;
}

enum cw_err eureka_mirror_replace(struct eureka_mirror *mirror, const struct eureka_batch *batch,
                                  int64_t now_ms, int64_t hold_ms, struct registry_news *news)
{
    struct registry_instance **sorted = calloc(batch->n + 1, sizeof(struct registry_instance *));
    struct eureka_mirror next = {.max = mirror->max};
    ENSURE(sorted != NULL, CW_NO_MEMORY);
    if (batch->n > 0) {
        memcpy((void *)sorted, (void *)batch->p, batch->n * sizeof(*sorted));
        qsort((void *)sorted, batch->n, sizeof(*sorted), batch_order);
    }
    enum cw_err err = merge(mirror, sorted, batch->n, now_ms, hold_ms, &next, news);
    free((void *)sorted);
    if (err != CW_OK) {
        eureka_mirror_done(&next);
        return err;
    }
    eureka_mirror_done(mirror);
    *mirror = next;
    return CW_OK;
}

int64_t eureka_mirror_expire(struct eureka_mirror *mirror, int64_t now_ms,
                             struct registry_news *news)
{
    int64_t next = INT64_MAX;
    for (size_t i = mirror->held > 0 ? mirror->n : 0; i-- > 0;) {
        int64_t until = mirror->p[i].held_until_ms;
        if (until == 0) {
            continue;
        }
        if (until > now_ms || drop(mirror, i, news) != CW_OK) {
            next = CW_MIN(next, CW_MAX(until - now_ms, 1));
        }
    }
    return next;
}

bool eureka_mirror_hash_is(const struct eureka_mirror *mirror, const char *hash)
{
    struct cw_buf text = CW_BUF_INIT(CW_EUREKA_HASH_MAX);
    cw_eureka_hash_encode(&mirror->counts, &text);
    bool is = cw_str_is(cw_buf_str(&text), hash);
    cw_buf_done(&text);
    return is;
}
