/* Step 4c: what was fetched is kept, so that a restart does not depend on the issuer. */
#include "common/keys/key_disk.h"

#include <stdio.h>
#include <string.h>

#include "common/base/file.h"
#include "common/crypto/hex.h"
#include "common/crypto/sha256.h"

enum cw_err cw_key_disk_path(const char *dir, const char *tenant, const char *issuer,
                             const char *place, char ret_path[CW_KEY_DISK_PATH_MAX])
{
    struct cw_buf name CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(8192);
    unsigned char digest[CW_SHA256_SIZE];
    char hex[2 * CW_SHA256_SIZE + 1];

    /* The NULs keep ("a", "bc") and ("ab", "c") apart. */
    cw_buf_add(&name, tenant, strlen(tenant) + 1);
    cw_buf_add(&name, issuer, strlen(issuer) + 1);
    cw_buf_add(&name, place, strlen(place) + 1);
    TRY(cw_buf_check(&name));
    TRY(cw_sha256(cw_buf_str(&name), digest));
    cw_hex_encode(digest, 16, hex);
    int n = snprintf(ret_path, CW_KEY_DISK_PATH_MAX, "%s/keys-%s.jwks", dir, hex);
    return n > 0 && n < CW_KEY_DISK_PATH_MAX ? CW_OK : CW_IO;
}

enum cw_err cw_key_disk_write(const char *path, struct cw_str text, int64_t fetched_at)
{
    struct cw_buf file CW_CLEANUP(cw_buf_done) = CW_BUF_INIT(text.n + 32);

    cw_buf_addf(&file, "%lld\n", (long long)fetched_at);
    cw_buf_add_str(&file, text);
    TRY(cw_buf_check(&file));
    return cw_file_replace(path, cw_buf_str(&file));
}

enum cw_err cw_key_disk_read(const char *path, struct cw_buf *buf, struct cw_str *ret_text,
                             int64_t *ret_fetched_at)
{
    uint64_t fetched_at = 0;

    TRY(cw_file_read(path, buf));
    struct cw_str all = cw_buf_str(buf);
    size_t end = cw_str_find(all, '\n');
    ENSURE(end < all.n, CW_REQUEST_MALFORMED);
    TRY(cw_str_to_u64(cw_str_slice(all, 0, end), INT64_MAX / 2000, &fetched_at));
    *ret_text = cw_str_slice(all, end + 1, all.n);
    *ret_fetched_at = (int64_t)fetched_at;
    return CW_OK;
}
