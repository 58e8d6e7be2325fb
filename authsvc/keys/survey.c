/* How old the signing keys are: for operators. */
#include "authsvc/keys/keyring_impl.h"

/* A successor is made within a moment of its time, or of the start; where there is none so long
 * after it, something keeps it from being made. */
enum { PATIENCE_MS = 60 * 60 * 1000 };

/* Notes the tenant where its key has signed for longer than `age_ms`. */
static void note_older(const struct key_set *set, int64_t age, int64_t *age_ms,
                       struct cw_buf *tenant)
{
    if (age > *age_ms) {
        *age_ms = age;
        cw_buf_clear(tenant);
        cw_buf_add_str(tenant, cw_str(set->tenant));
    }
}

enum cw_err keyring_look_over(struct keyring *ring, bool (*counts)(void *ctx, struct cw_str tenant),
                              void *ctx, struct keyring_survey *ret_survey)
{
    const struct key_policy *policy = &ring->options.policy;
    int64_t now = cw_clock_wall_ms(store_clock(ring->store));
    int64_t late = policy->rotate_after_ms + policy->publish_ahead_ms + PATIENCE_MS;
    int64_t overdue_ms = -1;
    struct keyring_survey s = {.age_ms = -1,
                               .tenant = ret_survey->tenant,
                               .overdue_tenant = ret_survey->overdue_tenant,
                               .rotate_after_ms = policy->rotate_after_ms};
    pthread_rwlock_rdlock(&ring->lock);
    for (size_t i = 0; i < ring->n; i++) {
        const struct key_set *set = ring->sets[i];
        if (counts != NULL && !counts(ctx, cw_str(set->tenant))) {
            continue;
        }
        size_t signer = key_signer(set->times, set->n, now);
        int64_t age = CW_MAX(now - set->times[signer].active_at, 0);
        s.tenants++;
        s.retired += signer;
        s.pending += set->n - 1 - signer;
        note_older(set, age, &s.age_ms, &s.tenant);
        if (policy->rotate_after_ms > 0 && age > late && signer == set->n - 1) {
            s.overdue++;
            note_older(set, age, &overdue_ms, &s.overdue_tenant);
        }
    }
    pthread_rwlock_unlock(&ring->lock);
    *ret_survey = s;
    TRY(cw_buf_check(&s.tenant));
    return cw_buf_check(&s.overdue_tenant);
}
