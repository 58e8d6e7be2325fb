/* Questions at a fixed rate in many short slices, with and without somebody else's flood in turn.
 */
#ifndef TESTS_BENCH_SLICES_H
#define TESTS_BENCH_SLICES_H

#include <stdint.h>
#include <sys/types.h>

struct slices {
    unsigned per_second;   /* questions */
    uint64_t slice_ms;     /* that count, of each slice */
    uint64_t settle_ms;    /* before them, asked at the same rate and not counted */
    unsigned pairs;        /* of one calm and one stormy slice */
    pid_t flood;           /* stopped for a calm slice, and goes on for a stormy one */
    pid_t server;          /* whose CPU time is read */
    void (*ask)(size_t n); /* the nth question; returns with its answer */
};

/* A line for each slice: "calm" or "storm", the clock ticks that the hypervisor took from the core
 * that lost the most, seconds, CPU nanoseconds of the server, and each delay in microseconds. A
 * delay begins when the question was due, so that a late answer delays those behind it, too. Exits
 * where something fails; the flood is stopped at the end. */
void slices_run(const struct slices *slices);

#endif
