/* Server reflection: tools such as grpcurl learn here what a server offers. v1 and v1alpha are the
 * same on the wire. */
#include <stdlib.h>
#include <string.h>

#include "common/rpc/server_internal.h"
#include "common/rpc/symbols.h"
#include "grpc/reflection/v1/reflection.pb-c.h"

extern const struct cw_rpc_descriptor cw_rpc_kit_descriptors[];

enum { MAX_SERVICES = 64 };

typedef Grpc__Reflection__V1__ServerReflectionRequest request_message;
typedef Grpc__Reflection__V1__ServerReflectionResponse response_message;

struct cw_rpc_reflection {
    struct cw_rpc_server *server;
    struct cw_rpc_symbols *symbols;
    struct cw_rpc_method methods[2];
};

static void send_error(struct cw_rpc_stream *stream, response_message *response,
                       enum cw_grpc_status status, const char *text)
{
    char copy[64];
    strncpy(copy, text, sizeof copy - 1);
    copy[sizeof copy - 1] = '\0';
    Grpc__Reflection__V1__ErrorResponse error = GRPC__REFLECTION__V1__ERROR_RESPONSE__INIT;
    error.error_code = (int32_t)status;
    error.error_message = copy;
    response->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_ERROR_RESPONSE;
    response->error_response = &error;
    cw_rpc_stream_send_message(stream, &response->base);
}

static void send_files(struct cw_rpc_stream *stream, response_message *response,
                       const struct cw_rpc_descriptor **files, size_t n)
{
    if (n == 0) {
        send_error(stream, response, CW_GRPC_NOT_FOUND, "not found");
        return;
    }
    ProtobufCBinaryData data[CW_RPC_MAX_FILES];
    for (size_t i = 0; i < n; i++) {
        union {
            const unsigned char *in;
            uint8_t *data;
        } bytes = {.in = files[i]->bytes};
        data[i] = (ProtobufCBinaryData){.len = files[i]->n, .data = bytes.data};
    }
    Grpc__Reflection__V1__FileDescriptorResponse answer =
        GRPC__REFLECTION__V1__FILE_DESCRIPTOR_RESPONSE__INIT;
    answer.n_file_descriptor_proto = n;
    answer.file_descriptor_proto = data;
    response->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_FILE_DESCRIPTOR_RESPONSE;
    response->file_descriptor_response = &answer;
    cw_rpc_stream_send_message(stream, &response->base);
}

/* Service names of the listener, each once. */
static size_t services_list(const struct cw_rpc_server *server, uint32_t listener,
                            char names[][256])
{
    size_t n = 0;
    for (size_t t = 0; t < server->n_tables; t++) {
        for (size_t i = 0; i < server->tables[t].n && n < MAX_SERVICES; i++) {
            const struct cw_rpc_method *method = &server->tables[t].methods[i];
            struct cw_str name = cw_rpc_service_of(method);
            bool listed = !(method->listeners & listener) || name.n >= 256;
            for (size_t j = 0; j < n && !listed; j++) {
                listed = cw_str_is(name, names[j]);
            }
            if (!listed) {
                memcpy(names[n], name.p, name.n);
                names[n++][name.n] = '\0';
            }
        }
    }
    return n;
}

static void send_services(struct cw_rpc_stream *stream, response_message *response)
{
    const struct cw_rpc_reflection *reflection = cw_rpc_stream_ctx(stream);
    char names[MAX_SERVICES][256];
    size_t n = services_list(reflection->server, cw_rpc_stream_listener(stream), names);
    Grpc__Reflection__V1__ServiceResponse services[MAX_SERVICES];
    Grpc__Reflection__V1__ServiceResponse *list[MAX_SERVICES];
    for (size_t i = 0; i < n; i++) {
        grpc__reflection__v1__service_response__init(&services[i]);
        services[i].name = names[i];
        list[i] = &services[i];
    }
    Grpc__Reflection__V1__ListServiceResponse answer =
        GRPC__REFLECTION__V1__LIST_SERVICE_RESPONSE__INIT;
    answer.n_service = n;
    answer.service = list;
    response->message_response_case =
        GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_LIST_SERVICES_RESPONSE;
    response->list_services_response = &answer;
    cw_rpc_stream_send_message(stream, &response->base);
}

static void on_message(struct cw_rpc_stream *stream, const ProtobufCMessage *message)
{
    const struct cw_rpc_reflection *reflection = cw_rpc_stream_ctx(stream);
    union {
        const ProtobufCMessage *in;
        request_message *out;
    } request = {.in = message};
    response_message response = GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__INIT;
    response.valid_host = request.out->host;
    response.original_request = request.out;
    const struct cw_rpc_descriptor *files[CW_RPC_MAX_FILES];
    size_t n;
    switch (request.out->message_request_case) {
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES:
        send_services(stream, &response);
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_BY_FILENAME:
        n = cw_rpc_symbols_by_file(reflection->symbols, request.out->file_by_filename, files);
        send_files(stream, &response, files, n);
        break;
    case GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_FILE_CONTAINING_SYMBOL:
        n = cw_rpc_symbols_by_symbol(reflection->symbols, request.out->file_containing_symbol,
                                     files);
        send_files(stream, &response, files, n);
        break;
    default: /* extensions: proto3 has none */
        send_error(stream, &response, CW_GRPC_UNIMPLEMENTED, "not implemented");
        break;
    }
}

static const struct cw_rpc_stream_ops ops = {.on_message = on_message};

enum cw_err cw_rpc_reflection_new(struct cw_rpc_server *server,
                                  struct cw_rpc_reflection **ret_reflection)
{
    static const char *const paths[] = {
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    };
    struct cw_rpc_reflection *reflection = calloc(1, sizeof *reflection);
    ENSURE(reflection, CW_NO_MEMORY);
    *ret_reflection = reflection;
    reflection->server = server;
    for (size_t i = 0; i < CW_ARRAY_SIZE(paths); i++) {
        reflection->methods[i] = (struct cw_rpc_method){
            .path = paths[i],
            .kind = CW_RPC_BIDI,
            .listeners = server->config.reflection,
            .request = &grpc__reflection__v1__server_reflection_request__descriptor,
            .stream = &ops,
        };
    }
    const struct cw_rpc_descriptor *tables[] = {cw_rpc_kit_descriptors, server->config.descriptors};
    TRY(cw_rpc_symbols_new(tables, CW_ARRAY_SIZE(tables), &reflection->symbols));
    return cw_rpc_server_add(server, reflection->methods, CW_ARRAY_SIZE(reflection->methods),
                             reflection);
}

void cw_rpc_reflection_free(struct cw_rpc_reflection *reflection)
{
    if (reflection) {
        cw_rpc_symbols_free(reflection->symbols);
        free(reflection);
    }
}
