/* The library that this system has is the one whose switch we know. */
#include "common/rpc/tune.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include "common/rpc/runtime.h"

static void the_switch_is_found_and_a_runtime_lives_with_it(void **state)
{
    struct cw_rpc_runtime *runtime;
    (void)state;
    assert_true(cw_rpc_tune());
    assert_int_equal(cw_rpc_runtime_new(1, &runtime), CW_OK);
    cw_rpc_runtime_free(runtime);
    assert_true(cw_rpc_tune());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_switch_is_found_and_a_runtime_lives_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
