/* When a verifier's answers leave: together while more of their stream waits, and never because of
 * what others have in the queue. */
#include "sidecar/handle/outgoing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A stream of the test: what it was sent. */
struct stream {
    int refs;
    int messages;
    char text[OUTGOING_BYTES + OUTGOING_ANSWER_MAX];
    size_t n;
};

static struct stream mine, other;
static struct outgoing_queued queued;
static uint64_t now;

static void hold(void *stream)
{
    ((struct stream *)stream)->refs++;
}

static void send(void *stream, const struct cw_buf *answers)
{
    struct stream *to = stream;

    assert_false(answers->failed);
    assert_true(to->n + answers->n <= sizeof(to->text));
    memcpy(to->text + to->n, answers->p, answers->n);
    to->n += answers->n;
    to->messages++;
    to->refs--;
}

static uint64_t clock_ns(void)
{
    return now;
}

static struct outgoing start(void)
{
    memset(&mine, 0, sizeof(mine));
    memset(&other, 0, sizeof(other));
    memset(&queued, 0, sizeof(queued));
    now = 1;
    return (struct outgoing){.ref = hold, .send = send};
}

/* A verifier has taken the stream's next question and verified it. */
static void verified(struct outgoing *outgoing, struct stream *stream, const char *answer)
{
    outgoing_leave(&queued, stream);
    outgoing_add(outgoing, stream, cw_str(answer), now);
    outgoing_check(outgoing, &queued, clock_ns);
}

/* Somebody else's, answered elsewhere. */
static void verified_a_call(struct outgoing *outgoing)
{
    outgoing_check(outgoing, &queued, clock_ns);
}

static void enter(struct stream *stream, int n)
{
    for (int i = 0; i < n; i++) {
        outgoing_enter(&queued, stream);
    }
}

static void end(struct outgoing *outgoing)
{
    outgoing_idle(outgoing);
    assert_int_equal(mine.refs, 0);
    assert_int_equal(other.refs, 0);
}

static void a_lone_answer_leaves_at_once_in_the_midst_of_a_flood(void **state)
{
    struct outgoing outgoing = start();

    (void)state;
    enter(&mine, 1); /* the flood's calls are in the queue, too, and do not count */
    verified(&outgoing, &mine, "a");
    assert_int_equal(mine.messages, 1);
    end(&outgoing);
}

static void a_batch_leaves_in_one_message(void **state)
{
    struct outgoing outgoing = start();

    (void)state;
    enter(&mine, 3);
    verified(&outgoing, &mine, "a");
    verified(&outgoing, &mine, "b");
    assert_int_equal(mine.messages, 0);
    verified(&outgoing, &mine, "c");
    assert_int_equal(mine.messages, 1);
    assert_memory_equal(mine.text, "abc", 3);
    end(&outgoing);
}

/* The last one was taken by another verifier: whoever holds the others sees that at its next look,
 * though what it ran in between was a stranger's. */
static void what_another_verifier_took_is_not_waited_for(void **state)
{
    struct outgoing outgoing = start();

    (void)state;
    enter(&mine, 2);
    verified(&outgoing, &mine, "a");
    verified_a_call(&outgoing);
    assert_int_equal(mine.messages, 0);
    outgoing_leave(&queued, &mine);
    verified_a_call(&outgoing);
    assert_int_equal(mine.messages, 1);
    end(&outgoing);
}

static void a_flood_on_the_stream_itself_holds_answers_for_a_bounded_time(void **state)
{
    struct outgoing outgoing = start();

    (void)state;
    enter(&mine, 100);
    verified(&outgoing, &mine, "a");
    now += OUTGOING_NS;
    verified(&outgoing, &mine, "b");
    assert_int_equal(mine.messages, 0);
    now += 1;
    verified(&outgoing, &mine, "c");
    assert_int_equal(mine.messages, 1);
    end(&outgoing);
}

static void a_full_message_leaves(void **state)
{
    struct outgoing outgoing = start();
    static char large[OUTGOING_BYTES];

    (void)state;
    enter(&mine, OUTGOING_RESULTS + 10);
    for (int i = 0; i < OUTGOING_RESULTS; i++) {
        verified(&outgoing, &mine, "a");
    }
    assert_int_equal(mine.messages, 0);
    verified(&outgoing, &mine, "b");
    assert_int_equal(mine.messages, 1);
    memset(large, 'x', sizeof(large) - 1);
    verified(&outgoing, &mine, large);
    assert_int_equal(mine.messages, 1);
    verified(&outgoing, &mine, "c");
    assert_int_equal(mine.messages, 2);
    end(&outgoing);
    assert_int_equal(mine.messages, 3);
}

static void another_streams_answer_sends_the_first_ones(void **state)
{
    struct outgoing outgoing = start();

    (void)state;
    enter(&mine, 5);
    enter(&other, 5);
    verified(&outgoing, &mine, "a");
    verified(&outgoing, &other, "b");
    assert_int_equal(mine.messages, 1);
    assert_int_equal(other.messages, 0);
    end(&outgoing);
    assert_int_equal(other.messages, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lone_answer_leaves_at_once_in_the_midst_of_a_flood),
        cmocka_unit_test(a_batch_leaves_in_one_message),
        cmocka_unit_test(what_another_verifier_took_is_not_waited_for),
        cmocka_unit_test(a_flood_on_the_stream_itself_holds_answers_for_a_bounded_time),
        cmocka_unit_test(a_full_message_leaves),
        cmocka_unit_test(another_streams_answer_sends_the_first_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
