/* Reads Eureka's JSON: registrations of clients, full and delta documents of servers. What real
 * clients and servers were seen to send decides what is taken; the real server's 400 decides what
 * is refused. */
#include "common/eureka/parse.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

/* Texts of an instance, by member name. */
static const struct text_member {
    const char *name;
    size_t offset;
    size_t max;
} text_members[] = {
#define TEXT(name, member, max)                                                                    \
    {                                                                                              \
        name, offsetof(struct cw_eureka_instance, member), max                                     \
    }
    TEXT("instanceId", instance_id, CW_EUREKA_ID_MAX),
    TEXT("appGroupName", app_group, CW_EUREKA_NAME_MAX),
    TEXT("asgName", asg_name, CW_EUREKA_NAME_MAX),
    TEXT("hostName", host_name, CW_EUREKA_ID_MAX),
    TEXT("ipAddr", ip_addr, CW_EUREKA_ID_MAX),
    TEXT("vipAddress", vip_address, CW_EUREKA_TEXT_MAX),
    TEXT("secureVipAddress", secure_vip_address, CW_EUREKA_TEXT_MAX),
    TEXT("homePageUrl", home_page_url, CW_EUREKA_TEXT_MAX),
    TEXT("statusPageUrl", status_page_url, CW_EUREKA_TEXT_MAX),
    TEXT("healthCheckUrl", health_check_url, CW_EUREKA_TEXT_MAX),
    TEXT("secureHealthCheckUrl", secure_health_check_url, CW_EUREKA_TEXT_MAX),
#undef TEXT
};

/* Numbers and booleans are read as texts: servers and codecs disagree on which scalar is which. */
struct scalar {
    char digits[32];
    struct cw_str s;
};

static bool scalar_read(const json_t *value, struct scalar *ret)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        ret->s = (struct cw_str){json_string_value(value), json_string_length(value)};
        return true;
    case JSON_INTEGER:
        ret->s.n = (size_t)snprintf(ret->digits, sizeof(ret->digits), "%" JSON_INTEGER_FORMAT,
                                    json_integer_value(value));
        break;
    case JSON_REAL:
        ret->s.n =
            (size_t)snprintf(ret->digits, sizeof(ret->digits), "%.17g", json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        ret->s = cw_str(json_is_true(value) ? "true" : "false");
        return true;
    case JSON_NULL:
        ret->s = cw_str("null");
        return true;
    default:
        return false;
    }
    ret->s.p = ret->digits;
    return true;
}

static enum cw_err text_copy(struct cw_arena *arena, struct cw_str s, size_t max,
                             const char **ret_text)
{
    ENSURE(s.n <= max, CW_REQUEST_MALFORMED);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        ENSURE(c >= 0x20 && c != 0x7f, CW_REQUEST_MALFORMED);
    }
    *ret_text = cw_arena_dup(arena, s);
    ENSURE(*ret_text != NULL, CW_NO_MEMORY);
    return CW_OK;
}

/* Absent and null read as absent; an object or a list is malformed. */
static enum cw_err text_get(struct cw_arena *arena, const json_t *object, const char *name,
                            size_t max, const char **ret_text)
{
    const json_t *value = json_object_get(object, name);
    if (value == NULL || json_is_null(value)) {
        return CW_OK;
    }
    struct scalar scalar;
    ENSURE(scalar_read(value, &scalar), CW_REQUEST_MALFORMED);
    return text_copy(arena, scalar.s, max, ret_text);
}

static enum cw_err number_get(const json_t *object, const char *name, uint64_t max,
                              uint64_t *ret_number)
{
    const json_t *value = json_object_get(object, name);
    if (value == NULL || json_is_null(value)) {
        return CW_OK;
    }
    struct scalar scalar;
    ENSURE(scalar_read(value, &scalar), CW_REQUEST_MALFORMED);
    return cw_str_to_u64(scalar.s, max, ret_number);
}

static enum cw_err millis_get(const json_t *object, const char *name, int64_t *ret_ms)
{
    uint64_t number = (uint64_t)*ret_ms;
    TRY(number_get(object, name, INT64_MAX, &number));
    *ret_ms = (int64_t)number;
    return CW_OK;
}

