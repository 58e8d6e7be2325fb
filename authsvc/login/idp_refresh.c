/* Refresh where the tokens are a provider's: our handle is checked, the provider is asked with its
 * own refresh token by one caller at a time, and both chains move together. Who comes in second, or
 * whose answer got lost, is answered with what the first one got. */
#include <sodium.h>
#include <string.h>
#include <time.h>

#include "authsvc/login/idp_tokens.h"

enum {
    SEALED_MAX = 128 * 1024,
    LEASE_EXTRA_MS = 10 * 1000, /* a claim outlives the call to the provider by so much */
    POLL_MS = 20,               /* while another one is at it */
    BUSY_RETRY_MS = 1000,
};

struct idp_trade {
    struct login *login;
    const struct login_scene *scene;
    const struct login_refresh_request *request;
    struct cw_arena *arena;
    struct login_event *event;
    struct refresh_token next;
    uint8_t hash[REFRESH_HASH_SIZE];
    uint8_t next_hash[REFRESH_HASH_SIZE];
    struct store_rotate rotate;
    struct store_idp_claimed claimed;
};

static enum cw_err answer_with(struct idp_trade *t, const struct idp_kept *kept,
                               const struct store_rotated *family, struct login_answer *answer)
{
    TRY(idp_kept_answer(t->login, kept, family->session.id, answer));
    refresh_token_encode(&t->next, answer->refresh_token);
    int64_t left = family->idle_expires_at - cw_clock_wall_ms(t->login->deps.clock);
    answer->refresh_expires_in = CW_MAX(left, 0) / 1000;
    return CW_OK;
}

/* Waits while somebody else refreshes this session; its tokens are ours, too. */
static enum cw_err claim(struct idp_trade *t)
{
    const struct tenant *tenant = t->scene->tenant;
    const struct timespec pause = {.tv_nsec = POLL_MS * 1000000L};
    int64_t lease = tenant->idp->total_ms + LEASE_EXTRA_MS;
    int64_t give_up = cw_clock_monotonic_ms(t->login->deps.clock) + tenant->idp->total_ms;
    for (;;) {
        TRY(store_idp_claim(t->login->deps.store, tenant->name, &t->rotate, lease, t->arena,
                            &t->claimed));
        if (!t->claimed.busy) {
            return CW_OK;
        }
        ENSURE(cw_clock_monotonic_ms(t->login->deps.clock) < give_up, CW_IDP_UNAVAILABLE);
        nanosleep(&pause, NULL);
    }
}

static void release(struct idp_trade *t)
{
    /* Where the database fails here, the claim lapses. */
    enum cw_err err = store_idp_release(t->login->deps.store, t->scene->tenant->name,
                                        t->claimed.family.session.id, t->rotate.generation);
    (void)err;
}

/* The provider's token is over, and with it the session. */
static enum cw_err over(struct idp_trade *t)
{
    t->event->note = "ended-by-provider";
    enum cw_err err = store_session_end(t->login->deps.store, t->scene->tenant->name,
                                        t->claimed.family.session.id, "idp_refused");
    if (err != CW_OK && err != CW_NOT_FOUND) {
        return err;
    }
    login_revoked(t->login);
    return CW_REFRESH_INVALID;
}

static enum cw_err commit(struct idp_trade *t, const struct idp_tokens *tokens,
                          const struct idp_kept *kept, struct login_answer *answer)
{
    const struct tenant *tenant = t->scene->tenant;
    CW_CLEANUP(cw_buf_done) struct cw_buf sealed = CW_BUF_INIT(SEALED_MAX);
    TRY(idp_kept_seal(t->login, tenant, t->claimed.family.session.id, kept, &sealed));
    const struct store_idp_tokens stored = {
        .sealed = cw_buf_str(&sealed),
        .token_name = cw_str(tokens->name),
        .token_expires_at = tokens->expires_at * 1000,
    };
    struct store_rotated rotated = {0};
    TRY(store_idp_commit(t->login->deps.store, tenant->name, &t->rotate, &stored, t->arena,
                         &rotated));
    if (rotated.outcome != STORE_ROTATION_DONE) {
        /* It ended while the provider was asked: what came is nobody's. */
        if (tokens->refresh_token != NULL) {
            idp_revoke(t->login->deps.idp, tenant, cw_str(tokens->refresh_token));
        }
        return CW_REFRESH_INVALID;
    }
    return answer_with(t, kept, &rotated, answer);
}

