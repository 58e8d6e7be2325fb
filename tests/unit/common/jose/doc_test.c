/* The reader of claims accepts what jansson accepts, refuses what it refuses, and finds the same:
 * row by row, and over texts that are nearly right. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/jose/judge.h"
#include "tests/support/jose/same.h"

#define ROW(accepted, text)                                                                        \
    {                                                                                              \
        accepted, CW_STR_INIT(text)                                                                \
    }

static const struct {
    bool accepted;
    struct cw_str text;
} rows[] = {
    /* what an object is */
    ROW(true, "{}"),
    ROW(true, " \t\r\n{ \t\r\n} \t\r\n"),
    ROW(true, "{\"a\":{\"b\":[{},[],[1,[2]],{\"c\":null}]},\"d\":[]}"),
    ROW(true, "{\"\":1}"),
    ROW(true, "{\"a\":true,\"b\":false,\"c\":null}"),
    ROW(false, ""),
    ROW(false, " "),
    ROW(false, "[]"),
    ROW(false, "1"),
    ROW(false, "\"a\""),
    ROW(false, "null"),
    ROW(false, "{"),
    ROW(false, "}"),
    ROW(false, "{}}"),
    ROW(false, "{}{}"),
    ROW(false, "{},"),
    ROW(false, "{}\0"),
    ROW(false, "{\0}"),
    ROW(false, "\xef\xbb\xbf{}"),
    ROW(false, "{,}"),
    ROW(false, "{\"a\"}"),
    ROW(false, "{\"a\":}"),
    ROW(false, "{\"a\":1,}"),
    ROW(false, "{\"a\":1,,\"b\":2}"),
    ROW(false, "{\"a\":1 \"b\":2}"),
    ROW(false, "{\"a\" 1}"),
    ROW(false, "{\"a\"::1}"),
    ROW(false, "{a:1}"),
    ROW(false, "{1:1}"),
    ROW(false, "{'a':1}"),
    ROW(false, "{\"a\":1]"),
    ROW(false, "{\"a\":[1}"),
    ROW(false, "{\"a\":[1,]}"),
    ROW(false, "{\"a\":[,1]}"),
    ROW(false, "{\"a\":[1 2]}"),
    ROW(false, "{\"a\":/**/1}"),
    ROW(false, "{\"a\":\v1}"),
    ROW(false, "{\"a\":\x7f}"),
    ROW(false, "{\"a\":nul}"),
    ROW(false, "{\"a\":nullx}"),
    ROW(false, "{\"a\":True}"),
    ROW(false, "{\"a\":tru"),
    ROW(false, "{\"a\":NaN}"),
    ROW(false, "{\"a\":Infinity}"),
    ROW(false, "{\"a\":-Infinity}"),
    /* numbers */
    ROW(true, "{\"a\":[0,-0,-1,10,0.0,-0.0,1.5,1e5,1E5,1e+5,1e-5,1.25E+2]}"),
    ROW(true, "{\"a\":9223372036854775807,\"b\":-9223372036854775808}"),
    ROW(true, "{\"a\":1e308,\"b\":-1e308,\"c\":1e-999,\"d\":1e00000000000000000001}"),
    ROW(true, "{\"a\":0.10000000000000000000000000000000000000000000000000000000000000000001}"),
    ROW(true, "{\"a\":1700000600.99999999999999999}"),
    ROW(false, "{\"a\":9223372036854775808}"),
    ROW(false, "{\"a\":-9223372036854775809}"),
    ROW(false, "{\"a\":100000000000000000000000}"),
    ROW(false, "{\"a\":1e309}"),
    ROW(false, "{\"a\":-1e309}"),
    ROW(false, "{\"a\":01}"),
    ROW(false, "{\"a\":-01}"),
    ROW(false, "{\"a\":+1}"),
    ROW(false, "{\"a\":-}"),
    ROW(false, "{\"a\":--1}"),
    ROW(false, "{\"a\":.5}"),
    ROW(false, "{\"a\":1.}"),
    ROW(false, "{\"a\":1.e5}"),
    ROW(false, "{\"a\":1e}"),
    ROW(false, "{\"a\":1e+}"),
    ROW(false, "{\"a\":1e5.5}"),
    ROW(false, "{\"a\":0x10}"),
    ROW(false, "{\"a\":0x1p5}"),
    ROW(false, "{\"a\":1.5p5}"),
    ROW(false, "{\"a\":1_000}"),
    ROW(false, "{\"a\":1,5}"),
    ROW(false, "{\"a\":1\0}"),
    ROW(false, "{\"a\":1"),
    ROW(false, "{\"a\":1.5"),
    ROW(false, "{\"a\":1e5"),
    ROW(false, "{\"a\":-"),
    /* strings */
    ROW(true, "{\"a\":\"\",\"b\":\" \x7f \"}"),
    ROW(true, "{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}"),
    ROW(true, "{\"a\":\"\\u0001\\u001f\\u0041\\u00e9\\u20AC\\uffff\\uFFFE\"}"),
    ROW(true, "{\"a\":\"\\ud83d\\ude00\\udbff\\udfff\\ud800\\udc00\"}"),
    ROW(true, "{\"a\":\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf\"}"),
    ROW(true, "{\"caf\xc3\xa9\":\"\\u0063\xc3\xa9\"}"),
    ROW(true, "{\"a\":\"a text that is longer than one word of the machine\"}"),
    ROW(false, "{\"a\":\"a text that is longer than one\nword of the machine\"}"),
    ROW(false, "{\"a\":\"1234567\x1f\"}"),
    ROW(false, "{\"a\":\"12345678\0\"}"),
    ROW(false, "{\"a\":\"\\u0000\"}"),
    ROW(false, "{\"\\u0000\":1}"),
    ROW(false, "{\"a\":\"\\x41\"}"),
    ROW(false, "{\"a\":\"\\'\"}"),
    ROW(false, "{\"a\":\"\\\0\"}"),
    ROW(false, "{\"a\":\"\\\xc3\xa9\"}"),
    ROW(false, "{\"a\":\"\\u12\"}"),
    ROW(false, "{\"a\":\"\\u12G4\"}"),
    ROW(false, "{\"a\":\"\\u 123\"}"),
    ROW(false, "{\"a\":\"\\U0041\"}"),
    ROW(false, "{\"a\":\"\\ud800\"}"),
    ROW(false, "{\"a\":\"\\udc00\"}"),
    ROW(false, "{\"a\":\"\\ud800\\ud800\"}"),
    ROW(false, "{\"a\":\"\\ud800\\u0041\"}"),
    ROW(false, "{\"a\":\"\\ud800x\"}"),
    ROW(false, "{\"a\":\"\\ud800\\n\"}"),
    ROW(false, "{\"a\":\"\\ud800\\udc\"}"),
    ROW(false, "{\"a\":\"\xc0\xaf\"}"),
    ROW(false, "{\"a\":\"\xe0\x80\xaf\"}"),
    ROW(false, "{\"a\":\"\xed\xa0\x80\"}"),
    ROW(false, "{\"a\":\"\xf4\x90\x80\x80\"}"),
    ROW(false, "{\"a\":\"\xff\"}"),
    ROW(false, "{\"a\":\"\x80\"}"),
    ROW(false, "{\"a\":\"\xc3\"}"),
    ROW(false, "{\"a\":\"\xe2\x82\"}"),
    ROW(false, "{\"a\":\"\xe2\\u0041\x82\xac\"}"),
    ROW(false, "{\xc3\xa9\":1}"),
    ROW(false, "{\"a\":\""),
    ROW(false, "{\"a\":\"\\"),
    ROW(false, "{\"a\":\"\\\""),
    ROW(false, "{\"a\":\"\\u"),
    ROW(false, "{\"a\":\"\\u004"),
    /* names */
    ROW(true, "{\"a\":1,\"A\":2,\"aa\":3,\"a \":4}"),
    ROW(true, "{\"a\":{\"a\":{\"a\":1}},\"b\":[{\"a\":1},{\"a\":1}]}"),
    ROW(true, "{\"g\":1,\"\xef\xbd\x87\":2}"),
    ROW(false, "{\"a\":1,\"a\":1}"),
    ROW(false, "{\"\":1,\"\":1}"),
    ROW(false, "{\"ab\":1,\"a\\u0062\":1}"),
    ROW(false, "{\"b\":{\"a\":1,\"c\":{},\"a\":{}}}"),
    ROW(false, "{\"a\":[{\"x\":1,\"y\":{\"x\":1},\"x\":2}]}"),
};

