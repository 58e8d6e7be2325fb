/* Host header → the name that tenants are looked up by. */
#include "common/base/domain.h"

#include <idn2.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_MAX = 63, PORT_DIGITS_MAX = 5, INPUT_MAX = 1024 };

static bool is_port(struct cw_str port)
{
    if (port.n > PORT_DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < port.n; i++) {
        if (port.p[i] < '0' || port.p[i] > '9') {
            return false;
        }
    }
    return true;
}

/* Splits "name:port" and "[v6]:port"; a second colon outside of brackets is no host. */
static enum cw_err cut_port(struct cw_str *host)
{
    size_t end;
    if (host->n && host->p[0] == '[') {
        end = cw_str_find(*host, ']') + 1;
        ENSURE(end <= host->n, CW_TENANT_UNKNOWN);
    } else {
        end = cw_str_find(*host, ':');
    }
    struct cw_str rest = cw_str_slice(*host, end, host->n);
    ENSURE(!rest.n || (rest.p[0] == ':' && is_port(cw_str_slice(rest, 1, rest.n))),
           CW_TENANT_UNKNOWN);
    host->n = end;
    return CW_OK;
}

static bool is_label_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static enum cw_err check_labels(struct cw_str name)
{
    size_t start = 0;
    for (size_t i = 0; i <= name.n; i++) {
        if (i == name.n || name.p[i] == '.') {
            ENSURE(i > start && i - start <= LABEL_MAX, CW_TENANT_UNKNOWN);
            start = i + 1;
        } else {
            ENSURE(is_label_char(name.p[i]), CW_TENANT_UNKNOWN);
        }
    }
    return CW_OK;
}

static enum cw_err check_ipv6(struct cw_str name)
{
    for (size_t i = 1; i + 1 < name.n; i++) {
        char c = name.p[i];
        ENSURE((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == ':' || c == '.',
               CW_TENANT_UNKNOWN);
    }
    return CW_OK;
}

static bool is_ascii(struct cw_str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

/* IDNA 2008 with the mapping of UTS 46, so that what a person types is what a browser sends. */
static enum cw_err to_a_labels(struct cw_str host, char *ret_name)
{
    char *unicode = cw_str_dup(host);
    ENSURE(unicode, CW_NO_MEMORY);
    char *ascii = NULL;
    int rc = idn2_to_ascii_8z(unicode, &ascii, IDN2_NONTRANSITIONAL);
    free(unicode);
    ENSURE(rc == IDN2_OK, CW_TENANT_UNKNOWN);
    size_t n = strlen(ascii);
    if (n <= CW_DOMAIN_MAX) {
        memcpy(ret_name, ascii, n + 1);
    }
    idn2_free(ascii);
    return n <= CW_DOMAIN_MAX ? CW_OK : CW_TENANT_UNKNOWN;
}

enum cw_err cw_domain_normalize(struct cw_str host, char ret_name[CW_DOMAIN_MAX + 1])
{
    ENSURE(host.n && host.n <= INPUT_MAX && !memchr(host.p, '\0', host.n), CW_TENANT_UNKNOWN);
    TRY(cut_port(&host));
    bool bracketed = host.n && host.p[0] == '[';
    if (!bracketed && host.n && host.p[host.n - 1] == '.') {
        host.n--;
    }
    ENSURE(host.n, CW_TENANT_UNKNOWN);
    char name[CW_DOMAIN_MAX + 1];
    if (is_ascii(host)) {
        ENSURE(host.n <= CW_DOMAIN_MAX, CW_TENANT_UNKNOWN);
        for (size_t i = 0; i < host.n; i++) {
            char c = host.p[i];
            name[i] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        }
        name[host.n] = '\0';
    } else {
        ENSURE(cw_str_is_utf8(host), CW_TENANT_UNKNOWN);
        TRY(to_a_labels(host, name));
    }
    TRY(bracketed ? check_ipv6(cw_str(name)) : check_labels(cw_str(name)));
    memcpy(ret_name, name, strlen(name) + 1);
    return CW_OK;
}