static enum cw_err refresh(struct idp_trade *t, struct login_answer *answer)
{
    struct idp_kept old;
    struct idp_tokens tokens = {0};
    struct idp_refusal refusal = {0};
    const struct store_session *session = &t->claimed.family.session;
    enum cw_err err =
        idp_kept_open(t->login, t->scene->tenant, session->id, t->claimed.sealed, &old);
    if (err != CW_OK) {
        release(t); /* the same is told the next time, too */
        return err;
    }
    if (old.refresh_token.n == 0) {
        release(t);
        idp_kept_done(&old);
        return CW_REFRESH_INVALID; /* the provider gave none: log in again */
    }
    err = idp_refresh(t->login->deps.idp, t->scene->tenant, old.refresh_token, session->subject,
                      t->request->address, &tokens, &refusal);
    if (err == CW_OK) {
        const struct idp_kept kept = idp_kept_of(&tokens, &old, session->scope);
        err = commit(t, &tokens, &kept, answer);
    } else {
        answer->retry_after_ms = refusal.retry_after_ms;
        release(t);
        err = err == CW_REFRESH_INVALID ? over(t) : err;
    }
    idp_kept_done(&old);
    idp_tokens_done(&tokens);
    idp_refusal_done(&refusal);
    return err;
}

static enum cw_err repeat(struct idp_trade *t, struct login_answer *answer)
{
    struct idp_kept kept;
    t->event->note = "repeated";
    TRY(idp_kept_open(t->login, t->scene->tenant, t->claimed.family.session.id, t->claimed.sealed,
                      &kept));
    enum cw_err err = answer_with(t, &kept, &t->claimed.family, answer);
    idp_kept_done(&kept);
    return err;
}

static enum cw_err run(struct idp_trade *t, const struct refresh_token *token,
                       struct login_answer *answer)
{
    enum cw_err err = claim(t);
    if (err == CW_IDP_UNAVAILABLE) {
        answer->retry_after_ms = BUSY_RETRY_MS;
    }
    TRY(err);
    t->event->subject = t->claimed.family.session.subject;
    t->event->session_id = t->claimed.family.session.id;
    switch (t->claimed.outcome) {
    case STORE_ROTATION_DONE:
        return refresh(t, answer);
    case STORE_ROTATION_REPEATED:
        return repeat(t, answer);
    case STORE_ROTATION_STALE:
        err = login_refresh_stale(t->login, t->scene, token, &t->claimed.family, t->event);
        if (t->event->note != NULL) {
            login_idp_farewell(t->login, t->scene->tenant, t->claimed.family.session.id);
        }
        return err;
    case STORE_ROTATION_UNKNOWN:
    case STORE_ROTATION_ENDED:
        break;
    }
    return CW_REFRESH_INVALID;
}

enum cw_err login_idp_refresh(struct login *login, const struct login_scene *scene,
                              const struct login_refresh_request *request,
                              const struct refresh_token *token, struct cw_arena *arena,
                              struct login_event *event, struct login_answer *answer)
{
    ENSURE(login->deps.idp != NULL, CW_IDP_UNAVAILABLE);
    struct idp_trade t = {
        .login = login, .scene = scene, .request = request, .arena = arena, .event = event};
    refresh_token_hash(token, t.hash);
    refresh_token_next(login->refresh_key, token, &t.next);
    refresh_token_hash(&t.next, t.next_hash);
    t.rotate = (struct store_rotate){
        .family = token->family,
        .generation = token->generation,
        .hash = t.hash,
        .next_hash = t.next_hash,
        .client_id = scene->client->id,
        .idle_ms = scene->tenant->refresh_idle_ms,
        .grace_ms = scene->tenant->refresh_grace_ms,
    };
    enum cw_err err = run(&t, token, answer);
    sodium_memzero(&t.next, sizeof(t.next));
    return err;
}
