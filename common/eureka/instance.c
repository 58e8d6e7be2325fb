/* What both directions of Eureka's documents share: names of statuses, copies, metadata, the
 * reconcile hash. */
#include "common/eureka/instance.h"

#include <string.h>

static const char *const status_names[CW_EUREKA_STATUS_COUNT] = {
    [CW_EUREKA_UNKNOWN] = "UNKNOWN",
    [CW_EUREKA_UP] = "UP",
    [CW_EUREKA_DOWN] = "DOWN",
    [CW_EUREKA_STARTING] = "STARTING",
    [CW_EUREKA_OUT_OF_SERVICE] = "OUT_OF_SERVICE",
};

/* Names ascending: the order of the reconcile hash. */
static const enum cw_eureka_status hash_order[CW_EUREKA_STATUS_COUNT] = {
    CW_EUREKA_DOWN, CW_EUREKA_OUT_OF_SERVICE, CW_EUREKA_STARTING, CW_EUREKA_UNKNOWN, CW_EUREKA_UP,
};

void cw_eureka_instance_init(struct cw_eureka_instance *ret_instance)
{
    *ret_instance = (struct cw_eureka_instance){
        .status = CW_EUREKA_UP,
        .port = {.number = 7001, .enabled = true},
        .secure_port = {.number = 7002, .enabled = false},
        .country_id = 1,
        .lease = {.renewal_s = 30, .duration_s = 90},
    };
}

const char *cw_eureka_instance_id(const struct cw_eureka_instance *instance)
{
    if (instance->instance_id != NULL && instance->instance_id[0] != '\0') {
        return instance->instance_id;
    }
    const char *amazon = cw_eureka_pairs_find(instance->data_center_metadata, "instance-id");
    if (instance->data_center == CW_EUREKA_AMAZON && amazon != NULL && amazon[0] != '\0') {
        return amazon;
    }
    return instance->host_name;
}

const char *cw_eureka_pairs_find(struct cw_eureka_pairs pairs, const char *key)
{
    for (size_t i = 0; i < pairs.n; i++) {
        if (strcmp(pairs.p[i].key, key) == 0) {
            return pairs.p[i].value;
        }
    }
    return NULL;
}

static enum cw_err copy_text(struct cw_arena *arena, const char **text)
{
    if (*text != NULL) {
        *text = cw_arena_dup(arena, cw_str(*text));
        ENSURE(*text != NULL, CW_NO_MEMORY);
    }
    return CW_OK;
}

static enum cw_err copy_pairs(struct cw_arena *arena, struct cw_eureka_pairs *pairs)
{
    if (pairs->n == 0) {
        *pairs = (struct cw_eureka_pairs){0};
        return CW_OK;
    }
    struct cw_eureka_pair *copy = cw_arena_alloc(arena, pairs->n * sizeof(*copy));
    ENSURE(copy != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < pairs->n; i++) {
        copy[i] = pairs->p[i];
        TRY(copy_text(arena, &copy[i].key));
        TRY(copy_text(arena, &copy[i].value));
    }
    pairs->p = copy;
    return CW_OK;
}

enum cw_err cw_eureka_instance_copy(struct cw_arena *arena, const struct cw_eureka_instance *from,
                                    struct cw_eureka_instance *ret_copy)
{
    struct cw_eureka_instance copy = *from;
    const char **texts[] = {
        &copy.instance_id,      &copy.app,
        &copy.app_group,        &copy.asg_name,
        &copy.host_name,        &copy.ip_addr,
        &copy.vip_address,      &copy.secure_vip_address,
        &copy.home_page_url,    &copy.status_page_url,
        &copy.health_check_url, &copy.secure_health_check_url,
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(texts); i++) {
        TRY(copy_text(arena, texts[i]));
    }
    TRY(copy_pairs(arena, &copy.data_center_metadata));
    TRY(copy_pairs(arena, &copy.metadata));
    *ret_copy = copy;
    return CW_OK;
}

