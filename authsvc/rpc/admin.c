/* The table of AdminService, and what its handlers share: who calls, the way through a worker. */
#include "authsvc/rpc/admin.h"

#include <stdlib.h>
#include <string.h>

#include "authsvc/rpc/admin_impl.h"
#include "authsvc/rpc/identity.h"

void admin_finish(struct admin_job *job, enum cw_err err, const ProtobufCMessage *response)
{
    if (err == CW_OK) {
        cw_rpc_reply(job->call, response);
    } else {
        cw_buf_add_char(&job->detail, '\0');
        bool told = job->detail.n > 1 && cw_buf_check(&job->detail) == CW_OK;
        cw_rpc_fail(job->call, err, told ? job->detail.p : NULL);
    }
    cw_buf_done(&job->detail);
    cw_arena_done(&job->arena);
    free(job);
}

void **admin_append(struct admin_job *job, void ***list, size_t *n)
{
    bool full = (*n & (*n - 1)) == 0; /* at 0, 1, 2, 4, 8 … the list doubles */
    if (full) {
        void **grown = cw_arena_alloc(&job->arena, CW_MAX(*n * 2, 1) * sizeof(void *));
        if (grown == NULL) {
            return NULL;
        }
        if (*n > 0) {
            memcpy((void *)grown, (void *)*list, *n * sizeof(void *));
        }
        *list = grown;
    }
    return &(*list)[(*n)++];
}

size_t admin_page(int32_t page_size)
{
    return page_size <= 0 ? ADMIN_PAGE_DEFAULT : (size_t)CW_MIN(page_size, ADMIN_PAGE_MAX);
}

enum cw_err admin_strings(struct admin_job *job, char *const *list, size_t n,
                          const struct cw_str **ret_list)
{
    struct cw_str *strings = cw_arena_zalloc(&job->arena, (n + 1) * sizeof(*strings));
    ENSURE(strings != NULL, CW_NO_MEMORY);
    for (size_t i = 0; i < n; i++) {
        strings[i] = cw_str(list[i]);
    }
    *ret_list = strings;
    return CW_OK;
}

/* RFC 6750 §2.1, as metadata. */
static struct cw_str bearer_of(const struct cw_rpc_call *call)
{
    struct cw_str value = cw_rpc_call_metadata(call, "authorization");
    struct cw_str scheme = CW_STR("Bearer ");
    return cw_str_starts(value, scheme) ? cw_str_slice(value, scheme.n, value.n) : CW_STR("");
}

static void run_job(void *arg)
{
    struct admin_job *job = arg;
    job->run(job);
}

static void hand_over(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx,
                      void (*run)(struct admin_job *job))
{
    const struct admin_door *door = ctx;
    struct admin_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        cw_rpc_fail(call, CW_NO_MEMORY, NULL);
        return;
    }
    *job = (struct admin_job){
        .door = door,
        .call = call,
        .request = request,
        .caller = {.local = cw_rpc_call_listener(call) == LISTENER_ADMIN,
                   .uid = cw_rpc_call_peer(call).uid,
                   .access_token = bearer_of(call)},
        .detail = CW_BUF_INIT(ADMIN_DETAIL_MAX),
        .arena = CW_ARENA_INIT(ADMIN_ANSWER_MAX),
        .run = run,
    };
    cw_rpc_call_defer(call);
    enum cw_err err = cw_work_submit(door->work, run_job, job);
    if (err != CW_OK) {
        free(job);
        cw_rpc_fail(call, err == CW_SHUTTING_DOWN ? err : CW_TOO_MANY_REQUESTS, NULL);
    }
}

#define METHOD(Name, name)                                                                         \
    static void on_##name(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)    \
    {                                                                                              \
        hand_over(call, request, ctx, rpc_admin_##name);                                           \
    }
#include "authsvc/rpc/admin_methods.def"
#undef METHOD

const struct cw_rpc_method admin_methods[] = {
#define METHOD(Name, name)                                                                         \
    {.path = "/clinicwave.identity.v1.AdminService/" #Name,                                        \
     .kind = CW_RPC_UNARY,                                                                         \
     .listeners = LISTENER_ADMIN | LISTENER_AUTHSVC,                                               \
     .request = &clinicwave__identity__v1__##name##_request__descriptor,                           \
     .unary = on_##name},
#include "authsvc/rpc/admin_methods.def"
#undef METHOD
};
const size_t admin_n_methods = CW_ARRAY_SIZE(admin_methods);
