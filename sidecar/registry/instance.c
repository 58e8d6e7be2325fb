/* Makes instances out of what streams, REST, configuration and disk say, and checks what none of
 * them may get wrong. */
#include "sidecar/registry/instance.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "common/eureka/encode.h"
#include "sidecar/registry/pages.h"

enum { ARENA_BLOCK = 512 };

static bool path_is_valid(const char *path, size_t max)
{
    size_t n = strlen(path);
    if (path[0] != '/' || n > max) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)path[i] < 0x21 || path[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

/* A host name in ipAddr would let DNS choose the target later: only literals are taken, wherever
 * they come from. */
static bool address_is_valid(const char *address)
{
    struct in6_addr ignored;
    return address != NULL && (inet_pton(AF_INET, address, &ignored) == 1 ||
                               inet_pton(AF_INET6, address, &ignored) == 1);
}

static enum cw_err spec_check(const struct registry_spec *spec)
{
    const struct cw_eureka_instance *e = &spec->eureka;
    const char *id = cw_eureka_instance_id(e);
    ENSURE(e->app != NULL && cw_eureka_app_is_valid(cw_str(e->app)), CW_REQUEST_MALFORMED);
    ENSURE(id != NULL && cw_eureka_id_is_valid(cw_str(id)), CW_REQUEST_MALFORMED);
    if (spec->socket_path != NULL) {
        ENSURE(path_is_valid(spec->socket_path, REGISTRY_PATH_MAX), CW_REQUEST_MALFORMED);
    } else {
        ENSURE(e->ip_addr != NULL, CW_REQUEST_MALFORMED);
        /* Eureka itself takes any text: such an instance is listed, and not reachable */
        ENSURE(spec->source >= REGISTRY_REST || address_is_valid(e->ip_addr), CW_REQUEST_MALFORMED);
    }
    if (spec->health_path != NULL) {
        ENSURE(path_is_valid(spec->health_path, CW_EUREKA_TEXT_MAX), CW_REQUEST_MALFORMED);
    }
    return CW_OK;
}

static enum cw_err dup_text(struct cw_arena *arena, const char *from, const char **ret_copy)
{
    *ret_copy = from == NULL ? NULL : cw_arena_dup(arena, cw_str(from));
    ENSURE(from == NULL || *ret_copy != NULL, CW_NO_MEMORY);
    return CW_OK;
}

/* A service that came by other ways than Eureka's says nothing of its pages. */
static bool lacks_pages(const struct registry_spec *spec)
{
    enum registry_source origin = spec->source == REGISTRY_RESTORED ? spec->origin : spec->source;
    const struct cw_eureka_instance *e = &spec->eureka;
    return (origin == REGISTRY_LOCAL || origin == REGISTRY_STATIC) && spec->socket_path == NULL &&
           e->host_name != NULL && e->home_page_url == NULL && e->status_page_url == NULL &&
           e->health_check_url == NULL;
}

static enum cw_err fill(struct registry_instance *instance, const struct registry_spec *spec)
{
    struct cw_eureka_instance told = spec->eureka;
    struct registry_pages pages;
    if (lacks_pages(spec)) {
        registry_pages_tell(&told, spec->health_path, &pages);
    }
    TRY(cw_eureka_instance_copy(&instance->arena, &told, &instance->eureka));
    TRY(dup_text(&instance->arena, spec->socket_path, &instance->socket_path));
    TRY(dup_text(&instance->arena, spec->health_path, &instance->health_path));
    TRY(dup_text(&instance->arena, spec->check_url, &instance->check_url));
    instance->published = spec->published;
    instance->was_drained = spec->was_drained;
    instance->size = instance->arena.used;
    instance->id = cw_eureka_instance_id(&instance->eureka);
    instance->source = spec->source;
    instance->origin = spec->source == REGISTRY_RESTORED ? spec->origin : spec->source;
    atomic_init(&instance->renewal_ms, spec->eureka.lease.renewal_ms);
    return CW_OK;
}

enum cw_err registry_instance_new(const struct registry_spec *spec,
                                  struct registry_instance **ret_instance)
{
    TRY(spec_check(spec));
    struct registry_instance *instance = calloc(1, sizeof(*instance));
    ENSURE(instance != NULL, CW_NO_MEMORY);
    atomic_init(&instance->refs, 1);
    /* tens of thousands of them may be held: no page for each */
    instance->arena = (struct cw_arena){.max = CW_EUREKA_INSTANCE_MAX, .block = ARENA_BLOCK};
    enum cw_err err = fill(instance, spec);
    if (err != CW_OK) {
        registry_instance_unref(instance);
        return err;
    }
    *ret_instance = instance;
    return CW_OK;
}

struct registry_instance *registry_instance_ref(struct registry_instance *instance)
{
    atomic_fetch_add_explicit(&instance->refs, 1, memory_order_relaxed);
    return instance;
}

void registry_instance_unref(struct registry_instance *instance)
{
    if (instance != NULL &&
        atomic_fetch_sub_explicit(&instance->refs, 1, memory_order_acq_rel) == 1) {
        cw_arena_done(&instance->arena);
        free(instance);
    }
}

struct registry_spec registry_instance_spec(const struct registry_instance *instance)
{
    return (struct registry_spec){
        .eureka = instance->eureka,
        .socket_path = instance->socket_path,
        .health_path = instance->health_path,
        .source = instance->source,
        .origin = instance->origin,
        .check_url = instance->check_url,
        .published = instance->published,
        .was_drained = instance->was_drained,
    };
}

static bool text_same(const char *a, const char *b)
{
    return cw_str_eq(cw_str(a), cw_str(b));
}

/* The encoded form without times: one comparison for all members, those of later versions included.
 */
static void encode_timeless(const struct registry_instance *instance, struct cw_buf *out)
{
    struct cw_eureka_instance timeless = instance->eureka;
    timeless.last_dirty_ms = 0;
    timeless.last_updated_ms = 0;
    timeless.lease.registration_ms = 0;
    timeless.lease.service_up_ms = 0;
    struct cw_eureka_entry entry = {&timeless, 0, CW_EUREKA_ADDED};
    cw_eureka_encode_instance(CW_EUREKA_JSON, &entry, out);
}

bool registry_instance_same(const struct registry_instance *a, const struct registry_instance *b)
{
    if (a->source != b->source || !text_same(a->socket_path, b->socket_path) ||
        !text_same(a->health_path, b->health_path) || !text_same(a->check_url, b->check_url) ||
        a->published != b->published) {
        return false;
    }
    struct cw_buf first = CW_BUF_INIT(8 * CW_EUREKA_INSTANCE_MAX);
    struct cw_buf second = CW_BUF_INIT(8 * CW_EUREKA_INSTANCE_MAX);
    encode_timeless(a, &first);
    encode_timeless(b, &second);
    bool same = cw_buf_check(&first) == CW_OK && cw_buf_check(&second) == CW_OK &&
                cw_str_eq(cw_buf_str(&first), cw_buf_str(&second));
    cw_buf_done(&first);
    cw_buf_done(&second);
    return same;
}

bool registry_instance_is_own(const struct registry_instance *instance)
{
    return instance->origin == REGISTRY_LOCAL || instance->published;
}

uint16_t registry_instance_port(const struct registry_instance *instance, bool *ret_secure)
{
    const struct cw_eureka_instance *e = &instance->eureka;
    *ret_secure = e->secure_port.enabled;
    if (e->secure_port.enabled) {
        return e->secure_port.number;
    }
    return e->port.enabled ? e->port.number : 0;
}

char *registry_instance_default_id(struct cw_arena *arena, const char *host,
                                   const struct registry_spec *spec)
{
    struct cw_buf id = CW_BUF_INIT(1024);
    const char *app = cw_eureka_app_lower(arena, cw_str(spec->eureka.app));
    if (app == NULL) {
        return NULL;
    }
    cw_buf_addf(&id, "%s:%s", host, app);
    if (spec->socket_path != NULL) {
        const char *slash = strrchr(spec->socket_path, '/');
        cw_buf_addf(&id, ":%s", slash != NULL ? slash + 1 : spec->socket_path);
    } else {
        const struct cw_eureka_instance *e = &spec->eureka;
        cw_buf_addf(&id, ":%u", e->secure_port.enabled ? e->secure_port.number : e->port.number);
    }
    char *copy = cw_buf_check(&id) == CW_OK ? cw_arena_dup(arena, cw_buf_str(&id)) : NULL;
    cw_buf_done(&id);
    return copy;
}

const char *registry_source_name(enum registry_source source)
{
    switch (source) {
    case REGISTRY_STATIC:
        return "static";
    case REGISTRY_EUREKA:
        return "eureka";
    case REGISTRY_RESTORED:
        return "restored";
    case REGISTRY_LOCAL:
    case REGISTRY_REST:
        break;
    }
    return "local";
}
