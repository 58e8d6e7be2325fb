/* Makes keys: the first one, the next one, one in place of all. The key is generated first; the
 * transaction that adds it finds out whether another process was faster, and then its key counts.
 */
#include <stdlib.h>
#include <string.h>

#include "authsvc/keys/keyring_impl.h"

enum { SEALED_MAX = 128 * 1024, NAMES_MAX = 16 * 1024 * 1024 };

enum how { ADD_FIRST = 0, ADD_NEXT, ADD_ONLY };

struct making {
    struct keyring *ring;
    struct cw_str tenant;
    const struct keyring_want *want;
    enum how how;
    const char *after; /* of ADD_NEXT */
    bool instead;
    int64_t removed; /* by ADD_ONLY */
    struct cw_buf *message;
};

static enum cw_err add(struct making *m, const struct store_key *row)
{
    struct store *store = m->ring->store;
    switch (m->how) {
    case ADD_FIRST:
        return store_key_add_first(store, m->tenant, row);
    case ADD_ONLY:
        return store_key_add_only(store, m->tenant, row, &m->removed);
    case ADD_NEXT:
    default:
        return store_key_add_next(store, m->tenant, row, cw_str(m->after),
                                  m->ring->options.policy.publish_ahead_ms, m->instead);
    }
}

static enum cw_err seal_and_add(struct making *m, struct signing_key *key)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf sealed = CW_BUF_INIT(SEALED_MAX);
    TRY(signing_key_seal(key, m->ring->kek, m->tenant, &sealed));
    const struct store_key row = {
        .kid = cw_str(signing_key_kid(key)),
        .algorithm = cw_str(signing_key_algorithm(key)),
        .public_jwk = cw_str(signing_key_public_jwk(key)),
        .sealed = cw_buf_str(&sealed),
        .life_ms = m->want->life_ms,
    };
    return add(m, &row);
}

static enum cw_err tell_failure(const struct making *m, enum cw_err err)
{
    if (err == CW_PRECONDITION_FAILED) {
        cw_buf_addf(m->message, "tenant %.*s has %d keys whose tokens are not over yet",
                    CW_STR_ARG(m->tenant), STORE_KEYS_MAX);
        return CW_CONFLICT;
    }
    cw_buf_addf(m->message, "no signing key could be made for tenant %.*s (%s)",
                CW_STR_ARG(m->tenant), cw_err_code(err));
    return err;
}

/* Makes a key, or finds that another process has; either way it is read. */
static enum cw_err make(struct making *m)
{
    struct signing_key *key = NULL;
    size_t n = 0;
    enum cw_err err = signing_key_generate(m->want->algorithm, m->ring->options.rsa_bits, &key);
    if (err == CW_OK) {
        err = seal_and_add(m, key);
    }
    signing_key_unref(key);
    if (err != CW_OK && err != CW_CONFLICT) {
        return tell_failure(m, err);
    }
    return keyring_read(m->ring, m->tenant, m->message, &n);
}

static int64_t now_of(const struct keyring *ring)
{
    return cw_clock_wall_ms(store_clock(ring->store));
}

/* The newest key is not the one that signs. */
static bool pending(const struct keyring_view *view, int64_t now)
{
    return key_signer(view->times, view->n, now) + 1 < view->n;
}

static enum cw_err make_next(struct keyring *ring, struct cw_str tenant,
                             const struct keyring_want *want, const struct keyring_view *view,
                             struct cw_buf *message)
{
    struct making m = {
        .ring = ring,
        .tenant = tenant,
        .want = want,
        .how = ADD_NEXT,
        .after = view->kids[view->n - 1],
        .instead = pending(view, now_of(ring)),
        .message = message,
    };
    return view->n < STORE_KEYS_MAX ? make(&m) : tell_failure(&m, CW_PRECONDITION_FAILED);
}

/* --- loading ---------------------------------------------------------------------------- */

/* Longer tokens than before: noted with the keys that may sign them, before they do. */
static enum cw_err raise_life(struct keyring *ring, struct cw_str tenant,
                              const struct keyring_want *want, const struct keyring_view *view,
                              struct cw_buf *message)
{
    bool raise = false;
    size_t n = 0;
    for (size_t i = 0; i < view->n; i++) {
        raise = raise || (!view->told_retired[i] && view->times[i].life_ms < want->life_ms);
    }
    if (!raise) {
        return CW_OK;
    }
    TRY(store_key_set_life(ring->store, tenant, want->life_ms));
    return keyring_read(ring, tenant, message, &n);
}

