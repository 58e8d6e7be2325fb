/* One issuer, its keys, its policy and a clock that stands still: what the tests of the validator
 * judge their tokens with. Tables of cases pair each bad token with a twin that lacks the one
 * mutation and is accepted. */
#ifndef CW_TESTS_JUDGE_H
#define CW_TESTS_JUDGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/jose/token.h"
#include "tests/support/jose/mint.h"

enum { JUDGE_NOW = 1700000000 };
#define JUDGE_ISSUER "https://issuer.example/"
#define JUDGE_AUDIENCE "https://api.example"
/* Claims of an accepted token; JUDGE_CLAIMS wants more members or "" behind it. */
#define JUDGE_BASE                                                                                 \
    "\"iss\":\"" JUDGE_ISSUER "\",\"sub\":\"alice\",\"aud\":\"" JUDGE_AUDIENCE                     \
    "\",\"exp\":1700000600,\"iat\":1700000000,\"jti\":\"t1\",\"client_id\":\"web\""
#define JUDGE_CLAIMS(more) "{" JUDGE_BASE more "}"

/* A key set with one key for each asymmetric algorithm, named by the algorithm; with `secret` one
 * for HS256 too (kid HS256). One reference to the caller. */
struct cw_jwks *judge_keys(bool secret);
/* Accepts every asymmetric algorithm, at+jwt and JWT, JUDGE_AUDIENCE; leeway 0. */
struct cw_token_policy judge_policy(void);
/* Parse and verify; `policy` and `set` NULL for the two above. ret_claims may be NULL (its strings
 * are dead on return; numbers and counts can be read). */
enum cw_err judge(struct cw_str token, const struct cw_token_policy *policy,
                  const struct cw_jwks *set, struct cw_claims *ret_claims);
/* {"alg":ALG,"typ":"at+jwt","kid":ALG}; the caller frees. */
char *judge_header(const char *alg);

struct judge_case {
    const char *sentence;
    enum cw_err reason;
    const char *alg;           /* key and default header; NULL: ES256 */
    const char *header;        /* NULL: the twin's */
    const char *payload;       /* NULL: the twin's */
    struct cw_str raw_header;  /* where the header has a NUL; p NULL: not used */
    struct cw_str raw_payload; /* the same for the payload */
    /* Changes the signed token instead; returns malloc'ed text with its length. */
    char *(*mutate)(const char *token, size_t *ret_n);
    const char *twin_header;  /* NULL: judge_header(alg) */
    const char *twin_payload; /* NULL: JUDGE_CLAIMS("") */
};

/* Asserts for each case that the twin is accepted and the bad token refused with the reason. */
void judge_cases(const struct judge_case *cases, size_t n, const struct cw_token_policy *policy,
                 const struct cw_jwks *set);
#define JUDGE_CASES(cases, policy, set) judge_cases((cases), CW_ARRAY_SIZE(cases), (policy), (set))

/* Fails the test with the sentence where the two reasons differ. */
void judge_expect(const char *sentence, enum cw_err got, enum cw_err want);

/* Frees what was kept; a test program's group teardown. */
int judge_done(void **state);

#endif
