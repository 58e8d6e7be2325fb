/* A server that offers a little of common/rpc on one socket, for clients of other makes.
 * Usage: server SOCKET. Serves until its standard input ends; `down` and `up` lines there set
 * health. */
#include <stdio.h>
#include <string.h>

#include "clinicwave/token/v1/token.pb-c.h"
#include "common/rpc/server.h"

extern const struct cw_rpc_descriptor interop_descriptors[];

/* The domain says how the call shall end: "" well, else by the error with that code. */
static void validate(struct cw_rpc_call *call, const ProtobufCMessage *message, void *ctx)
{
    (void)ctx;
    const Clinicwave__Token__V1__ValidateRequest *request = (const void *)message;
    Clinicwave__Token__V1__ValidateResponse response =
        CLINICWAVE__TOKEN__V1__VALIDATE_RESPONSE__INIT;
    if (request->domain[0]) {
        cw_rpc_fail(call, cw_err_from_code(request->domain, strlen(request->domain)), NULL);
    } else {
        cw_rpc_reply(call, &response.base);
    }
}

static void on_bytes(struct cw_rpc_stream *stream, struct cw_str bytes)
{
    (void)bytes;
    cw_rpc_stream_send(stream, CW_STR("\x0a\x02\x08\x07")); /* one result with id 7 */
}

static const struct cw_rpc_stream_ops ops = {.on_bytes = on_bytes};

static const struct cw_rpc_method methods[] = {
    {.path = "/clinicwave.token.v1.TokenService/Validate",
     .listeners = 1,
     .request = &clinicwave__token__v1__validate_request__descriptor,
     .unary = validate},
    {.path = "/clinicwave.token.v1.TokenService/ValidateStream",
     .kind = CW_RPC_BIDI,
     .listeners = 1,
     .stream = &ops},
};

int main(int argc, char **argv)
{
    if (argc != 2) {
        return 64;
    }
    struct cw_rpc_listener listener = {.name = "s", .bit = 1, .path = argv[1]};
    struct cw_rpc_server_config config = {.listeners = &listener,
                                          .n_listeners = 1,
                                          .descriptors = interop_descriptors,
                                          .reflection = 1};
    struct cw_rpc_runtime *runtime;
    struct cw_rpc_server *server;
    if (cw_rpc_runtime_new(1, &runtime) != CW_OK ||
        cw_rpc_server_new(runtime, &config, &server) != CW_OK ||
        cw_rpc_server_add(server, methods, CW_ARRAY_SIZE(methods), NULL) != CW_OK ||
        cw_rpc_server_start(server, NULL) != CW_OK) {
        return 1;
    }
    cw_rpc_server_set_serving(server, NULL, true);
    puts("ready");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin)) {
        cw_rpc_server_set_serving(server, "clinicwave.token.v1.TokenService",
                                  strcmp(line, "up\n") == 0);
    }
    cw_rpc_server_stop(server, 8000); /* longer than the tests wait */
    cw_rpc_server_free(server);
    cw_rpc_runtime_free(runtime);
    return 0;
}
