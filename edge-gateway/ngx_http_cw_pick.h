
/*
 * Which instance a request goes to.  Pure, as ngx_http_cw_wire.h is: the
 * caller holds the lock, and says what time it is (milliseconds, monotonic).
 */


#ifndef _NGX_HTTP_CW_PICK_H_INCLUDED_
#define _NGX_HTTP_CW_PICK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


#define NGX_HTTP_CW_PICK_ROUND_ROBIN  0
#define NGX_HTTP_CW_PICK_LEAST_CONN   1
#define NGX_HTTP_CW_PICK_HASH         2


/* any IP address and its port, as text */
#define NGX_HTTP_CW_PICK_TEXT         56


/* an instance */

typedef struct {
    uint64_t                 number;     /* of this stay among those up */
    uint64_t                 place;      /* … and in the list */
    uint64_t                 hash;       /* of its address */
    uint64_t                 zone;       /* hash of its name, 0: none */

    ngx_sockaddr_t           addr;
    socklen_t                socklen;
    uint32_t                 text_len;   /* 0: too long to be kept */
    u_char                   text[NGX_HTTP_CW_PICK_TEXT];

    ngx_int_t                weight;     /* 1 to NGX_HTTP_CW_WEIGHT_MAX */
    ngx_int_t                current_weight;

    ngx_uint_t               fails;
    ngx_msec_t               first_fail; /* of these */
    ngx_msec_t               until;      /* passed over until then … */
    ngx_msec_t               pause;      /* … for so long; 0: never yet */
    ngx_msec_t               since;      /* up, or well again */

    uint32_t                 held;       /* requests on it, if counted */

    unsigned                 up:1;
    unsigned                 secure:1;
    unsigned                 marked:1;   /* passed over, until it is well */
    unsigned                 fresh:1;    /* came after others: since counts */
} ngx_http_cw_peer_t;


/* held: a row of seats, one a worker, for each instance.  What a worker holds
 * can be given back when the worker is gone */

typedef struct {
    ngx_uint_t               n;
    ngx_uint_t               seats;      /* 0: nobody counts */
    uint32_t                *held;
    ngx_http_cw_peer_t       peers[];
} ngx_http_cw_peers_t;


typedef enum {
    NGX_HTTP_CW_PICKED_ZONE = 0,         /* as it was wanted */
    NGX_HTTP_CW_PICKED_SPILL,            /* none of the zone is usable */
    NGX_HTTP_CW_PICKED_PANIC             /* all are marked */
} ngx_http_cw_picked_e;


/* what a request wants */

typedef struct {
    ngx_uint_t               policy;
    ngx_msec_t               now;
    ngx_msec_t               slow_start; /* 0: none */
    uint64_t                 key;        /* for hash */
    uint64_t                 zone;       /* 0: any */
    uint64_t                *tried;      /* numbers of peers */
    ngx_uint_t               ntried;
    unsigned                 ssl:1;

    /* what it got */
    ngx_http_cw_picked_e     picked;
    unsigned                 probe:1;    /* the one that is to find out */
    unsigned                 marked:1;
} ngx_http_cw_pick_t;


/* how failures are taken, milliseconds */

typedef struct {
    ngx_uint_t               max_fails;  /* 0: failures mark nobody */
    ngx_msec_t               fail_timeout;
    ngx_msec_t               max_fail_timeout;
} ngx_http_cw_fails_t;


/* 64 bits that any change of the bytes changes all of */
uint64_t ngx_http_cw_pick_hash(u_char *data, size_t len);

/* those that are up and were not tried: of the zone and not marked, else not
 * marked, else any.  NULL: none */
ngx_http_cw_peer_t *ngx_http_cw_pick(ngx_http_cw_peers_t *peers,
    ngx_http_cw_pick_t *pick);

/* the weight with which an instance counts now, in hundredths */
ngx_int_t ngx_http_cw_pick_weight(ngx_http_cw_peer_t *peer,
    ngx_http_cw_pick_t *pick);

/* a request that picked this way failed: 1 when the instance is marked by it,
 * for a time that grows as long as its failures follow each other */
ngx_uint_t ngx_http_cw_pick_failed(ngx_http_cw_peer_t *peer,
    ngx_http_cw_pick_t *pick, ngx_http_cw_fails_t *fails, ngx_msec_t now);
/* … was answered: 1 when the mark is off now */
ngx_uint_t ngx_http_cw_pick_answered(ngx_http_cw_peer_t *peer,
    ngx_http_cw_pick_t *pick, ngx_msec_t now);

/* a seat takes a request, and gives it back */
void ngx_http_cw_pick_hold(ngx_http_cw_peers_t *peers, ngx_uint_t i,
    ngx_uint_t seat);
void ngx_http_cw_pick_release(ngx_http_cw_peers_t *peers, ngx_uint_t i,
    ngx_uint_t seat);
/* all that a seat holds is given back */
void ngx_http_cw_pick_vacate(ngx_http_cw_peers_t *peers, ngx_uint_t seat);


#endif /* _NGX_HTTP_CW_PICK_H_INCLUDED_ */
