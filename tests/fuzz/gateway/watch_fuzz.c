/* Any bytes as a WatchResponse: what the gateway accepts it can walk to the end, within bounds, and
 * protobuf-c finds the same applications in it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "clinicwave/discovery/v1/discovery.pb-c.h"
#include "edge-gateway/ngx_http_cw_watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition) {
        abort();
    }
}

static size_t walk(ngx_str_t message)
{
    ngx_http_cw_watch_app_t app;
    ngx_http_cw_watch_instance_t instance;
    size_t apps = 0;
    ngx_int_t rc;
    while ((rc = ngx_http_cw_watch_app(&message, &app)) == NGX_OK) {
        apps++;
        while ((rc = ngx_http_cw_watch_instance(&app.instances, &instance)) != NGX_DONE) {
            require(rc == NGX_OK || rc == NGX_DECLINED);
            require(instance.weight >= 1 && instance.weight <= NGX_HTTP_CW_WEIGHT_MAX);
            require(rc == NGX_DECLINED || instance.socklen > 0);
        }
    }
    require(rc == NGX_DONE);
    return apps;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char *bytes = malloc(size + 1);
    memcpy(bytes, data, size);
    ngx_str_t message = {size, bytes};
    ngx_http_cw_watch_snapshot_t snapshot;
    if (ngx_http_cw_watch_snapshot(&message, &snapshot) == NGX_OK) {
        size_t apps = walk(message);
        Clinicwave__Discovery__V1__WatchResponse *theirs =
            clinicwave__discovery__v1__watch_response__unpack(NULL, size, bytes);
        if (theirs) {
            require(theirs->n_applications == apps);
            require(theirs->generation == snapshot.generation);
            clinicwave__discovery__v1__watch_response__free_unpacked(theirs, NULL);
        }
    }
    free(bytes);
    return 0;
}
