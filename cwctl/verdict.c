/* Shows a verdict to people and to programs. */
#include "cwctl/verdict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/buf.h"
#include "cwctl/command.h"

json_t *verdict_new(void)
{
    return json_object();
}

int verdict_set(json_t *verdict, enum cw_err reason)
{
    const struct cw_err_info *info = cw_err_info(reason);
    const char *decision = "UNDECIDED";
    int code = COMMAND_UNDECIDED;
    if (reason == CW_OK) {
        decision = "ALLOW";
        code = COMMAND_OK;
    } else if (info->category == CW_CATEGORY_TOKEN) {
        decision = "UNAUTHENTICATED";
        code = COMMAND_REFUSED;
    } else if (info->category == CW_CATEGORY_POLICY) {
        decision = "FORBIDDEN";
        code = COMMAND_REFUSED;
    }
    json_object_set_new(verdict, "decision", json_string(decision));
    json_object_set_new(verdict, "reason", json_string(reason ? info->code : ""));
    return code;
}

void verdict_put(json_t *object, const char *name, struct cw_str value)
{
    if (value.n) {
        json_object_set_new(object, name, json_stringn(value.p, value.n));
    }
}

void verdict_add_check(json_t *verdict, struct cw_str name, bool passed, struct cw_str detail)
{
    json_t *checks = json_object_get(verdict, "checks");
    if (!checks) {
        checks = json_array();
        json_object_set_new(verdict, "checks", checks);
    }
    json_t *check = json_object();
    json_object_set_new(check, "name", json_stringn(name.p, name.n));
    json_object_set_new(check, "passed", json_boolean(passed));
    json_object_set_new(check, "detail", json_stringn(detail.p, detail.n));
    json_array_append_new(checks, check);
}

/* JSON escapes what could steer a terminal; beyond ASCII too, as some of that steers as well. Only
 * quotes and backslashes are shown as they are. */
static void print_value(const char *name, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT);
    size_t n = text ? strlen(text) : 0;
    bool quoted = text && json_is_string(value);
    printf("  %-12s ", name);
    for (size_t i = quoted; i + quoted < n; i++) {
        i += quoted && text[i] == '\\' && strchr("\"\\", text[i + 1]);
        putchar(text[i]);
    }
    putchar('\n');
    free(text);
}

/* Seconds since the epoch are for programs. */
static void print_time(const char *name, const json_t *value)
{
    time_t seconds = json_integer_value(value);
    struct tm tm;
    char text[32];
    if (gmtime_r(&seconds, &tm) && strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm)) {
        printf("  %-12s %s\n", name, text);
    }
}

static void print_identity(json_t *identity)
{
    const char *name;
    json_t *value;
    json_object_foreach(identity, name, value)
    {
        if (json_is_integer(value) && cw_str_ends(cw_str(name), CW_STR("_at"))) {
            print_time(name, value);
        } else {
            print_value(name, value);
        }
    }
}

static void print_checks(const json_t *checks)
{
    size_t i;
    json_t *check;
    json_array_foreach(checks, i, check)
    {
        printf("  %-4s", json_is_true(json_object_get(check, "passed")) ? "ok" : "FAIL");
        print_value(json_string_value(json_object_get(check, "name")),
                    json_object_get(check, "detail"));
    }
}

static void print_reason(const char *code)
{
    const struct cw_err_info *info = cw_err_info(cw_err_from_code(code, strlen(code)));
    if (strcmp(info->code, code) == 0) {
        printf("  %s\n  %s\n", info->meaning, info->remedy);
    }
}

void verdict_print(const json_t *verdict, bool json)
{
    if (json) {
        char *text = json_dumps(verdict, JSON_COMPACT | JSON_ENSURE_ASCII);
        printf("%s\n", text ? text : "{}");
        free(text);
        return;
    }
    const char *decision = json_string_value(json_object_get(verdict, "decision"));
    const char *reason = json_string_value(json_object_get(verdict, "reason"));
    if (strcmp(decision, "ALLOW") == 0) {
        printf("allowed\n");
    } else {
        printf("%s: %s\n",
               strcmp(decision, "UNDECIDED") == 0   ? "could not decide"
               : strcmp(decision, "FORBIDDEN") == 0 ? "forbidden"
                                                    : "refused",
               reason);
        print_reason(reason);
    }
    print_identity(json_object_get(verdict, "identity"));
    print_checks(json_object_get(verdict, "checks"));
}
