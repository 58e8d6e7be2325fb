/* The feed of revocations: what could not be taken is not passed over, and a file that cannot be
 * read is no fresh start. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/clinicwave/identity/v1/revocation.pb-c.h"
#include "sidecar/main/restarts.h"
#include "sidecar/main/revocation_feed.h"
#include "tests/unit/common/rpc/kit.h"

typedef Clinicwave__Identity__V1__RevocationServiceWatchRequest request_message;
typedef Clinicwave__Identity__V1__RevocationServiceWatchResponse response_message;
typedef Clinicwave__Identity__V1__Revocation revocation_message;

enum { STALE_MS = 600 * 1000, LIVES_S = 3600 };

#define ISSUER "https://clinicwave"

/* ---- an authsvc that says what it is told to ---- */

struct authsvc {
    struct kit kit;
    char state_dir[128];
    struct revocations *revocations;
    struct revocation_feed *feed;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct cw_rpc_stream *stream; /* a reference */
    unsigned streams;             /* that have been opened */
    uint64_t number;              /* that was said last */
    unsigned words;               /* on the present stream */
};

static void on_open(struct cw_rpc_stream *stream, void *ctx)
{
    struct authsvc *a = ctx;

    pthread_mutex_lock(&a->lock);
    cw_rpc_stream_unref(a->stream);
    a->stream = cw_rpc_stream_ref(stream);
    a->streams++;
    a->words = 0;
    pthread_mutex_unlock(&a->lock);
}

