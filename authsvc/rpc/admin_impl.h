/* What the handlers of AdminService share. */
#ifndef AUTHSVC_RPC_ADMIN_IMPL_H
#define AUTHSVC_RPC_ADMIN_IMPL_H

#include "authsvc/rpc/admin.h"
#include "clinicwave/identity/v1/admin.pb-c.h"

#define ADMIN_PB(name) Clinicwave__Identity__V1__##name

enum {
    ADMIN_DETAIL_MAX = 16 * 1024,
    ADMIN_ANSWER_MAX = 16 * 1024 * 1024, /* bytes of a list on its way into an answer */
    ADMIN_PAGE_DEFAULT = 100,
    ADMIN_PAGE_MAX = 1000,
};

/* A call on its way through a worker. */
struct admin_job {
    const struct admin_door *door;
    struct cw_rpc_call *call;
    const ProtobufCMessage *request; /* in the call's arena */
    struct admin_caller caller;
    struct cw_buf detail;
    struct cw_arena arena; /* of the answer */
    /* Does it and answers by admin_finish. */
    void (*run)(struct admin_job *job);
};

/* Answers, the message or the error; the job is gone. */
void admin_finish(struct admin_job *job, enum cw_err err, const ProtobufCMessage *response);
/* A copy in the answer's arena, NULL without memory. */
static inline char *admin_text(struct admin_job *job, struct cw_str s)
{
    return cw_arena_dup(&job->arena, s);
}
static inline struct cw_str admin_bytes(ProtobufCBinaryData b)
{
    return (struct cw_str){(const char *)b.data, b.len};
}
/* The name of a page's last entry, after which the next page begins; borrowed. */
static inline ProtobufCBinaryData admin_last(char *name)
{
    return (ProtobufCBinaryData){cw_str(name).n, (uint8_t *)name};
}
/* One more place at the end of a list of pointers in the answer's arena; NULL without memory. */
void **admin_append(struct admin_job *job, void ***list, size_t *n);
/* What a request asks for, within bounds. */
size_t admin_page(int32_t page_size);
/* Strings of a message, in the answer's arena. */
CW_MUST_USE enum cw_err admin_strings(struct admin_job *job, char *const *list, size_t n,
                                      const struct cw_str **ret_list);

/* A JSON array of the store as strings in the answer's arena. */
CW_MUST_USE enum cw_err admin_list(struct admin_job *job, struct cw_str json, char ***ret_list,
                                   size_t *ret_n);

#define METHOD(Name, name) void rpc_admin_##name(struct admin_job *job);
#include "authsvc/rpc/admin_methods.def"
#undef METHOD

#endif