static enum cw_err change_algorithm(struct keyring *ring, struct cw_str tenant,
                                    const struct keyring_want *want,
                                    const struct keyring_view *view, struct cw_buf *message)
{
    size_t n = 0;
    if (strcmp(view->algorithms[view->n - 1], want->algorithm) == 0) {
        return CW_OK;
    }
    if (view->n == STORE_KEYS_MAX && !pending(view, now_of(ring))) {
        return CW_OK; /* the old one signs on; keyring_advance makes the next when there is room */
    }
    if (!pending(view, now_of(ring)) ||
        strcmp(view->algorithms[view->n - 2], want->algorithm) != 0) {
        return make_next(ring, tenant, want, view, message);
    }
    /* Changed back before it was time: the one that was to come has signed nothing. */
    enum cw_err err = store_key_drop_pending(ring->store, tenant);
    ENSURE(err == CW_OK || err == CW_NOT_FOUND, err);
    return keyring_read(ring, tenant, message, &n);
}

enum cw_err keyring_load(struct keyring *ring, struct cw_str tenant,
                         const struct keyring_want *want, struct cw_buf *ret_message)
{
    size_t n = 0;
    struct keyring_view view;
    TRY(keyring_read(ring, tenant, ret_message, &n));
    if (n == 0) {
        struct making m = {.ring = ring, .tenant = tenant, .want = want, .message = ret_message};
        return make(&m);
    }
    keyring_look(ring, tenant, &view);
    TRY(raise_life(ring, tenant, want, &view, ret_message));
    return change_algorithm(ring, tenant, want, &view, ret_message);
}

/* --- an operator's ---------------------------------------------------------------------- */

enum cw_err keyring_rotate(struct keyring *ring, struct cw_str tenant,
                           const struct keyring_want *want, struct cw_buf *ret_message)
{
    size_t n = 0;
    struct keyring_view view;
    TRY(keyring_read(ring, tenant, ret_message, &n));
    keyring_look(ring, tenant, &view);
    ENSURE(n > 0 && view.n > 0, CW_KEYS_UNAVAILABLE);
    if (pending(&view, now_of(ring)) && strcmp(view.algorithms[view.n - 1], want->algorithm) == 0) {
        return CW_OK;
    }
    return make_next(ring, tenant, want, &view, ret_message);
}

enum cw_err keyring_withdraw(struct keyring *ring, struct cw_str tenant,
                             const struct keyring_want *want, int64_t *ret_withdrawn,
                             struct cw_buf *ret_message)
{
    struct making m = {
        .ring = ring,
        .tenant = tenant,
        .want = want,
        .how = ADD_ONLY,
        .message = ret_message,
    };
    TRY(make(&m));
    *ret_withdrawn = m.removed;
    return CW_OK;
}

enum cw_err keyring_list(struct keyring *ring, struct cw_str tenant,
                         enum cw_err (*each)(void *ctx, const struct keyring_entry *entry),
                         void *ctx)
{
    const struct key_policy *policy = &ring->options.policy;
    int64_t now = now_of(ring);
    size_t n = 0;
    struct keyring_view view;
    CW_CLEANUP(cw_buf_done) struct cw_buf message = CW_BUF_INIT(1024);
    TRY(keyring_read(ring, tenant, &message, &n));
    keyring_look(ring, tenant, &view);
    for (size_t i = 0; i < view.n; i++) {
        int64_t over_at = key_over_at(view.times, view.n, i, policy);
        struct keyring_entry entry = {
            .kid = cw_str(view.kids[i]),
            .algorithm = cw_str(view.algorithms[i]),
            .state = key_state_at(view.times, view.n, i, policy, now),
            .created_at = view.created_at[i],
            .active_at = view.times[i].active_at,
            .over_at = over_at == INT64_MAX ? 0 : over_at,
        };
        entry.changed_at = entry.state == KEY_PENDING  ? entry.created_at
                           : entry.state == KEY_ACTIVE ? entry.active_at
                                                       : view.times[i + 1].active_at;
        TRY(each(ctx, &entry));
    }
    return CW_OK;
}

/* --- by itself -------------------------------------------------------------------------- */

struct changed {
    struct keyring *ring;
    struct cw_buf names; /* each with a NUL behind it */
};