static void on_message(struct cw_rpc_stream *stream, const ProtobufCMessage *message)
{
    struct authsvc *a = cw_rpc_stream_ctx(stream);

    pthread_mutex_lock(&a->lock);
    a->number = ((const request_message *)message)->number;
    a->words++;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

static const struct cw_rpc_stream_ops watch_ops = {.on_open = on_open, .on_message = on_message};

static const struct cw_rpc_method methods[] = {
    {.path = "/clinicwave.identity.v1.RevocationService/Watch",
     .kind = CW_RPC_BIDI,
     .listeners = KIT_OPEN,
     .request = &clinicwave__identity__v1__revocation_service_watch_request__descriptor,
     .stream = &watch_ops},
};

static struct authsvc authsvc;

static void state_dir_make(void)
{
    snprintf(authsvc.state_dir, sizeof(authsvc.state_dir), "%s", "/tmp/cwrevocationsXXXXXX");
    assert_non_null(mkdtemp(authsvc.state_dir));
}

static const char *file_path(void)
{
    static char path[160];

    snprintf(path, sizeof(path), "%s/revocations", authsvc.state_dir);
    return path;
}

static int setup(void **state)
{
    (void)state;
    memset(&authsvc, 0, sizeof(authsvc));
    pthread_mutex_init(&authsvc.lock, NULL);
    pthread_cond_init(&authsvc.changed, NULL);
    state_dir_make();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(file_path());
    rmdir(file_path());
    assert_int_equal(rmdir(authsvc.state_dir), 0);
    pthread_cond_destroy(&authsvc.changed);
    pthread_mutex_destroy(&authsvc.lock);
    return 0;
}

static void begin(void)
{
    kit_init(&authsvc.kit);
    kit_start(&authsvc.kit, methods, CW_ARRAY_SIZE(methods), &authsvc);
    const struct authsvc_place place = {.path = authsvc.kit.open_path};
    authsvc.revocations = revocation_feed_restore(authsvc.state_dir, STALE_MS);
    assert_non_null(authsvc.revocations);
    assert_int_equal(revocation_feed_new(authsvc.kit.runtime, &place, authsvc.state_dir,
                                         authsvc.revocations, &authsvc.feed),
                     CW_OK);
}

static void end(void)
{
    revocation_feed_free(authsvc.feed);
    cw_rpc_stream_unref(authsvc.stream);
    kit_done(&authsvc.kit);
    revocations_free(authsvc.revocations);
}

/* Until the sidecar has begun its `streams`th call and said so many words on it. */
static void wait_for(unsigned streams, unsigned words)
{
    pthread_mutex_lock(&authsvc.lock);
    while (authsvc.streams < streams || authsvc.words < words) {
        pthread_cond_wait(&authsvc.changed, &authsvc.lock);
    }
    pthread_mutex_unlock(&authsvc.lock);
}

static void say(response_message *m)
{
    char issuer[] = ISSUER;
    char *issuers[] = {issuer};

    m->issuers = issuers;
    m->n_issuers = 1;
    pthread_mutex_lock(&authsvc.lock);
    struct cw_rpc_stream *stream = cw_rpc_stream_ref(authsvc.stream);
    pthread_mutex_unlock(&authsvc.lock);
    assert_int_equal(cw_rpc_stream_send_message(stream, &m->base), CW_RPC_SENT);
    cw_rpc_stream_unref(stream);
}

static void say_list(bool snapshot, uint64_t number, revocation_message **list, size_t n)
{
    response_message m;

    clinicwave__identity__v1__revocation_service_watch_response__init(&m);
    m.snapshot = snapshot;
    m.number = number;
    m.revocations = list;
    m.n_revocations = n;
    say(&m);
}

static void revocation_init(revocation_message *m, char *issuer)
{
    clinicwave__identity__v1__revocation__init(m);
    m->issuer = issuer;
    m->expires_at = cw_clock_wall_s(&cw_clock_system) + LIVES_S;
}

static enum cw_err check(const char *sid)
{
    const struct revocation_subject subject = {
        .issuer = CW_STR(ISSUER), .values = {cw_str(sid)}, .learned = true};

    return revocations_check(authsvc.revocations, &subject,
                             cw_clock_monotonic_ms(&cw_clock_system));
}

/* ---- the feed ---- */

static void what_is_not_understood_is_not_passed_over(void **state)
{
    char issuer[] = ISSUER, sid[] = "s1";
    revocation_message known, unknown;
    revocation_message *list[] = {&known}, *strange[] = {&unknown};

    (void)state;
    begin();
    revocation_init(&known, issuer);
    known.target_case = CLINICWAVE__IDENTITY__V1__REVOCATION__TARGET_SESSION_ID;
    known.session_id = sid;
    revocation_init(&unknown, issuer); /* without a target, as a newer authsvc's would look */
    wait_for(1, 1);
    say_list(true, 3, NULL, 0);
    wait_for(1, 2);
    assert_int_equal(authsvc.number, 3);
    say_list(false, 4, strange, 1);
    say_list(false, 5, NULL, 0); /* a heartbeat: nothing is new since, which is not true here */
    wait_for(2, 1);
    assert_int_equal(authsvc.number, 0); /* it begins anew instead of acknowledging 5 */
    say_list(true, 5, list, 1);
    wait_for(2, 2);
    assert_int_equal(authsvc.number, 5);
    assert_int_equal(check("s1"), CW_TOKEN_REVOKED);
    assert_int_equal(check("s2"), CW_OK);
    say_list(false, 5, NULL, 0);
    wait_for(2, 3);
    assert_int_equal(authsvc.streams, 2);
    end();
}

/* A newer authsvc's snapshot is as strange as its news: it is not asked for with each heartbeat. */
static void a_snapshot_that_is_not_understood_either_is_not_asked_for_again_at_once(void **state)
{
    enum { HEARTBEATS = 5 };
    char issuer[] = ISSUER;
    revocation_message unknown;
    revocation_message *strange[] = {&unknown};

    (void)state;
    begin();
    revocation_init(&unknown, issuer);
    wait_for(1, 1);
    say_list(true, 3, strange, 1);
    say_list(false, 3, NULL, 0);
    wait_for(2, 1); /* the first time it is, at once */
    say_list(true, 4, strange, 1);
    for (int i = 0; i < HEARTBEATS; i++) {
        say_list(false, 4, NULL, 0);
    }
    say_list(true, 5, NULL, 0); /* all before it has been taken when this is acknowledged */
    wait_for(2, 2);
    assert_int_equal(authsvc.number, 5);
    assert_int_equal(authsvc.streams, 2);
    say_list(false, 6, strange, 1); /* what was good between does not make it sooner */
    say_list(false, 6, NULL, 0);
    say_list(true, 7, NULL, 0);
    wait_for(2, 3);
    assert_int_equal(authsvc.number, 7);
    assert_int_equal(authsvc.streams, 2);
    end();
}

static void restarts_become_rarer_up_to_a_bound(void **state)
{
    static const int64_t pauses_s[] = {60, 120, 240, 480, 480, 480};
    struct restarts restarts = {0};
    int64_t now_ms = 5000;

    (void)state;
    assert_true(restarts_due(&restarts, now_ms));
    for (size_t i = 0; i < CW_ARRAY_SIZE(pauses_s); i++) {
        now_ms += pauses_s[i] * 1000 - 1;
        assert_false(restarts_due(&restarts, now_ms));
        now_ms += 1;
        assert_true(restarts_due(&restarts, now_ms));
    }
    restarts_applied(&restarts);
    for (size_t i = 0; i < 2; i++) { /* once in a minute all the same */
        assert_false(restarts_due(&restarts, now_ms + 60 * 1000 - 1));
        now_ms += 60 * 1000;
        assert_true(restarts_due(&restarts, now_ms));
    }
    assert_false(restarts_due(&restarts, now_ms + 120 * 1000 - 1));
    assert_true(restarts_due(&restarts, now_ms + 120 * 1000));
}

/* ---- the file ---- */

static enum cw_err restored(const char *sid)
{
    authsvc.revocations = revocation_feed_restore(authsvc.state_dir, STALE_MS);
    assert_non_null(authsvc.revocations);
    enum cw_err err = check(sid);
    revocations_free(authsvc.revocations);
    return err;
}

static void file_write(const void *bytes, size_t n)
{
    int fd = open(file_path(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    assert_int_equal(close(fd), 0);
}

static void a_restart_forgets_nothing(void **state)
{
    char issuer[] = ISSUER, sid[] = "s1";
    revocation_message known;
    revocation_message *list[] = {&known};

    (void)state;
    begin();
    revocation_init(&known, issuer);
    known.target_case = CLINICWAVE__IDENTITY__V1__REVOCATION__TARGET_SESSION_ID;
    known.session_id = sid;
    wait_for(1, 1);
    say_list(true, 1, list, 1);
    wait_for(1, 2);
    end(); /* what waits to be saved is saved */
    assert_int_equal(restored("s1"), CW_TOKEN_REVOKED);
    assert_int_equal(restored("s2"), CW_OK);
}

static void the_first_start_has_missed_nothing(void **state)
{
    (void)state;
    assert_int_equal(restored("s1"), CW_OK);
}

static void a_file_that_cannot_be_read_is_no_first_start(void **state)
{
    (void)state;
    assert_int_equal(mkdir(file_path(), 0700), 0); /* not even root reads that */
    assert_int_equal(restored("s1"), CW_FEED_STALE);
}

static void a_file_that_is_not_whole_is_no_first_start(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
    } spoilt[] = {
        {"", 0},             /* as a power cut may leave it; also a message without fields */
        {"\x08\x01", 2},     /* a number, and no snapshot */
        {"\x18\x01\x2a", 3}, /* cut off within a field */
    };

    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(spoilt); i++) {
        file_write(spoilt[i].bytes, spoilt[i].n);
        assert_int_equal(restored("s1"), CW_FEED_STALE);
    }
    file_write("\x18\x01", 2); /* a snapshot without entries */
    assert_int_equal(restored("s1"), CW_OK);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(what_is_not_understood_is_not_passed_over),
        CASE(a_snapshot_that_is_not_understood_either_is_not_asked_for_again_at_once),
        CASE(restarts_become_rarer_up_to_a_bound),
        CASE(a_restart_forgets_nothing),
        CASE(the_first_start_has_missed_nothing),
        CASE(a_file_that_cannot_be_read_is_no_first_start),
        CASE(a_file_that_is_not_whole_is_no_first_start),
    };
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
