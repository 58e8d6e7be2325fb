/* Two readers of one request must not read two requests: what is ambiguous is refused, what is
 * forged is taken away. */
#include "sidecar/ext_authz/edge.h"

#include "common/jose/compact.h"

/* ---- path ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that "%XX" at `i` stands for, -1 when it is no such thing. */
static int escaped(struct cw_str s, size_t i)
{
    ENSURE(s.n - i >= 3, -1);
    int high = hex_digit(s.p[i + 1]);
    int low = hex_digit(s.p[i + 2]);

    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* "/.", "/..", and either before a slash, at `i`. */
static bool is_dot_segment(struct cw_str path, size_t i)
{
    size_t end = i + 1;

    while (end < path.n && path.p[end] == '.') {
        end++;
    }
    size_t dots = end - i - 1;
    return (dots == 1 || dots == 2) && (end == path.n || path.p[end] == '/');
}

/* What is encoded twice may be decoded twice: "%25" before the code of a byte that is not let
 * through encoded once. */
static bool is_twice(struct cw_str path, size_t i)
{
    ENSURE(path.n - i >= 5, false);
    char high = path.p[i + 3];
    char low = (char)(path.p[i + 4] | 0x20);

    return (high == '2' && ((path.p[i + 4] == '5') || low == 'e' || low == 'f')) ||
           (high == '5' && low == 'c') || (high == '3' && low == 'b') ||
           (high == '0' && path.p[i + 4] == '0');
}

static bool is_plain_escape(struct cw_str path, size_t i)
{
    int byte = escaped(path, i);

    ENSURE(byte >= 0x20 && byte != 0x7f, false);
    ENSURE(byte != '/' && byte != '\\' && byte != ';' && byte != '.', false);
    return byte != '%' || !is_twice(path, i);
}

static bool is_plain(struct cw_str path, size_t i)
{
    switch (path.p[i]) {
    case '/':
        return (i + 1 == path.n || path.p[i + 1] != '/') && !is_dot_segment(path, i);
    case ';':
    case '\\':
    case '#':
        return false;
    case '%':
        return is_plain_escape(path, i);
    default:
        return (unsigned char)path.p[i] > 0x20 && path.p[i] != 0x7f;
    }
}

/* Overlong forms of '/' and '.' are no UTF-8. */
static enum cw_err check_text(struct cw_str path, struct cw_arena *arena)
{
    char *text = cw_arena_alloc(arena, path.n);
    size_t n = 0;

    ENSURE(text, CW_NO_MEMORY);
    for (size_t i = 0; i < path.n; i++) {
        int byte = path.p[i] == '%' ? escaped(path, i) : -1;
        text[n++] = byte < 0 ? path.p[i] : (char)byte;
        i += byte < 0 ? 0 : 2;
    }
    return cw_str_is_utf8((struct cw_str){text, n}) ? CW_OK : CW_PATH_AMBIGUOUS;
}

enum cw_err edge_path(struct cw_str path, struct cw_arena *arena)
{
    bool ascii = true;

    path = cw_str_slice(path, 0, cw_str_find(path, '?'));
    ENSURE(path.n > 0 && path.p[0] == '/', CW_PATH_AMBIGUOUS);
    for (size_t i = 0; i < path.n; i++) {
        ENSURE(is_plain(path, i), CW_PATH_AMBIGUOUS);
        ascii = ascii && !(path.p[i] & 0x80) && (path.p[i] != '%' || escaped(path, i) < 0x80);
    }
    return ascii ? CW_OK : check_text(path, arena);
}

/* ---- token ---- */

static bool is_letter(char c)
{
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'z';
}

/* RFC 6750 §2.1: b64token. */
static bool is_b64token(struct cw_str s)
{
    while (s.n > 0 && s.p[s.n - 1] == '=') {
        s.n--;
    }
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        ENSURE(is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
                   c == '~' || c == '+' || c == '/',
               false);
    }
    return s.n > 0;
}

/* A scheme with something behind it, and no parameter (RFC 9110 §11.2: token BWS "=" …). */
static bool is_credentials(struct cw_str s)
{
    s = cw_str_trim(s);
    size_t end = 0;

    while (end < s.n && s.p[end] != ' ' && s.p[end] != '\t' && s.p[end] != ',' && s.p[end] != '=') {
        end++;
    }
    struct cw_str rest = cw_str_trim(cw_str_slice(s, end, s.n));
    return end > 0 && end < s.n && s.p[end] != ',' && rest.n > 0 && rest.p[0] != '=' &&
           rest.p[0] != ',';
}

