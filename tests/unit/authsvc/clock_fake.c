#include "tests/unit/authsvc/clock_fake.h"

/* In 2099: ahead of the database server's clock, which counts where it is later. */
int64_t fake_now_ms = 4070908800000;

static int64_t fake_read(void *ctx)
{
    (void)ctx;
    return fake_now_ms;
}

const struct cw_clock fake_clock = {.wall_ms = fake_read, .monotonic_ms = fake_read};
