/* The OpenAPI document is what the tables of the doors say: routes, bodies, bounds, reasons. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "authsvc/rest/openapi_document.h"
#include "authsvc/rest/rest.h"
#include "common/base/err.h"

struct doors {
    json_t *document;
    struct cw_http_routes tables[4];
};

static int set_up(void **state)
{
    static struct doors doors;
    json_error_t error;
    doors.document =
        json_loadb(openapi_document, openapi_document_n, JSON_REJECT_DUPLICATES, &error);
    if (doors.document == NULL) {
        print_error("openapi.json:%d: %s\n", error.line, error.text);
        return -1;
    }
    doors.tables[0] = rest_routes(NULL);
    doors.tables[1] = rest_mfa_routes(NULL);
    doors.tables[2] = rest_password_routes(NULL);
    doors.tables[3] = rest_openapi_routes(NULL);
    *state = &doors;
    return 0;
}

static int tear_down(void **state)
{
    struct doors *doors = *state;
    json_decref(doors->document);
    return 0;
}

static const char *lower_method(const char *method, char ret_name[16])
{
    size_t n = strlen(method);
    assert_true(n < 16);
    for (size_t i = 0; i <= n; i++) {
        ret_name[i] =
            method[i] >= 'A' && method[i] <= 'Z' ? (char)(method[i] - 'A' + 'a') : method[i];
    }
    return ret_name;
}

static json_t *operation(const struct doors *doors, const struct cw_http_route *route)
{
    char method[16];
    json_t *path = json_object_get(json_object_get(doors->document, "paths"), route->path);
    return json_object_get(path, lower_method(route->method, method));
}

/* What "$ref" names, or the value itself. */
static json_t *resolved(const struct doors *doors, json_t *value)
{
    const char *ref = json_string_value(json_object_get(value, "$ref"));
    if (ref == NULL) {
        return value;
    }
    assert_true(strncmp(ref, "#/", 2) == 0);
    char text[256];
    snprintf(text, sizeof(text), "%s", ref + 2);
    json_t *at = doors->document;
    char *rest = NULL;
    for (char *step = strtok_r(text, "/", &rest); step != NULL; step = strtok_r(NULL, "/", &rest)) {
        at = json_object_get(at, step);
    }
    if (at == NULL) {
        fail_msg("%s names nothing", ref);
    }
    return at;
}

static size_t count_operations(const struct doors *doors)
{
    size_t n = 0;
    const char *path;
    json_t *item;
    json_object_foreach(json_object_get(doors->document, "paths"), path, item)
    {
        n += json_object_size(item);
    }
    return n;
}

static void every_route_is_described_and_nothing_else(void **state)
{
    const struct doors *doors = *state;
    size_t n = 0;
    for (size_t t = 0; t < CW_ARRAY_SIZE(doors->tables); t++) {
        for (size_t i = 0; i < doors->tables[t].n; i++, n++) {
            const struct cw_http_route *route = &doors->tables[t].routes[i];
            if (operation(doors, route) == NULL) {
                fail_msg("%s %s is not in openapi.json", route->method, route->path);
            }
        }
    }
    assert_int_equal(count_operations(doors), n);
}

static bool lists(const json_t *array, const char *text)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (strcmp(json_string_value(json_array_get(array, i)), text) == 0) {
            return true;
        }
    }
    return false;
}

static void check_body(const struct doors *doors, const struct cw_http_route *route)
{
    const struct rest_body *body = route->extra;
    json_t *described = json_object_get(operation(doors, route), "requestBody");
    if ((body == NULL) != (described == NULL) || (body == NULL) != (route->max_body == 0)) {
        fail_msg("%s: a body is in one of table and document", route->path);
    }
    if (body == NULL) {
        return;
    }
    assert_int_equal(json_is_true(json_object_get(described, "required")), !body->optional);
    json_t *schema = json_object_get(
        json_object_get(json_object_get(described, "content"), "application/json"), "schema");
    json_t *properties = json_object_get(schema, "properties");
    const json_t *required = json_object_get(schema, "required");
    size_t n_required = 0;
    for (size_t i = 0; i < body->n; i++) {
        const struct rest_member *member = &body->members[i];
        json_t *property = json_object_get(properties, member->name);
        json_int_t max = json_integer_value(json_object_get(property, "maxLength"));
        if (max != (json_int_t)member->max || lists(required, member->name) != member->required) {
            fail_msg("%s: %s is not described as it is", route->path, member->name);
        }
        n_required += member->required;
    }
    assert_int_equal(json_object_size(properties), body->n);
    assert_int_equal(json_array_size(required), n_required);
}

