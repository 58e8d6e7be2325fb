/* clinicwave.discovery.v1.DiscoveryService: services register by a stream that lives as long as
 * they do, gateways watch, operators look up. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "sidecar/listeners.h"
#include "sidecar/registry/registry_internal.h"

#define METHOD(name) "/clinicwave.discovery.v1.DiscoveryService/" name

typedef Clinicwave__Discovery__V1__Instance Message;

/* ---- Register ---- */

struct registration {
    uid_t uid;
    atomic_bool stopping; /* it ends because we do: its instance stays known */
    struct registry_lease lease;
};

static enum cw_eureka_status status_of(Clinicwave__Discovery__V1__InstanceStatus status)
{
    switch (status) {
    case CLINICWAVE__DISCOVERY__V1__INSTANCE_STATUS__INSTANCE_STATUS_UP:
        return CW_EUREKA_UP;
    case CLINICWAVE__DISCOVERY__V1__INSTANCE_STATUS__INSTANCE_STATUS_STARTING:
        return CW_EUREKA_STARTING;
    case CLINICWAVE__DISCOVERY__V1__INSTANCE_STATUS__INSTANCE_STATUS_OUT_OF_SERVICE:
        return CW_EUREKA_OUT_OF_SERVICE;
    default: /* DOWN, and what a newer client may say */
        return CW_EUREKA_DOWN;
    }
}

