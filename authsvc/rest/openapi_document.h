/* The bytes of openapi.json; made of it at build time. */
#ifndef AUTHSVC_REST_OPENAPI_DOCUMENT_H
#define AUTHSVC_REST_OPENAPI_DOCUMENT_H

#include <stddef.h>

extern const char openapi_document[];
extern const size_t openapi_document_n;
extern const char openapi_etag[]; /* quoted, of the bytes' SHA-256 (RFC 9110 §8.8.3) */

#endif
