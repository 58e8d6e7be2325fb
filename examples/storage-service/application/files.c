/* Holds each request to the rules of names, sizes and tenants before a port is asked. */
#include "examples/storage-service/application/files.h"

#include <string.h>

static enum cw_err copy_name(struct cw_str name, char out[FILE_NAME_MAX + 1])
{
    TRY(file_name_check(name));
    memcpy(out, name.p, name.n);
    out[name.n] = '\0';
    return CW_OK;
}

enum cw_err files_caller(const struct files *files, struct cw_str token, struct cw_str domain,
                         struct caller *ret_caller)
{
    struct caller caller = {0};
    enum cw_err err = files->tokens.check(files->tokens.ctx, token, domain, &caller);
    if (err != CW_OK) {
        enum cw_err_category category = cw_err_info(err)->category;
        bool told = category == CW_CATEGORY_TOKEN || category == CW_CATEGORY_POLICY ||
                    category == CW_CATEGORY_UNDECIDED || err == CW_TENANT_UNKNOWN;
        return told ? err : CW_VALIDATOR_UNAVAILABLE;
    }
    /* an identity without a tenant owns no files */
    ENSURE(caller.tenant[0] != '\0', CW_VALIDATOR_UNAVAILABLE);
    *ret_caller = caller;
    return CW_OK;
}

enum cw_err files_put_begin(const struct files *files, const struct caller *caller,
                            struct cw_str name, struct cw_str media_type, struct upload *ret_upload)
{
    char file[FILE_NAME_MAX + 1], type[FILE_MEDIA_TYPE_MAX + 1];
    *ret_upload = (struct upload){.files = files};
    TRY(copy_name(name, file));
    TRY(file_media_type(media_type, type));
    return files->store.write(files->store.ctx, caller->tenant, file, type, &ret_upload->writer);
}

enum cw_err files_put_append(struct upload *upload, struct cw_str bytes)
{
    ENSURE(bytes.n <= upload->files->max_file - upload->received, CW_REQUEST_TOO_LARGE);
    upload->received += bytes.n;
    return upload->files->store.append(upload->writer, bytes);
}

enum cw_err files_put_commit(struct upload *upload, bool *ret_replaced)
{
    struct file_writer *writer = upload->writer;
    upload->writer = NULL;
    return upload->files->store.commit(writer, ret_replaced);
}

void files_put_end(struct upload *upload)
{
    if (upload->writer) {
        upload->files->store.abort(upload->writer);
        upload->writer = NULL;
    }
}

enum cw_err files_get(const struct files *files, const struct caller *caller, struct cw_str name,
                      struct file_info *ret_info, int *ret_fd)
{
    char file[FILE_NAME_MAX + 1];
    TRY(copy_name(name, file));
    return files->store.open(files->store.ctx, caller->tenant, file, ret_info, ret_fd);
}

enum cw_err files_delete(const struct files *files, const struct caller *caller, struct cw_str name)
{
    char file[FILE_NAME_MAX + 1];
    TRY(copy_name(name, file));
    return files->store.remove(files->store.ctx, caller->tenant, file);
}

enum cw_err files_list(const struct files *files, const struct caller *caller,
                       enum cw_err (*each)(void *ctx, const struct file_info *info), void *ctx)
{
    return files->store.list(files->store.ctx, caller->tenant, each, ctx);
}
