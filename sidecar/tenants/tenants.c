/* Step 1 of a request's way through the sidecar: the domain that the client called names the
 * tenant. Sets are built off the request path and published by a swap; a tenant whose
 * specification did not change is the same object with the same generation in the next set, so
 * that its cached tokens live on. */
#include "sidecar/tenants/tenants.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/domain.h"
#include "common/keys/key_disk.h"
#include "sidecar/tenants/learned.h"

enum { SPEC_ARENA = 64 * 1024 * 1024 };

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

struct tenants {
    struct tenants_config config;
    char path[CW_KEY_DISK_PATH_MAX]; /* of the learned snapshot, "" for none */

    pthread_mutex_t build; /* one builder at a time; held without `lock` */
    struct tenant **local; /* of the configuration */
    size_t n_local;
    struct tenant **learned;
    size_t n_learned;
    char *epoch;
    uint64_t generations; /* the last one that was given out */

    _Atomic uint64_t feed_generation;
    _Atomic int64_t feed_ms; /* monotonic; 0: never */

    pthread_mutex_t lock; /* the pointer only */
    struct tenants_set *set;
    _Atomic uint64_t version;
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

static enum cw_err publish(struct tenants *tenants)
{
    struct tenants_set *set = set_new(tenants->n_local + tenants->n_learned,
                                      count_domains(tenants->local, tenants->n_local) +
                                          count_domains(tenants->learned, tenants->n_learned));

    ENSURE(set, CW_NO_MEMORY);
    for (size_t i = 0; i < tenants->n_local; i++) {
        set_add(set, tenants->local[i]);
    }
    for (size_t i = 0; i < tenants->n_learned; i++) {
        if (!has_name(tenants->local, tenants->n_local, tenants->learned[i]->name)) {
            set_add(set, tenants->learned[i]);
        }
    }
    set->version = atomic_load(&tenants->version) + 1;
    pthread_mutex_lock(&tenants->lock);
    struct tenants_set *old = tenants->set;
    tenants->set = set;
    pthread_mutex_unlock(&tenants->lock);
    atomic_store(&tenants->version, set->version);
    tenants_set_unref(old);
    if (tenants->config.changed) {
        tenants->config.changed(tenants->config.ctx);
    }
    return CW_OK;
}

/* The tenant of this specification: the one that is there, or a new one. */
static enum cw_err obtain(struct tenants *tenants, struct tenant *const *old, size_t n_old,
                          const struct tenant_spec *spec, struct tenant **ret)
{
    unsigned char fingerprint[32];

    TRY(tenant_fingerprint(spec, fingerprint));
    for (size_t i = 0; i < n_old; i++) {
        if (memcmp(old[i]->fingerprint, fingerprint, sizeof(fingerprint)) == 0) {
            *ret = tenant_ref(old[i]);
            return CW_OK;
        }
    }
    return tenant_new(spec, ++tenants->generations, tenants->config.keys, ret);
}

static void free_list(struct tenant **list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tenant_unref(list[i]);
    }
    free((void *)list);
}

/* ---- the configuration's ---- */

static bool domain_taken(const struct tenant_spec *specs, size_t before, struct cw_str domain)
{
    char name[CW_DOMAIN_MAX + 1];
    char other[CW_DOMAIN_MAX + 1];

    if (cw_domain_normalize(domain, name) != CW_OK) {
        return false;
    }
    for (size_t i = 0; i < before; i++) {
        for (size_t j = 0; j < specs[i].domains.n; j++) {
            if (cw_domain_normalize(specs[i].domains.items[j], other) == CW_OK &&
                strcmp(name, other) == 0) {
                return true;
            }
        }
    }
    return false;
}

enum cw_err tenants_check(const struct tenant_spec *specs, size_t n, struct cw_buf *problems)
{
    size_t before = problems->n;

    for (size_t i = 0; i < n; i++) {
        char where[32];
        snprintf(where, sizeof(where), "tenants[%zu]", i);
        (void)tenant_spec_check(&specs[i], where, problems);
        for (size_t j = 0; j < i; j++) {
            if (cw_str_eq(specs[i].name, specs[j].name)) {
                cw_buf_addf(problems, "%s: name of tenants[%zu]: \"%.*s\"\n", where, j,
                            CW_STR_ARG(specs[i].name));
            }
        }
        for (size_t j = 0; j < specs[i].domains.n; j++) {
            if (domain_taken(specs, i, specs[i].domains.items[j])) {
                cw_buf_addf(problems, "%s: domain of another tenant: \"%.*s\"\n", where,
                            CW_STR_ARG(specs[i].domains.items[j]));
            }
        }
    }
    return problems->n == before && !problems->failed ? CW_OK : CW_CONFIG_INVALID;
}

static enum cw_err configure(struct tenants *tenants, const struct tenant_spec *specs, size_t n)
{
    struct tenant **list = calloc(n + 1, sizeof(struct tenant *));
    size_t made = 0;
    enum cw_err err = list ? CW_OK : CW_NO_MEMORY;

    while (err == CW_OK && made < n) {
        err = obtain(tenants, tenants->local, tenants->n_local, &specs[made], &list[made]);
        made += err == CW_OK;
    }
    if (err != CW_OK) {
        free_list(list, made);
        return err;
    }
    free_list(tenants->local, tenants->n_local);
    tenants->local = list;
    tenants->n_local = n;
    return publish(tenants);
}

enum cw_err tenants_configure(struct tenants *tenants, const struct tenant_spec *specs, size_t n,
                              struct cw_buf *problems)
{
    TRY(tenants_check(specs, n, problems));
    pthread_mutex_lock(&tenants->build);
    enum cw_err err = configure(tenants, specs, n);
    pthread_mutex_unlock(&tenants->build);
    return err;
}

