/* Walks the list and the tree side by side. */
#include "tests/support/jose/same.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/jose/json.h"

enum { READING_MEMORY = 1024 * 1024 };

static bool same_value(const struct cw_doc_value *ours, json_t *theirs);

static bool same_text(struct cw_str ours, const char *theirs, size_t n)
{
    return ours.n == n && memcmp(ours.p, theirs, n) == 0;
}

static bool same_array(const struct cw_doc_value *ours, json_t *theirs)
{
    const struct cw_doc_value *at = cw_doc_first(ours);
    bool same = ours->type == CW_DOC_ARRAY && ours->n == json_array_size(theirs);
    for (size_t i = 0; same && i < ours->n; i++, at = cw_doc_next(at)) {
        same = same_value(at, json_array_get(theirs, i));
    }
    return same && at == cw_doc_next(ours);
}

static bool same_object(const struct cw_doc_value *ours, json_t *theirs)
{
    const struct cw_doc_value *at = cw_doc_first(ours);
    bool same = ours->type == CW_DOC_OBJECT && ours->n == json_object_size(theirs);
    void *i = json_object_iter(theirs);
    for (; same && i; i = json_object_iter_next(theirs, i)) {
        struct cw_str name = cw_doc_str(at);
        same = at->type == CW_DOC_STRING &&
               same_text(name, json_object_iter_key(i), json_object_iter_key_len(i)) &&
               cw_doc_get(ours, name) == at + 1 && same_value(at + 1, json_object_iter_value(i));
        at = cw_doc_next(at + 1);
    }
    return same && !cw_doc_get(ours, CW_STR("no such name: \x01")) && at == cw_doc_next(ours);
}

static bool same_value(const struct cw_doc_value *ours, json_t *theirs)
{
    switch (json_typeof(theirs)) {
    case JSON_OBJECT:
        return same_object(ours, theirs);
    case JSON_ARRAY:
        return same_array(ours, theirs);
    case JSON_STRING:
        return ours->type == CW_DOC_STRING &&
               same_text(cw_doc_str(ours), json_string_value(theirs), json_string_length(theirs));
    case JSON_INTEGER:
        return ours->type == CW_DOC_INTEGER && cw_doc_integer(ours) == json_integer_value(theirs);
    case JSON_REAL: {
        double a = cw_doc_real(ours), b = json_real_value(theirs);
        return ours->type == CW_DOC_REAL && memcmp(&a, &b, sizeof a) == 0;
    }
    case JSON_TRUE:
        return ours->type == CW_DOC_TRUE;
    case JSON_FALSE:
        return ours->type == CW_DOC_FALSE;
    case JSON_NULL:
    default:
        return ours->type == CW_DOC_NULL;
    }
}

/* No longer than the text that it comes from, and for jansson the same. */
static bool same_written(const struct cw_doc_value *ours, json_t *theirs, size_t text_n)
{
    struct cw_buf written = CW_BUF_INIT(text_n);
    json_error_t error;
    cw_doc_write(ours, &written);
    json_t *again =
        written.failed ? NULL : json_loadb(written.p, written.n, JSON_REJECT_DUPLICATES, &error);
    bool same = json_equal(again, theirs);
    json_decref(again);
    cw_buf_done(&written);
    return same;
}

bool same_reading(struct cw_str text, bool *ret_accepted, char ret_detail[SAME_DETAIL_SIZE])
{
    struct cw_arena arena = CW_ARENA_INIT(READING_MEMORY);
    const struct cw_doc_value *ours = NULL;
    json_t *theirs = NULL;
    /* of exactly the text's size, so that a sanitizer sees a step behind it */
    char *copy = malloc(text.n ? text.n : 1);
    memcpy(copy, text.n ? text.p : "", text.n);
    enum cw_err a = cw_doc_parse(copy, text.n, CW_CLAIMS_MALFORMED, &arena, &ours);
    enum cw_err b = cw_json_parse_object(text, CW_CLAIMS_MALFORMED, &theirs);
    const char *what = a != b                                              ? "one accepts it"
                       : a == CW_OK && !same_value(ours, theirs)           ? "the values differ"
                       : a == CW_OK && !same_written(ours, theirs, text.n) ? "written it differs"
                                                                           : NULL;
    if (what) {
        snprintf(ret_detail, SAME_DETAIL_SIZE, "%s (%s, %s): %.*s", what, cw_err_code(a),
                 cw_err_code(b), (int)CW_MIN(text.n, (size_t)80), text.p);
    }
    if (ret_accepted) {
        *ret_accepted = a == CW_OK && b == CW_OK;
    }
    json_decref(theirs);
    cw_arena_done(&arena);
    free(copy);
    return !what;
}
