/* When which of a tenant's keys is published, signs, and goes. Pure: everything follows from the
 * instants that stand in the rows and from the present time, so that all processes agree without
 * talking, and a clock that steps back undoes nothing.
 *
 *   made ──publish-ahead──▶ active_at ── signs ──▶ the successor's active_at ──life + margin──▶
 * over pending                      active                                  retired
 */
#ifndef AUTHSVC_KEYS_SCHEDULE_H
#define AUTHSVC_KEYS_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of one key. Lists of them are in the order of active_at, which differ. */
struct key_times {
    int64_t active_at; /* Unix milliseconds */
    int64_t life_ms;   /* the longest that a token which it signed may live */
};

enum key_state { KEY_PENDING = 0, KEY_ACTIVE, KEY_RETIRED, KEY_OVER };

struct key_policy {
    int64_t publish_ahead_ms; /* a new key is published for so long before it signs */
    int64_t rotate_after_ms;  /* a key signs for so long; 0: until it is told otherwise */
    int64_t retire_margin_ms; /* for clocks that differ, beyond the life of the last token */
};

const char *key_state_name(enum key_state state);

/* Which one signs: the last that is active by now; where none is (the clock was set back), the
 * first. n > 0. */
size_t key_signer(const struct key_times *keys, size_t n, int64_t now);
/* When it is of no use any more; INT64_MAX: it has no successor yet. */
int64_t key_over_at(const struct key_times *keys, size_t n, size_t i,
                    const struct key_policy *policy);
enum key_state key_state_at(const struct key_times *keys, size_t n, size_t i,
                            const struct key_policy *policy, int64_t now);
/* Whether the newest key has served so long that its successor must be made. */
bool key_rotation_due(const struct key_times *keys, size_t n, const struct key_policy *policy,
                      int64_t now);

#endif
