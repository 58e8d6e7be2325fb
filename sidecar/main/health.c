/* What the sidecar says about itself, to people (GetHealth) and to probes (/actuator/health). Ready
 * means: configuration loaded, sockets up, tenants known. An issuer's trouble is a detail, unless
 * the configuration requires that issuer. */
#include <stdio.h>
#include <string.h>

#include "sidecar/main/sidecar.h"

enum { NAME_MAX_SIZE = 512, FEED_LATE_MS = 30 * 1000 };

static size_t count_tenants(struct sidecar *sidecar)
{
    struct tenants_set *set = tenants_get(sidecar->tenants);
    size_t n = tenants_set_count(set);

    tenants_set_unref(set);
    return n;
}

static bool feed_configured(const struct sidecar *sidecar)
{
    return sidecar->feed != NULL;
}

/* ---- GetHealth ---- */

struct listing {
    handle_add_health *add;
    void *to;
    int64_t now_s;
};

static void add_issuer(void *ctx, struct cw_key_source *source,
                       const struct cw_key_source_info *info)
{
    struct listing *listing = ctx;
    bool usable = info->set && !info->stale;
    char name[NAME_MAX_SIZE];
    char detail[NAME_MAX_SIZE];

    (void)source;
    snprintf(name, sizeof(name), "keys:%s", info->issuer);
    snprintf(detail, sizeof(detail), "tenant %s, %zu keys from %s%s%s", info->tenant,
             info->set ? cw_jwks_count(info->set) : 0, info->place, info->why[0] ? ": " : "",
             info->why);
    listing->add(listing->to,
                 &(struct handle_health){
                     .name = name,
                     .status = usable && !info->failed     ? HANDLE_UP
                               : usable || !info->required ? HANDLE_DEGRADED
                                                           : HANDLE_DOWN,
                     .counts = true,
                     .detail = detail,
                     .age_s = info->fetched_at ? CW_MAX(listing->now_s - info->fetched_at, 0) : -1,
                     .remedy = usable && !info->failed ? "" : "cwctl keys list",
                 });
}

static void add_registry(struct sidecar *sidecar, handle_add_health *add, void *to)
{
    struct registry_store_stats stats;
    char detail[128];

    registry_stats(sidecar->registry, &stats);
    snprintf(detail, sizeof(detail), "%zu instances of %zu applications, %zu unreachable%s",
             stats.instances, stats.apps, stats.unreachable,
             stats.provisional ? "; provisional since the start" : "");
    add(to, &(struct handle_health){
                .name = "registry",
                .status = HANDLE_UP,
                .counts = false,
                .detail = detail,
                .age_s = 0,
                .remedy = stats.unreachable ? "cwctl instances" : "",
            });
}

static void add_eureka(struct sidecar *sidecar, handle_add_health *add, void *to)
{
    struct eureka_stats stats;
    char detail[2 * NAME_MAX_SIZE];

    if (!registry_eureka_stats(sidecar->registry, &stats)) {
        return;
    }
    /* What the servers list and nobody can use is theirs to mend: it is told, and this sidecar is
     * well. */
    bool well = !stats.late && !stats.refusal[0] && stats.registered == stats.wanted;
    snprintf(detail, sizeof(detail),
             "%zu instances from %s%s, %zu held, %zu left out, %zu duplicates; %zu of %zu "
             "registered%s%s%s%s",
             stats.instances, stats.server[0] ? stats.server : "no server yet",
             stats.late ? ", late" : "", stats.held, stats.left_out, stats.duplicates,
             stats.registered, stats.wanted, stats.error[0] ? "; " : "", stats.error,
             stats.refusal[0] ? "; registering: " : "", stats.refusal);
    add(to, &(struct handle_health){
                .name = "registry:eureka",
                .status = well ? HANDLE_UP : HANDLE_DEGRADED,
                .counts = true,
                .detail = detail,
                .age_s = stats.age_ms < 0 ? -1 : stats.age_ms / 1000,
                .remedy = well ? "" : "is the Eureka server up? registry.eureka.servers",
            });
}

static void add_revocations(struct sidecar *sidecar, handle_add_health *add, void *to)
{
    int64_t age = revocations_age_ms(sidecar->revocations, cw_clock_monotonic_ms(&cw_clock_system));
    struct cw_config_at at = cw_config_root(sidecar->first);
    bool stale = age > cw_config_ms(&at, "sidecar.authsvc.max-stale");
    bool late = age > FEED_LATE_MS;

    add(to, &(struct handle_health){
                .name = "feed:revocations",
                .status = stale  ? HANDLE_DOWN
                          : late ? HANDLE_DEGRADED
                                 : HANDLE_UP,
                .counts = true,
                .detail = stale  ? "too old to decide by for authsvc's issuers"
                          : late ? "authsvc does not answer; what is known is applied"
                                 : "current",
                .age_s = age / 1000,
                .remedy = late ? "is cw-authsvc running?" : "",
            });
}