static const char *some(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static enum cw_err read_metadata(struct cw_arena *arena, const Message *m,
                                 struct cw_eureka_pairs *ret_pairs)
{
    ENSURE(m->n_metadata <= CW_EUREKA_PAIRS_MAX, CW_REQUEST_MALFORMED);
    struct cw_eureka_pair *pairs = cw_arena_alloc(arena, (m->n_metadata + 1) * sizeof(*pairs));
    ENSURE(pairs != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < m->n_metadata; i++) {
        pairs[i] = (struct cw_eureka_pair){m->metadata[i]->key, m->metadata[i]->value};
        ENSURE(pairs[i].key[0] != '\0' && strlen(pairs[i].key) <= CW_EUREKA_PAIR_KEY_MAX &&
                   strlen(pairs[i].value) <= CW_EUREKA_TEXT_MAX,
               CW_REQUEST_MALFORMED);
    }
    *ret_pairs = (struct cw_eureka_pairs){pairs, m->n_metadata};
    return CW_OK;
}

/* Whoever listens everywhere is reached over loopback from here; Eureka's readers elsewhere are
 * told the host's address in its place. */
static const char *address_of(const Message *m)
{
    const char *address = some(m->address);
    bool anywhere = address != NULL && registry_address_is_unspecified(cw_str(address));
    return address == NULL                ? "127.0.0.1"
           : !anywhere                    ? address
           : strchr(address, ':') != NULL ? "::1"
                                          : "127.0.0.1";
}

/* For readers of the embedded registry, who are on this host and prefer the name: one that leads to
 * the address. IPv6 literals break URLs that they make of it. */
static const char *host_name_of(const struct registry *registry, const char *address)
{
    return strchr(address, ':') == NULL                    ? address
           : registry_address_is_loopback(cw_str(address)) ? "localhost"
                                                           : registry->host;
}

static enum cw_err read_instance(const struct registry *registry, const Message *m,
                                 struct cw_arena *arena, struct registry_spec *ret_spec)
{
    ENSURE(m != NULL && cw_eureka_app_is_valid(cw_str(m->application)), CW_REQUEST_MALFORMED);
    struct registry_spec spec = {.socket_path = some(m->socket_path),
                                 .health_path = some(m->health_path)};
    struct cw_eureka_instance *e = &spec.eureka;
    cw_eureka_instance_init(e);
    e->app = cw_eureka_app_upper(arena, cw_str(m->application));
    e->vip_address = e->secure_vip_address = cw_eureka_app_lower(arena, cw_str(m->application));
    ENSURE(e->app != NULL && e->vip_address != NULL, CW_NO_MEMORY);
    e->ip_addr = address_of(m);
    e->host_name = host_name_of(registry, e->ip_addr);
    e->data_center = CW_EUREKA_MY_OWN;
    e->status = status_of(m->status);
    ENSURE(m->port <= UINT16_MAX && (spec.socket_path != NULL) == (m->port == 0),
           CW_REQUEST_MALFORMED);
    e->port = (struct cw_eureka_port){(uint16_t)m->port, !m->secure && m->port != 0};
    e->secure_port = (struct cw_eureka_port){(uint16_t)m->port, m->secure};
    TRY(read_metadata(arena, m, &e->metadata));
    e->instance_id = some(m->instance_id) != NULL
                         ? m->instance_id
                         : registry_instance_default_id(arena, registry->host, &spec);
    ENSURE(e->instance_id != NULL, CW_NO_MEMORY);
    *ret_spec = spec;
    return CW_OK;
}

static void register_open(struct cw_rpc_stream *stream, void *ctx)
{
    (void)ctx;
    struct registration *mine = calloc(1, sizeof(*mine));
    if (mine == NULL) {
        cw_rpc_stream_finish(stream, CW_NO_MEMORY, NULL);
        return;
    }
    mine->uid = cw_rpc_stream_peer(stream).uid;
    cw_rpc_stream_set_data(stream, mine);
}

static const char *refusal_text(enum cw_err err)
{
    switch (err) {
    case CW_PERMISSION_DENIED:
        return "this user may not register this application (registry.register)";
    case CW_CONFLICT:
        return "the instance id is held by another";
    case CW_REQUEST_MALFORMED:
        return "instance malformed, or not the one of this stream";
    default:
        return NULL;
    }
}

static void register_message(struct cw_rpc_stream *stream, const ProtobufCMessage *base)
{
    struct registry *registry = cw_rpc_stream_ctx(stream);
    struct registration *mine = cw_rpc_stream_data(stream);
    const Clinicwave__Discovery__V1__RegisterRequest *request = (const void *)base;
    struct cw_arena arena = CW_ARENA_INIT(CW_EUREKA_INSTANCE_MAX);
    struct registry_spec spec = {0};
    bool first = mine->lease.number == 0;
    enum cw_err err = read_instance(registry, request->instance, &arena, &spec);
    if (err == CW_OK) {
        err = registry_store_register(registry->store, mine->uid, &spec, &mine->lease);
    }
    if (err != CW_OK) {
        registry_log(REGISTRY_EVENT_REFUSED, spec.eureka.app, spec.eureka.instance_id, err);
        cw_rpc_stream_finish(stream, err, refusal_text(err));
    } else {
        Clinicwave__Discovery__V1__RegisterResponse answer;
        clinicwave__discovery__v1__register_response__init(&answer);
        answer.instance_id = mine->lease.id;
        answer.grace_seconds = registry->grace_s;
        (void)cw_rpc_stream_send_message(stream, &answer.base);
        if (first) {
            registry_log(REGISTRY_EVENT_REGISTERED, mine->lease.app, mine->lease.id, CW_OK);
        }
    }
    cw_arena_done(&arena);
}

static void register_half_close(struct cw_rpc_stream *stream)
{
    struct registry *registry = cw_rpc_stream_ctx(stream);
    struct registration *mine = cw_rpc_stream_data(stream);
    registry_store_release(registry->store, &mine->lease);
    if (mine->lease.number != 0) {
        registry_log(REGISTRY_EVENT_ENDED, mine->lease.app, mine->lease.id, CW_OK);
    }
    mine->lease.number = 0;
    cw_rpc_stream_finish(stream, CW_OK, NULL);
}

static void register_stop(struct cw_rpc_stream *stream)
{
    struct registration *mine = cw_rpc_stream_data(stream);
    if (mine != NULL) {
        atomic_store(&mine->stopping, true);
    }
    cw_rpc_stream_finish(stream, CW_SHUTTING_DOWN, NULL);
}

static void register_close(struct cw_rpc_stream *stream, enum cw_rpc_end end)
{
    struct registry *registry = cw_rpc_stream_ctx(stream);
    struct registration *mine = cw_rpc_stream_data(stream);
    if (mine != NULL && mine->lease.number != 0) {
        bool meant = end == CW_RPC_END_CANCELLED && !atomic_load(&mine->stopping);
        if (meant) {
            registry_store_release(registry->store, &mine->lease);
        } else {
            /* a stream that we refused later loses its lease like a broken one */
            registry_store_lost(registry->store, &mine->lease);
            registry_wake(registry); /* the grace period has a deadline */
        }
        registry_log(meant ? REGISTRY_EVENT_ENDED : REGISTRY_EVENT_LOST, mine->lease.app,
                     mine->lease.id, CW_OK);
    }
    free(mine);
}

/* ---- Watch ---- */

static void watch_message(struct cw_rpc_stream *stream, const ProtobufCMessage *base)
{
    struct registry *registry = cw_rpc_stream_ctx(stream);
    const Clinicwave__Discovery__V1__WatchRequest *request = (const void *)base;
    enum cw_err err = registry_watchers_add(registry->watchers, stream, request->applications,
                                            request->n_applications);
    if (err != CW_OK) {
        cw_rpc_stream_finish(stream, err,
                             err == CW_REQUEST_MALFORMED ? "names of applications are malformed"
                                                         : NULL);
        return;
    }
    registry_wake(registry);
}

static void watch_close(struct cw_rpc_stream *stream, enum cw_rpc_end end)
{
    struct registry *registry = cw_rpc_stream_ctx(stream);
    (void)end;
    registry_watchers_remove(registry->watchers, stream);
}

/* ---- Lookup ---- */

static enum cw_err lookup(struct registry_snapshot *snapshot, struct cw_arena *arena,
                          const char *application,
                          Clinicwave__Discovery__V1__LookupResponse *answer)
{
    answer->applications = cw_arena_alloc(arena, (snapshot->n + 1) * sizeof(*answer->applications));
    ENSURE(answer->applications != NULL, CW_NO_MEMORY);
    answer->provisional = snapshot->provisional;
    if (application[0] != '\0') {
        ENSURE(cw_eureka_app_is_valid(cw_str(application)), CW_REQUEST_MALFORMED);
        const char *name = cw_eureka_app_upper(arena, cw_str(application));
        ENSURE(name != NULL, CW_NO_MEMORY);
        answer->n_applications = 1;
        return registry_pack_app(arena, name, registry_snapshot_find(snapshot, name), false,
                                 SIZE_MAX, &answer->applications[0]);
    }
    for (size_t i = 0; i < snapshot->n; i++) {
        const struct registry_app *app = snapshot->apps[i];
        TRY(registry_pack_app(arena, app->name, app, false, SIZE_MAX,
                              &answer->applications[answer->n_applications++]));
    }
    return CW_OK;
}

struct lookup_task {
    struct pool_item item;
    struct registry *registry;
    struct cw_rpc_call *call;
    const char *application; /* the call's */
};

void registry_lookup_run(struct pool_item *item)
{
    enum { LOOKUP_ARENA_MAX = 64 << 20 };
    struct lookup_task *task = CW_CONTAINER_OF(item, struct lookup_task, item);
    Clinicwave__Discovery__V1__LookupResponse answer;
    clinicwave__discovery__v1__lookup_response__init(&answer);
    struct cw_arena arena = CW_ARENA_INIT(LOOKUP_ARENA_MAX);
    struct registry_snapshot *snapshot = registry_store_snapshot(task->registry->store);
    enum cw_err err =
        snapshot != NULL ? lookup(snapshot, &arena, task->application, &answer) : CW_NO_MEMORY;
    if (err == CW_OK) {
        cw_rpc_reply(task->call, &answer.base);
    } else {
        cw_rpc_fail(task->call, err, NULL);
    }
    registry_snapshot_unref(snapshot);
    cw_arena_done(&arena);
    free(task);
}

/* The whole registry takes longer to pack than the poller may be away from verdicts. Users are
 * answered in turn: who asks without end keeps nobody out. */
static void lookup_handle(struct cw_rpc_call *call, const ProtobufCMessage *base, void *ctx)
{
    struct registry *registry = ctx;
    const Clinicwave__Discovery__V1__LookupRequest *request = (const void *)base;
    struct lookup_task *task = calloc(1, sizeof(*task));
    if (task == NULL) {
        cw_rpc_fail(call, CW_NO_MEMORY, NULL);
        return;
    }
    *task = (struct lookup_task){
        .registry = registry, .call = call, .application = request->application};
    cw_rpc_call_defer(call);
    enum cw_err err = pool_submit(registry->lookups, cw_rpc_call_peer(call).uid, &task->item);
    if (err != CW_OK) {
        free(task);
        cw_rpc_fail(call, err == CW_VALIDATOR_OVERLOADED ? CW_UNAVAILABLE : err, NULL);
    }
}

/* ---- the table ---- */

static const struct cw_rpc_stream_ops register_ops = {
    .on_open = register_open,
    .on_message = register_message,
    .on_half_close = register_half_close,
    .on_stop = register_stop,
    .on_close = register_close,
};

static const struct cw_rpc_stream_ops watch_ops = {
    .on_message = watch_message,
    .on_close = watch_close,
};

const struct cw_rpc_method registry_methods[] = {
    {.path = METHOD("Register"),
     .kind = CW_RPC_BIDI,
     .listeners = ON_SIDECAR,
     .request = &clinicwave__discovery__v1__register_request__descriptor,
     .stream = &register_ops},
    {.path = METHOD("Watch"),
     .kind = CW_RPC_SERVER_STREAM,
     .listeners = ON_GATEWAY,
     .request = &clinicwave__discovery__v1__watch_request__descriptor,
     .stream = &watch_ops},
    {.path = METHOD("Lookup"),
     .kind = CW_RPC_UNARY,
     .listeners = ON_GATEWAY | ON_SIDECAR | ON_ADMIN,
     .request = &clinicwave__discovery__v1__lookup_request__descriptor,
     .unary = lookup_handle},
};

const size_t registry_n_methods = CW_ARRAY_SIZE(registry_methods);
