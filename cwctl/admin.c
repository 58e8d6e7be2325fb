#include "cwctl/admin.h"

#include <stdio.h>

#include "cwctl/remote.h"

void admin_print_done(const ProtobufCMessage *response)
{
    (void)response;
    printf("done\n");
}

void admin_print_words(const char *name, char **items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        printf("%s%s", i ? "," : name, REMOTE_CLEAN(items[i]));
    }
}

void admin_print_more(const char *last)
{
    printf("more: --after %s\n", REMOTE_CLEAN(last));
}
