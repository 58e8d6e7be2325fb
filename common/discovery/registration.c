/* DiscoveryService.Register as a client. */
#include "common/discovery/registration.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "clinicwave/discovery/v1/discovery.pb-c.h"

struct cw_registration {
    struct cw_registration_options options;
    struct cw_rpc_subscription *subscription;
    _Atomic bool stands;
    _Atomic bool draining;
    _Atomic bool leaving;
};

/* protobuf-c wants char *; nobody writes through it. */
static char *text(const char *s)
{
    const char *from = s != NULL ? s : protobuf_c_empty_string;
    char *mine;
    _Static_assert(sizeof(mine) == sizeof(from), "pointers");
    __builtin_memcpy(&mine, &from, sizeof(mine));
    return mine;
}

static void say(struct cw_registration *registration, struct cw_rpc_subscription *subscription)
{
    const struct cw_registration_options *o = &registration->options;
    Clinicwave__Discovery__V1__Instance instance = CLINICWAVE__DISCOVERY__V1__INSTANCE__INIT;
    Clinicwave__Discovery__V1__Instance__MetadataEntry port =
        CLINICWAVE__DISCOVERY__V1__INSTANCE__METADATA_ENTRY__INIT;
    Clinicwave__Discovery__V1__Instance__MetadataEntry *metadata[] = {&port};
    Clinicwave__Discovery__V1__RegisterRequest request =
        CLINICWAVE__DISCOVERY__V1__REGISTER_REQUEST__INIT;
    char number[8];
    const bool draining = registration->draining;
    snprintf(number, sizeof(number), "%u", o->management_port);
    port.key = text("management.port");
    port.value = number;
    instance.application = text(o->application);
    instance.address = text(o->address);
    instance.port = o->port;
    instance.health_path = text(o->health_path);
    instance.status =
        draining ? CLINICWAVE__DISCOVERY__V1__INSTANCE_STATUS__INSTANCE_STATUS_OUT_OF_SERVICE
                 : CLINICWAVE__DISCOVERY__V1__INSTANCE_STATUS__INSTANCE_STATUS_UP;
    instance.n_metadata = o->management_port != 0;
    instance.metadata = metadata;
    request.instance = &instance;
    /* where it cannot be sent the call is about to end, and the next one says it */
    enum cw_err err = cw_rpc_subscription_send(subscription, &request.base);
    (void)err;
    if (draining != registration->draining) { /* it never goes back: once more at most */
        say(registration, subscription);
    }
}

static void on_start(struct cw_rpc_subscription *subscription, void *ctx)
{
    say(ctx, subscription);
}

static void tell(struct cw_registration *registration, const char *id,
                 const struct cw_rpc_answer *how)
{
    if (registration->options.changed != NULL && !registration->leaving) {
        registration->options.changed(registration->options.ctx, id, how);
    }
}

static void on_message(struct cw_rpc_subscription *subscription, const ProtobufCMessage *message,
                       void *ctx)
{
    struct cw_registration *registration = ctx;
    (void)subscription;
    if (!atomic_exchange(&registration->stands, true)) {
        tell(registration,
             ((const Clinicwave__Discovery__V1__RegisterResponse *)message)->instance_id, NULL);
    }
}

static void on_end(struct cw_rpc_subscription *subscription, const struct cw_rpc_answer *how,
                   void *ctx)
{
    struct cw_registration *registration = ctx;
    (void)subscription;
    registration->stands = false;
    tell(registration, NULL, how);
}

static const struct cw_rpc_subscription_ops ops = {
    .path = "/clinicwave.discovery.v1.DiscoveryService/Register",
    .response = &clinicwave__discovery__v1__register_response__descriptor,
    .on_start = on_start,
    .on_message = on_message,
    .on_end = on_end,
};

enum cw_err cw_registration_new(const struct cw_registration_options *options,
                                struct cw_registration **ret_registration)
{
    struct cw_registration *registration = calloc(1, sizeof(*registration));
    ENSURE(registration != NULL, CW_NO_MEMORY);
    registration->options = *options;
    enum cw_err err = cw_rpc_subscription_new(options->runtime, options->channel, &ops,
                                              registration, &registration->subscription);
    if (err != CW_OK) {
        free(registration);
        return err;
    }
    *ret_registration = registration;
    return CW_OK;
}

bool cw_registration_stands(const struct cw_registration *registration)
{
    return registration->stands;
}

void cw_registration_drain(struct cw_registration *registration)
{
    if (registration != NULL) {
        registration->draining = true;
        say(registration, registration->subscription);
    }
}

void cw_registration_free(struct cw_registration *registration, unsigned linger_ms)
{
    if (registration != NULL) {
        registration->leaving = true;
        cw_rpc_subscription_free(registration->subscription, linger_ms);
        free(registration);
    }
}
