/* FileDescriptorProtos are read here, by hand: the few fields that reflection looks things up by.
 */
#include "common/rpc/symbols.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SYMBOL = 512, MAX_NESTING = 16 };

/* Field numbers of google/protobuf/descriptor.proto */
enum {
    FILE_PACKAGE = 2,
    FILE_DEPENDENCY = 3,
    FILE_MESSAGE = 4,
    FILE_ENUM = 5,
    FILE_SERVICE = 6,
    ANY_NAME = 1,
    MESSAGE_FIELD = 2,
    MESSAGE_NESTED = 3,
    MESSAGE_ENUM = 4,
    ENUM_VALUE = 2,
    SERVICE_METHOD = 2,
};

struct symbol {
    char *name;
    const struct cw_rpc_descriptor *file;
};

struct cw_rpc_symbols {
    const struct cw_rpc_descriptor *files[CW_RPC_MAX_FILES];
    size_t n_files;
    struct symbol *all; /* sorted by name */
    size_t n, cap;
};

static bool take_varint(struct cw_str *at, uint64_t *ret_value)
{
    *ret_value = 0;
    for (unsigned shift = 0; at->n > 0 && shift < 64; shift += 7) {
        uint8_t byte = (uint8_t)*at->p++;
        at->n--;
        *ret_value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            return true;
        }
    }
    return false;
}

/* The next length-delimited field, others skipped; false at the end or where the bytes make no
 * sense. */
static bool next_field(struct cw_str *at, unsigned *ret_number, struct cw_str *ret_value)
{
    uint64_t key, n;
    while (at->n > 0 && take_varint(at, &key)) {
        bool bytes = (key & 7) == 2;
        switch (key & 7) {
        case 0:
        case 2:
            if (!take_varint(at, &n)) {
                return false;
            }
            n = bytes ? n : 0;
            break;
        case 1:
            n = 8;
            break;
        case 5:
            n = 4;
            break;
        default:
            return false;
        }
        if (n > at->n) {
            return false;
        }
        *ret_number = (unsigned)(key >> 3);
        *ret_value = (struct cw_str){at->p, (size_t)n};
        at->p += n;
        at->n -= n;
        if (bytes) {
            return true;
        }
    }
    return false;
}

static struct cw_str field_first(struct cw_str message, unsigned number)
{
    unsigned found;
    struct cw_str value;
    while (next_field(&message, &found, &value)) {
        if (found == number) {
            return value;
        }
    }
    return CW_STR("");
}

static enum cw_err add(struct cw_rpc_symbols *symbols, struct cw_str name,
                       const struct cw_rpc_descriptor *file)
{
    if (symbols->n == symbols->cap) {
        size_t cap = symbols->cap ? symbols->cap * 2 : 256;
        struct symbol *all = realloc(symbols->all, cap * sizeof *all);
        ENSURE(all, CW_NO_MEMORY);
        symbols->all = all;
        symbols->cap = cap;
    }
    char *copy = cw_str_dup(name);
    ENSURE(copy, CW_NO_MEMORY);
    symbols->all[symbols->n++] = (struct symbol){copy, file};
    return CW_OK;
}

/* "scope.NAME" of a definition; added to the index. */
static enum cw_err add_named(struct cw_rpc_symbols *symbols, struct cw_str scope,
                             struct cw_str definition, const struct cw_rpc_descriptor *file,
                             char *ret_full, struct cw_str *ret_name)
{
    struct cw_str name = field_first(definition, ANY_NAME);
    ENSURE(name.n > 0 && scope.n + 1 + name.n < MAX_SYMBOL, CW_INTERNAL);
    size_t n = scope.n;
    if (n) {
        memcpy(ret_full, scope.p, n);
        ret_full[n++] = '.';
    }
    memcpy(ret_full + n, name.p, name.n);
    *ret_name = (struct cw_str){ret_full, n + name.n};
    return add(symbols, *ret_name, file);
}

static enum cw_err add_members(struct cw_rpc_symbols *symbols, struct cw_str scope,
                               struct cw_str definition, unsigned member,
                               const struct cw_rpc_descriptor *file)
{
    unsigned number;
    struct cw_str value, name;
    char full[MAX_SYMBOL];
    while (next_field(&definition, &number, &value)) {
        if (number == member) {
            TRY(add_named(symbols, scope, value, file, full, &name));
        }
    }
    return CW_OK;
}

static enum cw_err add_message(struct cw_rpc_symbols *symbols, struct cw_str scope,
                               struct cw_str message, const struct cw_rpc_descriptor *file,
                               unsigned depth)
{
    ENSURE(depth < MAX_NESTING, CW_INTERNAL);
    char full[MAX_SYMBOL];
    struct cw_str name, value, enum_name;
    TRY(add_named(symbols, scope, message, file, full, &name));
    TRY(add_members(symbols, name, message, MESSAGE_FIELD, file));
    unsigned number;
    char enum_full[MAX_SYMBOL];
    while (next_field(&message, &number, &value)) {
        if (number == MESSAGE_NESTED) {
            TRY(add_message(symbols, name, value, file, depth + 1));
        } else if (number == MESSAGE_ENUM) {
            TRY(add_named(symbols, name, value, file, enum_full, &enum_name));
            TRY(add_members(symbols, name, value, ENUM_VALUE, file));
        }
    }
    return CW_OK;
}

