/* Finds the row of the table that a key belongs to, and the one that a misspelt key meant. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/internal.h"

enum { INDEX_DIGITS_MAX = 6 };

/* Length of "[123]" at p, 0 if there is none. One way to write each index. */
static size_t index_length(const char *p)
{
    if (p[0] != '[' || !isdigit((unsigned char)p[1]) || (p[1] == '0' && p[2] != ']')) {
        return 0;
    }
    size_t n = 1;
    while (isdigit((unsigned char)p[n])) {
        n++;
    }
    return p[n] == ']' && n <= INDEX_DIGITS_MAX ? n + 1 : 0;
}

static bool matches(const char *pattern, const char *key)
{
    while (*pattern) {
        if (pattern[0] == '[') {
            size_t n = index_length(key);
            if (n == 0) {
                return false;
            }
            pattern += 2;
            key += n;
        } else if (pattern[0] == '*' && pattern[1] == '\0') {
            return *key != '\0';
        } else if (*pattern++ != *key++) {
            return false;
        }
    }
    return *key == '\0';
}

/* `tenants[3].alias` or, of a list, `tenants[3].alias[1]` */
static bool is_alias(const char *pattern, const char *key, size_t n)
{
    char list[CW_CONFIG_KEY_MAX];
    if (matches(pattern, key)) {
        return true;
    }
    if (n >= sizeof(list) || key[n] != '[') {
        return false;
    }
    memcpy(list, key, n);
    list[n] = '\0';
    return matches(pattern, list);
}

const char *cw_config_own_key(const struct cw_config_schema *schema, const char *key,
                              char ret_key[CW_CONFIG_KEY_MAX])
{
    const char *dot = strrchr(key, '.');
    size_t begin = dot ? (size_t)(dot - key) + 1 : 0;
    size_t end = begin + strcspn(key + begin, "[");
    for (size_t i = 0; i < schema->n_aliases; i++) {
        const char *own = schema->aliases[i].key;
        const char *last = strrchr(own, '.');
        if (is_alias(schema->aliases[i].alias, key, end)) {
            int n = snprintf(ret_key, CW_CONFIG_KEY_MAX, "%.*s%s%s", (int)begin, key,
                             last ? last + 1 : own, key + end);
            return n < CW_CONFIG_KEY_MAX ? ret_key : key;
        }
    }
    return key;
}

const struct cw_config_key *config_row(const struct cw_config_schema *schema, const char *key)
{
    size_t n = strlen(key);
    for (size_t i = 0; i < schema->n_keys; i++) {
        const char *pattern = schema->keys[i].key;
        char last = pattern[strlen(pattern) - 1];
        bool likely = n > 0 && (last == key[n - 1] || last == '*');
        if (likely && matches(pattern, key)) {
            return &schema->keys[i];
        }
    }
    return NULL;
}

bool config_is_section(const struct cw_config_schema *schema, const char *key)
{
    for (size_t i = 0; i < schema->n_keys; i++) {
        const char *pattern = schema->keys[i].key;
        const char *k = key;
        while (*k && *pattern) {
            if (*pattern == '[' && index_length(k)) {
                pattern += 2;
                k += index_length(k);
            } else if (*pattern != *k) {
                break;
            } else {
                pattern++;
                k++;
            }
        }
        if (*k == '\0' && (*pattern == '.' || *pattern == '[')) {
            return true;
        }
    }
    return false;
}

static size_t first_segment(const char *key)
{
    return strcspn(key, ".[");
}

bool config_is_ours(const struct cw_config_schema *schema, const char *key)
{
    size_t n = first_segment(key);
    for (size_t i = 0; i < schema->n_keys; i++) {
        const char *pattern = schema->keys[i].key;
        if (first_segment(pattern) == n && memcmp(pattern, key, n) == 0) {
            return true;
        }
    }
    return false;
}

/* Levenshtein distance in one row; keys are shorter than CW_CONFIG_KEY_MAX. */
static size_t distance(const char *a, size_t na, const char *b, size_t nb)
{
    size_t row[CW_CONFIG_KEY_MAX + 1];
    for (size_t j = 0; j <= nb; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= na; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t up = row[j];
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            best = CW_MIN(best, CW_MIN(up, row[j - 1]) + 1);
            row[j] = best;
            diagonal = up;
        }
    }
    return row[nb];
}

/* tenants[3].name → tenants[].name */
static size_t generic(const char *key, char out[CW_CONFIG_KEY_MAX])
{
    size_t n = 0;
    while (*key && n + 2 < CW_CONFIG_KEY_MAX) {
        size_t index = index_length(key);
        if (index) {
            out[n++] = '[';
            out[n++] = ']';
            key += index;
        } else {
            out[n++] = *key++;
        }
    }
    out[n] = '\0';
    return n;
}

const char *config_near_miss(const struct cw_config_schema *schema, const char *key)
{
    char plain[CW_CONFIG_KEY_MAX];
    size_t n = generic(key, plain);
    size_t best = CW_MAX((size_t)3, n / 5) + 1;
    const char *found = NULL;
    for (size_t i = 0; i < schema->n_keys; i++) {
        const char *pattern = schema->keys[i].key;
        size_t np = strlen(pattern);
        if (np >= CW_CONFIG_KEY_MAX || (np > n ? np - n : n - np) >= best) {
            continue;
        }
        size_t d = distance(plain, n, pattern, np);
        if (d < best) {
            best = d;
            found = pattern;
        }
    }
    return found;
}

bool config_near_prefix(const struct cw_config_schema *schema, const char *key)
{
    size_t n = first_segment(key);
    for (size_t i = 0; n < CW_CONFIG_KEY_MAX && i < schema->n_keys; i++) {
        const char *pattern = schema->keys[i].key;
        size_t np = first_segment(pattern);
        if (distance(key, n, pattern, np) <= 2) {
            return true;
        }
    }
    return false;
}

bool config_env_key(const struct cw_config_key *row, const char *name, size_t n,
                    char ret_key[CW_CONFIG_KEY_MAX])
{
    size_t at = 3; /* behind CW_ */
    size_t out = 0;
    for (const char *p = row->key; *p; p++) {
        if (out + INDEX_DIGITS_MAX + 3 >= CW_CONFIG_KEY_MAX) {
            return false;
        }
        if (*p == '[') {
            ret_key[out++] = '[';
            size_t digits = 0;
            for (at++; at < n && isdigit((unsigned char)name[at]); at++) {
                if (++digits > INDEX_DIGITS_MAX) {
                    return false;
                }
                ret_key[out++] = name[at];
            }
            if (digits == 0) {
                return false;
            }
            ret_key[out++] = ']';
            p++; /* the closing bracket */
            continue;
        }
        char want = *p == '.' || *p == '-' ? '_' : (char)toupper((unsigned char)*p);
        if (*p == '*' || at >= n || name[at] != want) {
            return false;
        }
        at++;
        ret_key[out++] = *p;
    }
    ret_key[out] = '\0';
    return at == n;
}

void config_env_name(const char *key, struct cw_buf *out)
{
    cw_buf_add_cstr(out, "CW_");
    for (; *key; key++) {
        if (*key == '[') {
            cw_buf_add_cstr(out, "_N");
        } else if (*key == '.' || *key == '-') {
            cw_buf_add_char(out, '_');
        } else if (*key != ']') {
            cw_buf_add_char(out, (char)toupper((unsigned char)*key));
        }
    }
}