static bool flag_get(const json_t *object, const char *name, bool fallback)
{
    const json_t *value = json_object_get(object, name);
    struct scalar scalar;
    if (value == NULL || json_is_null(value) || !scalar_read(value, &scalar)) {
        return fallback;
    }
    return cw_str_eq_nocase(scalar.s, CW_STR("true"));
}

/* `{"$":8080,"@enabled":"true"}`; a bare number is refused, as by the real server. */
static enum cw_err port_get(const json_t *instance, const char *name, struct cw_eureka_port *port)
{
    const json_t *value = json_object_get(instance, name);
    if (value == NULL || json_is_null(value)) {
        return CW_OK;
    }
    ENSURE(json_is_object(value), CW_REQUEST_MALFORMED);
    uint64_t number = port->number;
    TRY(number_get(value, "$", UINT16_MAX, &number));
    port->number = (uint16_t)number;
    port->enabled = flag_get(value, "@enabled", port->enabled);
    return CW_OK;
}

static enum cw_err status_get(const json_t *instance, const char *name,
                              enum cw_eureka_status *status)
{
    const json_t *value = json_object_get(instance, name);
    struct scalar scalar;
    if (value == NULL || json_is_null(value)) {
        return CW_OK;
    }
    ENSURE(scalar_read(value, &scalar), CW_REQUEST_MALFORMED);
    *status = cw_eureka_status_parse(scalar.s);
    return CW_OK;
}

/* A flat map of texts. `@class` entries are the real server's way to write an empty map. */
static enum cw_err pairs_get(struct cw_arena *arena, const json_t *object, const char *name,
                             struct cw_eureka_pairs *ret_pairs)
{
    json_t *map = json_object_get(object, name);
    if (map == NULL || json_is_null(map)) {
        return CW_OK;
    }
    ENSURE(json_is_object(map), CW_REQUEST_MALFORMED);
    ENSURE(json_object_size(map) <= CW_EUREKA_PAIRS_MAX + 1, CW_REQUEST_MALFORMED);
    struct cw_eureka_pair *pairs =
        cw_arena_alloc(arena, (json_object_size(map) + 1) * sizeof(*pairs));
    ENSURE(pairs != NULL, CW_NO_MEMORY);
    size_t n = 0;
    const char *key;
    json_t *value;
    json_object_foreach(map, key, value)
    {
        struct scalar scalar;
        if (cw_str_starts(cw_str(key), CW_STR("@class"))) {
            continue;
        }
        ENSURE(scalar_read(value, &scalar), CW_REQUEST_MALFORMED);
        ENSURE(key[0] != '\0', CW_REQUEST_MALFORMED);
        TRY(text_copy(arena, cw_str(key), CW_EUREKA_PAIR_KEY_MAX, &pairs[n].key));
        TRY(text_copy(arena, scalar.s, CW_EUREKA_TEXT_MAX, &pairs[n].value));
        n++;
    }
    *ret_pairs = (struct cw_eureka_pairs){.p = pairs, .n = n};
    return CW_OK;
}

/* Absent is told apart from malformed, for the real server's texts: `ret_refusal` may be NULL. */
static enum cw_err data_center_get(struct cw_arena *arena, const json_t *json,
                                   struct cw_eureka_instance *instance, const char **ret_refusal)
{
    static const struct {
        const char *name;
        enum cw_eureka_data_center center;
    } names[] = {
        {"MyOwn", CW_EUREKA_MY_OWN}, {"Amazon", CW_EUREKA_AMAZON}, {"Netflix", CW_EUREKA_NETFLIX}};
    const json_t *value = json_object_get(json, "dataCenterInfo");
    if (value == NULL || json_is_null(value)) {
        *ret_refusal = "Missing dataCenterInfo";
        return CW_OK;
    }
    ENSURE(json_is_object(value), CW_REQUEST_MALFORMED);
    const char *class = json_string_value(json_object_get(value, "@class"));
    ENSURE(class != NULL, CW_REQUEST_MALFORMED);
    const json_t *name = json_object_get(value, "name");
    if (name == NULL || json_is_null(name)) {
        *ret_refusal = "Missing dataCenterInfo Name";
        return CW_OK;
    }
    ENSURE(json_is_string(name), CW_REQUEST_MALFORMED);
    for (size_t i = 0; i < CW_ARRAY_SIZE(names); i++) {
        if (strcmp(json_string_value(name), names[i].name) == 0) {
            instance->data_center = names[i].center;
        }
    }
    ENSURE(instance->data_center != CW_EUREKA_NO_DATA_CENTER, CW_REQUEST_MALFORMED);
    if (strcmp(class, "com.netflix.appinfo.AmazonInfo") == 0) {
        return pairs_get(arena, value, "metadata", &instance->data_center_metadata);
    }
    ENSURE(json_object_get(value, "metadata") == NULL, CW_REQUEST_MALFORMED);
    return CW_OK;
}

