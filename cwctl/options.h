/* Options by a table: parsing and the page of --help come from the same rows. */
#ifndef CW_CWCTL_OPTIONS_H
#define CW_CWCTL_OPTIONS_H

#include <stdio.h>

#include "common/base/str.h"

enum { OPTION_VALUES_MAX = 16 };

/* A repeatable option. */
struct option_values {
    struct cw_str items[OPTION_VALUES_MAX];
    size_t n;
};

enum option_kind {
    OPTION_FLAG,   /* bool * */
    OPTION_TEXT,   /* const char **, never empty */
    OPTION_NUMBER, /* int64_t *, 0 to 2^53 */
    OPTION_LIST,   /* struct option_values *, none of them empty */
    /* The same two where "" is a value: what is set, and can be taken away. Where an option
     * selects, "" is an unset variable of a script, and would mean all. */
    OPTION_SET_TEXT,
    OPTION_SET_LIST,
};

struct option_row {
    const char *name; /* "--jwks"; NULL ends the table */
    enum option_kind kind;
    const char *value; /* "FILE"; NULL for flags */
    const char *help;
    void *to;
};

/* What is no option, in order. */
struct operands {
    char *items[OPTION_VALUES_MAX];
    size_t n;
};

/* `--name VALUE` and `--name=VALUE`; everything behind `--` and a lone `-` are operands. Writes a
 * message without any operand's or value's text where it fails: they may be secrets. */
bool options_parse(const struct option_row *rows, int argc, char **argv,
                   struct operands *ret_operands, char ret_message[128]);
/* The table as lines for --help. */
void options_print(const struct option_row *rows, FILE *to);

#endif
