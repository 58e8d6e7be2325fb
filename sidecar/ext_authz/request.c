/* Headers come as a map, or, with `encode_raw_headers`, one by one as they were sent. */
#include "sidecar/ext_authz/request.h"

#include "sidecar/ext_authz/edge.h"

/* Those that Envoy, too, takes for gRPC: its answer is then made of trailers. */
static bool is_grpc(struct cw_str type)
{
    struct cw_str grpc = CW_STR("application/grpc");

    return cw_str_starts(type, grpc) && (type.n == grpc.n || type.p[grpc.n] == '+');
}

static enum cw_err take_header(struct request *request, const char *key, struct cw_str value,
                               struct cw_arena *arena)
{
    struct cw_str name = cw_str(key);

    switch (edge_name(name)) {
    case EDGE_AUTHORIZATION:
        request->authorization = request->authorizations ? request->authorization : value;
        request->authorizations++;
        return CW_OK;
    case EDGE_FORGED:
        request->forged[request->n_forged] = cw_arena_dup(arena, name);
        ENSURE(request->forged[request->n_forged], CW_NO_MEMORY);
        request->n_forged++;
        return CW_OK;
    case EDGE_OTHER:
    default:
        if (cw_str_is(name, "content-type")) {
            request->grpc = is_grpc(value);
        } else if (cw_str_is(name, "traceparent")) {
            request->traceparent = value;
        } else if (request->host.n == 0 && cw_str_is(name, ":authority")) {
            request->host = value;
        } else if (request->path.n == 0 && cw_str_is(name, ":path")) {
            request->path = value;
        }
        return CW_OK;
    }
}

static struct cw_str raw_value(const Envoy__Config__Core__V3__HeaderValue *header)
{
    return header->raw_value.len
               ? (struct cw_str){(const char *)header->raw_value.data, header->raw_value.len}
               : cw_str(header->value);
}

enum cw_err request_read(const Envoy__Service__Auth__V3__CheckRequest *message,
                         struct cw_arena *arena, struct request *ret_request)
{
    ENSURE(message->attributes && message->attributes->request &&
               message->attributes->request->http,
           CW_REQUEST_MALFORMED);
    const Envoy__Service__Auth__V3__AttributeContext__HttpRequest *http =
        message->attributes->request->http;
    size_t n_raw = http->header_map ? http->header_map->n_headers : 0;
    struct request request = {
        .host = cw_str(http->host),
        .path = cw_str(http->path),
        .forged =
            cw_arena_alloc(arena, (http->n_headers + n_raw + 1) * sizeof(*ret_request->forged)),
    };

    ENSURE(request.forged, CW_NO_MEMORY);
    for (size_t i = 0; i < http->n_headers; i++) {
        TRY(take_header(&request, http->headers[i]->key, cw_str(http->headers[i]->value), arena));
    }
    for (size_t i = 0; i < n_raw; i++) {
        const Envoy__Config__Core__V3__HeaderValue *header = http->header_map->headers[i];
        TRY(take_header(&request, header->key, raw_value(header), arena));
    }
    ENSURE(request.path.n > 0, CW_REQUEST_MALFORMED); /* CONNECT has none */
    *ret_request = request;
    return CW_OK;
}
