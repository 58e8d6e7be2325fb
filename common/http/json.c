/* JSON read strictly: what another parser could read in a different way is refused. */
#include "common/http/parse.h"

enum { JSON_DEPTH_MAX = 32 };

/* Raw control bytes and nesting, before the parser sees them: jansson skips a NUL after a number
 * and recurses to 2048 levels. */
static bool plain_json(struct cw_str text)
{
    bool in_string = false;
    size_t depth = 0;
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c < 0x20 && (in_string || (c != '\t' && c != '\n' && c != '\r'))) {
            return false;
        }
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if ((c == '{' || c == '[') && ++depth > JSON_DEPTH_MAX) {
            return false;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

enum cw_err http_json_parse(struct cw_str text, json_t **ret_object)
{
    ENSURE(text.n > 0 && cw_str_is_utf8(text) && plain_json(text), CW_REQUEST_MALFORMED);
    json_t *value = json_loadb(text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(value)) {
        json_decref(value);
        return CW_REQUEST_MALFORMED;
    }
    *ret_object = value;
    return CW_OK;
}
