/* `cwctl instances`: what the registry knows, and why an instance gets no traffic. */
#include <string.h>

#include "cwctl/remote.h"
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

static void print_all(const Clinicwave__Discovery__V1__LookupResponse *response)
{
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

static int run(const struct command *command, int argc, char **argv)
{
    const char *run_dir = NULL;
    bool json = false;
    const struct option_row rows[] = {
        {"--json", OPTION_FLAG, NULL, "one JSON object as answer", &json},
        REMOTE_RUN_DIR_OPTION(&run_dir),
        {NULL, 0, NULL, NULL, NULL},
    };
    struct operands operands;
    int code;
    if (!command_options(command, rows, argc, argv, &operands, &code)) {
        return code;
    }
    if (operands.n > 1) {
        return command_usage(command, "one application, please");
    }
    Clinicwave__Discovery__V1__LookupRequest request;
    clinicwave__discovery__v1__lookup_request__init(&request);
    if (operands.n) {
        request.application = operands.items[0];
    }
    struct cw_rpc_answer answer;
    code = COMMAND_OK;
    if (remote_call(run_dir, "admin.sock", "/clinicwave.discovery.v1.DiscoveryService/Lookup",
                    &request.base, &clinicwave__discovery__v1__lookup_response__descriptor,
                    &answer) != CW_OK) {
        code = remote_failed(command, run_dir, "admin.sock", &answer);
    } else if (json) {
        remote_print_json(answer.response);
    } else {
        print_all((const Clinicwave__Discovery__V1__LookupResponse *)answer.response);
    }
    cw_rpc_answer_done(&answer);
    return code;
}

const struct command command_instances = {
    .group = "instances",
    .arguments = "[APPLICATION]",
    .summary = "Registered instances of services.",
    .run = run,
};
