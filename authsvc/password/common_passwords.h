/* The passwords of common_passwords.txt; made of it at build time. */
#ifndef AUTHSVC_PASSWORD_COMMON_PASSWORDS_H
#define AUTHSVC_PASSWORD_COMMON_PASSWORDS_H

#include <stddef.h>

extern const char *const common_passwords[]; /* lower case, sorted by bytes */
extern const size_t common_passwords_n;

#endif
