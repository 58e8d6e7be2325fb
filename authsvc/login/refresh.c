/* Trade a refresh token for a new set:
 *
 *   tenant, client, origin → parse → redeem in one transaction → tokens
 *
 * A token that was redeemed before ends its session (RFC 9700 §4.14.2), unless it is the last one
 * and the answer may have been lost a moment ago: then the same successor is given out again. */
#include "authsvc/login/login_impl.h"

#include <sodium.h>
#include <string.h>

enum {
    ARENA_MAX = 256 * 1024,
    ARENA_BLOCK = 960, /* bytes: what malloc hands out without searching */
};

struct trade {
    struct login *login;
    const struct login_refresh_request *request;
    struct login_scene scene;
    struct cw_arena arena;
    struct refresh_token token;
    struct refresh_token next;
    struct store_rotated rotated;
    struct grants_sum groups; /* what they grant */
    struct grants grants;
    int64_t asked_at; /* Unix milliseconds */
    struct login_event event;
};

static enum cw_err redeem(struct trade *t)
{
    uint8_t hash[REFRESH_HASH_SIZE];
    uint8_t next_hash[REFRESH_HASH_SIZE];
    refresh_token_hash(&t->token, hash);
    refresh_token_next(t->login->refresh_key, &t->token, &t->next);
    refresh_token_hash(&t->next, next_hash);
    const struct store_rotate rotate = {
        .family = t->token.family,
        .generation = t->token.generation,
        .hash = hash,
        .next_hash = next_hash,
        .client_id = t->scene.client->id,
        .idle_ms = t->scene.tenant->refresh_idle_ms,
        .grace_ms = t->scene.tenant->refresh_grace_ms,
        .group = grants_sum_add,
        .ctx = &t->groups,
    };
    struct store *store = t->login->deps.store;
    struct store_rotated *r = &t->rotated;
    grants_sum_init(&t->groups);
    TRY(store_refresh_rotate(store, t->scene.tenant->name, &rotate, &t->arena, r));
    if (r->outcome != STORE_ROTATION_DONE && r->outcome != STORE_ROTATION_REPEATED) {
        return CW_OK;
    }
    enum cw_err err = grants_sum_end(&t->groups, &r->user, &t->grants);
    if (err != CW_OK && r->outcome == STORE_ROTATION_DONE) {
        enum cw_err ignored = store_refresh_put_back(store, t->scene.tenant->name, &rotate);
        (void)ignored; /* what was wrong first is told */
    }
    return err;
}

/* Not the family's present token. Only one that was really given out once counts as reused: who
 * guesses cannot end a session. */
enum cw_err login_refresh_stale(struct login *login, const struct login_scene *scene,
                                const struct refresh_token *token,
                                const struct store_rotated *family, struct login_event *event)
{
    if (refresh_token_leads_to(login->refresh_key, token, family->generation,
                               family->current_hash)) {
        event->note = "reused";
        enum cw_err err = store_session_end(login->deps.store, scene->tenant->name,
                                            family->session.id, "refresh_reused");
        if (err != CW_OK && err != CW_NOT_FOUND) {
            return err;
        }
        login_revoked(login);
    }
    return CW_REFRESH_INVALID;
}

static enum cw_err answer_with(struct trade *t, struct login_answer *answer)
{
    struct store_rotated *r = &t->rotated;
    r->session.used_at = t->asked_at;
    TRY(login_issue(t->login, &t->scene, &r->user, &r->session, &t->grants, answer));
    refresh_token_encode(&t->next, answer->refresh_token);
    int64_t left = r->idle_expires_at - cw_clock_wall_ms(t->login->deps.clock);
    answer->refresh_expires_in = CW_MAX(left, 0) / 1000;
    return CW_OK;
}

static enum cw_err run(struct trade *t, struct login_answer *answer)
{
    const struct login_refresh_request *r = t->request;
    TRY(login_scene_open(t->login, r->domain, r->client_id, r->origin, &t->scene));
    t->event.tenant = t->scene.tenant->name;
    t->event.client_id = t->scene.client->id;
    TRY(refresh_token_parse(r->refresh_token, &t->token));
    if (t->scene.tenant->login == TENANT_LOGIN_IDP) {
        return login_idp_refresh(t->login, &t->scene, r, &t->token, &t->arena, &t->event, answer);
    }
    t->asked_at = cw_clock_wall_ms(t->login->deps.clock);
    enum cw_err err = redeem(t);
    t->event.subject = t->rotated.session.subject;
    t->event.session_id = t->rotated.session.id;
    TRY(err);
    switch (t->rotated.outcome) {
    case STORE_ROTATION_DONE:
        return answer_with(t, answer);
    case STORE_ROTATION_REPEATED:
        t->event.note = "repeated";
        return answer_with(t, answer);
    case STORE_ROTATION_STALE:
        return login_refresh_stale(t->login, &t->scene, &t->token, &t->rotated, &t->event);
    case STORE_ROTATION_UNKNOWN:
    case STORE_ROTATION_ENDED:
        break;
    }
    return CW_REFRESH_INVALID;
}

enum cw_err login_refresh(struct login *login, const struct login_refresh_request *request,
                          struct login_answer *ret_answer)
{
    *ret_answer = (struct login_answer){0};
    int64_t started = cw_clock_monotonic_ms(login->deps.clock);
    struct trade t = {
        .login = login,
        .request = request,
        .arena = {.max = ARENA_MAX, .block = ARENA_BLOCK},
        .event = {.kind = LOGIN_KIND_REFRESH, .address = request->address},
    };
    enum cw_err err = run(&t, ret_answer);
    login_tell(login, &t.event, started, err);
    if (err != CW_OK) {
        login_answer_done(ret_answer);
    }
    sodium_memzero(&t.token, sizeof(t.token));
    sodium_memzero(&t.next, sizeof(t.next));
    grants_done(&t.grants);
    grants_sum_done(&t.groups);
    cw_arena_done(&t.arena);
    login_scene_done(&t.scene);
    return err;
}
