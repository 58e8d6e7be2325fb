/* The set of revocations: what counts, what is forgotten, and when nobody knows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sidecar/revocation/revocations.h"

enum { STALE_MS = 1000, NOW_S = 1700000000 };

#define ISSUER CW_STR("https://clinicwave")

static int setup(void **state)
{
    *state = revocations_new(STALE_MS, 0);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    revocations_free(*state);
    return 0;
}

static struct revocation session(const char *sid)
{
    return (struct revocation){REVOCATION_SESSION, ISSUER, cw_str(sid), 0, NOW_S + 300};
}

static void apply(struct revocations *r, bool snapshot, const struct revocation *list, size_t n)
{
    const struct cw_str issuers[] = {ISSUER};

    assert_int_equal(revocations_apply(r, snapshot, list, n, issuers, 1, NOW_S), CW_OK);
}

static enum cw_err check(struct revocations *r, const char *issuer, const char *sid,
                         int64_t mono_ms)
{
    const struct revocation_subject subject = {
        .issuer = cw_str(issuer),
        .values = {cw_str(sid), CW_STR("jti-1"), CW_STR("sub-1")},
        .issued_at = NOW_S,
    };
    return revocations_check(r, &subject, mono_ms);
}

static void what_is_revoked_is_refused_and_nothing_else(void **state)
{
    struct revocation list[] = {session("s1"), session("s2")};

    assert_true(revocations_idle(*state, 0));
    apply(*state, false, list, 2);
    assert_false(revocations_idle(*state, 0));
    assert_int_equal(check(*state, "https://clinicwave", "s1", 0), CW_TOKEN_REVOKED);
    assert_int_equal(check(*state, "https://clinicwave", "s2", 0), CW_TOKEN_REVOKED);
    assert_int_equal(check(*state, "https://clinicwave", "s3", 0), CW_OK);
    assert_int_equal(check(*state, "https://clinicwave", "", 0), CW_OK);
    assert_int_equal(check(*state, "https://clinicwav", "es1", 0), CW_OK);
    assert_int_equal(check(*state, "https://other", "s1", 0), CW_OK);
}

static void a_kind_is_not_another(void **state)
{
    struct revocation by_token = {REVOCATION_TOKEN, ISSUER, CW_STR("s1"), 0, NOW_S + 300};

    apply(*state, false, &by_token, 1);
    assert_int_equal(check(*state, "https://clinicwave", "s1", 0), CW_OK);
    by_token.value = CW_STR("jti-1");
    apply(*state, false, &by_token, 1);
    assert_int_equal(check(*state, "https://clinicwave", "s1", 0), CW_TOKEN_REVOKED);
}

static void a_subject_may_log_in_again(void **state)
{
    struct revocation until = {REVOCATION_SUBJECT, ISSUER, CW_STR("sub-1"), NOW_S - 1, NOW_S + 300};

    apply(*state, false, &until, 1);
    assert_int_equal(check(*state, "https://clinicwave", "s1", 0), CW_OK); /* issued later */
    until.issued_until = NOW_S;
    apply(*state, true, &until, 1);
    assert_int_equal(check(*state, "https://clinicwave", "s1", 0), CW_TOKEN_REVOKED);
}

/* Who is revoked, logs in again, and is revoked again: what was issued in between is meant, too. */
static void a_subject_revoked_twice_stays_revoked(void **state)
{
    enum { LATER_S = NOW_S + 61 }; /* expired ones are looked for once a minute */
    const struct cw_str issuers[] = {ISSUER};
    struct revocation until = {REVOCATION_SUBJECT, ISSUER, CW_STR("sub-1"), NOW_S - 10,
                               NOW_S + 300};

    apply(*state, false, &until, 1);
    assert_int_equal(check(*state, "https://clinicwave", "s1", 0), CW_OK);
    until.issued_until = NOW_S;
    until.expires_at = NOW_S + 400;
    apply(*state, false, &until, 1);
    assert_int_equal(check(*state, "https://clinicwave", "s1", 0), CW_TOKEN_REVOKED);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            revocations_apply(*state, false, NULL, 0, issuers, 1, LATER_S + (int64_t)i * 61),
            CW_OK);
        assert_int_equal(check(*state, "https://clinicwave", "s1", 0), CW_TOKEN_REVOKED);
    }
    assert_int_equal(revocations_count(*state), 1);
}