static enum cw_err add_file(struct cw_rpc_symbols *symbols, const struct cw_rpc_descriptor *file)
{
    ENSURE(symbols->n_files < CW_RPC_MAX_FILES, CW_INTERNAL);
    symbols->files[symbols->n_files++] = file;
    struct cw_str bytes = {(const char *)file->bytes, file->n};
    struct cw_str package = field_first(bytes, FILE_PACKAGE), value, name;
    unsigned number;
    char full[MAX_SYMBOL];
    while (next_field(&bytes, &number, &value)) {
        if (number == FILE_MESSAGE) {
            TRY(add_message(symbols, package, value, file, 0));
        } else if (number == FILE_ENUM) {
            TRY(add_named(symbols, package, value, file, full, &name));
            TRY(add_members(symbols, package, value, ENUM_VALUE,
                            file)); /* siblings of their type */
        } else if (number == FILE_SERVICE) {
            TRY(add_named(symbols, package, value, file, full, &name));
            TRY(add_members(symbols, name, value, SERVICE_METHOD, file));
        }
    }
    return bytes.n == 0 ? CW_OK : CW_INTERNAL;
}

static const struct cw_rpc_descriptor *file_find(const struct cw_rpc_symbols *symbols,
                                                 struct cw_str name)
{
    for (size_t i = 0; i < symbols->n_files; i++) {
        if (cw_str_is(name, symbols->files[i]->name)) {
            return symbols->files[i];
        }
    }
    return NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct symbol *)a)->name, ((const struct symbol *)b)->name);
}

enum cw_err cw_rpc_symbols_new(const struct cw_rpc_descriptor *const *tables, size_t n_tables,
                               struct cw_rpc_symbols **ret_symbols)
{
    struct cw_rpc_symbols *symbols = calloc(1, sizeof *symbols);
    ENSURE(symbols, CW_NO_MEMORY);
    enum cw_err err = CW_OK;
    for (size_t t = 0; t < n_tables; t++) {
        for (const struct cw_rpc_descriptor *d = tables[t]; d && d->name && err == CW_OK; d++) {
            if (!file_find(symbols, cw_str(d->name))) { /* tables share their imports */
                err = add_file(symbols, d);
            }
        }
    }
    if (err != CW_OK) {
        cw_rpc_symbols_free(symbols);
        return err;
    }
    if (symbols->n) {
        qsort(symbols->all, symbols->n, sizeof *symbols->all, compare);
    }
    *ret_symbols = symbols;
    return CW_OK;
}

void cw_rpc_symbols_free(struct cw_rpc_symbols *symbols)
{
    if (!symbols) {
        return;
    }
    for (size_t i = 0; i < symbols->n; i++) {
        free(symbols->all[i].name);
    }
    free(symbols->all);
    free(symbols);
}

static size_t with_imports(const struct cw_rpc_symbols *symbols,
                           const struct cw_rpc_descriptor *file,
                           const struct cw_rpc_descriptor **ret_files)
{
    size_t n = 0;
    if (file) {
        ret_files[n++] = file;
    }
    for (size_t i = 0; i < n; i++) {
        struct cw_str bytes = {(const char *)ret_files[i]->bytes, ret_files[i]->n}, value;
        unsigned number;
        while (next_field(&bytes, &number, &value)) {
            const struct cw_rpc_descriptor *import =
                number == FILE_DEPENDENCY ? file_find(symbols, value) : NULL;
            bool seen = !import;
            for (size_t j = 0; j < n && !seen; j++) {
                seen = ret_files[j] == import;
            }
            if (!seen) { /* at most once each: n stays within the files there are */
                ret_files[n++] = import;
            }
        }
    }
    return n;
}

size_t cw_rpc_symbols_by_file(const struct cw_rpc_symbols *symbols, const char *name,
                              const struct cw_rpc_descriptor **ret_files)
{
    return with_imports(symbols, file_find(symbols, cw_str(name)), ret_files);
}

size_t cw_rpc_symbols_by_symbol(const struct cw_rpc_symbols *symbols, const char *symbol,
                                const struct cw_rpc_descriptor **ret_files)
{
    union {
        const char *in;
        char *name;
    } key = {.in = symbol};
    struct symbol wanted = {.name = key.name};
    const struct symbol *found =
        symbols->n ? bsearch(&wanted, symbols->all, symbols->n, sizeof wanted, compare) : NULL;
    return with_imports(symbols, found ? found->file : NULL, ret_files);
}
