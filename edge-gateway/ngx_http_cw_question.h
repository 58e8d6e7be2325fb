
/*
 * What a worker asks: the fields of a ValidateStreamRequest
 * (proto/clinicwave/token/v1/token.proto), written by hand.  Needs nginx's
 * types only, so that it is tested and fuzzed outside of nginx.
 */


#ifndef _NGX_HTTP_CW_QUESTION_H_INCLUDED_
#define _NGX_HTTP_CW_QUESTION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* ValidateStreamRequest: bounds of one message */

#define NGX_HTTP_CW_BATCH_ENTRIES         256
#define NGX_HTTP_CW_BATCH_SIZE            (128 * 1024)


typedef struct {
    ngx_array_t  *audiences;         /* of ngx_str_t, NULL: none; all five */
    ngx_array_t  *scopes_all;
    ngx_array_t  *scopes_any;
    ngx_array_t  *roles_any;
    ngx_array_t  *roles_all;
    ngx_array_t  *claims;
} ngx_http_cw_question_rule_t;


typedef struct {
    uint64_t      id;
    ngx_str_t     subject;           /* a digest or a token */
    ngx_str_t     domain;
    uint32_t      rule;
    uint32_t      timeout;           /* milliseconds */
    unsigned      digest:1;          /* subject is a digest */
} ngx_http_cw_question_entry_t;


/* RuleDefinition as a field of ValidateStreamRequest: its bytes, then their
 * number; with p == NULL only the number.  rule: 1 to 65535 */
size_t ngx_http_cw_question_rule(u_char *p, ngx_uint_t number,
    ngx_http_cw_question_rule_t *rule);

/* ValidateEntry as a field of ValidateStreamRequest: its bytes, and where
 * they end.  The size is exact */
size_t ngx_http_cw_question_entry_size(ngx_http_cw_question_entry_t *entry);
u_char *ngx_http_cw_question_entry(u_char *p,
    ngx_http_cw_question_entry_t *entry);


#endif /* _NGX_HTTP_CW_QUESTION_H_INCLUDED_ */
