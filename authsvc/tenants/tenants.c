/* Finds tenants by domain, clients by id; swaps the set on reload. */
#include "authsvc/tenants/tenants.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { SET_MAX = 64 * 1024 * 1024 }; /* bytes of all tenants */

struct tenant_set *tenant_set_new(void)
{
    struct tenant_set *set = calloc(1, sizeof(*set));
    if (set != NULL) {
        atomic_init(&set->refs, 1);
        set->arena = (struct cw_arena)CW_ARENA_INIT(SET_MAX);
    }
    return set;
}

struct tenant_set *tenant_set_ref(struct tenant_set *set)
{
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void tenant_set_unref(struct tenant_set *set)
{
    if (set != NULL && atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) == 1) {
        cw_arena_done(&set->arena);
        free(set);
    }
}

static int compare_str(struct cw_str a, struct cw_str b)
{
    int order = memcmp(a.p, b.p, CW_MIN(a.n, b.n));
    return order != 0 ? order : (a.n > b.n) - (a.n < b.n);
}

static int compare_domains(const void *a, const void *b)
{
    const struct tenant_domain *x = a;
    const struct tenant_domain *y = b;
    return compare_str(x->domain, y->domain);
}

enum cw_err tenant_set_index(struct tenant_set *set, struct cw_str *ret_domain)
{
    size_t n = 0;
    for (size_t i = 0; i < set->n; i++) {
        n += set->tenants[i].n_domains;
    }
    set->index = cw_arena_alloc(&set->arena, (n > 0 ? n : 1) * sizeof(*set->index));
    ENSURE(set->index != NULL, CW_NO_MEMORY);
    set->n_index = 0;
    for (size_t i = 0; i < set->n; i++) {
        for (size_t d = 0; d < set->tenants[i].n_domains; d++) {
            set->index[set->n_index++] =
                (struct tenant_domain){set->tenants[i].domains[d], &set->tenants[i]};
        }
    }
    qsort(set->index, set->n_index, sizeof(*set->index), compare_domains);
    for (size_t i = 1; i < set->n_index; i++) {
        if (cw_str_eq(set->index[i - 1].domain, set->index[i].domain)) {
            *ret_domain = set->index[i].domain;
            return CW_CONFLICT;
        }
    }
    return CW_OK;
}

const struct tenant *tenant_set_by_host(const struct tenant_set *set, struct cw_str host)
{
    char name[CW_DOMAIN_MAX + 1];
    if (cw_domain_normalize(host, name) != CW_OK) {
        return NULL;
    }
    const struct tenant_domain key = {.domain = cw_str(name)};
    const struct tenant_domain *found =
        bsearch(&key, set->index, set->n_index, sizeof(key), compare_domains);
    return found != NULL ? found->tenant : NULL;
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
    for (size_t i = 0; i < client->n_origins; i++) {
        if (cw_str_eq(origin, client->origins[i])) {
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
