/* Which passwords may be chosen (NIST SP 800-63B rev. 4 §3.1.1.2): long enough, not one that many
 * others have, not the user's or the service's own name. No rules of composition, no age. Pure. */
#ifndef AUTHSVC_PASSWORD_POLICY_H
#define AUTHSVC_PASSWORD_POLICY_H

#include "common/base/buf.h"

/* In code points after NFKC. */
struct password_policy {
    int64_t min_length;
    int64_t max_length;
};

enum {
    PASSWORD_MIN_DEFAULT = 15, /* where the password is all there is */
    PASSWORD_WORD_MIN = 4,     /* code points: shorter words are not looked for */
    PASSWORD_REST_MIN = 8,     /* code points that must be left without name and service */
};

/* Further common passwords, beside the ones that are built in. */
struct password_blocklist;

/* A file of one password a line, UTF-8, at most 64 MiB; blank lines and those that begin with `#`
 * are skipped. On failure ret_message has a sentence for people. */
CW_MUST_USE enum cw_err password_blocklist_read(const char *path, struct cw_buf *ret_message,
                                                struct password_blocklist **ret_list);
void password_blocklist_free(struct password_blocklist *list);

/* `prepared` as password_prepare made it; `words` are what is near at hand: user name, tenant,
 * domains. `list` may be NULL. CW_PASSWORD_TOO_SHORT, CW_PASSWORD_TOO_LONG, CW_PASSWORD_TOO_COMMON,
 * CW_NO_MEMORY. */
CW_MUST_USE enum cw_err password_policy_check(const struct password_policy *policy,
                                              const struct password_blocklist *list,
                                              struct cw_str prepared, const struct cw_str *words,
                                              size_t n_words);

#endif
