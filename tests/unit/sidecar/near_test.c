/* Blocks side by side: aligned, empty, used again, nobody's twice. */
#include "sidecar/tenants/near.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

enum { BLOCKS = 1000, ROUNDS = 2000 };

static void assert_fresh(const unsigned char *p, size_t n)
{
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % NEAR_LINE, 0);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(p[i], 0);
    }
}

static void blocks_of_any_size_are_aligned_and_empty(void **state)
{
    static const size_t sizes[] = {1, 200, NEAR_BLOCK - 1, NEAR_BLOCK, NEAR_BLOCK + 1, 70000};

    (void)state;
    for (unsigned round = 0; round < 2; round++) { /* the second time they have been used before */
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            unsigned char *p = near_new(sizes[i]);
            assert_fresh(p, sizes[i]);
            memset(p, 0xff, sizes[i]);
            near_free(p, sizes[i]);
        }
    }
    near_free(NULL, 1);
    near_free(NULL, 70000);
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return (x > y) - (x < y);
}

static void blocks_lie_side_by_side_and_belong_to_one_only(void **state)
{
    static unsigned char *blocks[BLOCKS];
    static uintptr_t at[BLOCKS];
    unsigned pages = 1;

    (void)state;
    for (unsigned i = 0; i < BLOCKS; i++) {
        blocks[i] = near_new(NEAR_BLOCK);
        assert_fresh(blocks[i], NEAR_BLOCK);
        memset(blocks[i], (int)(i % 251), NEAR_BLOCK);
        at[i] = (uintptr_t)blocks[i];
    }
    for (unsigned i = 0; i < BLOCKS; i++) {
        assert_int_equal(blocks[i][0], i % 251);
        assert_int_equal(blocks[i][NEAR_BLOCK - 1], i % 251);
    }
    qsort(at, BLOCKS, sizeof(at[0]), by_address);
    for (unsigned i = 1; i < BLOCKS; i++) {
        assert_true(at[i] - at[i - 1] >= NEAR_BLOCK);
        pages += at[i] / 4096 != at[i - 1] / 4096;
    }
    assert_true(pages < BLOCKS / 4); /* eight to a page, but for the ends of chunks */
    for (unsigned i = 0; i < BLOCKS; i++) {
        near_free(blocks[i], NEAR_BLOCK);
    }
    unsigned char *again = near_new(NEAR_BLOCK);
    assert_int_equal((uintptr_t)again, (uintptr_t)blocks[BLOCKS - 1]);
    assert_fresh(again, NEAR_BLOCK);
    near_free(again, NEAR_BLOCK);
    /* Nobody but their maker knows the chunks now: LeakSanitizer looks at the end. */
    memset(blocks, 0, sizeof(blocks));
    memset(at, 0, sizeof(at));
}

/* Its own mark is all that a thread ever finds in a block: counts what it finds else. */
static void *take_and_give(void *arg)
{
    unsigned char mark = *(unsigned char *)arg;
    uintptr_t wrong = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned char *p = near_new(NEAR_BLOCK);
        if (!p) {
            wrong++;
            continue;
        }
        wrong += p[8] != 0;
        memset(p, mark, NEAR_BLOCK);
        wrong += p[8] != mark || p[NEAR_BLOCK - 1] != mark;
        near_free(p, NEAR_BLOCK);
    }
    return (void *)wrong;
}

static void threads_do_not_meet(void **state)
{
    pthread_t threads[4];
    unsigned char marks[4] = {1, 2, 3, 4};

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, &marks[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_any_size_are_aligned_and_empty),
        cmocka_unit_test(blocks_lie_side_by_side_and_belong_to_one_only),
        cmocka_unit_test(threads_do_not_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
