/* Registrations and documents as real clients and servers send them, and what the real server
 * refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/eureka/parse.h"

#define DC                                                                                         \
    "\"dataCenterInfo\":{\"@class\":\"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo\","   \
    "\"name\":\"MyOwn\"}"
#define WHO "\"instanceId\":\"h:auth-service:8443\",\"hostName\":\"h\",\"ipAddr\":\"10.0.0.5\""
#define APP "\"app\":\"auth-service\""
#define REG(members) "{\"instance\":{" members "}}"
#define CANNOT "{\"error\": \"cannot parse request body\"}"

static void a_whole_registration_is_read(void **state)
{
    (void)state;
    static const char body[] = REG(
        WHO "," APP
            ",\"status\":\"STARTING\",\"overriddenStatus\":\"UNKNOWN\",\"port\":{\"$\":8080,\"@"
            "enabled\":\"true\"},\"securePort\":{\"$\":\"8443\",\"@enabled\":true},\"countryId\":1,"
            "\"leaseInfo\":{\"renewalIntervalInSecs\":5,\"durationInSecs\":\"15\"},\"metadata\":{"
            "\"management.port\":9090,\"zone\":\"eu-1a\",\"none\":null},\"homePageUrl\":\"http://h/"
            "\",\"vipAddress\":\"auth-service\",\"isCoordinatingDiscoveryServer\":\"false\","
            "\"lastDirtyTimestamp\":\"1764000000000\",\"unknown\":{\"status\":\"DOWN\"}," DC);
    struct cw_arena arena = CW_ARENA_INIT(65536);
    struct cw_eureka_instance got;
    struct cw_eureka_refusal refusal;
    assert_int_equal(
        cw_eureka_parse_registration(&arena, CW_STR("AUTH-Service"), cw_str(body), &got, &refusal),
        CW_OK);
    assert_string_equal(got.instance_id, "h:auth-service:8443");
    assert_string_equal(got.app, "AUTH-SERVICE");
    assert_string_equal(got.ip_addr, "10.0.0.5");
    /* the real server would now be DOWN: an unknown object is skipped here */
    assert_int_equal(got.status, CW_EUREKA_STARTING);
    assert_int_equal(got.overridden, CW_EUREKA_UNKNOWN);
    assert_int_equal(got.port.number, 8080);
    assert_true(got.port.enabled);
    assert_int_equal(got.secure_port.number, 8443);
    assert_true(got.secure_port.enabled);
    assert_int_equal(got.lease.renewal_s, 5);
    assert_int_equal(got.lease.duration_s, 15);
    assert_int_equal(got.metadata.n, 3);
    assert_string_equal(cw_eureka_pairs_find(got.metadata, "management.port"), "9090");
    assert_string_equal(cw_eureka_pairs_find(got.metadata, "none"), "null");
    assert_null(cw_eureka_pairs_find(got.metadata, "absent"));
    assert_true(got.last_dirty_ms == 1764000000000);
    assert_int_equal(got.data_center, CW_EUREKA_MY_OWN);
    cw_arena_done(&arena);
}

