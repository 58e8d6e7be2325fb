/* From what the command line said to a request, by the descriptors of its message. */
#ifndef CW_CWCTL_ASK_FILL_H
#define CW_CWCTL_ASK_FILL_H

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/secret.h"
#include "cwctl/ask.h"

enum { ASK_FILL_ARENA = 4 * 1024 * 1024, ASK_INPUTS_MAX = 2, ASK_INPUT_MAX = 1024 * 1024 };

/* What the command line said for one argument. */
union ask_said {
    bool flag;
    const char *text;
    int64_t number;
    struct option_values list;
};

struct ask_fill {
    struct cw_arena arena; /* holds the request */
    ProtobufCMessage *request;
    char *const *rest; /* operands that are left for NAME=VALUE */
    size_t n_rest;
    struct cw_buf inputs[ASK_INPUTS_MAX]; /* a file, and standard input; wiped */
    size_t n_inputs;
};
#define ASK_FILL_INIT                                                                              \
    {                                                                                              \
        .arena = CW_ARENA_INIT(ASK_FILL_ARENA), .inputs = {                                        \
            CW_BUF_INIT(ASK_INPUT_MAX),                                                            \
            CW_BUF_INIT(ASK_INPUT_MAX)                                                             \
        }                                                                                          \
    }

/* The field that argument `i` fills. */
const ProtobufCFieldDescriptor *ask_fill_field(const struct ask *ask, size_t i);
/* Makes the request. False with a reason that names no value. */
bool ask_fill_run(struct ask_fill *fill, const struct ask *ask,
                  const union ask_said said[ASK_ARGUMENTS_MAX], char ret_why[128]);
void ask_fill_done(struct ask_fill *fill);

#endif
