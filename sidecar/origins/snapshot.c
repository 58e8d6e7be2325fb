/* Tenants become a message. */
#include "sidecar/origins/snapshot.h"

#include <stdlib.h>

typedef Clinicwave__Token__V1__TenantOrigins tenant_message;

enum {
    FIELD_HEAD = 6,   /* bytes before a length-delimited field, at most */
    MESSAGE_HEAD = 32 /* epoch, generation, provisional */
};

static enum cw_err copy(struct cw_arena *arena, struct cw_str s, char **to, size_t *size)
{
    *to = cw_arena_dup(arena, s);
    ENSURE(*to, CW_NO_MEMORY);
    *size += FIELD_HEAD + s.n;
    return CW_OK;
}

/* `size`: bytes that it takes, or somewhat more. */
static enum cw_err fill(const struct tenants_set *set, const struct tenant *tenant,
                        struct cw_arena *arena, tenant_message *message, size_t *size)
{
    clinicwave__token__v1__tenant_origins__init(message);
    message->domains = cw_arena_zalloc(arena, (tenant->domains.n + 1) * sizeof(char *));
    message->origins = cw_arena_zalloc(arena, (tenant->origins.n + 1) * sizeof(char *));
    ENSURE(message->domains && message->origins, CW_NO_MEMORY);
    *size += FIELD_HEAD;
    for (size_t i = 0; i < tenant->domains.n; i++) {
        /* One that another tenant had first is that one's. */
        if (tenants_set_find(set, tenant->domains.items[i]) == tenant) {
            TRY(copy(arena, tenant->domains.items[i], &message->domains[message->n_domains], size));
            message->n_domains++;
        }
    }
    for (size_t i = 0; i < tenant->origins.n; i++) {
        TRY(copy(arena, tenant->origins.items[i], &message->origins[i], size));
        message->n_origins++;
    }
    return CW_OK;
}

enum cw_err snapshot_make(const struct tenants_set *set, size_t max, struct cw_arena *arena,
                          snapshot_message *ret_message, size_t *ret_left_out)
{
    size_t n = tenants_set_count(set);
    size_t size = MESSAGE_HEAD;

    clinicwave__token__v1__watch_response__init(ret_message);
    ret_message->tenants = cw_arena_zalloc(arena, (n + 1) * sizeof(tenant_message *));
    ENSURE(ret_message->tenants, CW_NO_MEMORY);
    *ret_left_out = 0;
    for (size_t i = 0; i < n; i++) {
        const struct tenant *tenant = tenants_set_at(set, i);
        if (tenant->origins.n == 0) {
            continue;
        }
        size_t before = size;
        tenant_message *message = *ret_left_out ? NULL : cw_arena_alloc(arena, sizeof(*message));
        ENSURE(message || *ret_left_out, CW_NO_MEMORY);
        if (message) {
            TRY(fill(set, tenant, arena, message, &size));
        }
        if (!message || size > max) { /* once one does not fit, none after it does */
            size = before;
            ++*ret_left_out;
        } else {
            ret_message->tenants[ret_message->n_tenants++] = message;
        }
    }
    return CW_OK;
}

enum cw_err snapshot_digest(const snapshot_message *message,
                            unsigned char ret_digest[CW_SHA256_SIZE])
{
    size_t n = clinicwave__token__v1__watch_response__get_packed_size(message);
    uint8_t *packed = malloc(n + 1);

    ENSURE(packed, CW_NO_MEMORY);
    clinicwave__token__v1__watch_response__pack(message, packed);
    enum cw_err err = cw_sha256((struct cw_str){(const char *)packed, n}, ret_digest);
    free(packed);
    return err;
}