static void refusals_have_the_text_of_the_real_server(void **state)
{
    (void)state;
    static const struct {
        const char *sentence, *body, *text; /* text NULL: accepted */
    } rows[] = {
        {"the twin without a mutation", REG(WHO "," APP "," DC), NULL},
        {"no host name", REG("\"instanceId\":\"i\",\"ipAddr\":\"1\"," APP "," DC),
         "Missing hostname"},
        {"no id at all", REG("\"ipAddr\":\"1\"," APP "," DC), "Missing instanceId"},
        {"the host name stands in for the id",
         REG("\"hostName\":\"h\",\"ipAddr\":\"1\"," APP "," DC), NULL},
        {"no address", REG("\"hostName\":\"h\"," APP "," DC), "Missing ip address"},
        {"a blank address", REG("\"hostName\":\"h\",\"ipAddr\":\" \"," APP "," DC),
         "Missing ip address"},
        {"another application", REG(WHO ",\"app\":\"other\"," DC),
         "Mismatched appName, expecting AUTH-SERVICE but was OTHER"},
        {"no application", REG(WHO "," DC), CANNOT},
        {"no data center", REG(WHO "," APP), "Missing dataCenterInfo"},
        {"a data center without a name",
         REG(WHO "," APP
                 ",\"dataCenterInfo\":{\"@class\":\"com.netflix.appinfo.MyDataCenterInfo\"}"),
         "Missing dataCenterInfo Name"},
        {"the other class name",
         REG(WHO "," APP
                 ",\"dataCenterInfo\":{\"@class\":\"com.netflix.appinfo.MyDataCenterInfo\",\"name\""
                 ":\"MyOwn\"}"),
         NULL},
        {"a data center without @class",
         REG(WHO "," APP ",\"dataCenterInfo\":{\"name\":\"MyOwn\"}"), CANNOT},
        {"an unknown data center",
         REG(WHO "," APP
                 ",\"dataCenterInfo\":{\"@class\":\"com.netflix.appinfo.MyDataCenterInfo\",\"name\""
                 ":\"Mine\"}"),
         CANNOT},
        {"metadata in MyOwn",
         REG(WHO "," APP
                 ",\"dataCenterInfo\":{\"@class\":\"com.netflix.appinfo.MyDataCenterInfo\",\"name\""
                 ":\"MyOwn\",\"metadata\":{}}"),
         CANNOT},
        {"a bare number as port", REG(WHO "," APP ",\"port\":8080," DC), CANNOT},
        {"a port out of range", REG(WHO "," APP ",\"port\":{\"$\":65536}," DC), CANNOT},
        {"a negative port", REG(WHO "," APP ",\"port\":{\"$\":-1}," DC), CANNOT},
        {"an object in the metadata", REG(WHO "," APP ",\"metadata\":{\"a\":{}}," DC), CANNOT},
        {"a line break in the id",
         REG("\"instanceId\":\"a\\nb\",\"hostName\":\"h\",\"ipAddr\":\"1\"," APP "," DC), CANNOT},
        {"a member twice", REG(WHO "," APP "," APP "," DC), CANNOT},
        {"a list", "[]", CANNOT},
        {"an empty object", "{}", CANNOT},
        {"an instance that is a text", "{\"instance\":\"x\"}", CANNOT},
        {"garbage", "garbage", CANNOT},
        {"nothing", "", CANNOT},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        struct cw_arena arena = CW_ARENA_INIT(65536);
        struct cw_eureka_instance got;
        struct cw_eureka_refusal refusal;
        enum cw_err err = cw_eureka_parse_registration(&arena, CW_STR("auth-service"),
                                                       cw_str(rows[i].body), &got, &refusal);
        if (err != (rows[i].text != NULL ? CW_REQUEST_MALFORMED : CW_OK) ||
            (rows[i].text != NULL && strcmp(refusal.text, rows[i].text) != 0)) {
            fail_msg("%s: %s, %s", rows[i].sentence, cw_err_code(err), refusal.text);
        }
        cw_arena_done(&arena);
    }
}

static void a_nul_after_a_number_is_no_end(void **state)
{
    (void)state;
    static const char body[] = "{\"instance\":1\0}}";
    struct cw_arena arena = CW_ARENA_INIT(65536);
    struct cw_eureka_instance got;
    struct cw_eureka_refusal refusal;
    assert_int_equal(cw_eureka_parse_registration(&arena, CW_STR("A"),
                                                  (struct cw_str){body, sizeof(body) - 1}, &got,
                                                  &refusal),
                     CW_REQUEST_MALFORMED);
    cw_arena_done(&arena);
}

