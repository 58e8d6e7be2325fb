/* Compares instants, and nothing else. */
#include "authsvc/keys/schedule.h"

const char *key_state_name(enum key_state state)
{
    static const char *const names[] = {
        [KEY_PENDING] = "pending",
        [KEY_ACTIVE] = "active",
        [KEY_RETIRED] = "retired",
        [KEY_OVER] = "over",
    };
    return names[state];
}

size_t key_signer(const struct key_times *keys, size_t n, int64_t now)
{
    size_t signer = 0;
    for (size_t i = 1; i < n && keys[i].active_at <= now; i++) {
        signer = i;
    }
    return signer;
}

int64_t key_over_at(const struct key_times *keys, size_t n, size_t i,
                    const struct key_policy *policy)
{
    return i + 1 < n ? keys[i + 1].active_at + keys[i].life_ms + policy->retire_margin_ms
                     : INT64_MAX;
}

enum key_state key_state_at(const struct key_times *keys, size_t n, size_t i,
                            const struct key_policy *policy, int64_t now)
{
    size_t signer = key_signer(keys, n, now);
    if (i >= signer) {
        return i == signer ? KEY_ACTIVE : KEY_PENDING;
    }
    return now < key_over_at(keys, n, i, policy) ? KEY_RETIRED : KEY_OVER;
}

bool key_rotation_due(const struct key_times *keys, size_t n, const struct key_policy *policy,
                      int64_t now)
{
    return policy->rotate_after_ms > 0 &&
           now >= keys[n - 1].active_at + policy->rotate_after_ms - policy->publish_ahead_ms &&
           now >= keys[n - 1].active_at; /* and it is in use */
}
