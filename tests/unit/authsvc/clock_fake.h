/* A clock that stands still until it is told; one in the program. */
#ifndef TESTS_UNIT_AUTHSVC_CLOCK_FAKE_H
#define TESTS_UNIT_AUTHSVC_CLOCK_FAKE_H

#include "common/base/clock.h"

extern int64_t fake_now_ms;
extern const struct cw_clock fake_clock;

#endif