static void silence_means_the_defaults(void **state)
{
    (void)state;
    static const char body[] =
        REG(WHO "," APP ",\"leaseInfo\":{\"durationInSecs\":0,\"renewalIntervalInSecs\":-3}," DC);
    struct cw_arena arena = CW_ARENA_INIT(65536);
    struct cw_eureka_instance got;
    struct cw_eureka_refusal refusal;
    assert_int_equal(
        cw_eureka_parse_registration(&arena, CW_STR("AUTH-SERVICE"), cw_str(body), &got, &refusal),
        CW_OK);
    assert_int_equal(got.lease.duration_s, 90);
    assert_int_equal(got.lease.renewal_s, 30);
    assert_int_equal(got.status, CW_EUREKA_UP);
    assert_true(got.port.enabled);
    assert_false(got.secure_port.enabled);
    assert_true(got.last_dirty_ms == 0);
    cw_arena_done(&arena);
}

static void a_misspelt_status_is_unknown(void **state)
{
    (void)state;
    assert_int_equal(cw_eureka_status_parse(CW_STR("up")), CW_EUREKA_UNKNOWN);
    assert_int_equal(cw_eureka_status_parse(CW_STR("OUT_OF_SERVICE")), CW_EUREKA_OUT_OF_SERVICE);
}

static void an_amazon_instance_is_known_by_its_own_id(void **state)
{
    (void)state;
    static const char body[] =
        REG("\"hostName\":\"h\",\"ipAddr\":\"10.0.0.5\"," APP
            ",\"dataCenterInfo\":{\"@class\":\"com.netflix.appinfo.AmazonInfo\",\"name\":\"Amazon\""
            ",\"metadata\":{\"instance-id\":\"i-7\",\"local-ipv4\":\"10.0.0.5\"}}");
    struct cw_arena arena = CW_ARENA_INIT(65536);
    struct cw_eureka_instance got;
    struct cw_eureka_refusal refusal;
    assert_int_equal(
        cw_eureka_parse_registration(&arena, CW_STR("AUTH-SERVICE"), cw_str(body), &got, &refusal),
        CW_OK);
    assert_string_equal(cw_eureka_instance_id(&got), "i-7");
    assert_int_equal(got.data_center_metadata.n, 2);
    cw_arena_done(&arena);
}

static void a_flood_of_metadata_is_refused(void **state)
{
    (void)state;
    struct cw_buf body = CW_BUF_INIT(65536);
    cw_buf_add_cstr(&body, "{\"instance\":{" WHO "," APP "," DC ",\"metadata\":{");
    for (int i = 0; i < CW_EUREKA_PAIRS_MAX + 2; i++) {
        cw_buf_addf(&body, "%s\"k%d\":1", i > 0 ? "," : "", i);
    }
    cw_buf_add_cstr(&body, "}}}");
    struct cw_arena arena = CW_ARENA_INIT(65536);
    struct cw_eureka_instance got;
    struct cw_eureka_refusal refusal;
    assert_int_equal(cw_eureka_parse_registration(&arena, CW_STR("AUTH-SERVICE"), cw_buf_str(&body),
                                                  &got, &refusal),
                     CW_REQUEST_MALFORMED);
    cw_buf_done(&body);
    cw_arena_done(&arena);
}

struct visited {
    size_t n;
    struct cw_eureka_hash hash;
    enum cw_eureka_action last;
};

static enum cw_err visit(void *ctx, const struct cw_eureka_instance *instance)
{
    struct visited *visited = ctx;
    visited->n++;
    visited->last = instance->action;
    cw_eureka_hash_add(&visited->hash, instance->status);
    return CW_OK;
}