static void expect_same(struct cw_str text, const bool *accepted)
{
    char detail[SAME_DETAIL_SIZE];
    bool both;
    if (!same_reading(text, &both, detail)) {
        fail_msg("%s", detail);
    }
    if (accepted && both != *accepted) {
        fail_msg("%.*s: %s", CW_STR_ARG(text), both ? "accepted" : "refused");
    }
}

static void each_row_is_as_jansson_reads_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        expect_same(rows[i].text, &rows[i].accepted);
    }
}

/* PREFIX, then `n` times PIECE (where it has a %u: the number), divided by commas, then SUFFIX. */
static void expect_repeated(const char *prefix, const char *piece, unsigned n, const char *suffix,
                            bool accepted)
{
    struct cw_buf text = CW_BUF_INIT(CW_DOC_TEXT_MAX);
    cw_buf_add_cstr(&text, prefix);
    for (unsigned i = 0; i < n; i++) {
        const char *number = strchr(piece, '#');
        cw_buf_addf(&text, "%s%.*s", i ? "," : "", (int)(number ? number - piece : 99), piece);
        if (number) {
            cw_buf_addf(&text, "%x%s", i, number + 1);
        }
    }
    cw_buf_add_cstr(&text, suffix);
    assert_false(text.failed);
    expect_same(cw_buf_str(&text), &accepted);
    cw_buf_done(&text);
}

