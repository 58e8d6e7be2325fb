/* What is written is what the real server writes, and what our own reader reads back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/eureka/encode.h"
#include "common/eureka/parse.h"

static const struct cw_eureka_pair metadata[] = {
    {"zone", "eu \"1a\" <&>"}, {"gRPC_port", "9"}, {"1bad", "x"}};

static struct cw_eureka_instance sample(void)
{
    struct cw_eureka_instance i;
    cw_eureka_instance_init(&i);
    i.instance_id = "h:x:1";
    i.host_name = "h";
    i.app = "X";
    i.ip_addr = "10.0.0.5";
    i.vip_address = "x";
    i.home_page_url = "http://h:1/?a=1&b=2";
    i.port.number = 8080;
    i.lease.registration_ms = 1000;
    i.last_updated_ms = 2000;
    i.last_dirty_ms = 3000;
    i.metadata = (struct cw_eureka_pairs){metadata, CW_ARRAY_SIZE(metadata)};
    i.data_center = CW_EUREKA_MY_OWN;
    return i;
}

static void json_has_the_members_of_the_real_server(void **state)
{
    (void)state;
    struct cw_eureka_instance i = sample();
    i.metadata.n = 0;
    struct cw_eureka_entry entry = {&i, 4000, CW_EUREKA_ADDED};
    struct cw_buf out = CW_BUF_INIT(65536);
    cw_eureka_encode_instance(CW_EUREKA_JSON, &entry, &out);
    char *text = cw_buf_take(&out);
    assert_string_equal(
        text,
        "{\"instance\":{\"instanceId\":\"h:x:1\",\"hostName\":\"h\",\"app\":\"X\",\"ipAddr\":\"10."
        "0.0.5\",\"status\":\"UP\",\"overriddenStatus\":\"UNKNOWN\",\"port\":{\"$\":8080,\"@"
        "enabled\":\"true\"},\"securePort\":{\"$\":7002,\"@enabled\":\"false\"},\"countryId\":1,"
        "\"dataCenterInfo\":{\"@class\":\"com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo\","
        "\"name\":\"MyOwn\"},\"leaseInfo\":{\"renewalIntervalInSecs\":30,\"durationInSecs\":90,"
        "\"registrationTimestamp\":1000,\"lastRenewalTimestamp\":4000,\"evictionTimestamp\":0,"
        "\"serviceUpTimestamp\":0},\"metadata\":{\"@class\":\"java.util.Collections$EmptyMap\"},"
        "\"homePageUrl\":\"http://h:1/?a=1&b=2\",\"vipAddress\":\"x\","
        "\"isCoordinatingDiscoveryServer\":\"false\",\"lastUpdatedTimestamp\":\"2000\","
        "\"lastDirtyTimestamp\":\"3000\",\"actionType\":\"ADDED\"}}");
    free(text);
}

static enum cw_err check_same(void *ctx, const struct cw_eureka_instance *got)
{
    (*(size_t *)ctx)++;
    assert_string_equal(got->instance_id, "h:x:1");
    assert_string_equal(cw_eureka_pairs_find(got->metadata, "zone"), "eu \"1a\" <&>");
    assert_int_equal(got->port.number, 8080);
    assert_int_equal(got->action, CW_EUREKA_MODIFIED);
    assert_true(got->last_dirty_ms == 3000);
    assert_true(got->lease.renewal_ms == 4000);
    return CW_OK;
}

static void a_document_is_read_back(void **state)
{
    (void)state;
    struct cw_eureka_instance i = sample();
    struct cw_eureka_entry entries[] = {{&i, 4000, CW_EUREKA_MODIFIED},
                                        {&i, 4000, CW_EUREKA_MODIFIED}};
    struct cw_eureka_app apps[] = {{"X", entries, 2}, {"Y", entries, 1}};
    struct cw_eureka_hash hash = {0};
    for (int n = 0; n < 12; n++) {
        cw_eureka_hash_add(&hash, CW_EUREKA_UP);
    }
    cw_eureka_hash_add(&hash, CW_EUREKA_DOWN);
    struct cw_buf out = CW_BUF_INIT(65536);
    cw_eureka_encode_document(CW_EUREKA_JSON, 42, &hash, apps, 2, &out);
    struct cw_arena arena = CW_ARENA_INIT(65536);
    struct cw_eureka_document document;
    size_t seen = 0;
    assert_int_equal(
        cw_eureka_parse_document(&arena, cw_buf_str(&out), check_same, &seen, &document), CW_OK);
    assert_int_equal(seen, 3);
    assert_true(document.version == 42);
    assert_string_equal(document.hash, "DOWN_1_UP_12_");
    cw_arena_done(&arena);
    cw_buf_done(&out);
}

static void an_amazon_data_center_keeps_its_metadata(void **state)
{
    (void)state;
    static const struct cw_eureka_pair amazon[] = {{"instance-id", "i-7"}};
    struct cw_eureka_instance i = sample(), got;
    i.instance_id = NULL;
    i.data_center = CW_EUREKA_AMAZON;
    i.data_center_metadata = (struct cw_eureka_pairs){amazon, 1};
    struct cw_eureka_entry entry = {&i, 0, CW_EUREKA_ADDED};
    struct cw_buf out = CW_BUF_INIT(65536);
    struct cw_arena arena = CW_ARENA_INIT(65536);
    struct cw_eureka_refusal refusal;
    cw_eureka_encode_instance(CW_EUREKA_JSON, &entry, &out);
    assert_int_equal(
        cw_eureka_parse_registration(&arena, CW_STR("X"), cw_buf_str(&out), &got, &refusal), CW_OK);
    assert_null(got.instance_id);
    assert_string_equal(cw_eureka_instance_id(&got), "i-7");
    cw_arena_done(&arena);
    cw_buf_done(&out);
}

static void xml_escapes_texts_and_names(void **state)
{
    (void)state;
    struct cw_eureka_instance i = sample();
    struct cw_eureka_entry entry = {&i, 4000, CW_EUREKA_ADDED};
    struct cw_eureka_app app = {"X", &entry, 1};
    struct cw_eureka_hash hash = {0};
    cw_eureka_hash_add(&hash, CW_EUREKA_UP);
    struct cw_buf out = CW_BUF_INIT(65536);
    cw_eureka_encode_document(CW_EUREKA_XML, 1, &hash, &app, 1, &out);
    char *text = cw_buf_take(&out);
    static const char *const parts[] = {
        "<applications><versions__delta>1</versions__delta><apps__hashcode>UP_1_</apps__hashcode>"
        "<application><name>X</name><instance><instanceId>h:x:1</instanceId>",
        "<port enabled=\"true\">8080</port><securePort enabled=\"false\">7002</securePort>",
        "<metadata><zone>eu &quot;1a&quot; &lt;&amp;&gt;</zone><gRPC__port>9</gRPC__port>"
        "</metadata>",
        "<homePageUrl>http://h:1/?a=1&amp;b=2</homePageUrl>",
        "<overriddenstatus>UNKNOWN</overriddenstatus>",
    };
    for (size_t p = 0; p < CW_ARRAY_SIZE(parts); p++) {
        if (strstr(text, parts[p]) == NULL) {
            fail_msg("%s is not in %s", parts[p], text);
        }
    }
    free(text);
}

static void a_copy_stands_alone(void **state)
{
    (void)state;
    struct cw_arena first = CW_ARENA_INIT(65536), second = CW_ARENA_INIT(65536);
    struct cw_eureka_instance i = sample(), copy, again;
    assert_int_equal(cw_eureka_instance_copy(&first, &i, &copy), CW_OK);
    assert_int_equal(cw_eureka_instance_copy(&second, &copy, &again), CW_OK);
    cw_arena_done(&first);
    assert_string_equal(again.vip_address, "x");
    assert_string_equal(cw_eureka_pairs_find(again.metadata, "gRPC_port"), "9");
    cw_arena_done(&second);
    struct cw_arena tiny = CW_ARENA_INIT(8);
    assert_int_equal(cw_eureka_instance_copy(&tiny, &i, &copy), CW_NO_MEMORY);
    cw_arena_done(&tiny);
}

static void metadata_is_merged_within_its_bound(void **state)
{
    (void)state;
    static const struct cw_eureka_pair change[] = {{"zone", "b"}, {"new", "1"}};
    struct cw_arena arena = CW_ARENA_INIT(65536);
    struct cw_eureka_pairs base = {metadata, 2}, got;
    assert_int_equal(cw_eureka_pairs_merge(&arena, base, (struct cw_eureka_pairs){change, 2}, &got),
                     CW_OK);
    assert_int_equal(got.n, 3);
    assert_string_equal(cw_eureka_pairs_find(got, "zone"), "b");
    assert_string_equal(cw_eureka_pairs_find(got, "new"), "1");
    struct cw_eureka_pair many[CW_EUREKA_PAIRS_MAX];
    char keys[CW_EUREKA_PAIRS_MAX][8];
    for (size_t i = 0; i < CW_EUREKA_PAIRS_MAX; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%zu", i);
        many[i] = (struct cw_eureka_pair){keys[i], "v"};
    }
    assert_int_equal(cw_eureka_pairs_merge(
                         &arena, base, (struct cw_eureka_pairs){many, CW_EUREKA_PAIRS_MAX}, &got),
                     CW_REQUEST_MALFORMED);
    cw_arena_done(&arena);
}

static void the_hash_of_nothing_is_empty(void **state)
{
    (void)state;
    struct cw_eureka_hash hash = {0};
    struct cw_buf out = CW_BUF_INIT(256);
    cw_eureka_hash_encode(&hash, &out);
    assert_int_equal(out.n, 0);
    cw_eureka_hash_add(&hash, CW_EUREKA_UP);
    cw_eureka_hash_add(&hash, CW_EUREKA_STARTING);
    cw_eureka_hash_add(&hash, CW_EUREKA_OUT_OF_SERVICE);
    cw_eureka_hash_add(&hash, CW_EUREKA_UNKNOWN);
    cw_eureka_hash_encode(&hash, &out);
    assert_true(cw_str_is(cw_buf_str(&out), "OUT_OF_SERVICE_1_STARTING_1_UNKNOWN_1_UP_1_"));
    cw_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_has_the_members_of_the_real_server),
        cmocka_unit_test(a_document_is_read_back),
        cmocka_unit_test(an_amazon_data_center_keeps_its_metadata),
        cmocka_unit_test(xml_escapes_texts_and_names),
        cmocka_unit_test(a_copy_stands_alone),
        cmocka_unit_test(metadata_is_merged_within_its_bound),
        cmocka_unit_test(the_hash_of_nothing_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