static void documents_are_read_in_every_dialect(void **state)
{
    (void)state;
#define ONE(id, status)                                                                            \
    "{\"instanceId\":\"" id "\",\"hostName\":\"h\",\"app\":\"X\",\"ipAddr\":\"10.0.0.5\","         \
    "\"status\":\"" status "\",\"metadata\":{\"@class\":\"java.util.Collections$EmptyMap\"}," DC   \
    ",\"actionType\":\"DELETED\"}"
    static const struct {
        const char *sentence, *json;
        enum cw_err err;
        size_t instances, skipped;
        int64_t version;
        const char *hash;
    } rows[] = {
        {"a list of two",
         "{\"applications\":{\"versions__delta\":\"7\",\"apps__hashcode\":\"DOWN_1_UP_1_\","
         "\"application\":[{\"name\":\"X\",\"instance\":[" ONE("a", "UP") "," ONE("b",
                                                                                  "DOWN") "]}]}}",
         CW_OK, 2, 0, 7, "DOWN_1_UP_1_"},
        {"objects instead of lists",
         "{\"applications\":{\"versions__delta\":7,\"apps__hashcode\":\"UP_1_\","
         "\"application\":{\"name\":\"X\",\"instance\":" ONE("a", "UP") "}}}",
         CW_OK, 1, 0, 7, "UP_1_"},
        {"an empty registry",
         "{\"applications\":{\"versions__delta\":\"1\",\"apps__hashcode\":\"\",\"application\":[]}"
         "}",
         CW_OK, 0, 0, 1, ""},
        {"a broken instance does not hide the next",
         "{\"applications\":{\"application\":[{\"name\":\"X\",\"instance\":[{\"port\":1},7," ONE(
             "a", "UP") "]}]}}",
         CW_OK, 1, 2, 0, ""},
        {"Boot's error document", "{\"timestamp\":1,\"status\":404}", CW_REQUEST_MALFORMED, 0, 0, 0,
         NULL},
        {"HTML", "<html>", CW_REQUEST_MALFORMED, 0, 0, 0, NULL},
    };
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        struct cw_arena arena = CW_ARENA_INIT(65536);
        struct visited visited = {0};
        struct cw_eureka_document document = {0};
        enum cw_err err =
            cw_eureka_parse_document(&arena, cw_str(rows[i].json), visit, &visited, &document);
        if (err != rows[i].err) {
            fail_msg("%s: %s", rows[i].sentence, cw_err_code(err));
        }
        assert_int_equal(visited.n, rows[i].instances);
        assert_int_equal(document.instances, rows[i].instances);
        assert_int_equal(document.skipped, rows[i].skipped);
        if (rows[i].hash != NULL) {
            struct cw_buf hash = CW_BUF_INIT(256);
            assert_true(document.version == rows[i].version);
            assert_string_equal(document.hash, rows[i].hash);
            cw_eureka_hash_encode(&visited.hash, &hash);
            if (rows[i].hash[0] != '\0') {
                assert_int_equal(visited.last, CW_EUREKA_DELETED);
                assert_true(cw_str_is(cw_buf_str(&hash), rows[i].hash));
            }
            cw_buf_done(&hash);
        }
        cw_arena_done(&arena);
    }
}

static void a_document_past_the_arena_is_an_error(void **state)
{
    (void)state;
    static const char json[] =
        "{\"applications\":{\"application\":[{\"name\":\"X\",\"instance\":[" ONE("a", "UP") "]}]}}";
    struct cw_arena arena = CW_ARENA_INIT(64);
    struct visited visited = {0};
    struct cw_eureka_document document = {0};
    assert_int_equal(cw_eureka_parse_document(&arena, cw_str(json), visit, &visited, &document),
                     CW_NO_MEMORY);
    cw_arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_registration_is_read),
        cmocka_unit_test(refusals_have_the_text_of_the_real_server),
        cmocka_unit_test(a_nul_after_a_number_is_no_end),
        cmocka_unit_test(silence_means_the_defaults),
        cmocka_unit_test(a_misspelt_status_is_unknown),
        cmocka_unit_test(an_amazon_instance_is_known_by_its_own_id),
        cmocka_unit_test(a_flood_of_metadata_is_refused),
        cmocka_unit_test(documents_are_read_in_every_dialect),
        cmocka_unit_test(a_document_past_the_arena_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
