/* An index over file descriptors: which file defines a symbol, what a file imports. Immutable once
 * made. */
#ifndef CW_RPC_SYMBOLS_H
#define CW_RPC_SYMBOLS_H

#include "common/base/str.h"
#include "common/rpc/descriptors.h"

struct cw_rpc_symbols;

/* Descriptors are borrowed. CW_NO_MEMORY, or CW_INTERNAL for bytes that are no FileDescriptorProto.
 */
CW_MUST_USE enum cw_err cw_rpc_symbols_new(const struct cw_rpc_descriptor *const *tables,
                                           size_t n_tables, struct cw_rpc_symbols **ret_symbols);
void cw_rpc_symbols_free(struct cw_rpc_symbols *symbols);

enum { CW_RPC_MAX_FILES = 128 };

/* The file and all that it imports, itself first; 0: unknown. `ret_files` has room for
 * CW_RPC_MAX_FILES. */
size_t cw_rpc_symbols_by_file(const struct cw_rpc_symbols *symbols, const char *name,
                              const struct cw_rpc_descriptor **ret_files);
size_t cw_rpc_symbols_by_symbol(const struct cw_rpc_symbols *symbols, const char *symbol,
                                const struct cw_rpc_descriptor **ret_files);

#endif
