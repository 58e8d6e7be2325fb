/* Common passwords are compared in lower case: as they are, without digits and punctuation around
 * them, and as the part that a password repeats. */
#include "authsvc/password/policy.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unicase.h>
#include <uninorm.h>
#include <unistr.h>

#include <stdio.h>

#include "authsvc/password/common_passwords.h"
#include "common/base/secret.h"

enum { LIST_MAX = 64 * 1024 * 1024, PERIOD_MAX = 4 };

struct password_blocklist {
    char *text; /* holds the words */
    struct cw_str *words;
    size_t n; /* sorted */
};

/* --- the lists -------------------------------------------------------------------------- */

static int compare_words(const void *a, const void *b)
{
    return cw_str_order(*(const struct cw_str *)a, *(const struct cw_str *)b);
}

static int compare_common(const void *key, const void *row)
{
    return cw_str_order(*(const struct cw_str *)key, cw_str(*(const char *const *)row));
}

static bool listed(const struct password_blocklist *list, struct cw_str word)
{
    if (word.n == 0) {
        return false;
    }
    return bsearch(&word, common_passwords, common_passwords_n, sizeof(*common_passwords),
                   compare_common) != NULL ||
           (list != NULL &&
            bsearch(&word, list->words, list->n, sizeof(*list->words), compare_words) != NULL);
}

/* NFKC and lower case; the caller frees with wipe_free. */
static enum cw_err fold(struct cw_str text, struct cw_str *ret_folded)
{
    size_t n = 0;
    uint8_t *folded = u8_tolower((const uint8_t *)(text.p != NULL ? text.p : ""), text.n, "",
                                 UNINORM_NFKC, NULL, &n);
    ENSURE(folded != NULL, CW_NO_MEMORY);
    *ret_folded = (struct cw_str){(const char *)folded, n};
    return CW_OK;
}

static void wipe_free(struct cw_str folded)
{
    void *p = NULL;
    memcpy(&p, &folded.p, sizeof(p));
    if (p != NULL) {
        cw_secret_wipe(p, folded.n);
        free(p);
    }
}

static enum cw_err read_file(const char *path, struct cw_buf *ret_text)
{
    FILE *file = fopen(path, "re");
    ENSURE(file != NULL, CW_IO);
    char chunk[16 * 1024];
    size_t n = 0;
    while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0) {
        cw_buf_add(ret_text, chunk, n);
    }
    bool good = ferror(file) == 0;
    fclose(file);
    ENSURE(good, CW_IO);
    return cw_buf_check(ret_text);
}

/* Cuts the folded text into lines. */
static enum cw_err cut_lines(struct password_blocklist *list, struct cw_str text)
{
    size_t lines = 1;
    for (size_t i = 0; i < text.n; i++) {
        lines += text.p[i] == '\n';
    }
    list->words = calloc(lines, sizeof(*list->words));
    ENSURE(list->words != NULL, CW_NO_MEMORY);
    struct cw_str line;
    while (cw_str_word(&text, '\n', &line)) {
        if (cw_str_ends(line, CW_STR("\r"))) {
            line.n--;
        }
        if (line.n > 0 && line.p[0] != '#') {
            list->words[list->n++] = line;
        }
    }
    qsort(list->words, list->n, sizeof(*list->words), compare_words);
    return CW_OK;
}

enum cw_err password_blocklist_read(const char *path, struct cw_buf *ret_message,
                                    struct password_blocklist **ret_list)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf text = CW_BUF_INIT(LIST_MAX);
    enum cw_err err = read_file(path, &text);
    if (err == CW_OK && !cw_str_is_utf8(cw_buf_str(&text))) {
        err = CW_CONFIG_INVALID;
    }
    struct password_blocklist *list = err == CW_OK ? calloc(1, sizeof(*list)) : NULL;
    if (err != CW_OK || list == NULL) {
        cw_buf_addf(ret_message, "%s: %s", path,
                    err == CW_CONFIG_INVALID ? "is no UTF-8" : "cannot be read, or is too large");
        return err != CW_OK ? err : CW_NO_MEMORY;
    }
    struct cw_str folded = {0};
    err = fold(cw_buf_str(&text), &folded);
    memcpy(&list->text, &folded.p, sizeof(list->text));
    if (err == CW_OK) {
        err = cut_lines(list, folded);
    }
    if (err != CW_OK) {
        password_blocklist_free(list);
        return err;
    }
    *ret_list = list;
    return CW_OK;
}