static void bounds_are_the_same(void **state)
{
    (void)state;
    char text[2 * CW_DOC_DEPTH_MAX + 16];
    for (int depth = 1; depth <= CW_DOC_DEPTH_MAX + 1; depth++) { /* arrays, in one object */
        snprintf(text, sizeof text, "{\"a\":%.*s%.*s}", depth - 1, "[[[[[[[[[[[[[[[[[[", depth - 1,
                 "]]]]]]]]]]]]]]]]]]");
        bool accepted = depth > 1 && depth <= CW_DOC_DEPTH_MAX;
        expect_same(cw_str(text), &accepted);
    }
    expect_repeated("{\"a\":[", "1", CW_DOC_VALUES_MAX, "]}", true);
    expect_repeated("{\"a\":[", "1", CW_DOC_VALUES_MAX + 1, "]}", false);
    expect_repeated("{\"a\":[", "[]", CW_DOC_VALUES_MAX, "]}", true);
    expect_repeated("{\"a\":[", "[[[[1]]]]", 1200, "]}", true);
    /* more members than are compared with each other */
    for (unsigned n = 30; n < 36; n++) {
        expect_repeated("{", "\"#\":1", n, "}", true);
        expect_repeated("{", "\"#\":1", n, ",\"0\":1}", false);
        expect_repeated("{\"x\":1,", "\"#\":{\"a\":[1,2]}", n, ",\"\\u0078\":1}", false);
        expect_repeated("{", "\"#\":1", n, ",\"1d\":1}", n < 30);
    }
    expect_repeated("{", "\"#\":1", 1500, "}", true);
    expect_repeated("{", "\"#\":1", 1500, ",\"2ff\":1}", false);
}

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Changes up to three bytes, preferring those that mean something in JSON. */
static size_t mutate(char *text, size_t n, size_t max, uint32_t *state)
{
    static const char telling[] = "{}[]:,\"\\u0019eE+-.tfn \n\x7f\x1f\xc3\xa9\xed\xa0\xf0\x90";
    for (uint32_t changes = 1 + next_random(state) % 3; changes > 0; changes--) {
        size_t at = next_random(state) % n;
        char c = telling[next_random(state) % sizeof telling]; /* its NUL, too */
        switch (next_random(state) % 4) {
        case 0:
            memmove(text + at, text + at + 1, n - at - 1);
            n -= n > 1;
            break;
        case 1:
            if (n < max) {
                memmove(text + at + 1, text + at, n - at);
                n++;
            }
            text[at] = c;
            break;
        case 2: { /* a piece of it once more */
            size_t from = next_random(state) % n, length = next_random(state) % 12;
            length = CW_MIN(CW_MIN(length, n - from), n - at);
            memmove(text + at, text + from, length);
            break;
        }
        default:
            text[at] = c;
        }
    }
    return n;
}

