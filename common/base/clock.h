/* Time as an argument: expiry follows the wall clock, lifetimes and cooldowns the monotonic one. */
#ifndef CW_BASE_CLOCK_H
#define CW_BASE_CLOCK_H

#include <stdint.h>

struct cw_clock {
    int64_t (*wall_ms)(void *ctx);      /* milliseconds since the Unix epoch */
    int64_t (*monotonic_ms)(void *ctx); /* milliseconds since some fixed point; never steps back */
    void *ctx;
};

/* The system's clocks. Any thread. */
extern const struct cw_clock cw_clock_system;

static inline int64_t cw_clock_wall_ms(const struct cw_clock *clock)
{
    return clock->wall_ms(clock->ctx);
}

static inline int64_t cw_clock_wall_s(const struct cw_clock *clock)
{
    return clock->wall_ms(clock->ctx) / 1000;
}

static inline int64_t cw_clock_monotonic_ms(const struct cw_clock *clock)
{
    return clock->monotonic_ms(clock->ctx);
}

#endif
