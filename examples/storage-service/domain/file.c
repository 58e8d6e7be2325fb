/* The rules for names and types. */
#include "examples/storage-service/domain/file.h"

#include <string.h>

enum cw_err file_name_check(struct cw_str name)
{
    ENSURE(name.n > 0 && name.n <= FILE_NAME_MAX && cw_str_is_utf8(name), CW_REQUEST_MALFORMED);
    ENSURE(name.p[0] != '.' && name.p[0] != ' ' && name.p[name.n - 1] != ' ', CW_REQUEST_MALFORMED);
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        ENSURE(c >= 0x20 && c != 0x7f && c != '/' && c != '\\', CW_REQUEST_MALFORMED);
        /* U+0080 to U+009F: control characters, too */
        bool c1 = c == 0xc2 && i + 1 < name.n && (unsigned char)name.p[i + 1] < 0xa0;
        ENSURE(!c1, CW_REQUEST_MALFORMED);
    }
    return CW_OK;
}

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static size_t token_length(struct cw_str s)
{
    size_t n = 0;
    while (n < s.n && is_token_char(s.p[n])) {
        n++;
    }
    return n;
}

enum cw_err file_media_type(struct cw_str header, char ret_type[FILE_MEDIA_TYPE_MAX + 1])
{
    struct cw_str type = cw_str_trim(header);
    if (type.n == 0) {
        type = CW_STR("application/octet-stream");
    }
    ENSURE(type.n <= FILE_MEDIA_TYPE_MAX, CW_REQUEST_MALFORMED);
    size_t slash = token_length(type);
    ENSURE(slash > 0 && slash < type.n && type.p[slash] == '/', CW_REQUEST_MALFORMED);
    size_t subtype = token_length(cw_str_slice(type, slash + 1, type.n));
    struct cw_str rest = cw_str_trim(cw_str_slice(type, slash + 1 + subtype, type.n));
    ENSURE(subtype > 0 && (rest.n == 0 || rest.p[0] == ';'), CW_REQUEST_MALFORMED);
    for (size_t i = 0; i < type.n; i++) {
        ENSURE(type.p[i] >= 0x20 && type.p[i] < 0x7f, CW_REQUEST_MALFORMED);
    }
    memcpy(ret_type, type.p, type.n);
    ret_type[type.n] = '\0';
    return CW_OK;
}