void health_list(void *ctx, handle_add_health *add, void *to)
{
    struct sidecar *sidecar = ctx;
    struct listing listing = {add, to, cw_clock_wall_s(&cw_clock_system)};
    size_t n = count_tenants(sidecar);
    int64_t age = tenants_feed_age_ms(sidecar->tenants);
    char detail[64];

    snprintf(detail, sizeof(detail), "%zu tenants", n);
    add(to, &(struct handle_health){
                .name = "tenants",
                .status = n ? HANDLE_UP : HANDLE_DOWN,
                .counts = true,
                .detail = detail,
                .age_s = 0,
                .remedy = n ? "" : "cwctl config check FILE",
            });
    if (feed_configured(sidecar)) {
        bool late = age < 0 || age > FEED_LATE_MS;
        add(to, &(struct handle_health){
                    .name = "feed:tenants",
                    .status = late ? HANDLE_DEGRADED : HANDLE_UP,
                    .counts = true,
                    .detail = late ? "authsvc does not answer; known tenants are served on"
                                   : "connected to authsvc",
                    .age_s = age < 0 ? -1 : age / 1000,
                    .remedy = late ? "is cw-authsvc running?" : "",
                });
    }
    if (sidecar->revocations) {
        add_revocations(sidecar, add, to);
    }
    cw_key_store_each(sidecar->keys, add_issuer, &listing);
    add_registry(sidecar, add, to);
    add_eureka(sidecar, add, to);
}

/* ---- actuator ---- */

static enum cw_health check_tenants(void *ctx, json_t *details)
{
    struct sidecar *sidecar = ctx;
    size_t n = count_tenants(sidecar);

    json_object_set_new(details, "tenants", json_integer((json_int_t)n));
    return n ? CW_HEALTH_UP : CW_HEALTH_OUT_OF_SERVICE;
}

static enum cw_health check_sockets(void *ctx, json_t *details)
{
    struct sidecar *sidecar = ctx;
    bool serving = __atomic_load_n(&sidecar->serving, __ATOMIC_ACQUIRE);

    json_object_set_new(details, "serving", json_boolean(serving));
    return serving ? CW_HEALTH_UP : CW_HEALTH_OUT_OF_SERVICE;
}

struct key_check {
    json_t *details;
    enum cw_health health;
};

static void check_issuer(void *ctx, struct cw_key_source *source,
                         const struct cw_key_source_info *info)
{
    struct key_check *check = ctx;
    bool usable = info->set && !info->stale;
    char name[NAME_MAX_SIZE];

    (void)source;
    if (!usable && info->required) {
        check->health = CW_HEALTH_OUT_OF_SERVICE;
    }
    snprintf(name, sizeof(name), "%s %s", info->tenant, info->issuer);
    json_object_set_new(check->details, name,
                        json_pack("{s:b,s:b,s:I,s:I,s:s}", "usable", usable, "required",
                                  info->required, "keys",
                                  (json_int_t)(info->set ? cw_jwks_count(info->set) : 0),
                                  "fetchedAt", (json_int_t)info->fetched_at, "error", info->why));
}

static enum cw_health check_keys(void *ctx, json_t *details)
{
    struct sidecar *sidecar = ctx;
    struct key_check check = {details, CW_HEALTH_UP};

    cw_key_store_each(sidecar->keys, check_issuer, &check);
    return check.health;
}

static enum cw_health check_registry(void *ctx, json_t *details)
{
    struct sidecar *sidecar = ctx;
    struct registry_store_stats stats;
    struct eureka_stats eureka;

    registry_stats(sidecar->registry, &stats);
    json_object_set_new(details, "instances", json_integer((json_int_t)stats.instances));
    json_object_set_new(details, "applications", json_integer((json_int_t)stats.apps));
    json_object_set_new(details, "unreachable", json_integer((json_int_t)stats.unreachable));
    json_object_set_new(details, "provisional", json_boolean(stats.provisional));
    if (registry_eureka_stats(sidecar->registry, &eureka)) {
        json_object_set_new(
            details, "eureka",
            json_pack("{s:s,s:I,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:s}", "server", eureka.server,
                      "ageSeconds", (json_int_t)(eureka.age_ms < 0 ? -1 : eureka.age_ms / 1000),
                      "late", eureka.late, "instances", (json_int_t)eureka.instances, "held",
                      (json_int_t)eureka.held, "leftOut", (json_int_t)eureka.left_out, "duplicates",
                      (json_int_t)eureka.duplicates, "wanted", (json_int_t)eureka.wanted,
                      "registered", (json_int_t)eureka.registered, "error", eureka.error, "refusal",
                      eureka.refusal));
    }
    return CW_HEALTH_UP; /* an empty registry is no fault, and one that is old is better than none
                          */
}

void health_components(struct sidecar *sidecar,
                       struct cw_health_component ret_components[SIDECAR_COMPONENTS])
{
    ret_components[0] = (struct cw_health_component){
        .name = "tenants", .groups = CW_HEALTH_READINESS, .check = check_tenants, .ctx = sidecar};
    ret_components[1] = (struct cw_health_component){
        .name = "sockets", .groups = CW_HEALTH_READINESS, .check = check_sockets, .ctx = sidecar};
    ret_components[2] = (struct cw_health_component){
        .name = "keys", .groups = CW_HEALTH_READINESS, .check = check_keys, .ctx = sidecar};
    ret_components[3] =
        (struct cw_health_component){.name = "registry", .check = check_registry, .ctx = sidecar};
}
