/* Finds tenants by domain, clients by id; swaps the set on reload. */
#include "authsvc/tenants/tenants.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1024 }; /* bytes that a tenant's arena grows by: most need one or two */

struct tenant *tenant_new(void)
{
    struct tenant *tenant = calloc(1, sizeof(*tenant));
    if (tenant != NULL) {
        atomic_init(&tenant->refs, 1);
        tenant->arena = (struct cw_arena){.max = TENANT_ARENA_MAX, .block = BLOCK};
    }
    return tenant;
}

struct tenant *tenant_ref(struct tenant *tenant)
{
    atomic_fetch_add_explicit(&tenant->refs, 1, memory_order_relaxed);
    return tenant;
}

void tenant_unref(struct tenant *tenant)
{
    if (tenant != NULL && atomic_fetch_sub_explicit(&tenant->refs, 1, memory_order_acq_rel) == 1) {
        if (tenant->idp != NULL) {
            cw_secret_done(&tenant->idp->secret);
        }
        cw_arena_done(&tenant->arena);
        free(tenant);
    }
}

struct tenant_set *tenant_set_ref(struct tenant_set *set)
{
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void tenant_set_unref(struct tenant_set *set)
{
    if (set == NULL || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (size_t i = 0; i < set->n; i++) {
        tenant_unref(set->tenants[i]);
    }
    free((void *)set->tenants);
    free(set->index);
    free(set);
}

/* --- making a set ----------------------------------------------------------------------- */

static int compare_domains(const void *a, const void *b)
{
    const struct tenant_domain *x = a;
    const struct tenant_domain *y = b;
    return cw_str_order(x->domain, y->domain);
}

static int compare_names(const void *a, const void *b)
{
    const struct tenant *const *x = a;
    const struct tenant *const *y = b;
    return cw_str_order((*x)->name, (*y)->name);
}

/* Sorts; CW_CONFLICT where two entries are equal. */
static enum cw_err sort_unique(struct tenant_domain *entries, size_t n, const char *what,
                               struct tenant_conflict *ret_conflict)
{
    qsort(entries, n, sizeof(*entries), compare_domains);
    for (size_t i = 1; i < n; i++) {
        if (cw_str_eq(entries[i - 1].domain, entries[i].domain)) {
            *ret_conflict = (struct tenant_conflict){what, entries[i].domain, entries[i - 1].tenant,
                                                     entries[i].tenant};
            return CW_CONFLICT;
        }
    }
    return CW_OK;
}

static enum cw_err check_names(const struct tenant_set *set, struct tenant_conflict *ret_conflict)
{
    for (size_t i = 1; i < set->n; i++) {
        if (cw_str_eq(set->tenants[i - 1]->name, set->tenants[i]->name)) {
            *ret_conflict = (struct tenant_conflict){"name", set->tenants[i]->name,
                                                     set->tenants[i - 1], set->tenants[i]};
            return CW_CONFLICT;
        }
    }
    return CW_OK;
}

static enum cw_err check_issuers(const struct tenant_set *set, struct tenant_conflict *ret_conflict)
{
    struct tenant_domain *issuers = calloc(set->n + 1, sizeof(*issuers));
    ENSURE(issuers != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < set->n; i++) {
        issuers[i] = (struct tenant_domain){set->tenants[i]->issuer, set->tenants[i]};
    }
    enum cw_err err = sort_unique(issuers, set->n, "issuer", ret_conflict);
    free(issuers);
    return err;
}

static enum cw_err index_domains(struct tenant_set *set, struct tenant_conflict *ret_conflict)
{
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++) {
        n += set->tenants[i]->n_domains;
    }
    set->index = calloc(n + 1, sizeof(*set->index));
    ENSURE(set->index != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < set->n; i++) {
        for (size_t d = 0; d < set->tenants[i]->n_domains; d++) {
            set->index[set->n_index++] =
                (struct tenant_domain){set->tenants[i]->domains[d], set->tenants[i]};
        }
    }
    return sort_unique(set->index, set->n_index, "domain", ret_conflict);
}

static enum cw_err fill(struct tenant_set *set, struct tenant *const *tenants, size_t n,
                        struct tenant_conflict *ret_conflict)
{
    set->tenants = calloc(n + 1, sizeof(struct tenant *));
    ENSURE(set->tenants != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < n; i++) {
        set->tenants[set->n++] = tenant_ref(tenants[i]);
    }
    qsort((void *)set->tenants, n, sizeof(struct tenant *), compare_names);
    TRY(check_names(set, ret_conflict));
    TRY(index_domains(set, ret_conflict));
    return check_issuers(set, ret_conflict);
}

enum cw_err tenant_set_new(struct tenant *const *tenants, size_t n,
                           struct tenant_conflict *ret_conflict, struct tenant_set **ret_set)
{
    struct tenant_set *set = calloc(1, sizeof(*set));
    ENSURE(set != NULL, CW_NO_MEMORY);
    atomic_init(&set->refs, 1);
    enum cw_err err = fill(set, tenants, n, ret_conflict);
    if (err != CW_OK) {
        tenant_set_unref(set);
        return err;
    }
    *ret_set = set;
    return CW_OK;
}

/* --- finding ---------------------------------------------------------------------------- */

enum cw_err tenant_set_open(const struct tenant_set *set, struct cw_str host,
                            const struct tenant **ret_tenant)
{
    char name[CW_DOMAIN_MAX + 1];
    ENSURE(cw_domain_normalize(host, name) == CW_OK, CW_TENANT_UNKNOWN);
    const struct tenant_domain key = {.domain = cw_str(name)};
    const struct tenant_domain *found =
        bsearch(&key, set->index, set->n_index, sizeof(key), compare_domains);
    ENSURE(found != NULL, CW_TENANT_UNKNOWN);
    ENSURE(!found->tenant->disabled, CW_TENANT_DISABLED);
    *ret_tenant = found->tenant;
    return CW_OK;
}

const struct tenant *tenant_set_by_host(const struct tenant_set *set, struct cw_str host)
{
    const struct tenant *tenant = NULL;
    return tenant_set_open(set, host, &tenant) == CW_OK ? tenant : NULL;
}

const struct tenant *tenant_set_by_name(const struct tenant_set *set, struct cw_str name)
{
    const struct tenant key = {.name = name};
    const struct tenant *wanted = &key;
    struct tenant *const *found =
        bsearch((void *)&wanted, (void *)set->tenants, set->n, sizeof(wanted), compare_names);
    return found != NULL ? *found : NULL;
}

const struct tenant_client *tenant_client_find(const struct tenant *tenant, struct cw_str id)
{
    if (id.n == 0) {
        return tenant->n_clients > 0 ? &tenant->clients[0] : NULL;
    }
    for (size_t i = 0; i < tenant->n_clients; i++) {
        if (cw_str_eq(tenant->clients[i].id, id)) {
            return &tenant->clients[i];
        }
    }
    return NULL;
}

bool tenant_origin_allowed(const struct tenant *tenant, const struct tenant_client *client,
                           struct cw_str origin)
{
    if (cw_str_eq(origin, tenant->issuer_origin)) {
        return true;
    }
    const struct cw_str *origins = client->n_origins > 0 ? client->origins : tenant->origins;
    size_t n = client->n_origins > 0 ? client->n_origins : tenant->n_origins;
    for (size_t i = 0; i < n; i++) {
        if (cw_str_eq(origin, origins[i])) {
            return true;
        }
    }
    return false;
}

struct tenant_current {
    pthread_mutex_t lock; /* set */
    struct tenant_set *set;
};

struct tenant_current *tenant_current_new(struct tenant_set *set)
{
    struct tenant_current *current = calloc(1, sizeof(*current));
    if (current != NULL) {
        pthread_mutex_init(&current->lock, NULL);
        current->set = set;
    }
    return current;
}

void tenant_current_free(struct tenant_current *current)
{
    if (current != NULL) {
        tenant_set_unref(current->set);
        pthread_mutex_destroy(&current->lock);
        free(current);
    }
}

struct tenant_set *tenant_current_get(struct tenant_current *current)
{
    pthread_mutex_lock(&current->lock);
    struct tenant_set *set = tenant_set_ref(current->set);
    pthread_mutex_unlock(&current->lock);
    return set;
}

void tenant_current_swap(struct tenant_current *current, struct tenant_set *set)
{
    pthread_mutex_lock(&current->lock);
    struct tenant_set *old = current->set;
    current->set = set;
    pthread_mutex_unlock(&current->lock);
    tenant_set_unref(old);
}