/* Neither bound is above the other's: both are kept, and either counts, in whatever order. */
static void two_revocations_of_one_subject_count_both(void **state)
{
    const struct revocation lists[][2] = {
        {{REVOCATION_SUBJECT, ISSUER, CW_STR("sub-1"), NOW_S, NOW_S + 100},
         {REVOCATION_SUBJECT, ISSUER, CW_STR("sub-1"), NOW_S - 10, NOW_S + 300}},
        {{REVOCATION_SUBJECT, ISSUER, CW_STR("sub-1"), NOW_S - 10, NOW_S + 300},
         {REVOCATION_SUBJECT, ISSUER, CW_STR("sub-1"), NOW_S, NOW_S + 100}},
    };
    const struct cw_str issuers[] = {ISSUER};

    for (size_t i = 0; i < CW_ARRAY_SIZE(lists); i++) {
        apply(*state, true, lists[i], 2);
        assert_int_equal(revocations_count(*state), 2);
        assert_int_equal(check(*state, "https://clinicwave", "s1", 0), CW_TOKEN_REVOKED);
        assert_int_equal(revocations_apply(*state, false, NULL, 0, issuers, 1, NOW_S + 101), CW_OK);
        assert_int_equal(check(*state, "https://clinicwave", "s1", 0), CW_OK);
    }
}

static void a_snapshot_replaces_and_an_increment_adds(void **state)
{
    struct revocation first = session("s1");
    struct revocation second = session("s2");

    apply(*state, false, &first, 1);
    apply(*state, false, &second, 1);
    assert_int_equal(revocations_count(*state), 2);
    apply(*state, true, &second, 1);
    assert_int_equal(revocations_count(*state), 1);
    assert_int_equal(check(*state, "https://clinicwave", "s1", 0), CW_OK);
    apply(*state, true, NULL, 0);
    assert_true(revocations_idle(*state, 0));
}

static void expired_ones_are_forgotten(void **state)
{
    struct revocation r = session("s1");
    const struct cw_str issuers[] = {ISSUER};

    apply(*state, false, &r, 1);
    assert_int_equal(revocations_apply(*state, false, NULL, 0, issuers, 1, NOW_S + 301), CW_OK);
    assert_int_equal(revocations_count(*state), 0);
}

static void many_are_found_again(void **state)
{
    char sid[32];

    for (int i = 0; i < 5000; i++) {
        snprintf(sid, sizeof(sid), "session-%d", i);
        struct revocation r = session(sid);
        apply(*state, false, &r, 1);
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(sid, sizeof(sid), "session-%d", i);
        assert_int_equal(check(*state, "https://clinicwave", sid, 0), CW_TOKEN_REVOKED);
    }
    assert_int_equal(check(*state, "https://clinicwave", "session-5000", 0), CW_OK);
}

static void a_silent_feed_decides_nothing_for_its_issuers(void **state)
{
    struct revocation r = session("s1");

    apply(*state, false, &r, 1);
    assert_int_equal(check(*state, "https://clinicwave", "s2", STALE_MS), CW_OK);
    assert_int_equal(check(*state, "https://clinicwave", "s2", STALE_MS + 1), CW_FEED_STALE);
    assert_int_equal(check(*state, "https://clinicwave", "s1", STALE_MS + 1), CW_TOKEN_REVOKED);
    assert_int_equal(check(*state, "https://idp.abott", "s2", STALE_MS + 1), CW_OK);
    revocations_heard(*state, STALE_MS + 1);
    assert_int_equal(check(*state, "https://clinicwave", "s2", STALE_MS + 1), CW_OK);
}

static void a_tenant_learned_from_authsvc_is_the_feeds_even_before_its_first_word(void **state)
{
    const struct revocation_subject subject = {.issuer = CW_STR("https://new"), .learned = true};

    assert_false(revocations_idle(*state, STALE_MS + 1));
    assert_int_equal(revocations_check(*state, &subject, STALE_MS), CW_OK);
    assert_int_equal(revocations_check(*state, &subject, STALE_MS + 1), CW_FEED_STALE);
}

struct seen {
    size_t entries;
    size_t issuers;
};

static void count_entry(void *ctx, const struct revocation *r)
{
    struct seen *seen = ctx;

    assert_true(cw_str_is(r->value, "s1"));
    seen->entries++;
}

static void count_issuer(void *ctx, struct cw_str issuer)
{
    struct seen *seen = ctx;

    assert_true(cw_str_eq(issuer, ISSUER));
    seen->issuers++;
}

static void all_can_be_written_down(void **state)
{
    struct revocation r = session("s1");
    struct seen seen = {0};

    apply(*state, false, &r, 1);
    revocations_each(*state, count_entry, count_issuer, &seen);
    assert_int_equal(seen.entries, 1);
    assert_int_equal(seen.issuers, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(what_is_revoked_is_refused_and_nothing_else),
        CASE(a_kind_is_not_another),
        CASE(a_subject_may_log_in_again),
        CASE(a_subject_revoked_twice_stays_revoked),
        CASE(two_revocations_of_one_subject_count_both),
        CASE(a_snapshot_replaces_and_an_increment_adds),
        CASE(expired_ones_are_forgotten),
        CASE(many_are_found_again),
        CASE(a_silent_feed_decides_nothing_for_its_issuers),
        CASE(a_tenant_learned_from_authsvc_is_the_feeds_even_before_its_first_word),
        CASE(all_can_be_written_down),
    };
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
