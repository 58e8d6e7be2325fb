/* What the commands share that ask AdminService of this host's cw-authsvc. */
#ifndef CWCTL_ADMIN_H
#define CWCTL_ADMIN_H

#include "cwctl/ask.h"

#define ADMIN(method) "/clinicwave.identity.v1.AdminService/" method
#define ADMIN_SOCKET "authsvc-admin.sock"

/* Rows of a command's arguments. */
#define ADMIN_TENANT                                                                               \
    {                                                                                              \
        "tenant", "--tenant", "NAME", "the tenant", true                                           \
    }
#define ADMIN_USER                                                                                 \
    {                                                                                              \
        "username", NULL, "USER", "the user name", true                                            \
    }
#define ADMIN_PAGE                                                                                 \
    {"page_size", "--limit", "N", "at most so many (100)", false},                                 \
    {                                                                                              \
        "page_token", "--after", "NAME", "those after this one", false                             \
    }

/* For a change without an answer of interest. */
void admin_print_done(const ProtobufCMessage *response);
/* NAME, then the items with commas; nothing where there are none. */
void admin_print_words(const char *name, char **items, size_t n);
/* How to get the page after the one that ended with LAST. */
void admin_print_more(const char *last);

#endif
