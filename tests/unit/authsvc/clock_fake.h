/* A clock that stands still until it is told. */
#ifndef TESTS_UNIT_AUTHSVC_CLOCK_FAKE_H
#define TESTS_UNIT_AUTHSVC_CLOCK_FAKE_H

#include "common/base/clock.h"

/* In 2099: ahead of the database server's clock, which counts where it is later. */
static int64_t fake_now_ms = 4070908800000;

static inline int64_t fake_read(void *ctx)
{
    (void)ctx;
    return fake_now_ms;
}

static const struct cw_clock fake_clock = {.wall_ms = fake_read, .monotonic_ms = fake_read};

#endif
