
/*
 * A worker's link to the sidecar: one HTTP/2 connection over a Unix socket in
 * nginx's own event loop, on which gRPC calls are opened.  One link a worker;
 * everything here belongs to the worker's only thread.
 *
 *              connect             settings, first call
 *     DOWN ──────────────▶ UP ────────────────────────────▶ calls
 *      ▲   backoff, jitter  │
 *      └────────────────────┘  end, GOAWAY, malformed bytes, refused peer
 *
 * A connection that ends ends its calls; who wants a call again opens it in
 * its user's up().
 */


#ifndef _NGX_HTTP_CW_LINK_H_INCLUDED_
#define _NGX_HTTP_CW_LINK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>


typedef struct ngx_http_cw_link_s       ngx_http_cw_link_t;
typedef struct ngx_http_cw_call_s       ngx_http_cw_call_t;
typedef struct ngx_http_cw_link_user_s  ngx_http_cw_link_user_t;


typedef struct {
    struct sockaddr          *sockaddr;
    socklen_t                 socklen;
    ngx_str_t                 name;      /* unix:/path, for messages */

    /* users that the socket's owner may be, beside root and our own */
    ngx_array_t              *uids;      /* of uid_t, or NULL */
} ngx_http_cw_link_conf_t;


/* who opens calls; the structure is the caller's and outlives the link */

struct ngx_http_cw_link_user_s {

    /* a connection stands: open the calls here */
    void                    (*up)(ngx_http_cw_link_t *link, void *data);

    /* it ended; its calls were told before.  May be NULL */
    void                    (*down)(ngx_http_cw_link_t *link, void *data);

    void                     *data;
    ngx_http_cw_link_user_t  *next;      /* the link's own */
};


/* one kind of call: a gRPC method and what happens on it */

typedef struct {
    ngx_str_t                 path;      /* /package.Service/Method */
    size_t                    max;       /* bytes of a received message */

    /* a whole message, borrowed for the time of the function; NGX_ERROR:
     * malformed, which costs the connection.  Opens and cancels no calls */
    ngx_int_t               (*message)(ngx_http_cw_call_t *call, void *data,
                                       u_char *p, size_t len);

    /* all messages of this turn were given: what they set going may run now,
     * requests included.  May be NULL */
    void                    (*turn)(ngx_http_cw_call_t *call, void *data);

    /* everything that was sent has left the worker.  May be NULL */
    void                    (*drained)(ngx_http_cw_call_t *call, void *data);

    /* the end, told once, with the gRPC status (UNAVAILABLE when the
     * connection ended); the call is gone afterwards */
    void                    (*closed)(ngx_http_cw_call_t *call, void *data,
                                      ngx_uint_t status);
} ngx_http_cw_call_type_t;


ngx_http_cw_link_t *ngx_http_cw_link_create(ngx_http_cw_link_conf_t *conf,
    ngx_log_t *log);
void ngx_http_cw_link_add_user(ngx_http_cw_link_t *link,
    ngx_http_cw_link_user_t *user);
/* connects, and from then on keeps connecting */
void ngx_http_cw_link_start(ngx_http_cw_link_t *link);
/* ends all calls and frees everything; for exit_process */
void ngx_http_cw_link_destroy(ngx_http_cw_link_t *link);

/* a connection stands (its peer may still be asleep) */
ngx_uint_t ngx_http_cw_link_is_up(ngx_http_cw_link_t *link);

/* the peer owes an answer for too long: it is asked with a PING, and the
 * connection ends when that stays unanswered, too */
void ngx_http_cw_link_suspect(ngx_http_cw_link_t *link);

/* the peer cannot be trusted any more: ends the connection, now or, within
 * one of the link's callbacks, right after it */
void ngx_http_cw_link_break(ngx_http_cw_link_t *link, const char *why);


/* NULL: the link is down, or without memory.  closed() is told for a call that
 * was returned, for no other */
ngx_http_cw_call_t *ngx_http_cw_call_open(ngx_http_cw_link_t *link,
    ngx_http_cw_call_type_t *type, void *data);

/* room for one message of at most size bytes, NULL without memory; what is
 * written there leaves with commit, len bytes of it, at the end of this turn
 * of the loop.  last: the client's half of the stream ends with it */
u_char *ngx_http_cw_call_reserve(ngx_http_cw_call_t *call, size_t size);
void ngx_http_cw_call_commit(ngx_http_cw_call_t *call, size_t len,
    ngx_uint_t last);

/* bytes that have not left the worker yet */
size_t ngx_http_cw_call_unsent(ngx_http_cw_call_t *call);

/* RST_STREAM; closed() is not told */
void ngx_http_cw_call_cancel(ngx_http_cw_call_t *call);


#endif /* _NGX_HTTP_CW_LINK_H_INCLUDED_ */