/* ---- the learned ones ---- */

static void publish_inline(const struct tenant *tenant, const struct tenant_spec *spec,
                           int64_t age_ms, struct cw_buf *problems)
{
    for (size_t i = 0; i < spec->n_issuers; i++) {
        char why[CW_JWK_WHY_SIZE] = "";
        if (spec->issuers[i].jwks.n &&
            cw_key_source_publish(tenant->issuers[i].keys, spec->issuers[i].jwks, age_ms, why) !=
                CW_OK) {
            cw_buf_addf(problems, "%.*s: keys of %.*s: %s\n", CW_STR_ARG(spec->name),
                        CW_STR_ARG(spec->issuers[i].issuer), why);
        }
    }
}

static enum cw_err learn_one(struct tenants *tenants,
                             const Clinicwave__Identity__V1__Tenant *message,
                             struct cw_arena *arena, int64_t age_ms, struct cw_buf *problems,
                             struct tenant **ret)
{
    struct tenant_spec spec;

    TRY(learned_spec(message, arena, &spec));
    ENSURE(tenant_spec_check(&spec, "learned tenant", problems), CW_CONFIG_INVALID);
    TRY(obtain(tenants, tenants->learned, tenants->n_learned, &spec, ret));
    publish_inline(*ret, &spec, age_ms, problems);
    return CW_OK;
}

static enum cw_err learn(struct tenants *tenants,
                         const Clinicwave__Identity__V1__WatchResponse *message, int64_t age_ms,
                         struct cw_buf *problems)
{
    struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(SPEC_ARENA);
    struct tenant **list = calloc(message->n_tenants + 1, sizeof(struct tenant *));
    size_t n = 0;

    ENSURE(list, CW_NO_MEMORY);
    for (size_t i = 0; i < message->n_tenants; i++) {
        cw_arena_reset(&arena);
        if (!has_name(list, n, cw_str(message->tenants[i]->name)) &&
            learn_one(tenants, message->tenants[i], &arena, age_ms, problems, &list[n]) == CW_OK) {
            n++;
        }
    }
    free_list(tenants->learned, tenants->n_learned);
    tenants->learned = list;
    tenants->n_learned = n;
    return publish(tenants);
}

static void confirm(struct tenants *tenants)
{
    for (size_t i = 0; i < tenants->n_learned; i++) {
        for (size_t j = 0; j < tenants->learned[i]->n_issuers; j++) {
            cw_key_source_confirm(tenants->learned[i]->issuers[j].keys);
        }
    }
}

/* A message from the feed (age 0) or from disk. */
static enum cw_err take(struct tenants *tenants, struct cw_str packed, int64_t age_ms,
                        struct cw_buf *problems)
{
    Clinicwave__Identity__V1__WatchResponse *message =
        clinicwave__identity__v1__watch_response__unpack(NULL, packed.n, (const uint8_t *)packed.p);
    enum cw_err err = CW_OK;

    ENSURE(message, CW_REQUEST_MALFORMED);
    bool same = tenants->epoch && strcmp(tenants->epoch, message->epoch) == 0 &&
                message->generation == atomic_load(&tenants->feed_generation);
    if (same) {
        confirm(tenants);
    } else if (message->heartbeat) {
        /* The database behind the feed is another one, or we missed something: ask for all. */
        atomic_store(&tenants->feed_generation, 0);
        err = CW_CONFLICT;
    } else {
        err = learn(tenants, message, age_ms, problems);
        if (err == CW_OK) {
            free(tenants->epoch);
            tenants->epoch = strdup(message->epoch);
            atomic_store(&tenants->feed_generation, message->generation);
        }
        if (err == CW_OK && age_ms == 0 && tenants->path[0] &&
            cw_key_disk_write(tenants->path, packed, cw_clock_wall_s(tenants->config.clock)) !=
                CW_OK) {
            cw_buf_addf(problems, "tenants cannot be kept in %s\n", tenants->path);
        }
    }
    clinicwave__identity__v1__watch_response__free_unpacked(message, NULL);
    return err;
}

enum cw_err tenants_learn(struct tenants *tenants, struct cw_str packed, struct cw_buf *problems)
{
    pthread_mutex_lock(&tenants->build);
    enum cw_err err = take(tenants, packed, 0, problems);
    pthread_mutex_unlock(&tenants->build);
    if (err == CW_OK) {
        atomic_store(&tenants->feed_ms, CW_MAX(cw_clock_monotonic_ms(tenants->config.clock), 1));
    }
    return err;
}

static void load(struct tenants *tenants)
{
    struct cw_buf file CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(TENANTS_FEED_MAX);
    struct cw_buf problems CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(TENANTS_PROBLEMS_MAX);
    struct cw_str packed;
    int64_t at = 0;

    if (cw_key_disk_read(tenants->path, &file, &packed, &at) == CW_OK) {
        int64_t age = cw_clock_wall_ms(tenants->config.clock) - at * 1000;
        /* At least 1: what comes from disk is not written back. */
        if (take(tenants, packed, CW_MAX(age, 1), &problems) != CW_OK) {
            atomic_store(&tenants->feed_generation, 0);
        }
    }
}

uint64_t tenants_feed_generation(struct tenants *tenants)
{
    return atomic_load(&tenants->feed_generation);
}

int64_t tenants_feed_age_ms(struct tenants *tenants)
{
    int64_t at = atomic_load(&tenants->feed_ms);

    return at ? cw_clock_monotonic_ms(tenants->config.clock) - at : -1;
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
            load(tenants);
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
    free_list(tenants->learned, tenants->n_learned);
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
