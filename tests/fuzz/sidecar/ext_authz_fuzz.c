/* Any bytes as Envoy's question, through all that happens to it before and after a token is judged:
 * nothing is read past its end, what is let through reads in one way, and no answer is empty.
 * Targets: edge_path, edge_bearer, edge_is_joined, request_read, route_read, response_allow,
 * response_deny. */
#include <stdlib.h>
#include <string.h>

#include "common/jose/compact.h"
#include "common/rpc/unpack.h"
#include "sidecar/ext_authz/edge.h"
#include "sidecar/ext_authz/response.h"
#include "sidecar/ext_authz/route.h"

enum { MEMORY = 256 * 1024, ENTRIES_MAX = 64 };

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static bool contains(struct cw_str s, const char *what)
{
    return s.n > 0 && memmem(s.p, s.n, what, strlen(what)) != NULL;
}

static void try_path(struct cw_str path, struct cw_arena *arena)
{
    static const char *const never[] = {"//", "/../", "/./", ";", "\\", "#", "%2f", "%2F", "%00"};

    if (edge_path(path, arena) != CW_OK) {
        return;
    }
    struct cw_str raw = cw_str_slice(path, 0, cw_str_find(path, '?'));
    require(raw.n > 0 && raw.p[0] == '/');
    for (size_t i = 0; i < CW_ARRAY_SIZE(never); i++) {
        require(!contains(raw, never[i]));
    }
    require(!cw_str_ends(raw, CW_STR("/..")) && !cw_str_ends(raw, CW_STR("/.")));
}

static void try_bearer(struct cw_str value)
{
    struct cw_str token = {0};

    (void)edge_is_joined(value);
    if (edge_bearer(value, &token) == CW_OK) {
        require(token.n > 0 && token.n <= CW_JWS_TOKEN_MAX);
        require(token.p > value.p && token.p + token.n == value.p + value.n);
        require(cw_str_find(token, ' ') == token.n && cw_str_find(token, ',') == token.n);
        require(!edge_is_joined(value));
    }
}

static void try_route(const Envoy__Service__Auth__V3__AttributeContext *attributes,
                      struct cw_arena *arena)
{
    struct cw_buf why CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(ROUTE_WHY_MAX);
    struct route_entry entries[ENTRIES_MAX];
    size_t n = CW_MIN(attributes->n_context_extensions, (size_t)ENTRIES_MAX);
    struct route route;

    for (size_t i = 0; i < n; i++) {
        entries[i].key = cw_str(attributes->context_extensions[i]->key);
        entries[i].value = cw_str(attributes->context_extensions[i]->value);
    }
    if (route_read(entries, n, arena, &why, &route) == CW_OK) {
        require(route.auth >= ROUTE_REQUIRED && route.auth <= ROUTE_OFF && route.rule);
        require(route_is_quotable(route.realm));
        route_done(&route);
    }
}

static void try_answers(const struct request *request, struct cw_arena *arena)
{
    const struct refusal refusal = {
        .err = CW_TOKEN_EXPIRED, .realm = CW_STR("r"), .trace_id = "", .grpc = request->grpc};
    const struct who who = {.values = {[WHO_SUBJECT] = CW_STR("anna")}};
    const Envoy__Service__Auth__V3__CheckResponse *allow =
        response_allow(arena, request, &who, false);
    const Envoy__Service__Auth__V3__CheckResponse *deny = response_deny(arena, &refusal);

    require(!allow || envoy__service__auth__v3__check_response__get_packed_size(allow) > 0);
    require(!deny || deny->status->code != 0);
    for (size_t i = 0; allow && i < allow->ok_response->n_headers_to_remove; i++) {
        require(strcmp(allow->ok_response->headers_to_remove[i], "x-auth-subject") != 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cw_arena arena CW_CLEANUP(cw_arena_done) = CW_ARENA_INIT(MEMORY);
    struct cw_str bytes = {(const char *)data, size};
    struct request request;

    if (size == 0 || size > 8192) {
        return 0;
    }
    try_path(bytes, &arena);
    try_bearer(bytes);
    const Envoy__Service__Auth__V3__CheckRequest *message =
        (const Envoy__Service__Auth__V3__CheckRequest *)cw_rpc_message_unpack(
            &envoy__service__auth__v3__check_request__descriptor, bytes, &arena);
    if (message && message->attributes) {
        try_route(message->attributes, &arena);
    }
    if (message && request_read(message, &arena, &request) == CW_OK) {
        try_path(request.path, &arena);
        try_bearer(request.authorization);
        try_answers(&request, &arena);
    }
    return 0;
}
