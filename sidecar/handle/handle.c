/* The method table of the validator: what is offered on which socket. */
#include "sidecar/handle/handle.h"

#include <stdlib.h>

#include "proto/clinicwave/token/v1/admin.pb-c.h"
#include "sidecar/handle/admin.h"
#include "sidecar/handle/job.h"
#include "sidecar/handle/validate.h"
#include "sidecar/listeners.h"

enum { ADMIN_QUEUE = 16 };

#define TOKEN "/clinicwave.token.v1.TokenService/"
#define ADMIN "/clinicwave.token.v1.TokenAdminService/"

#define ADMIN_METHOD(name, message, handler)                                                       \
    {                                                                                              \
        .path = ADMIN name, .kind = CW_RPC_UNARY, .listeners = ON_ADMIN,                           \
        .request = &clinicwave__token__v1__##message##__descriptor, .unary = handler               \
    }

const struct cw_rpc_method handle_methods[] = {
    {.path = TOKEN "Validate",
     .kind = CW_RPC_UNARY,
     .listeners = ON_SIDECAR | ON_ADMIN,
     .unary = validate_unary},
    {.path = TOKEN "ValidateStream",
     .kind = CW_RPC_BIDI,
     .listeners = ON_GATEWAY,
     .stream = &validate_stream_ops},
    ADMIN_METHOD("ListKeys", list_keys_request, admin_list_keys),
    ADMIN_METHOD("RefreshKeys", refresh_keys_request, admin_refresh_keys),
    ADMIN_METHOD("GetCacheStats", get_cache_stats_request, admin_cache_stats),
    ADMIN_METHOD("FlushCache", flush_cache_request, admin_flush_cache),
    ADMIN_METHOD("GetHealth", get_health_request, admin_health),
    ADMIN_METHOD("ListTenants", list_tenants_request, admin_list_tenants),
};
const size_t handle_n_methods = CW_ARRAY_SIZE(handle_methods);

enum cw_err handle_new(const struct handle_config *config, struct handle **ret_handle)
{
    struct handle *handle = calloc(1, sizeof(*handle));

    ENSURE(handle, CW_NO_MEMORY);
    handle->config = *config;
    handle->started_ms = cw_clock_monotonic_ms(config->clock);
    handle->jobs_max = 2 * config->queue_max;
    enum cw_err err = pool_new("cw-verify", config->verifiers, config->queue_max, job_run, job_idle,
                               &handle->pool);
    if (err == CW_OK) {
        err = cw_work_new("admin", 1, ADMIN_QUEUE, &handle->admin);
    }
    if (err != CW_OK) {
        if (handle->pool) {
            handle_stop(handle);
        }
        handle_free(handle);
        return err;
    }
    *ret_handle = handle;
    return CW_OK;
}

void handle_stop(struct handle *handle)
{
    pool_stop(handle->pool);
    if (handle->admin) {
        cw_work_stop(handle->admin);
    }
}

void handle_free(struct handle *handle)
{
    if (!handle) {
        return;
    }
    cw_work_free(handle->admin);
    pool_free(handle->pool);
    free(handle);
}

unsigned handle_depth(struct handle *handle)
{
    return pool_depth(handle->pool);
}
