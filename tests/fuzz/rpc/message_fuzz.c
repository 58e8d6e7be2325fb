/* Target: cw_rpc_message_unpack (common/rpc/message.c), which stands before protobuf-c for every
 * unary request.
 *
 * What it lets through holds no string with a NUL or with bytes that are no UTF-8, fits into the
 * arena's bound, and packs again. The first byte chooses the message. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clinicwave/discovery/v1/discovery.pb-c.h"
#include "clinicwave/token/v1/token.pb-c.h"
#include "common/rpc/message.h"
#include "google/rpc/status.pb-c.h"
#include "grpc/reflection/v1/reflection.pb-c.h"

enum { MEMORY = 64 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void check_request(const Clinicwave__Token__V1__ValidateRequest *request)
{
    MUST(cw_str_is_utf8(cw_str(request->domain)));
    for (size_t i = 0; request->requirement && i < request->requirement->n_scopes_all; i++) {
        MUST(cw_str_is_utf8(cw_str(request->requirement->scopes_all[i])));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const kinds[] = {
        &clinicwave__token__v1__validate_request__descriptor,
        &clinicwave__token__v1__validate_stream_request__descriptor,
        &clinicwave__discovery__v1__register_request__descriptor,
        &grpc__reflection__v1__server_reflection_request__descriptor,
        &google__rpc__status__descriptor,
    };
    if (size == 0) {
        return 0;
    }
    size_t kind = data[0] % CW_ARRAY_SIZE(kinds);
    struct cw_arena arena = CW_ARENA_INIT(MEMORY);
    struct cw_str bytes = {(const char *)data + 1, size - 1};
    ProtobufCMessage *message = cw_rpc_message_unpack(kinds[kind], bytes, &arena);
    MUST(arena.used <= MEMORY);
    if (message) {
        size_t n = protobuf_c_message_get_packed_size(message);
        uint8_t *packed = malloc(n + 1);
        MUST(packed && protobuf_c_message_pack(message, packed) == n);
        free(packed);
        if (kind == 0) {
            check_request((const void *)message);
        }
    }
    cw_arena_done(&arena);
    return 0;
}
