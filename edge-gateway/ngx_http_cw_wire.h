
/*
 * The protobuf messages of clinicwave.token.v1 that a worker exchanges with
 * the sidecar (proto/clinicwave/token/v1/token.proto), written and read by
 * hand: bounded, no allocation, strings borrowed from the message.  Needs
 * nginx's types only, so that it is tested and fuzzed outside of nginx.
 */


#ifndef _NGX_HTTP_CW_WIRE_H_INCLUDED_
#define _NGX_HTTP_CW_WIRE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_CW_DIGEST_LEN            32

/* ValidateStreamRequest: bounds of one message */

#define NGX_HTTP_CW_BATCH_ENTRIES         256
#define NGX_HTTP_CW_BATCH_SIZE            (128 * 1024)

/* Decision */

#define NGX_HTTP_CW_DECISION_ALLOW            1
#define NGX_HTTP_CW_DECISION_UNAUTHENTICATED  2
#define NGX_HTTP_CW_DECISION_FORBIDDEN        3

/* UndecidedCause */

#define NGX_HTTP_CW_CAUSE_UNKNOWN_DIGEST  1
#define NGX_HTTP_CW_CAUSE_UNAVAILABLE     2
#define NGX_HTTP_CW_CAUSE_EXHAUSTED       3
#define NGX_HTTP_CW_CAUSE_INVALID         4
#define NGX_HTTP_CW_CAUSE_DEADLINE        5


typedef struct {
    ngx_array_t  *audiences;         /* of ngx_str_t, NULL: none; all five */
    ngx_array_t  *scopes_all;
    ngx_array_t  *scopes_any;
    ngx_array_t  *roles_any;
    ngx_array_t  *roles_all;
    ngx_array_t  *claims;
} ngx_http_cw_wire_rule_t;


typedef struct {
    uint64_t      id;
    ngx_str_t     subject;           /* a digest or a token */
    ngx_str_t     domain;
    uint32_t      rule;
    uint32_t      timeout;           /* milliseconds */
    unsigned      digest:1;          /* subject is a digest */
} ngx_http_cw_wire_entry_t;


typedef struct {
    uint64_t      id;

    ngx_uint_t    decision;          /* verdict: as sent, maybe unknown */
    ngx_str_t     identity;          /* encoded Identity */
    ngx_str_t     required_scope;

    ngx_uint_t    cause;             /* undecided: as sent, maybe unknown */
    ngx_uint_t    retry_after;       /* seconds, 0: not known */

    ngx_str_t     reason;            /* of either */

    unsigned      verdict:1;
    unsigned      undecided:1;
    unsigned      has_identity:1;
    unsigned      cached:1;
} ngx_http_cw_wire_result_t;


typedef struct {
    ngx_str_t     tenant;
    ngx_str_t     subject;
    ngx_str_t     issuer;
    ngx_str_t     client;
    ngx_str_t     session;
    ngx_str_t     token_id;
    ngx_str_t     scopes;            /* joined by a space */
    ngx_str_t     roles;             /* joined by a comma */
    int64_t       expires;           /* Unix seconds */

    /* an element holds its separator: the joined value would lie */
    unsigned      ambiguous:1;
} ngx_http_cw_wire_identity_t;


/* RuleDefinition as a field of ValidateStreamRequest: its bytes, then their
 * number; with p == NULL only the number.  rule: 1 to 65535 */
size_t ngx_http_cw_wire_rule(u_char *p, ngx_uint_t number,
    ngx_http_cw_wire_rule_t *rule);

/* ValidateEntry as a field of ValidateStreamRequest: its bytes, and where
 * they end.  The size is exact */
size_t ngx_http_cw_wire_entry_size(ngx_http_cw_wire_entry_t *entry);
u_char *ngx_http_cw_wire_entry(u_char *p, ngx_http_cw_wire_entry_t *entry);

/* takes the next result off a ValidateStreamResponse: NGX_OK, NGX_DONE at its
 * end, NGX_ERROR for bytes that are no such message.  What comes in both
 * forms, twice, or in none is NGX_ERROR, too */
ngx_int_t ngx_http_cw_wire_result(ngx_str_t *message,
    ngx_http_cw_wire_result_t *result);

/* reads an Identity; joined holds at least identity->len bytes and lives as
 * long as the result.  NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_cw_wire_identity(ngx_str_t *identity, u_char *joined,
    ngx_http_cw_wire_identity_t *result);

/* the JSON value of a kept claim: NGX_OK, NGX_DECLINED, NGX_ERROR */
ngx_int_t ngx_http_cw_wire_claim(ngx_str_t *identity, ngx_str_t *name,
    ngx_str_t *json);


/* the primitives, for further messages: fields of a message one after the
 * other.  NGX_OK, NGX_DONE at the end, NGX_ERROR */

typedef struct {
    ngx_uint_t    number;
    ngx_uint_t    type;              /* 0 varint, 1 fixed64, 2 bytes, 5 … */
    uint64_t      value;             /* of types 0, 1 and 5 */
    ngx_str_t     bytes;             /* of type 2 */
} ngx_http_cw_wire_field_t;

ngx_int_t ngx_http_cw_wire_field(ngx_str_t *message,
    ngx_http_cw_wire_field_t *field);

size_t ngx_http_cw_wire_varint_size(uint64_t value);
u_char *ngx_http_cw_wire_varint(u_char *p, uint64_t value);
/* a length-delimited field; its size is 1 + varint_size(len) + len for
 * field numbers below 16 */
u_char *ngx_http_cw_wire_bytes(u_char *p, ngx_uint_t number, ngx_str_t *bytes);


#endif /* _NGX_HTTP_CW_WIRE_H_INCLUDED_ */
