/* `cwctl instances`: what the registry knows, and why an instance gets no traffic. */
#include <string.h>

#include "cwctl/ask.h"
#include "proto/clinicwave/discovery/v1/discovery.pb-c.h"

static const char *status_name(Clinicwave__Discovery__V1__InstanceStatus status)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
        &clinicwave__discovery__v1__instance_status__descriptor, (int)status);
    return value ? value->name + strlen("INSTANCE_STATUS_") : "?";
}

static void print_instance(const Clinicwave__Discovery__V1__Instance *instance)
{
    printf("  %-14s ", status_name(instance->status));
    if (instance->socket_path[0]) {
        printf("unix:%s", REMOTE_CLEAN(instance->socket_path));
    } else {
        bool six = strchr(instance->address, ':') != NULL;
        printf("%s%s%s:%u%s", six ? "[" : "", REMOTE_CLEAN(instance->address), six ? "]" : "",
               instance->port, instance->secure ? " (TLS)" : "");
    }
    printf("  %s  %s", REMOTE_CLEAN(instance->source), REMOTE_CLEAN(instance->instance_id));
    if (instance->unreachable[0]) {
        printf("  gets no traffic: %s", REMOTE_CLEAN(instance->unreachable));
    }
    printf("\n");
}

static void print_all(const ProtobufCMessage *message)
{
    const Clinicwave__Discovery__V1__LookupResponse *response =
        (const Clinicwave__Discovery__V1__LookupResponse *)message;
    for (size_t i = 0; i < response->n_applications; i++) {
        const Clinicwave__Discovery__V1__Application *application = response->applications[i];
        printf("%s\n", REMOTE_CLEAN(application->name));
        for (size_t k = 0; k < application->n_instances; k++) {
            print_instance(application->instances[k]);
        }
        if (!application->n_instances) {
            printf("  no instance\n");
        }
    }
    if (response->provisional) {
        printf("provisional: the registry has just started, removals wait\n");
    }
}

static const struct ask lookup = {
    .socket = "admin.sock",
    .method = "/clinicwave.discovery.v1.DiscoveryService/Lookup",
    .request = &clinicwave__discovery__v1__lookup_request__descriptor,
    .response = &clinicwave__discovery__v1__lookup_response__descriptor,
    .arguments = {{"application", NULL, "APPLICATION", NULL, false}},
    .print = print_all,
};

const struct command command_instances = {
    .group = "instances",
    .arguments = "[APPLICATION]",
    .summary = "Registered instances of services.",
    .run = ask_run,
    .ask = &lookup,
};
