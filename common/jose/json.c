/* One pass over the bytes before jansson sees them: raw control bytes (jansson 2.14 swallows a NUL
 * after a number), depth and number of values. */
#include "common/jose/json.h"

static bool within_bounds(struct cw_str text)
{
    size_t depth = 0, values = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c < 0x20 && (quoted || (c != '\t' && c != '\n' && c != '\r'))) {
            return false; /* RFC 8259 §7, §2 */
        }
        if (quoted) {
            if (c == '\\') {
                i++; /* what follows a backslash ends no string; jansson judges the escape */
            } else if (c == '"') {
                quoted = false;
            }
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > CW_JSON_DEPTH_MAX) {
                return false;
            }
        } else if (c == '}' || c == ']') {
            if (depth-- == 0) {
                return false;
            }
        } else if (c == ',' && ++values >= CW_JSON_VALUES_MAX) {
            return false;
        }
    }
    return depth == 0 && !quoted;
}

enum cw_err cw_json_parse_object(struct cw_str text, enum cw_err bad, json_t **ret_object)
{
    ENSURE(within_bounds(text), bad);
    json_error_t error;
    /* RFC 7515 §4, RFC 7519 §4: names are unique, at every depth */
    json_t *json = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, &error);
    if (!json) {
        return json_error_code(&error) == json_error_out_of_memory ? CW_NO_MEMORY : bad;
    }
    if (!json_is_object(json)) {
        json_decref(json);
        return bad;
    }
    *ret_object = json;
    return CW_OK;
}

struct cw_str cw_json_str(const json_t *string)
{
    return (struct cw_str){json_string_value(string), json_string_length(string)};
}

bool cw_json_get_str(const json_t *object, const char *name, struct cw_str *ret_value)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_string(value)) {
        return false;
    }
    *ret_value = cw_json_str(value);
    return true;
}
