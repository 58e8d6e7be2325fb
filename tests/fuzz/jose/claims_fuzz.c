/* cw_doc_parse and the checks of claims: whatever JSON comes, what is accepted keeps the
 * bounds that the policy sets. */
#include <stdint.h>
#include <stdlib.h>

#include "common/jose/claims.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const struct cw_doc_value *json)
{
    enum { NOW = 1700000000 };
    static const struct cw_str audiences[] = {CW_STR_INIT("api")};
    struct cw_claims_policy policy = {
        .issuer = CW_STR_INIT("i"),
        .audiences = audiences,
        .audience_count = 1,
        .leeway = 30,
        .max_lifetime = 86400,
        .map.roles = {{CW_STR_INIT("realm_access"), CW_STR_INIT("roles")}, 2},
    };
    const struct cw_claim_kept kept[] = {{CW_STR("x"), {{CW_STR_INIT("x")}, 1}}};
    policy.map.kept = kept;
    policy.map.kept_count = 1;
    struct cw_arena arena = CW_ARENA_INIT(64 * 1024);
    struct cw_claims claims;
    if (cw_claims_check_times(json, &policy, NOW, NULL, &claims) == CW_OK &&
        (claims.expires_at <= NOW - 30 || claims.not_before > NOW + 30 ||
         claims.issued_at > NOW + 30 || claims.not_before > claims.expires_at)) {
        abort();
    }
    if (cw_claims_check(json, &policy, NULL, &arena, &claims) == CW_OK &&
        (!claims.subject.n || !cw_str_list_has(&claims.audiences, audiences[0]) ||
         claims.roles.n > CW_CLAIM_VALUES_MAX)) {
        abort();
    }
    cw_arena_done(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct cw_doc_value *json = NULL;
    struct cw_arena arena = CW_ARENA_INIT(1024 * 1024);
    struct cw_claim_path path;
    struct cw_str text = {(const char *)data, size};
    (void)!cw_claim_path_parse(text, &path);
    char *copy = cw_arena_dup(&arena, text);
    if (copy && cw_doc_parse(copy, size, CW_CLAIMS_MALFORMED, &arena, &json) == CW_OK) {
        judge(json);
    }
    cw_arena_done(&arena);
    return 0;
}
