/* A check that is told to whoever wants an explanation; without one, nothing is formatted. */
#ifndef CW_JOSE_CHECKS_H
#define CW_JOSE_CHECKS_H

#include "common/jose/claims.h"

enum { CW_QUOTED_SIZE = 640 }; /* 100 bytes, each escaped, and an ellipsis */

/* The string in JSON's quotes, cut at some 100 bytes: safe on a terminal. Returns `text`. */
const char *cw_checks_quote(struct cw_str value, char text[CW_QUOTED_SIZE]);
void cw_checks_addf(const struct cw_checks *checks, const char *name, bool passed,
                    const char *format, ...) CW_PRINTF(4, 5);

#define CW_QUOTE(value) cw_checks_quote((value), (char[CW_QUOTED_SIZE]){0})

/* Tells the check and leaves the function with `err` where it fails. */
#define CW_CHECK(checks, name, cond, err, ...)                                                     \
    do {                                                                                           \
        bool passed_ = (cond);                                                                     \
        if (checks) {                                                                              \
            cw_checks_addf((checks), (name), passed_, __VA_ARGS__);                                \
        }                                                                                          \
        if (!passed_) {                                                                            \
            return (err);                                                                          \
        }                                                                                          \
    } while (0)

/* The same for a call that returns its reason. */
#define CW_CHECK_TRY(checks, name, expr, ...)                                                      \
    do {                                                                                           \
        enum cw_err check_err_ = (expr);                                                           \
        CW_CHECK(checks, name, check_err_ == CW_OK, check_err_, __VA_ARGS__);                      \
    } while (0)

#endif
