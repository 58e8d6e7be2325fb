/* Step 1 of a request's way through the sidecar: the domain that the client called names the
 * tenant. Sets are built off the request path and published by a swap; a tenant whose
 * specification did not change is the same object with the same generation in the next set, so
 * that its cached tokens live on. */
#include "sidecar/tenants/tenants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/domain.h"
#include "sidecar/tenants/tenants_impl.h"

struct tenants_slot {
    struct cw_str domain; /* borrowed from the tenant */
    const struct tenant *tenant;
};

struct tenants_set {
    _Atomic unsigned refs;
    uint64_t version;
    struct tenant **tenants;
    size_t n;
    struct tenants_slot *slots; /* open addressing */
    size_t mask;
};

/* ---- sets ---- */

static size_t hash(struct cw_str s)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

    for (size_t i = 0; i < s.n; i++) {
        h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3u;
    }
    return (size_t)(h ^ (h >> 32));
}

static const struct tenants_slot *slot_find(const struct tenants_set *set, struct cw_str domain)
{
    size_t i = hash(domain) & set->mask;

    while (set->slots[i].tenant && !cw_str_eq(set->slots[i].domain, domain)) {
        i = (i + 1) & set->mask;
    }
    return &set->slots[i];
}

struct tenants_set *tenants_set_ref(struct tenants_set *set)
{
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void tenants_set_unref(struct tenants_set *set)
{
    if (!set || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < set->n; i++) {
        tenant_unref(set->tenants[i]);
    }
    free((void *)set->tenants);
    free(set->slots);
    free(set);
}

static struct tenants_set *set_new(size_t n_tenants, size_t n_domains)
{
    struct tenants_set *set = calloc(1, sizeof(*set));
    size_t slots = 16;

    if (!set) {
        return NULL;
    }
    while (slots < 2 * n_domains) {
        slots *= 2;
    }
    set->refs = 1;
    set->mask = slots - 1;
    set->tenants = calloc(n_tenants + 1, sizeof(struct tenant *));
    set->slots = calloc(slots, sizeof(*set->slots));
    if (!set->tenants || !set->slots) {
        tenants_set_unref(set);
        return NULL;
    }
    return set;
}

/* Domains that are taken already stay with whom they are. */
static void set_add(struct tenants_set *set, struct tenant *tenant)
{
    set->tenants[set->n++] = tenant_ref(tenant);
    for (size_t i = 0; i < tenant->domains.n; i++) {
        struct tenants_slot *slot =
            &set->slots[slot_find(set, tenant->domains.items[i]) - set->slots];
        if (!slot->tenant) {
            *slot = (struct tenants_slot){tenant->domains.items[i], tenant};
        }
    }
}

size_t tenants_set_count(const struct tenants_set *set)
{
    return set->n;
}

struct tenant *tenants_set_at(const struct tenants_set *set, size_t i)
{
    return set->tenants[i];
}

uint64_t tenants_set_version(const struct tenants_set *set)
{
    return set->version;
}

void tenants_set_expect(const struct tenants_set *set, struct cw_str domain,
                        enum tenants_expect step)
{
    const struct tenants_slot *slot = &set->slots[hash(domain) & set->mask];

    if (step == TENANTS_EXPECT_SLOT) {
        cw_expect(slot, sizeof(*slot));
    } else if (slot->tenant) {
        tenant_expect(slot->tenant); /* its first domain's text is there, too */
    }
}

const struct tenant *tenants_set_find(const struct tenants_set *set, struct cw_str domain)
{
    char name[CW_DOMAIN_MAX + 1];
    /* Most callers send the normal form already, and only normal forms are in the table. */
    const struct tenant *tenant = slot_find(set, domain)->tenant;

    if (!tenant && cw_domain_normalize(domain, name) == CW_OK) {
        tenant = slot_find(set, cw_str(name))->tenant;
    }
    return tenant;
}

/* ---- building; under `build` ---- */

static size_t count_domains(struct tenant *const *list, size_t n)
{
    size_t domains = 0;

    for (size_t i = 0; i < n; i++) {
        domains += list[i]->domains.n;
    }
    return domains;
}

static bool has_name(struct tenant *const *list, size_t n, struct cw_str name)
{
    for (size_t i = 0; i < n; i++) {
        if (cw_str_eq(list[i]->name, name)) {
            return true;
        }
    }
    return false;
}

bool tenants_is_local(const struct tenants *tenants, struct cw_str name)
{
    return has_name(tenants->local, tenants->n_local, name);
}

static size_t count_learned_domains(const struct tenants *tenants)
{
    size_t domains = 0;

    for (size_t i = 0; i < tenants->learned.n; i++) {
        const struct tenant *tenant = tenants->learned.entries[i].tenant;
        domains += tenant ? tenant->domains.n : 0;
    }
    return domains;
}

static size_t count_refused(const struct tenants *tenants)
{
    size_t n = 0;

    for (size_t i = 0; i < tenants->learned.n; i++) {
        n += tenants->learned.entries[i].refused;
    }
    return n;
}

enum cw_err tenants_publish(struct tenants *tenants)
{
    struct tenants_set *set =
        set_new(tenants->n_local + tenants->learned.n,
                count_domains(tenants->local, tenants->n_local) + count_learned_domains(tenants));