/* Of those that are in memory in an older version; others are read when they are loaded. */
static enum cw_err note_changed(void *ctx, struct cw_str tenant, uint64_t version)
{
    struct changed *changed = ctx;
    struct keyring *ring = changed->ring;
    bool found = false;
    pthread_rwlock_rdlock(&ring->lock);
    size_t at = keyring_position(ring, tenant, &found);
    bool older = found && ring->sets[at]->version < version;
    pthread_rwlock_unlock(&ring->lock);
    if (older) {
        cw_buf_add_str(&changed->names, tenant);
        cw_buf_add_char(&changed->names, '\0');
    }
    return cw_buf_check(&changed->names);
}

static enum cw_err follow(struct keyring *ring, bool *ret_changed, struct cw_buf *message)
{
    uint64_t version = 0;
    TRY(store_key_version(ring->store, &version));
    if (version == ring->seen) {
        return CW_OK;
    }
    struct changed changed = {.ring = ring, .names = CW_BUF_INIT(NAMES_MAX)};
    enum cw_err err = store_key_since(ring->store, ring->seen, note_changed, &changed);
    bool listed = err == CW_OK;
    for (size_t at = 0; listed && at < changed.names.n;) {
        struct cw_str tenant = cw_str(changed.names.p + at);
        size_t n = 0;
        enum cw_err one = keyring_read(ring, tenant, message, &n);
        err = err == CW_OK ? one : err; /* one that cannot be read does not stop the others */
        *ret_changed = true;
        at += tenant.n + 1;
    }
    cw_buf_done(&changed.names);
    if (err == CW_OK) {
        ring->seen = version; /* a change since then is read once more */
    }
    return err;
}

enum cw_err keyring_follow(struct keyring *ring, bool *ret_changed, struct cw_buf *ret_message)
{
    *ret_changed = false;
    pthread_mutex_lock(&ring->following);
    enum cw_err err = follow(ring, ret_changed, ret_message);
    pthread_mutex_unlock(&ring->following);
    return err;
}

/* What the rows do not say yet, or what is over. */
static bool set_due(const struct key_set *set, const struct key_policy *policy, int64_t now,
                    bool remove)
{
    for (size_t i = 0; i < set->n; i++) {
        enum key_state state = key_state_at(set->times, set->n, i, policy, now);
        if ((state == KEY_ACTIVE && !set->told_active[i]) ||
            (state > KEY_ACTIVE && !set->told_retired[i]) || (state == KEY_OVER && remove)) {
            return true;
        }
    }
    return set->n < STORE_KEYS_MAX && key_rotation_due(set->times, set->n, policy, now);
}

bool keyring_due(struct keyring *ring, struct cw_str after, bool remove, struct cw_buf *ret_tenant)
{
    int64_t now = now_of(ring);
    bool due = false;
    bool found = false;
    pthread_rwlock_rdlock(&ring->lock);
    size_t at = keyring_position(ring, after, &found);
    for (size_t i = at + found; !due && i < ring->n; i++) {
        due = set_due(ring->sets[i], &ring->options.policy, now, remove);
        cw_buf_add_cstr(ret_tenant, due ? ring->sets[i]->tenant : "");
    }
    pthread_rwlock_unlock(&ring->lock);
    return due;
}

/* The newest key signs, with another algorithm than the tenant's: there was no room when that was
 * changed. */
static bool algorithm_due(const struct keyring_view *view, const struct keyring_want *want,
                          int64_t now)
{
    return !pending(view, now) && strcmp(view->algorithms[view->n - 1], want->algorithm) != 0;
}

enum cw_err keyring_advance(struct keyring *ring, struct cw_str tenant,
                            const struct keyring_want *want, bool remove, bool *ret_changed,
                            struct cw_buf *ret_message)
{
    const struct key_policy *policy = &ring->options.policy;
    int64_t changes = 0;
    size_t n = 0;
    uint64_t before = keyring_stamp(ring, tenant);
    struct keyring_view view;
    *ret_changed = false;
    TRY(store_key_advance(ring->store, tenant, remove, policy->retire_margin_ms, &changes));
    TRY(keyring_read(ring, tenant, ret_message, &n));
    *ret_changed = keyring_stamp(ring, tenant) != before;
    keyring_look(ring, tenant, &view);
    if (view.n > 0 && view.n < STORE_KEYS_MAX &&
        (key_rotation_due(view.times, view.n, policy, now_of(ring)) ||
         algorithm_due(&view, want, now_of(ring)))) {
        TRY(make_next(ring, tenant, want, &view, ret_message));
        *ret_changed = true;
    }
    return CW_OK;
}
