/* The error table: what its columns promise each other. */
#include "common/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* cmocka wants the ones above */
#include <cmocka.h>

static void codes_are_unique_and_lead_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < cw_err_count(); i++) {
        const char *code = cw_err_code((enum cw_err)i);
        assert_int_equal(cw_err_from_code(code, strlen(code)), i);
    }
    assert_int_equal(cw_err_from_code("no_such_code", 12), CW_INTERNAL);
    assert_int_equal(cw_err_from_code("ok_", 3), CW_INTERNAL);
    assert_string_equal(cw_err_code((enum cw_err)100000), "internal");
}

static void categories_answer_with_their_status(void **state)
{
    (void)state;
    for (size_t i = 1; i < cw_err_count(); i++) {
        const struct cw_err_info *info = cw_err_info((enum cw_err)i);
        bool ok = true;
        switch (info->category) {
        case CW_CATEGORY_TOKEN:
            ok = info->http == 401 && info->grpc == CW_GRPC_UNAUTHENTICATED;
            break;
        case CW_CATEGORY_POLICY:
            ok = info->http == 403 && info->grpc == CW_GRPC_PERMISSION_DENIED;
            break;
        case CW_CATEGORY_UNDECIDED: /* never an allow, never a bad token */
            ok = info->http == 503 && info->grpc != CW_GRPC_OK &&
                 info->grpc != CW_GRPC_UNAUTHENTICATED;
            break;
        case CW_CATEGORY_REQUEST:
        case CW_CATEGORY_LOGIN:
        case CW_CATEGORY_UPSTREAM:
        case CW_CATEGORY_INTERNAL:
        default:
            ok = info->http >= 400 && info->http < 600 && info->grpc != CW_GRPC_OK;
            break;
        }
        if (!ok || !*info->title || !*info->meaning) {
            fail_msg("%s", info->code);
        }
    }
}

static void a_status_has_an_error(void **state)
{
    (void)state;
    static const int statuses[] = {400, 401, 403, 404, 405, 408, 413, 414, 415,
                                   416, 421, 429, 431, 500, 501, 502, 503, 504};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        int http = cw_err_info(cw_err_from_http(statuses[i]))->http;
        if (http != statuses[i]) {
            fail_msg("%d: %d", statuses[i], http);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_unique_and_lead_back),
        cmocka_unit_test(categories_answer_with_their_status),
        cmocka_unit_test(a_status_has_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