static enum cw_err lease_get(const json_t *instance, struct cw_eureka_lease *lease)
{
    enum { DURATION_MAX_S = 24 * 3600 };
    const json_t *value = json_object_get(instance, "leaseInfo");
    if (value == NULL || json_is_null(value)) {
        return CW_OK;
    }
    ENSURE(json_is_object(value), CW_REQUEST_MALFORMED);
    struct {
        const char *name;
        uint32_t *ret;
    } seconds[] = {{"renewalIntervalInSecs", &lease->renewal_s},
                   {"durationInSecs", &lease->duration_s}};
    for (size_t i = 0; i < CW_ARRAY_SIZE(seconds); i++) {
        const json_t *given = json_object_get(value, seconds[i].name);
        struct scalar scalar;
        uint64_t number = 0;
        if (given == NULL) {
            continue;
        }
        ENSURE(scalar_read(given, &scalar), CW_REQUEST_MALFORMED);
        /* zero or less means the default; a year means a day */
        if (cw_str_to_u64(scalar.s, UINT64_MAX, &number) == CW_OK && number > 0) {
            *seconds[i].ret = (uint32_t)CW_MIN(number, DURATION_MAX_S);
        }
    }
    TRY(millis_get(value, "registrationTimestamp", &lease->registration_ms));
    TRY(millis_get(value, "lastRenewalTimestamp", &lease->renewal_ms));
    TRY(millis_get(value, "evictionTimestamp", &lease->eviction_ms));
    return millis_get(value, "serviceUpTimestamp", &lease->service_up_ms);
}

static enum cw_eureka_action action_get(const json_t *instance)
{
    const char *name = json_string_value(json_object_get(instance, "actionType"));
    if (name != NULL && strcmp(name, "DELETED") == 0) {
        return CW_EUREKA_DELETED;
    }
    return name != NULL && strcmp(name, "MODIFIED") == 0 ? CW_EUREKA_MODIFIED : CW_EUREKA_ADDED;
}

static enum cw_err app_get(struct cw_arena *arena, const json_t *json,
                           struct cw_eureka_instance *instance)
{
    const char *app = NULL;
    TRY(text_get(arena, json, "app", CW_EUREKA_NAME_MAX, &app));
    if (app != NULL) {
        instance->app = cw_eureka_app_upper(arena, cw_str(app));
        ENSURE(instance->app != NULL, CW_NO_MEMORY);
    }
    return CW_OK;
}

static enum cw_err instance_get(struct cw_arena *arena, const json_t *json,
                                struct cw_eureka_instance *ret_instance, const char **ret_refusal)
{
    ENSURE(json_is_object(json), CW_REQUEST_MALFORMED);
    struct cw_eureka_instance instance;
    cw_eureka_instance_init(&instance);
    for (size_t i = 0; i < CW_ARRAY_SIZE(text_members); i++) {
        const struct text_member *member = &text_members[i];
        const char **at = (const char **)(void *)((char *)&instance + member->offset);
        TRY(text_get(arena, json, member->name, member->max, at));
    }
    TRY(app_get(arena, json, &instance));
    TRY(status_get(json, "status", &instance.status));
    TRY(status_get(json, "overriddenstatus", &instance.overridden)); /* the older spelling */
    TRY(status_get(json, "overriddenStatus", &instance.overridden));
    TRY(port_get(json, "port", &instance.port));
    TRY(port_get(json, "securePort", &instance.secure_port));
    uint64_t country = instance.country_id;
    TRY(number_get(json, "countryId", INT32_MAX, &country));
    instance.country_id = (uint32_t)country;
    TRY(data_center_get(arena, json, &instance, ret_refusal));
    TRY(lease_get(json, &instance.lease));
    TRY(pairs_get(arena, json, "metadata", &instance.metadata));
    instance.coordinating = flag_get(json, "isCoordinatingDiscoveryServer", false);
    TRY(millis_get(json, "lastUpdatedTimestamp", &instance.last_updated_ms));
    TRY(millis_get(json, "lastDirtyTimestamp", &instance.last_dirty_ms));
    instance.action = action_get(json);
    *ret_instance = instance;
    return CW_OK;
}