    ENSURE(set, CW_NO_MEMORY);
    for (size_t i = 0; i < tenants->n_local; i++) {
        set_add(set, tenants->local[i]);
    }
    for (size_t i = 0; i < tenants->learned.n; i++) {
        if (tenants->learned.entries[i].tenant) {
            set_add(set, tenants->learned.entries[i].tenant);
        }
    }
    atomic_store(&tenants->left_out, count_refused(tenants));
    set->version = atomic_load(&tenants->version) + 1;
    pthread_mutex_lock(&tenants->lock);
    struct tenants_set *old = tenants->set;
    tenants->set = set;
    pthread_mutex_unlock(&tenants->lock);
    /* Behind the set and before the news: who sees it set finds the set that it speaks of. */
    atomic_store(&tenants->heard, tenants->whole);
    atomic_store(&tenants->version, set->version);
    tenants_set_unref(old);
    if (tenants->config.changed) {
        tenants->config.changed(tenants->config.ctx);
    }
    return CW_OK;
}

enum cw_err tenants_obtain(struct tenants *tenants, struct tenant *old,
                           const struct tenant_spec *spec, struct tenant **ret)
{
    unsigned char fingerprint[32];

    TRY(tenant_fingerprint(spec, fingerprint));
    bool same = old && memcmp(old->fingerprint, fingerprint, sizeof(fingerprint)) == 0;
    if (same && tenant_has_origins(old, spec)) {
        *ret = tenant_ref(old);
        return CW_OK;
    }
    /* Other origins make another object, but no verdict another one: the cached tokens stay. */
    uint64_t generation = same ? old->generation : ++tenants->generations;
    return tenant_new(spec, generation, tenants->config.keys, ret);
}

/* The name is part of what makes a tenant the same. */
static struct tenant *named(struct tenant *const *list, size_t n, struct cw_str name)
{
    for (size_t i = 0; i < n; i++) {
        if (cw_str_eq(list[i]->name, name)) {
            return list[i];
        }
    }
    return NULL;
}

static void free_list(struct tenant **list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tenant_unref(list[i]);
    }
    free((void *)list);
}

/* ---- the configuration's ---- */

static enum cw_err configure(struct tenants *tenants, const struct tenant_spec *specs, size_t n,
                             struct cw_buf *problems)
{
    struct tenant **list = calloc(n + 1, sizeof(struct tenant *));
    size_t made = 0;
    enum cw_err err = list ? CW_OK : CW_NO_MEMORY;

    while (err == CW_OK && made < n) {
        err = tenants_obtain(tenants, named(tenants->local, tenants->n_local, specs[made].name),
                             &specs[made], &list[made]);
        made += err == CW_OK;
        if (err == CW_CONFIG_INVALID) {
            cw_buf_addf(problems, "tenants[%zu]: too large: \"%.*s\"\n", made,
                        CW_STR_ARG(specs[made].name));
        }
    }
    if (err != CW_OK) {
        free_list(list, made);
        return err;
    }
    struct tenant **old = tenants->local;
    size_t n_old = tenants->n_local;
    tenants->local = list;
    tenants->n_local = n;
    tenants_learned_revise(tenants, problems);
    err = tenants_publish(tenants);
    if (err != CW_OK) { /* the next news must not publish what was refused */
        tenants->local = old;
        tenants->n_local = n_old;
        tenants->unrevised = true;
        free_list(list, n);
        return err;
    }
    free_list(old, n_old);
    return CW_OK;
}

enum cw_err tenants_configure(struct tenants *tenants, const struct tenant_spec *specs, size_t n,
                              struct cw_buf *problems)
{
    TRY(tenants_check(specs, n, problems));
    pthread_mutex_lock(&tenants->build);
    enum cw_err err = configure(tenants, specs, n, problems);
    pthread_mutex_unlock(&tenants->build);
    return err;
}

/* ---- the store ---- */

struct tenants *tenants_new(const struct tenants_config *config)
{
    struct tenants *tenants = calloc(1, sizeof(*tenants));

    if (!tenants) {
        return NULL;
    }
    tenants->config = *config;
    pthread_mutex_init(&tenants->build, NULL);
    pthread_mutex_init(&tenants->lock, NULL);
    tenants->set = set_new(0, 0);
    if (!tenants->set) {
        tenants_free(tenants);
        return NULL;
    }
    if (config->state_dir) {
        int n = snprintf(tenants->path, sizeof(tenants->path), "%s/tenants.pb", config->state_dir);
        if (n < 0 || (size_t)n >= sizeof(tenants->path)) {
            tenants->path[0] = '\0';
        } else {
            tenants_load(tenants);
        }
    }
    return tenants;
}

void tenants_free(struct tenants *tenants)
{
    if (!tenants) {
        return;
    }
    tenants_set_unref(tenants->set);
    free_list(tenants->local, tenants->n_local);
    tenants_learned_done(&tenants->learned);
    tenants_learned_done(&tenants->pieces);
    free(tenants->epoch);
    pthread_mutex_destroy(&tenants->build);
    pthread_mutex_destroy(&tenants->lock);
    free(tenants);
}

struct tenants_set *tenants_get(struct tenants *tenants)
{
    pthread_mutex_lock(&tenants->lock);
    struct tenants_set *set = tenants_set_ref(tenants->set);
    pthread_mutex_unlock(&tenants->lock);
    return set;
}

uint64_t tenants_version(const struct tenants *tenants)
{
    return atomic_load_explicit(&tenants->version, memory_order_acquire);
}
