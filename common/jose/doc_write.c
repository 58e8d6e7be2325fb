/* Writes a value again: what is kept of a token's further claims. */
#include <string.h>

#include "common/jose/doc.h"

static const char letters[] = "\"\\bfnrt", bytes[] = "\"\\\b\f\n\r\t";

/* Only what must be escaped, and in the short form: the text of the string was no shorter. */
static void write_string(struct cw_str s, struct cw_buf *buf)
{
    cw_buf_add_char(buf, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        const char *byte = memchr(bytes, c, sizeof bytes - 1);
        if (byte) {
            cw_buf_add(buf, (char[]){'\\', letters[byte - bytes]}, 2);
        } else if (c < 0x20) {
            cw_buf_addf(buf, "\\u%04x", c);
        } else {
            cw_buf_add_char(buf, (char)c);
        }
    }
    cw_buf_add_char(buf, '"');
}

static void write_list(const struct cw_doc_value *list, struct cw_buf *buf)
{
    bool object = list->type == CW_DOC_OBJECT;
    const struct cw_doc_value *at = cw_doc_first(list);
    cw_buf_add_char(buf, object ? '{' : '[');
    for (uint32_t i = 0; i < list->n; i++) {
        if (i) {
            cw_buf_add_char(buf, ',');
        }
        if (object) {
            write_string(cw_doc_str(at++), buf);
            cw_buf_add_char(buf, ':');
        }
        cw_doc_write(at, buf);
        at = cw_doc_next(at);
    }
    cw_buf_add_char(buf, object ? '}' : ']');
}

void cw_doc_write(const struct cw_doc_value *value, struct cw_buf *buf)
{
    switch ((enum cw_doc_type)value->type) {
    case CW_DOC_NULL:
        cw_buf_add_cstr(buf, "null");
        return;
    case CW_DOC_FALSE:
        cw_buf_add_cstr(buf, "false");
        return;
    case CW_DOC_TRUE:
        cw_buf_add_cstr(buf, "true");
        return;
    case CW_DOC_INTEGER:
    case CW_DOC_REAL:
        cw_buf_add(buf, value->p, value->n);
        return;
    case CW_DOC_STRING:
        write_string(cw_doc_str(value), buf);
        return;
    case CW_DOC_ARRAY:
    case CW_DOC_OBJECT:
        write_list(value, buf);
        return;
    }
}