static void bodies_have_these_members_and_bounds(void **state)
{
    const struct doors *doors = *state;
    for (size_t t = 0; t < CW_ARRAY_SIZE(doors->tables); t++) {
        for (size_t i = 0; i < doors->tables[t].n; i++) {
            check_body(doors, &doors->tables[t].routes[i]);
        }
    }
}

static void check_reason(const char *code, int status)
{
    const struct cw_err_info *info = cw_err_info(cw_err_from_code(code, strlen(code)));
    if (strcmp(info->code, code) != 0 || info->http != status) {
        fail_msg("reason %s under status %d", code, status);
    }
}

/* Every `reason` that a schema names is an error of this status; how many there are. */
static size_t check_schema(const struct doors *doors, json_t *schema, int status)
{
    schema = resolved(doors, schema);
    size_t n = 0;
    json_t *reason = json_object_get(json_object_get(schema, "properties"), "reason");
    json_t *codes = json_object_get(reason, "enum");
    for (size_t i = 0; i < json_array_size(codes); i++, n++) {
        check_reason(json_string_value(json_array_get(codes, i)), status);
    }
    json_t *code = json_object_get(reason, "const");
    if (code != NULL) {
        check_reason(json_string_value(code), status);
        n++;
    }
    static const char *const unions[] = {"allOf", "oneOf"};
    for (size_t u = 0; u < CW_ARRAY_SIZE(unions); u++) {
        json_t *parts = json_object_get(schema, unions[u]);
        for (size_t i = 0; i < json_array_size(parts); i++) {
            n += check_schema(doors, json_array_get(parts, i), status);
        }
    }
    return n;
}

static void check_responses(const struct doors *doors, json_t *responses)
{
    const char *key;
    json_t *response;
    json_object_foreach(responses, key, response)
    {
        int status = 0;
        assert_int_equal(sscanf(key, "%d", &status), 1);
        json_t *content = json_object_get(resolved(doors, response), "content");
        json_t *problem = json_object_get(content, "application/problem+json");
        assert_int_equal(problem != NULL, status >= 400);
        if (problem != NULL) {
            assert_true(check_schema(doors, json_object_get(problem, "schema"), status) > 0);
        }
    }
}

static void every_reason_is_an_error_of_its_status(void **state)
{
    const struct doors *doors = *state;
    for (size_t t = 0; t < CW_ARRAY_SIZE(doors->tables); t++) {
        for (size_t i = 0; i < doors->tables[t].n; i++) {
            const struct cw_http_route *route = &doors->tables[t].routes[i];
            check_responses(doors, json_object_get(operation(doors, route), "responses"));
        }
    }
}

static void every_verdict_over_a_token_is_named(void **state)
{
    const struct doors *doors = *state;
    json_t *schemas = json_object_get(json_object_get(doors->document, "components"), "schemas");
    json_t *parts = json_object_get(json_object_get(schemas, "TokenProblem"), "allOf");
    json_t *codes = json_object_get(
        json_object_get(json_object_get(json_array_get(parts, 1), "properties"), "reason"), "enum");
    size_t n = 0;
    for (size_t i = 0; i < cw_err_count(); i++) {
        const struct cw_err_info *info = cw_err_info((enum cw_err)i);
        if (info->category == CW_CATEGORY_TOKEN) {
            assert_true(lists(codes, info->code));
            n++;
        }
    }
    assert_int_equal(json_array_size(codes), n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_described_and_nothing_else),
        cmocka_unit_test(bodies_have_these_members_and_bounds),
        cmocka_unit_test(every_reason_is_an_error_of_its_status),
        cmocka_unit_test(every_verdict_over_a_token_is_named),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
