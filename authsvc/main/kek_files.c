/* Where the key-encryption keys are: files of the configuration, or credentials of systemd. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "authsvc/main/config.h"

/* What systemd hands over by LoadCredential= or LoadCredentialEncrypted= (systemd.exec(5)); NULL:
 * nothing of this name. */
static char *credential(const char *name)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    char path[PATH_MAX];
    int n = dir != NULL ? snprintf(path, sizeof(path), "%s/%s", dir, name) : -1;
    return n > 0 && (size_t)n < sizeof(path) && access(path, F_OK) == 0 ? strdup(path) : NULL;
}

char *authsvc_kek_file(const struct cw_config *config)
{
    struct cw_config_at root = cw_config_root(config);
    const char *file = cw_config_string(&root, "authsvc.keys.kek-file");
    if (file != NULL) {
        return strdup(file);
    }
    char *given = credential("authsvc.kek");
    return given != NULL ? given : authsvc_path(config, "authsvc.state-dir", "authsvc.kek");
}

/* The paths of systemd's credentials whose names begin so. */
static enum cw_err credentials(const char *prefix, char ***list, size_t max, size_t *ret_n)
{
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    DIR *open = dir != NULL ? opendir(dir) : NULL;
    enum cw_err err = CW_OK;
    while (open != NULL && err == CW_OK) {
        const struct dirent *entry = readdir(open);
        if (entry == NULL) {
            break;
        }
        if (cw_str_starts(cw_str(entry->d_name), cw_str(prefix))) {
            err = *ret_n < max ? CW_OK : CW_CONFIG_INVALID;
            if (err == CW_OK && asprintf(&(*list)[*ret_n], "%s/%s", dir, entry->d_name) < 0) {
                (*list)[*ret_n] = NULL;
                err = CW_NO_MEMORY;
            }
            *ret_n += err == CW_OK;
        }
    }
    if (open != NULL) {
        closedir(open);
    }
    return err;
}

enum cw_err authsvc_other_kek_files(const struct cw_config *config, char ***ret_list, size_t *ret_n)
{
    struct cw_config_at root = cw_config_root(config);
    size_t n = 0;
    const char *const *files = cw_config_list(&root, "authsvc.keys.other-kek-files", &n);
    char **list = calloc(KEK_COUNT_MAX, sizeof(*list)); /* ends with NULL */
    ENSURE(list != NULL, CW_NO_MEMORY);
    enum cw_err err = CW_OK;
    *ret_n = 0;
    for (size_t i = 0; i < n && err == CW_OK; i++) {
        list[i] = strdup(files[i]);
        err = list[i] != NULL ? CW_OK : CW_NO_MEMORY;
        *ret_n += err == CW_OK;
    }
    if (n == 0) {
        err = credentials("authsvc.kek-", &list, KEK_COUNT_MAX - 1, ret_n);
    }
    if (err != CW_OK) {
        authsvc_kek_files_free(list);
        return err;
    }
    *ret_list = list;
    return CW_OK;
}

void authsvc_kek_files_free(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        free(list[i]);
    }
    free(list);
}