void password_blocklist_free(struct password_blocklist *list)
{
    if (list != NULL) {
        free(list->words);
        free(list->text);
        free(list);
    }
}

/* --- the rules -------------------------------------------------------------------------- */

static size_t length(struct cw_str text)
{
    return u8_mbsnlen((const uint8_t *)(text.p != NULL ? text.p : ""), text.n);
}

/* The shortest part whose repetition is the text. */
static struct cw_str period(struct cw_str text)
{
    for (size_t n = 1; n <= text.n / 2; n++) {
        if (text.n % n == 0 && memcmp(text.p, text.p + n, text.n - n) == 0) {
            return cw_str_slice(text, 0, n);
        }
    }
    return text;
}

/* "123456789012345", "abcdefghijklmno", and the same downwards; digits go on after 9. */
static bool is_run(struct cw_str text)
{
    for (int step = -1; step <= 1; step += 2) {
        size_t i = 1;
        for (; i < text.n; i++) {
            int next = text.p[i - 1] + step;
            bool digits = text.p[i - 1] >= '0' && text.p[i - 1] <= '9';
            next = digits && next > '9' ? '0' : digits && next < '0' ? '9' : next;
            if (text.p[i] != next) {
                break;
            }
        }
        if (i == text.n) {
            return true;
        }
    }
    return false;
}

static bool is_ornament(char c)
{
    return c >= ' ' && c <= '@'; /* blanks, ASCII punctuation, digits */
}

static struct cw_str plain(struct cw_str text)
{
    while (text.n > 0 && is_ornament(text.p[text.n - 1])) {
        text.n--;
    }
    while (text.n > 0 && is_ornament(text.p[0])) {
        text = cw_str_slice(text, 1, text.n);
    }
    return text;
}

static bool common(const struct password_blocklist *list, struct cw_str folded)
{
    struct cw_str part = period(folded);
    return is_run(folded) || (part.n < folded.n && length(part) <= PERIOD_MAX) ||
           listed(list, folded) || listed(list, part) || listed(list, plain(folded));
}

/* Takes every occurrence of the word out of the buffer. */
static void cut_word(struct cw_buf *text, struct cw_str word)
{
    for (size_t i = 0; i + word.n <= text->n;) {
        if (memcmp(text->p + i, word.p, word.n) == 0) {
            memmove(text->p + i, text->p + i + word.n, text->n - i - word.n);
            text->n -= word.n;
        } else {
            i++;
        }
    }
}

/* "anna@clinicwave.com", "clinicwave2026!": too little is left without the names. */
static enum cw_err check_words(struct cw_str folded, const struct cw_str *words, size_t n)
{
    CW_CLEANUP(cw_buf_done) struct cw_buf rest = CW_BUF_INIT(64 * 1024);
    cw_buf_add_str(&rest, folded);
    TRY(cw_buf_check(&rest));
    for (size_t i = 0; i < n; i++) {
        struct cw_str word = {0};
        TRY(fold(words[i], &word));
        if (length(word) >= PASSWORD_WORD_MIN) {
            cut_word(&rest, word);
        }
        wipe_free(word);
    }
    bool shortened = rest.n < folded.n;
    bool little = shortened && length(plain(cw_buf_str(&rest))) < PASSWORD_REST_MIN;
    if (rest.p != NULL) {
        cw_secret_wipe(rest.p, rest.cap);
    }
    return little ? CW_PASSWORD_TOO_COMMON : CW_OK;
}

enum cw_err password_policy_check(const struct password_policy *policy,
                                  const struct password_blocklist *list, struct cw_str prepared,
                                  const struct cw_str *words, size_t n_words)
{
    size_t n = length(prepared);
    ENSURE((int64_t)n >= policy->min_length, CW_PASSWORD_TOO_SHORT);
    ENSURE((int64_t)n <= policy->max_length, CW_PASSWORD_TOO_LONG);
    struct cw_str folded = {0};
    TRY(fold(prepared, &folded));
    enum cw_err err = common(list, folded) ? CW_PASSWORD_TOO_COMMON : CW_OK;
    if (err == CW_OK) {
        err = check_words(folded, words, n_words);
    }
    wipe_free(folded);
    return err;
}
