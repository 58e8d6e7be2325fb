/* Instances as messages of clinicwave.discovery.v1. */
#include "sidecar/registry/watch.h"

#include <string.h>

typedef Clinicwave__Discovery__V1__Instance Message;
typedef Clinicwave__Discovery__V1__Instance__MetadataEntry Pair;

/* An administrator's word takes an instance out; it does not bring one back. */
static enum cw_eureka_status effective(const struct registry_item *item)
{
    enum cw_eureka_status own = item->instance->eureka.status;
    return own == CW_EUREKA_UP && item->override != CW_EUREKA_UNKNOWN ? item->override : own;
}

static Clinicwave__Discovery__V1__InstanceStatus status(const struct registry_item *item)
{
    if (item->gone) {
        return CLINICWAVE__DISCOVERY__V1__INSTANCE_STATUS__INSTANCE_STATUS_DOWN;
    }
    switch (effective(item)) {
    case CW_EUREKA_UP:
        return CLINICWAVE__DISCOVERY__V1__INSTANCE_STATUS__INSTANCE_STATUS_UP;
    case CW_EUREKA_STARTING:
        return CLINICWAVE__DISCOVERY__V1__INSTANCE_STATUS__INSTANCE_STATUS_STARTING;
    case CW_EUREKA_OUT_OF_SERVICE:
        return CLINICWAVE__DISCOVERY__V1__INSTANCE_STATUS__INSTANCE_STATUS_OUT_OF_SERVICE;
    case CW_EUREKA_DOWN:
    case CW_EUREKA_UNKNOWN:
    case CW_EUREKA_STATUS_COUNT:
        break;
    }
    return CLINICWAVE__DISCOVERY__V1__INSTANCE_STATUS__INSTANCE_STATUS_DOWN;
}

/* protobuf-c wants char *; nobody writes through it. */
static char *text(const char *s)
{
    const char *from = s != NULL ? s : protobuf_c_empty_string;
    char *mine;
    memcpy(&mine, &from, sizeof(mine));
    return mine;
}

enum { GATEWAY_PAIRS = 2, WEIGHT_MAX = 8, ZONE_MAX = 64 };

/* All that a gateway has a use for: what anybody may write at length must not outgrow its message.
 */
static struct cw_eureka_pairs gateway_metadata(const struct cw_eureka_instance *eureka,
                                               struct cw_eureka_pair pairs[GATEWAY_PAIRS])
{
    size_t n = 0;
    const char *weight = cw_eureka_pairs_find(eureka->metadata, "weight");
    if (weight != NULL && strlen(weight) <= WEIGHT_MAX) {
        pairs[n++] = (struct cw_eureka_pair){"weight", weight};
    }
    const char *zone = cw_eureka_pairs_find(eureka->metadata, "zone");
    if (zone == NULL) { /* who says nothing on EC2 is where its data center says */
        zone = cw_eureka_pairs_find(eureka->data_center_metadata, "availability-zone");
    }
    if (zone != NULL && strlen(zone) <= ZONE_MAX) {
        pairs[n++] = (struct cw_eureka_pair){"zone", zone};
    }
    return (struct cw_eureka_pairs){pairs, n};
}

static enum cw_err pack_metadata(struct cw_arena *arena, struct cw_eureka_pairs pairs, Message *m)
{
    Pair *entries = cw_arena_alloc(arena, (pairs.n + 1) * sizeof(*entries));
    m->metadata = cw_arena_alloc(arena, (pairs.n + 1) * sizeof(Pair *));
    ENSURE(entries != NULL && m->metadata != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < pairs.n; i++) {
        clinicwave__discovery__v1__instance__metadata_entry__init(&entries[i]);
        entries[i].key = text(pairs.p[i].key);
        entries[i].value = text(pairs.p[i].value);
        m->metadata[i] = &entries[i];
    }
    m->n_metadata = pairs.n;
    return CW_OK;
}

static enum cw_err pack_item(struct cw_arena *arena, const struct registry_item *item,
                             bool for_gateway, Message *m)
{
    const struct registry_instance *instance = item->instance;
    bool secure = false;
    clinicwave__discovery__v1__instance__init(m);
    m->instance_id = text(instance->id);
    m->application = text(instance->eureka.app);
    m->source = text(registry_source_name(instance->source));
    m->status = status(item);
    m->port = registry_instance_port(instance, &secure);
    m->secure = secure;
    if (instance->socket_path != NULL) {
        m->socket_path = text(instance->socket_path);
        m->port = 0;
    } else {
        m->address = text(instance->eureka.ip_addr);
    }
    if (for_gateway) {
        struct cw_eureka_pair pairs[GATEWAY_PAIRS];
        return pack_metadata(arena, gateway_metadata(&instance->eureka, pairs), m);
    }
    m->health_path = text(instance->health_path);
    m->unreachable = text(registry_reach_name(item->reach));
    return pack_metadata(arena, instance->eureka.metadata, m);
}

/* Those that take requests first, so that a bound cuts off the others. */
static bool in_turn(const struct registry_item *item, bool for_gateway, bool up)
{
    bool is_up = !item->gone && effective(item) == CW_EUREKA_UP;
    return for_gateway ? item->reach == REGISTRY_REACHABLE && is_up == up : !item->gone && up;
}

enum cw_err registry_pack_app(struct cw_arena *arena, const char *name,
                              const struct registry_app *app, bool for_gateway, size_t max,
                              Clinicwave__Discovery__V1__Application **ret_message)
{
    size_t n = app != NULL ? app->n : 0;
    Clinicwave__Discovery__V1__Application *message = cw_arena_alloc(arena, sizeof(*message));
    Message *instances = cw_arena_alloc(arena, (n + 1) * sizeof(*instances));
    Message **list = cw_arena_alloc(arena, (n + 1) * sizeof(*list));
    ENSURE(message != NULL && instances != NULL && list != NULL, CW_NO_MEMORY);
    clinicwave__discovery__v1__application__init(message);
    message->name = text(name);
    message->instances = list;
    for (size_t i = 0; i < 2 * n && message->n_instances < max; i++) {
        const struct registry_item *item = &app->items[i % n];
        if (!in_turn(item, for_gateway, i < n)) {
            continue;
        }
        TRY(pack_item(arena, item, for_gateway, &instances[message->n_instances]));
        list[message->n_instances] = &instances[message->n_instances];
        message->n_instances++;
    }
    *ret_message = message;
    return CW_OK;
}
