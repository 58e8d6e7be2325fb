/* Any bytes as OriginService's WatchResponse: what the gateway accepts it lays into a block of the
 * size that it said, and finds there what protobuf-c finds in it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "clinicwave/token/v1/origin.pb-c.h"
#include "edge-gateway/ngx_http_cw_origins.h"

typedef Clinicwave__Token__V1__WatchResponse Response;
typedef Clinicwave__Token__V1__TenantOrigins Tenant;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition) {
        abort();
    }
}

static int usable(const char *text, size_t max)
{
    size_t n = strlen(text);
    return n > 0 && n <= max;
}

/* protobuf-c's texts end at a NUL byte: those with one are left to the gateway alone. */
static int has_nul(const uint8_t *data, size_t size)
{
    return size > 0 && memchr(data, 0, size) != NULL;
}

/* The first tenant with this domain. */
static const Tenant *owner(const Response *theirs, const char *domain)
{
    for (size_t i = 0; i < theirs->n_tenants; i++) {
        for (size_t k = 0; k < theirs->tenants[i]->n_domains; k++) {
            if (strcmp(theirs->tenants[i]->domains[k], domain) == 0) {
                return theirs->tenants[i];
            }
        }
    }
    return NULL;
}

static ngx_str_t str(char *text)
{
    return (ngx_str_t){strlen(text), (u_char *)text};
}

static void compare(ngx_http_cw_origins_t *block, const Response *theirs)
{
    for (size_t i = 0; i < theirs->n_tenants; i++) {
        const Tenant *tenant = theirs->tenants[i];
        for (size_t k = 0; k < tenant->n_domains && k < 8; k++) {
            ngx_str_t domain = str(tenant->domains[k]);
            for (size_t o = 0; o < tenant->n_origins && o < 8; o++) {
                ngx_str_t origin = str(tenant->origins[o]);
                int wanted = usable(tenant->domains[k], NGX_HTTP_CW_ORIGIN_DOMAIN_MAX) &&
                             usable(tenant->origins[o], NGX_HTTP_CW_ORIGIN_MAX);
                if (owner(theirs, tenant->domains[k]) == tenant) {
                    require((int)ngx_http_cw_origins_find(block, &domain, &origin) == wanted);
                }
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char *bytes = malloc(size + 1);
    memcpy(bytes, data, size);
    ngx_str_t message = {size, bytes};
    ngx_http_cw_origins_snapshot_t snapshot;
    if (ngx_http_cw_origins_read(&message, &snapshot) == NGX_OK) {
        void *memory = malloc(snapshot.size);
        ngx_http_cw_origins_t *block = ngx_http_cw_origins_make(memory, &message, &snapshot);
        ngx_str_t nobody = {size < 64 ? size : 64, bytes};
        (void)ngx_http_cw_origins_find(block, &nobody, &nobody);
        Response *theirs = clinicwave__token__v1__watch_response__unpack(NULL, size, bytes);
        if (theirs) {
            require(theirs->generation == snapshot.generation && theirs->epoch == snapshot.epoch);
            if (!has_nul(data, size)) {
                compare(block, theirs);
            }
            clinicwave__token__v1__watch_response__free_unpacked(theirs, NULL);
        }
        free(memory);
    }
    free(bytes);
    return 0;
}
