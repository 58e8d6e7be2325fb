/* Reads authsvc.registry.* and keeps the registration at the sidecar. */
#include "authsvc/main/registration.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "authsvc/main/events.h"
#include "common/base/user.h"
#include "common/discovery/registration.h"

enum { LEAVE_MS = 1000, TARGET_SIZE = 256 };

struct registration {
    struct cw_rpc_channel *channel;
    struct cw_registration *entry;
    int64_t delay_ms;
};

static void changed(void *ctx, const char *id, const struct cw_rpc_answer *how)
{
    (void)ctx;
    if (id != NULL) {
        CW_LOG(&events[EVENT_REGISTERED], cw_log_cstr("service.node.name", id));
    } else {
        CW_LOG(&events[EVENT_UNREGISTERED], cw_log_err(how->err),
               cw_log_cstr("error.message", how->message));
    }
}

/* Only a socket of the sidecar's user is believed. */
static enum cw_err open_channel(const char *socket, const char *user, struct cw_buf *message,
                                struct cw_rpc_channel **ret_channel)
{
    char target[TARGET_SIZE];
    uid_t uid = 0;
    if (snprintf(target, sizeof(target), "unix:%s", socket) >= (int)sizeof(target)) {
        cw_buf_add_cstr(message, "authsvc.registry.socket: too long");
        return CW_CONFIG_INVALID;
    }
    if (user != NULL && cw_user_find(user, &uid) != CW_OK) {
        cw_buf_addf(message, "authsvc.registry.user: there is no user \"%s\"", user);
        return CW_CONFIG_INVALID;
    }
    TRY(cw_rpc_channel_new(target, 0, ret_channel));
    return cw_rpc_channel_guard(*ret_channel, socket, &uid, 1);
}

enum cw_err registration_start(const struct cw_config *config, struct cw_rpc_runtime *runtime,
                               struct cw_buf *ret_message, struct registration **ret)
{
    struct cw_config_at root = cw_config_root(config);
    const char *socket = cw_config_string(&root, "authsvc.registry.socket");
    const char *address = cw_config_string(&root, "authsvc.registry.address");
    *ret = NULL;
    if (socket == NULL) {
        return CW_OK;
    }
    struct registration *registration = calloc(1, sizeof(*registration));
    ENSURE(registration != NULL, CW_NO_MEMORY);
    registration->delay_ms = cw_config_ms(&root, "authsvc.registry.shutdown-delay");
    enum cw_err err = open_channel(socket, cw_config_string(&root, "authsvc.registry.user"),
                                   ret_message, &registration->channel);
    if (err == CW_OK) {
        const struct cw_registration_options options = {
            .runtime = runtime,
            .channel = registration->channel,
            .application = cw_config_string(&root, "authsvc.registry.application"),
            .address = address != NULL ? address : cw_config_string(&root, "authsvc.rest.address"),
            .port = (uint16_t)cw_config_int(&root, "authsvc.rest.port"),
            .management_port = (uint16_t)cw_config_int(&root, "authsvc.management.port"),
            .changed = changed,
        };
        err = cw_registration_new(&options, &registration->entry);
    }
    if (err != CW_OK) {
        registration_free(registration);
        return err;
    }
    *ret = registration;
    return CW_OK;
}

bool registration_stands(const struct registration *registration)
{
    return registration != NULL && cw_registration_stands(registration->entry);
}

void registration_drain(struct registration *registration)
{
    if (registration == NULL) {
        return;
    }
    bool stands = registration_stands(registration);
    cw_registration_drain(registration->entry); /* also for a stream that comes back meanwhile */
    if (!stands) {
        return; /* nobody to wait for */
    }
    struct timespec left = {.tv_sec = registration->delay_ms / 1000,
                            .tv_nsec = registration->delay_ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0) {
    }
}

void registration_free(struct registration *registration)
{
    if (registration != NULL) {
        cw_registration_free(registration->entry, LEAVE_MS);
        cw_rpc_channel_free(registration->channel);
        free(registration);
    }
}