static void texts_that_are_nearly_right_are_read_the_same(void **state)
{
    (void)state;
    enum { MUTANTS = 200 };
    uint32_t random = 20261130;
    char text[512];
    for (size_t i = 0; i < CW_ARRAY_SIZE(rows); i++) {
        for (int m = 0; m < MUTANTS && rows[i].text.n; m++) {
            memcpy(text, rows[i].text.p, rows[i].text.n);
            size_t n = mutate(text, rows[i].text.n, sizeof text, &random);
            expect_same((struct cw_str){text, n}, NULL);
        }
    }
}

static void what_is_not_there_is_not_found(void **state)
{
    (void)state;
    char text[] = "{\"a\":\"x\",\"b\":{\"c\":1},\"d\":[\"e\"]}";
    struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA);
    const struct cw_doc_value *doc;
    struct cw_str value;
    assert_int_equal(cw_doc_parse(text, strlen(text), CW_CLAIMS_MALFORMED, &arena, &doc), CW_OK);
    assert_true(cw_doc_get_str(doc, CW_STR("a"), &value) && cw_str_is(value, "x"));
    assert_false(cw_doc_get_str(doc, CW_STR("b"), &value)); /* no string */
    assert_null(cw_doc_get(doc, CW_STR("c")));              /* deeper */
    assert_null(cw_doc_get(doc, CW_STR("e")));              /* an element */
    assert_null(cw_doc_get(doc, CW_STR("x")));              /* a value */
    assert_null(cw_doc_get(doc, CW_STR("")));
    assert_null(cw_doc_get(cw_doc_get(doc, CW_STR("d")), CW_STR("e")));
    assert_null(cw_doc_get(cw_doc_get(doc, CW_STR("a")), CW_STR("a")));
    assert_null(cw_doc_get(NULL, CW_STR("a")));
    assert_int_equal(cw_doc_integer(cw_doc_get(cw_doc_get(doc, CW_STR("b")), CW_STR("c"))), 1);
    cw_arena_done(&arena);
}

static void too_little_memory_decides_nothing(void **state)
{
    (void)state;
    char text[] = "{\"a\":1}";
    struct cw_arena small = CW_ARENA_INIT(64);
    const struct cw_doc_value *doc;
    assert_int_equal(cw_doc_parse(text, strlen(text), CW_CLAIMS_MALFORMED, &small, &doc),
                     CW_NO_MEMORY);
    cw_arena_done(&small);
}

/* The largest lists that a token can carry fit into the arena that every token gets. */
static void any_token_fits_its_arena(void **state)
{
    (void)state;
    static char text[CW_DOC_TEXT_MAX + 1];
    const struct cw_doc_value *doc;
    size_t n = (size_t)snprintf(text, sizeof text, "{\"a\":[");
    while (n + 32 < CW_DOC_TEXT_MAX) { /* 13 values in 27 bytes */
        n += (size_t)snprintf(text + n, sizeof text - n, "[[[[[[[[[[[[[]]]]]]]]]]]]],");
    }
    n += (size_t)snprintf(text + n, sizeof text - n, "1]}");
    struct cw_arena arena = CW_ARENA_INIT(CW_TOKEN_ARENA);
    assert_int_equal(cw_doc_parse(text, n, CW_CLAIMS_MALFORMED, &arena, &doc), CW_OK);
    cw_arena_done(&arena);
    memset(text, ' ', sizeof text);
    text[0] = '{';
    text[CW_DOC_TEXT_MAX] = '}';
    arena = (struct cw_arena)CW_ARENA_INIT(CW_TOKEN_ARENA);
    assert_int_equal(cw_doc_parse(text, CW_DOC_TEXT_MAX + 1, CW_CLAIMS_MALFORMED, &arena, &doc),
                     CW_CLAIMS_MALFORMED);
    text[1] = '}';
    text[CW_DOC_TEXT_MAX] = ' ';
    assert_int_equal(cw_doc_parse(text, CW_DOC_TEXT_MAX, CW_CLAIMS_MALFORMED, &arena, &doc), CW_OK);
    cw_arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_is_as_jansson_reads_it),
        cmocka_unit_test(bounds_are_the_same),
        cmocka_unit_test(texts_that_are_nearly_right_are_read_the_same),
        cmocka_unit_test(what_is_not_there_is_not_found),
        cmocka_unit_test(too_little_memory_decides_nothing),
        cmocka_unit_test(any_token_fits_its_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