/* jansson 2.14 takes a NUL after a number for the end of the text. */
static json_t *json_read(struct cw_str json)
{
    for (size_t i = 0; i < json.n; i++) {
        unsigned char c = (unsigned char)json.p[i];
        if (c < 0x20 && c != '\t' && c != '\n' && c != '\r') {
            return NULL;
        }
    }
    return json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
}

static bool is_blank(const char *text)
{
    return text == NULL || text[strspn(text, " \t")] == '\0';
}

/* In the order in which the real server looks. */
static const char *registration_refusal(const struct cw_eureka_instance *instance)
{
    if (is_blank(cw_eureka_instance_id(instance))) {
        return "Missing instanceId";
    }
    if (is_blank(instance->host_name)) {
        return "Missing hostname";
    }
    if (is_blank(instance->ip_addr)) {
        return "Missing ip address";
    }
    if (is_blank(instance->app)) {
        return "Missing appName";
    }
    return NULL;
}

enum cw_err cw_eureka_parse_registration(struct cw_arena *arena, struct cw_str path_app,
                                         struct cw_str json,
                                         struct cw_eureka_instance *ret_instance,
                                         struct cw_eureka_refusal *ret_refusal)
{
    snprintf(ret_refusal->text, sizeof(ret_refusal->text), "%s",
             "{\"error\": \"cannot parse request body\"}");
    json_t *root = json_read(json);
    const char *center = NULL;
    enum cw_err err = root == NULL ? CW_REQUEST_MALFORMED
                                   : instance_get(arena, json_object_get(root, "instance"),
                                                  ret_instance, &center);
    json_decref(root);
    TRY(err);
    const struct cw_eureka_instance *got = ret_instance;
    ENSURE(got->app != NULL, CW_REQUEST_MALFORMED);
    const char *refusal = registration_refusal(got);
    if (refusal == NULL && !cw_str_eq_nocase(path_app, cw_str(got->app))) {
        const char *expected = cw_eureka_app_upper(
            arena, cw_str_slice(path_app, 0, CW_MIN(path_app.n, (size_t)CW_EUREKA_NAME_MAX)));
        ENSURE(expected != NULL, CW_NO_MEMORY);
        snprintf(ret_refusal->text, sizeof(ret_refusal->text),
                 "Mismatched appName, expecting %s but was %s", expected, got->app);
        return CW_REQUEST_MALFORMED;
    }
    refusal = refusal != NULL ? refusal : center;
    if (refusal != NULL) {
        snprintf(ret_refusal->text, sizeof(ret_refusal->text), "%s", refusal);
        return CW_REQUEST_MALFORMED;
    }
    ENSURE(cw_eureka_app_is_valid(cw_str(got->app)), CW_REQUEST_MALFORMED);
    ENSURE(cw_eureka_id_is_valid(cw_str(cw_eureka_instance_id(got))), CW_REQUEST_MALFORMED);
    return CW_OK;
}

enum cw_err cw_eureka_parse_lookup(struct cw_arena *arena, struct cw_str json,
                                   struct cw_eureka_instance *ret_instance)
{
    const char *ignored = NULL;
    json_t *root = json_read(json);
    ENSURE(root != NULL, CW_REQUEST_MALFORMED);
    enum cw_err err =
        instance_get(arena, json_object_get(root, "instance"), ret_instance, &ignored);
    json_decref(root);
    return err;
}

enum cw_err cw_eureka_parse_instance(struct cw_arena *arena, struct cw_str json,
                                     struct cw_eureka_instance *ret_instance)
{
    const char *ignored = NULL;
    json_t *root = json_read(json);
    ENSURE(root != NULL, CW_REQUEST_MALFORMED);
    enum cw_err err = instance_get(arena, root, ret_instance, &ignored);
    json_decref(root);
    return err;
}
