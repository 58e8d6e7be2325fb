/* Which server is asked: the own zone's first, then who answered last, until the session is over.
 */
#include "sidecar/registry/eureka_servers.h"

#include "tests/unit/sidecar/registry/fixture.h"

enum { NEAR = 1, FAR = 0, MINUTE_MS = 60 * 1000 };

static enum cw_err zeros(void *ctx, void *bytes, size_t n)
{
    (void)ctx;
    memset(bytes, 0, n);
    return CW_OK;
}

static enum cw_err ones(void *ctx, void *bytes, size_t n)
{
    (void)ctx;
    memset(bytes, 0xff, n);
    return CW_OK;
}

static struct eureka_config two_zones(void)
{
    struct eureka_config config = {.n_servers = 2};
    config.servers[FAR].zone = "b";
    config.servers[NEAR].zone = "a";
    return config;
}

static void the_own_zone_is_asked_again_when_the_session_is_over(void **state)
{
    (void)state;
    static const struct {
        enum cw_err (*fill)(void *ctx, void *bytes, size_t n);
    } chances[] = {{zeros}, {ones}};
    for (size_t i = 0; i < CW_ARRAY_SIZE(chances); i++) {
        struct eureka_config config = two_zones();
        struct cw_random random = {chances[i].fill, NULL};
        struct eureka_servers servers;
        eureka_servers_init(&servers, &config, "a", &random, 0);
        assert_int_equal(eureka_servers_pick(&servers, 0, 0), NEAR);
        /* it fails, and the other zone's answers */
        eureka_servers_failed(&servers, NEAR, 0);
        assert_int_equal(eureka_servers_pick(&servers, 1u << NEAR, 0), FAR);
        assert_true(eureka_servers_answered(&servers, FAR));
        assert_false(eureka_servers_answered(&servers, FAR));
        int64_t back = 0;
        while (eureka_servers_pick(&servers, 0, back) == FAR && back < 60 * MINUTE_MS) {
            back += MINUTE_MS / 2;
        }
        assert_in_range(back, 10 * MINUTE_MS, 31 * MINUTE_MS);
        assert_int_equal(eureka_servers_pick(&servers, 0, back), NEAR);
        /* it is down still: the other one goes on, for another session */
        eureka_servers_failed(&servers, NEAR, back);
        assert_int_equal(eureka_servers_pick(&servers, 1u << NEAR, back), FAR);
        assert_true(eureka_servers_answered(&servers, FAR));
        assert_int_equal(eureka_servers_pick(&servers, 0, back + 9 * MINUTE_MS), FAR);
    }
}

static void one_that_failed_is_asked_only_when_all_have(void **state)
{
    (void)state;
    struct eureka_config config = two_zones();
    struct cw_random random = {zeros, NULL};
    struct eureka_servers servers;
    eureka_servers_init(&servers, &config, NULL, &random, 0);
    eureka_servers_failed(&servers, FAR, 0);
    assert_int_equal(eureka_servers_pick(&servers, 0, 0), NEAR);
    eureka_servers_failed(&servers, NEAR, 0);
    assert_int_not_equal(eureka_servers_pick(&servers, 0, 0), EUREKA_NO_SERVER);
    assert_int_equal(eureka_servers_pick(&servers, 1u << NEAR, 0), FAR);
    assert_int_equal(eureka_servers_pick(&servers, 3, 0), EUREKA_NO_SERVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_own_zone_is_asked_again_when_the_session_is_over),
        cmocka_unit_test(one_that_failed_is_asked_only_when_all_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
