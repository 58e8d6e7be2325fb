/* Every other pair begins with the storm, so that what drifts meets both alike. */
#include "tests/bench/slices.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_DELAYS = 100000, MAX_CORES = 1024 };

#define MUST(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "load: %s\n", #cond);                                                  \
            exit(2);                                                                               \
        }                                                                                          \
    } while (0)

struct steal {
    unsigned long long ticks[MAX_CORES];
};

static uint64_t now_ns(void)
{
    struct timespec t;
    MUST(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec t;
    MUST(clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &t) == 0);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0) {
    }
}

/* proc(5): cpuN user nice system idle iowait irq softirq steal … */
static void steal_read(struct steal *steal)
{
    char line[512];
    FILE *f = fopen("/proc/stat", "r");
    MUST(f);
    while (fgets(line, sizeof line, f)) {
        unsigned core;
        unsigned long long ticks;
        bool all = line[3] == ' '; /* the sum of them, "cpu  …" */
        if (!all && sscanf(line, "cpu%u %*u %*u %*u %*u %*u %*u %*u %llu", &core, &ticks) == 2) {
            MUST(core < MAX_CORES);
            steal->ticks[core] = ticks;
        }
    }
    fclose(f);
}

static unsigned long long steal_most(const struct steal *before, const struct steal *after)
{
    unsigned long long most = 0;
    for (size_t i = 0; i < MAX_CORES; i++) {
        unsigned long long taken = after->ticks[i] - before->ticks[i];
        most = taken > most ? taken : most;
    }
    return most;
}

/* Asks what is due until `end`; the number of questions. `ret_delays` may be NULL. */
static size_t ask_until(const struct slices *slices, uint64_t end, size_t *asked,
                        uint64_t *ret_delays)
{
    uint64_t step = 1000000000u / slices->per_second;
    size_t n = 0;
    for (uint64_t due = now_ns(); due < end && n < MAX_DELAYS; due += step, n++) {
        sleep_until(due);
        slices->ask((*asked)++);
        if (ret_delays) {
            ret_delays[n] = now_ns() - due;
        }
    }
    return n;
}

static void slice_run(const struct slices *slices, bool storm, size_t *asked)
{
    static struct steal before, after;
    static uint64_t delays[MAX_DELAYS];
    MUST(kill(slices->flood, storm ? SIGCONT : SIGSTOP) == 0);
    ask_until(slices, now_ns() + slices->settle_ms * 1000000, asked, NULL);
    steal_read(&before);
    uint64_t start = now_ns(), cpu = cpu_ns(slices->server);
    size_t n = ask_until(slices, start + slices->slice_ms * 1000000, asked, delays);
    uint64_t end = now_ns();
    cpu = cpu_ns(slices->server) - cpu;
    steal_read(&after);
    printf("%s %llu %.6f %llu", storm ? "storm" : "calm", steal_most(&before, &after),
           (double)(end - start) / 1e9, (unsigned long long)cpu);
    for (size_t i = 0; i < n; i++) {
        printf(" %.1f", (double)delays[i] / 1e3);
    }
    printf("\n");
}

void slices_run(const struct slices *slices)
{
    size_t asked = 0;
    MUST(slices->per_second > 0 && slices->flood > 1);
    for (unsigned i = 0; i < slices->pairs; i++) {
        slice_run(slices, i % 2, &asked);
        slice_run(slices, !(i % 2), &asked);
    }
    MUST(kill(slices->flood, SIGSTOP) == 0);
}
