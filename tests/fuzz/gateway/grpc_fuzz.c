/* ngx_http_cw_grpc_read: whatever the bytes and however they are cut, the same messages come out,
 * and none above the bound. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "edge-gateway/ngx_http_cw_grpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 4096 };

struct sum {
    uint64_t hash;
    size_t messages;
};

static ngx_int_t add(void *data, u_char *p, size_t len)
{
    struct sum *sum = data;
    if (len > MAX) {
        abort();
    }
    sum->messages++;
    for (size_t i = 0; i < len; i++) {
        sum->hash = (sum->hash ^ p[i]) * 1099511628211u;
    }
    sum->hash = (sum->hash ^ len) * 1099511628211u;
    return NGX_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    size_t piece = data[0] ? data[0] : 1;
    u_char *bytes = malloc(size);
    memcpy(bytes, data, size);
    struct sum whole = {0}, cut = {0};
    ngx_http_cw_grpc_reader_t a = {.max = MAX}, b = {.max = MAX};
    ngx_int_t rc = ngx_http_cw_grpc_read(&a, bytes + 1, size - 1, add, &whole);
    ngx_int_t rc_cut = NGX_OK;
    for (size_t at = 1; at < size && rc_cut == NGX_OK; at += piece) {
        rc_cut =
            ngx_http_cw_grpc_read(&b, bytes + at, piece < size - at ? piece : size - at, add, &cut);
    }
    if (rc != rc_cut || whole.hash != cut.hash || whole.messages != cut.messages) {
        abort();
    }
    ngx_http_cw_grpc_reader_done(&a);
    ngx_http_cw_grpc_reader_done(&b);
    free(bytes);
    return 0;
}