enum cw_err cw_eureka_pairs_merge(struct cw_arena *arena, struct cw_eureka_pairs base,
                                  struct cw_eureka_pairs change, struct cw_eureka_pairs *ret_pairs)
{
    struct cw_eureka_pair *all = cw_arena_alloc(arena, (base.n + change.n + 1) * sizeof(*all));
    ENSURE(all != NULL, CW_NO_MEMORY);
    size_t n = base.n;
    if (n > 0) {
        memcpy(all, base.p, n * sizeof(*all));
    }
    for (size_t i = 0; i < change.n; i++) {
        size_t at = 0;
        while (at < n && strcmp(all[at].key, change.p[i].key) != 0) {
            at++;
        }
        all[at] = change.p[i];
        n += at == n;
    }
    ENSURE(n <= CW_EUREKA_PAIRS_MAX, CW_REQUEST_MALFORMED);
    *ret_pairs = (struct cw_eureka_pairs){.p = all, .n = n};
    return CW_OK;
}

const char *cw_eureka_status_name(enum cw_eureka_status status)
{
    return (unsigned)status < CW_EUREKA_STATUS_COUNT ? status_names[status] : status_names[0];
}

enum cw_eureka_status cw_eureka_status_parse(struct cw_str s)
{
    for (size_t i = 0; i < CW_EUREKA_STATUS_COUNT; i++) {
        if (cw_str_is(s, status_names[i])) {
            return (enum cw_eureka_status)i;
        }
    }
    return CW_EUREKA_UNKNOWN;
}

const char *cw_eureka_action_name(enum cw_eureka_action action)
{
    switch (action) {
    case CW_EUREKA_MODIFIED:
        return "MODIFIED";
    case CW_EUREKA_DELETED:
        return "DELETED";
    case CW_EUREKA_ADDED:
        break;
    }
    return "ADDED";
}

bool cw_eureka_app_is_valid(struct cw_str app)
{
    if (app.n == 0 || app.n > CW_EUREKA_NAME_MAX) {
        return false;
    }
    for (size_t i = 0; i < app.n; i++) {
        char c = app.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool digit = c >= '0' && c <= '9';
        if (!letter && !digit && (c == '\0' || strchr("._:-", c) == NULL)) {
            return false;
        }
    }
    return true;
}

bool cw_eureka_id_is_valid(struct cw_str id)
{
    if (id.n == 0 || id.n > CW_EUREKA_ID_MAX || !cw_str_is_utf8(id)) {
        return false;
    }
    for (size_t i = 0; i < id.n; i++) {
        unsigned char c = (unsigned char)id.p[i];
        if (c < 0x20 || c == 0x7f) {
            return false;
        }
    }
    return true;
}

char *cw_eureka_app_upper(struct cw_arena *arena, struct cw_str app)
{
    char *upper = cw_arena_dup(arena, app);
    for (char *c = upper; c != NULL && *c != '\0'; c++) {
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
    }
    return upper;
}

char *cw_eureka_app_lower(struct cw_arena *arena, struct cw_str app)
{
    char *lower = cw_arena_dup(arena, app);
    for (char *c = lower; c != NULL && *c != '\0'; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    }
    return lower;
}

static size_t *hash_count(struct cw_eureka_hash *hash, enum cw_eureka_status status)
{
    return &hash->count[(unsigned)status < CW_EUREKA_STATUS_COUNT ? status : CW_EUREKA_UNKNOWN];
}

void cw_eureka_hash_add(struct cw_eureka_hash *hash, enum cw_eureka_status status)
{
    ++*hash_count(hash, status);
}

void cw_eureka_hash_remove(struct cw_eureka_hash *hash, enum cw_eureka_status status)
{
    --*hash_count(hash, status);
}

void cw_eureka_hash_encode(const struct cw_eureka_hash *hash, struct cw_buf *out)
{
    for (size_t i = 0; i < CW_EUREKA_STATUS_COUNT; i++) {
        enum cw_eureka_status status = hash_order[i];
        if (hash->count[status] > 0) {
            cw_buf_addf(out, "%s_%zu_", status_names[status], hash->count[status]);
        }
    }
}
