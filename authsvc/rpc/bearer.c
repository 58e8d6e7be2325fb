/* Logout, UserInfo, ListSessions and EndSession by gRPC. */
#include <string.h>

#include "authsvc/rpc/rpc_impl.h"
#include "clinicwave/identity/v1/identity.pb-c.h"

typedef Clinicwave__Identity__V1__LogoutRequest logout_message;
typedef Clinicwave__Identity__V1__UserInfoRequest user_info_message;
typedef Clinicwave__Identity__V1__ListSessionsRequest list_message;
typedef Clinicwave__Identity__V1__EndSessionRequest end_message;
typedef Clinicwave__Identity__V1__Session session_message;

enum { CLAIMS_MAX = 64 * 1024, LIST_ARENA = 4 * 1024 * 1024 };

struct login_bearer rpc_bearer(const struct rpc_job *job, const char *domain,
                               ProtobufCBinaryData token)
{
    return (struct login_bearer){
        .domain = cw_str(domain),
        .access_token = rpc_bytes(token),
        .address = cw_str(job->address),
    };
}

static void run_logout(void *arg)
{
    struct rpc_job *job = arg;
    const logout_message *m = (const logout_message *)job->request;
    struct login_bearer bearer = rpc_bearer(job, m->domain, m->access_token);
    bearer.refresh_token = rpc_bytes(m->refresh_token);
    Clinicwave__Identity__V1__LogoutResponse response =
        CLINICWAVE__IDENTITY__V1__LOGOUT_RESPONSE__INIT;
    enum cw_err err = login_logout(job->identity->login, &bearer);
    rpc_finish(job, err, 0, &response.base);
}

static void run_user_info(void *arg)
{
    struct rpc_job *job = arg;
    const user_info_message *m = (const user_info_message *)job->request;
    const struct login_bearer bearer = rpc_bearer(job, m->domain, m->access_token);
    CW_CLEANUP(cw_buf_done) struct cw_buf claims = CW_BUF_INIT(CLAIMS_MAX);
    Clinicwave__Identity__V1__UserInfoResponse response =
        CLINICWAVE__IDENTITY__V1__USER_INFO_RESPONSE__INIT;
    enum cw_err err = login_userinfo(job->identity->login, &bearer, &claims);
    response.claims = (ProtobufCBinaryData){claims.n, (uint8_t *)claims.p};
    rpc_finish(job, err, 0, &response.base);
}

struct listing {
    struct cw_arena arena;
    session_message **sessions;
    size_t n;
    size_t cap;
};

static enum cw_err grow(struct listing *l)
{
    if (l->n < l->cap) {
        return CW_OK;
    }
    size_t cap = l->cap > 0 ? l->cap * 2 : 16;
    session_message **list = cw_arena_alloc(&l->arena, cap * sizeof(session_message *));
    ENSURE(list != NULL, CW_NO_MEMORY);
    if (l->n > 0) {
        memcpy(list, l->sessions, l->n * sizeof(session_message *));
    }
    l->sessions = list;
    l->cap = cap;
    return CW_OK;
}

static enum cw_err add_session(void *ctx, const struct store_session *s, bool current)
{
    struct listing *l = ctx;
    TRY(grow(l));
    session_message *m = cw_arena_alloc(&l->arena, sizeof(*m));
    ENSURE(m != NULL, CW_NO_MEMORY);
    clinicwave__identity__v1__session__init(m);
    m->session_id = cw_arena_dup(&l->arena, s->id);
    m->client_id = cw_arena_dup(&l->arena, s->client_id);
    m->device = cw_arena_dup(&l->arena, s->device);
    m->address = cw_arena_dup(&l->arena, s->address);
    ENSURE(m->session_id && m->client_id && m->device && m->address, CW_NO_MEMORY);
    m->started_at = s->started_at / 1000;
    m->used_at = s->used_at / 1000;
    m->expires_at = s->expires_at / 1000;
    m->current = current;
    l->sessions[l->n++] = m;
    return CW_OK;
}

static void run_list_sessions(void *arg)
{
    struct rpc_job *job = arg;
    const list_message *m = (const list_message *)job->request;
    const struct login_bearer bearer = rpc_bearer(job, m->domain, m->access_token);
    struct listing listing = {.arena = CW_ARENA_INIT(LIST_ARENA)};
    Clinicwave__Identity__V1__ListSessionsResponse response =
        CLINICWAVE__IDENTITY__V1__LIST_SESSIONS_RESPONSE__INIT;
    enum cw_err err = login_sessions(job->identity->login, &bearer, add_session, &listing);
    response.sessions = listing.sessions;
    response.n_sessions = listing.n;
    rpc_finish(job, err, 0, &response.base);
    cw_arena_done(&listing.arena);
}

static void run_end_session(void *arg)
{
    struct rpc_job *job = arg;
    const end_message *m = (const end_message *)job->request;
    const struct login_bearer bearer = rpc_bearer(job, m->domain, m->access_token);
    Clinicwave__Identity__V1__EndSessionResponse response =
        CLINICWAVE__IDENTITY__V1__END_SESSION_RESPONSE__INIT;
    enum cw_err err = login_end_session(job->identity->login, &bearer, cw_str(m->session_id));
    rpc_finish(job, err, 0, &response.base);
}

/* --- handlers, on the poller ------------------------------------------------------------ */

static void hand_over(struct cw_rpc_call *call, const ProtobufCMessage *request, const char *domain,
                      void *ctx, void (*run)(void *arg))
{
    const struct identity *identity = ctx;
    rpc_hand_over(call, request, identity, domain, "", identity->refreshes, run);
}

void rpc_logout(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    hand_over(call, request, ((const logout_message *)request)->domain, ctx, run_logout);
}

void rpc_user_info(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    hand_over(call, request, ((const user_info_message *)request)->domain, ctx, run_user_info);
}

void rpc_list_sessions(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    hand_over(call, request, ((const list_message *)request)->domain, ctx, run_list_sessions);
}

void rpc_end_session(struct cw_rpc_call *call, const ProtobufCMessage *request, void *ctx)
{
    hand_over(call, request, ((const end_message *)request)->domain, ctx, run_end_session);
}