bool edge_is_joined(struct cw_str value)
{
    bool quoted = false;

    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '"') {
            quoted = !quoted;
        } else if (value.p[i] == ',' && !quoted &&
                   is_credentials(cw_str_slice(value, i + 1, value.n))) {
            return true;
        }
    }
    return quoted && cw_str_find(value, ',') < value.n; /* one may end in another */
}

enum cw_err edge_bearer(struct cw_str value, struct cw_str *ret_token)
{
    struct cw_str scheme = CW_STR("bearer");

    ENSURE(cw_str_eq_nocase(cw_str_slice(value, 0, scheme.n), scheme), CW_TOKEN_MISSING);
    struct cw_str rest = cw_str_slice(value, scheme.n, value.n);
    /* Another scheme, or "Bearer" and something that is no space. */
    ENSURE(rest.n == 0 || !is_letter(rest.p[0]), CW_TOKEN_MISSING);
    ENSURE(rest.n > 0 && rest.p[0] == ' ', CW_AUTHORIZATION_MALFORMED);
    while (rest.n > 0 && rest.p[0] == ' ') {
        rest = cw_str_slice(rest, 1, rest.n);
    }
    ENSURE(rest.n > 0, CW_AUTHORIZATION_MALFORMED);
    ENSURE(rest.n <= CW_JWS_TOKEN_MAX, CW_TOKEN_TOO_LARGE);
    ENSURE(is_b64token(rest), CW_AUTHORIZATION_MALFORMED);
    *ret_token = rest;
    return CW_OK;
}

/* ---- names ---- */

static const struct {
    struct cw_str name;
    bool prefix;         /* and all that begins so */
    bool proxys;         /* spelt so, the proxy wrote it, or decided to let it through */
    enum edge_name what; /* else */
} names[] = {
    {CW_STR_INIT("authorization"), false, false, EDGE_AUTHORIZATION},
    {CW_STR_INIT("x-auth-"), true, false, EDGE_FORGED},
    {CW_STR_INIT("x-forwarded-for"), false, true, EDGE_FORGED},
    {CW_STR_INIT("x-forwarded-proto"), false, true, EDGE_FORGED},
    {CW_STR_INIT("x-forwarded-client-cert"), false, true, EDGE_FORGED},
    {CW_STR_INIT("x-forwarded-"), true, false, EDGE_FORGED},
    {CW_STR_INIT("x-request-id"), false, true, EDGE_FORGED},
    {CW_STR_INIT("traceparent"), false, true, EDGE_FORGED},
    {CW_STR_INIT("tracestate"), false, true, EDGE_FORGED},
    {CW_STR_INIT("forwarded"), false, false, EDGE_FORGED},
    {CW_STR_INIT("x-real-ip"), false, false, EDGE_FORGED},
    {CW_STR_INIT("x-original-url"), false, false, EDGE_FORGED},
    {CW_STR_INIT("x-rewrite-url"), false, false, EDGE_FORGED},
    {CW_STR_INIT("proxy-authorization"), false, false, EDGE_FORGED},
    {CW_STR_INIT("http2-settings"), false, false, EDGE_FORGED},
};

static bool is_spelling_of(struct cw_str given, struct cw_str name, bool prefix)
{
    ENSURE(prefix ? given.n >= name.n : given.n == name.n, false);
    for (size_t i = 0; i < name.n; i++) {
        char c = given.p[i];
        if (c >= 'A' && c <= 'Z') {
            c = (char)(c | 0x20);
        } else if (c == '_' || c == '.') {
            c = '-';
        }
        ENSURE(c == name.p[i], false);
    }
    return true;
}

enum edge_name edge_name(struct cw_str name)
{
    for (size_t i = 0; i < CW_ARRAY_SIZE(names); i++) {
        if (is_spelling_of(name, names[i].name, names[i].prefix)) {
            return names[i].proxys && cw_str_eq(name, names[i].name) ? EDGE_OTHER : names[i].what;
        }
    }
    return EDGE_OTHER;
}
