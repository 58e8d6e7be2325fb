/* Small language helpers used everywhere. */
#ifndef CW_BASE_MACROS_H
#define CW_BASE_MACROS_H

#include <stddef.h>
#include <stdint.h>

#define CW_MUST_USE __attribute__((warn_unused_result))
#define CW_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
/* Runs fn(&variable) when the variable leaves its scope. */
#define CW_CLEANUP(fn) __attribute__((cleanup(fn)))
#define CW_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define CW_CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))
#define CW_MIN(a, b) ((a) < (b) ? (a) : (b))
#define CW_MAX(a, b) ((a) > (b) ? (a) : (b))

/* Asks for memory that will be read soon: the cache lines that the n bytes lie in, and no other,
 * for each takes the place of one that is needed. Any address is fine. */
static inline void cw_expect(const void *p, size_t n)
{
    enum { LINE = 64 };
    uintptr_t end = (uintptr_t)p + n;
    for (uintptr_t at = (uintptr_t)p & ~(uintptr_t)(LINE - 1); at < end; at += LINE) {
        __builtin_prefetch((const void *)at);
    }
}

/* The two guards. TRY passes an error on; ENSURE makes one where a condition does not hold. */
#define TRY(expr)                                                                                  \
    do {                                                                                           \
        enum cw_err try_err_ = (expr);                                                             \
        if (try_err_ != CW_OK) {                                                                   \
            return try_err_;                                                                       \
        }                                                                                          \
    } while (0)
#define ENSURE(cond, err)                                                                          \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            return (err);                                                                          \
        }                                                                                          \
    } while (0)

#endif
