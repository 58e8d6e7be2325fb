/* The use cases: a caller keeps, reads, lists and deletes files of its own tenant. No HTTP, no RPC,
 * no file system here: the two ports below are given by main. */
#ifndef STORAGE_APPLICATION_FILES_H
#define STORAGE_APPLICATION_FILES_H

#include "examples/storage-service/domain/file.h"

/* Who asks, as the sidecar says. */
struct caller {
    char tenant[64]; /* whose files */
    char subject[256];
};

/* Port: decides whether a token is good. Refusals are TOKEN or POLICY errors; everything else means
 * that nobody could decide. */
struct token_port {
    enum cw_err (*check)(void *ctx, struct cw_str token, struct cw_str domain,
                         struct caller *ret_caller);
    void *ctx;
};

/* Port: keeps files. A writer replaces a file at once when committed, or leaves no trace. */
struct file_writer;

struct store_port {
    enum cw_err (*write)(void *ctx, const char *tenant, const char *name, const char *media_type,
                         struct file_writer **ret_writer);
    enum cw_err (*append)(struct file_writer *writer, struct cw_str bytes);
    /* Takes the writer. */
    enum cw_err (*commit)(struct file_writer *writer, bool *ret_replaced);
    void (*abort)(struct file_writer *writer);
    /* *ret_fd (owned) begins with info->size bytes of content. CW_NOT_FOUND. */
    enum cw_err (*open)(void *ctx, const char *tenant, const char *name, struct file_info *ret_info,
                        int *ret_fd);
    enum cw_err (*remove)(void *ctx, const char *tenant, const char *name);
    /* Calls `each` for every file, in the order of names; stops at an error and returns it. */
    enum cw_err (*list)(void *ctx, const char *tenant,
                        enum cw_err (*each)(void *ctx, const struct file_info *info),
                        void *each_ctx);
    void *ctx;
};

enum { FILES_LISTED_MAX = 10000 }; /* further ones are there but not listed */

struct files {
    struct token_port tokens;
    struct store_port store;
    uint64_t max_file; /* bytes */
};

/* One file on its way in. */
struct upload {
    const struct files *files;
    struct file_writer *writer;
    uint64_t received; /* bytes */
};

/* Answers who asks. What the token port could not decide comes back as an UNDECIDED error, never as
 * a bad token. */
CW_MUST_USE enum cw_err files_caller(const struct files *files, struct cw_str token,
                                     struct cw_str domain, struct caller *ret_caller);

CW_MUST_USE enum cw_err files_put_begin(const struct files *files, const struct caller *caller,
                                        struct cw_str name, struct cw_str media_type,
                                        struct upload *ret_upload);
/* CW_REQUEST_TOO_LARGE past max_file. */
CW_MUST_USE enum cw_err files_put_append(struct upload *upload, struct cw_str bytes);
CW_MUST_USE enum cw_err files_put_commit(struct upload *upload, bool *ret_replaced);
/* Forgets what came so far; harmless after a commit. */
void files_put_end(struct upload *upload);

CW_MUST_USE enum cw_err files_get(const struct files *files, const struct caller *caller,
                                  struct cw_str name, struct file_info *ret_info, int *ret_fd);
CW_MUST_USE enum cw_err files_delete(const struct files *files, const struct caller *caller,
                                     struct cw_str name);
CW_MUST_USE enum cw_err files_list(const struct files *files, const struct caller *caller,
                                   enum cw_err (*each)(void *ctx, const struct file_info *info),
                                   void *ctx);

#endif
