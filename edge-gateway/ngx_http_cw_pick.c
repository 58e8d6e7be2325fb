
/*
 * The policies: smooth weighted round robin, least connections, and
 * rendezvous hashing; zones, marks and the slow start apply to each.
 */


#include "ngx_http_cw_pick.h"

#include <math.h>


#define NGX_HTTP_CW_PICK_SCALE  100

/* a slow start begins at a tenth: a share of nothing teaches nothing */
#define NGX_HTTP_CW_PICK_RAMP_MIN  (NGX_HTTP_CW_PICK_SCALE / 10)


static ngx_http_cw_peer_t *ngx_http_cw_pick_among(ngx_http_cw_peers_t *peers,
    ngx_http_cw_pick_t *pick, ngx_http_cw_picked_e from);
static ngx_uint_t ngx_http_cw_pick_eligible(ngx_http_cw_peer_t *peer,
    ngx_http_cw_pick_t *pick, ngx_http_cw_picked_e from);
static ngx_http_cw_peer_t *ngx_http_cw_pick_turn(ngx_http_cw_peers_t *peers,
    ngx_http_cw_pick_t *pick, ngx_http_cw_picked_e from,
    ngx_http_cw_peer_t *least);
static ngx_http_cw_peer_t *ngx_http_cw_pick_least(ngx_http_cw_peers_t *peers,
    ngx_http_cw_pick_t *pick, ngx_http_cw_picked_e from);
static ngx_int_t ngx_http_cw_pick_load(ngx_http_cw_peer_t *a,
    ngx_http_cw_peer_t *b, ngx_http_cw_pick_t *pick);
static ngx_http_cw_peer_t *ngx_http_cw_pick_highest(
    ngx_http_cw_peers_t *peers, ngx_http_cw_pick_t *pick,
    ngx_http_cw_picked_e from);
static uint64_t ngx_http_cw_pick_mix(uint64_t h);
static double ngx_http_cw_pick_log(uint64_t h);


ngx_http_cw_peer_t *
ngx_http_cw_pick(ngx_http_cw_peers_t *peers, ngx_http_cw_pick_t *pick)
{
    ngx_http_cw_peer_t    *peer;
    ngx_http_cw_picked_e   from;

    peer = NULL;
    from = pick->zone ? NGX_HTTP_CW_PICKED_ZONE : NGX_HTTP_CW_PICKED_SPILL;

    for ( /* void */ ; peer == NULL; from++) {

        peer = ngx_http_cw_pick_among(peers, pick, from);

        if (peer == NULL && from == NGX_HTTP_CW_PICKED_PANIC) {
            return NULL;
        }

        pick->picked = from;
    }

    pick->marked = peer->marked;
    pick->probe = peer->marked && pick->picked != NGX_HTTP_CW_PICKED_PANIC;

    if (pick->probe) {

        /* nobody else, until this one knows */

        peer->until = pick->now + peer->pause;
    }

    if (pick->zone == 0 && pick->picked == NGX_HTTP_CW_PICKED_SPILL) {
        pick->picked = NGX_HTTP_CW_PICKED_ZONE;
    }

    return peer;
}


static ngx_http_cw_peer_t *
ngx_http_cw_pick_among(ngx_http_cw_peers_t *peers, ngx_http_cw_pick_t *pick,
    ngx_http_cw_picked_e from)
{
    ngx_http_cw_peer_t  *least;

    switch (pick->policy) {

    case NGX_HTTP_CW_PICK_HASH:
        return ngx_http_cw_pick_highest(peers, pick, from);

    case NGX_HTTP_CW_PICK_LEAST_CONN:
        least = ngx_http_cw_pick_least(peers, pick, from);
        return least ? ngx_http_cw_pick_turn(peers, pick, from, least) : NULL;

    default:
        return ngx_http_cw_pick_turn(peers, pick, from, NULL);
    }
}


static ngx_uint_t
ngx_http_cw_pick_eligible(ngx_http_cw_peer_t *peer, ngx_http_cw_pick_t *pick,
    ngx_http_cw_picked_e from)
{
    ngx_uint_t  i;

    if (!peer->up || peer->secure != pick->ssl) {
        return 0;
    }

    if (from == NGX_HTTP_CW_PICKED_ZONE && peer->zone != pick->zone) {
        return 0;
    }

    if (peer->marked && from != NGX_HTTP_CW_PICKED_PANIC
        && (ngx_msec_int_t) (peer->until - pick->now) > 0)
    {
        return 0;
    }

    for (i = 0; i < pick->ntried; i++) {
        if (pick->tried[i] == peer->number) {
            return 0;
        }
    }

    return 1;
}


/* smooth weighted round robin, as nginx's own; with least only among those
 * that are as little loaded as that one */

static ngx_http_cw_peer_t *
ngx_http_cw_pick_turn(ngx_http_cw_peers_t *peers, ngx_http_cw_pick_t *pick,
    ngx_http_cw_picked_e from, ngx_http_cw_peer_t *least)
{
    ngx_int_t            weight, total;
    ngx_uint_t           i;
    ngx_http_cw_peer_t  *peer, *best;

    best = NULL;
    total = 0;

    for (i = 0; i < peers->n; i++) {
        peer = &peers->peers[i];

        if (!ngx_http_cw_pick_eligible(peer, pick, from)
            || (least && ngx_http_cw_pick_load(peer, least, pick) > 0))
        {
            continue;
        }

        weight = ngx_http_cw_pick_weight(peer, pick);

        peer->current_weight += weight;
        total += weight;

        if (best == NULL || peer->current_weight > best->current_weight) {
            best = peer;
        }
    }

    if (best) {
        best->current_weight -= total;
    }

    return best;
}


static ngx_http_cw_peer_t *
ngx_http_cw_pick_least(ngx_http_cw_peers_t *peers, ngx_http_cw_pick_t *pick,
    ngx_http_cw_picked_e from)
{
    ngx_uint_t           i;
    ngx_http_cw_peer_t  *peer, *best;

    best = NULL;

    for (i = 0; i < peers->n; i++) {
        peer = &peers->peers[i];

        if (ngx_http_cw_pick_eligible(peer, pick, from)
            && (best == NULL || ngx_http_cw_pick_load(peer, best, pick) < 0))
        {
            best = peer;
        }
    }

    return best;
}


/* < 0: a has less to do than b, by what they can do */

static ngx_int_t
ngx_http_cw_pick_load(ngx_http_cw_peer_t *a, ngx_http_cw_peer_t *b,
    ngx_http_cw_pick_t *pick)
{
    uint64_t  x, y;

    x = (uint64_t) a->held * ngx_http_cw_pick_weight(b, pick);
    y = (uint64_t) b->held * ngx_http_cw_pick_weight(a, pick);

    return (x > y) - (x < y);
}


ngx_int_t
ngx_http_cw_pick_weight(ngx_http_cw_peer_t *peer, ngx_http_cw_pick_t *pick)
{
    ngx_msec_int_t  age;

    if (pick->slow_start == 0 || !peer->fresh) {
        return peer->weight * NGX_HTTP_CW_PICK_SCALE;
    }

    /* what another worker wrote may be of later than this one's now */

    age = (ngx_msec_int_t) (pick->now - peer->since);
    age = ngx_max(age, 0);

    if (age >= (ngx_msec_int_t) pick->slow_start) {
        return peer->weight * NGX_HTTP_CW_PICK_SCALE;
    }

    return peer->weight * ngx_max(NGX_HTTP_CW_PICK_RAMP_MIN,
                                  (ngx_int_t) (NGX_HTTP_CW_PICK_SCALE * age
                                               / pick->slow_start));
}


/*
 * Rendezvous: each instance draws a number from the key and its own address,
 * and the highest wins.  Whoever comes takes an equal part from each of the
 * others; whoever leaves gives its keys to all of them; nothing else moves,
 * and every gateway agrees, without a table.  Unequal weights: the lowest of
 * -ln(u) / weight, where u is that number between 0 and 1.
 */

static ngx_http_cw_peer_t *
ngx_http_cw_pick_highest(ngx_http_cw_peers_t *peers, ngx_http_cw_pick_t *pick,
    ngx_http_cw_picked_e from)
{
    uint64_t             h, highest;
    ngx_uint_t           i, higher;
    ngx_http_cw_peer_t  *peer, *best;

    best = NULL;
    highest = 0;

    for (i = 0; i < peers->n; i++) {
        peer = &peers->peers[i];

        if (!ngx_http_cw_pick_eligible(peer, pick, from)) {
            continue;
        }

        h = ngx_http_cw_pick_mix(pick->key ^ peer->hash);

        if (best == NULL) {
            higher = 1;

        } else if (peer->weight == best->weight) {
            higher = h > highest;

        } else {
            higher = ngx_http_cw_pick_log(h) * (double) best->weight
                     > ngx_http_cw_pick_log(highest) * (double) peer->weight;
        }

        if (higher) {
            best = peer;
            highest = h;
        }
    }

    return best;
}


/* ln of a fraction: h as a number above 0 and below 1 */

static double
ngx_http_cw_pick_log(uint64_t h)
{
    return log(((double) (h >> 11) + 0.5) / 9007199254740992.0);
}


uint64_t
ngx_http_cw_pick_hash(u_char *data, size_t len)
{
    size_t    i;
    uint64_t  h;

    /* FNV-1a; its high bits are weak without the mixing */

    h = 0xcbf29ce484222325;

    for (i = 0; i < len; i++) {
        h = (h ^ data[i]) * 0x100000001b3;
    }

    return ngx_http_cw_pick_mix(h);
}


/* the finish of splitmix64 */

static uint64_t
ngx_http_cw_pick_mix(uint64_t h)
{
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9;
    h = (h ^ (h >> 27)) * 0x94d049bb133111eb;

    return h ^ (h >> 31);
}


ngx_uint_t
ngx_http_cw_pick_failed(ngx_http_cw_peer_t *peer, ngx_http_cw_pick_t *pick,
    ngx_http_cw_fails_t *fails, ngx_msec_t now)
{
    if (fails->max_fails == 0) {
        return 0;
    }

    if (peer->marked) {

        /* others that were on their way when it was marked, and those of a
         * panic, tell nothing new */

        if (!pick->probe) {
            return 0;
        }

        peer->pause *= 2;

    } else {

        if (peer->fails
            && (ngx_msec_int_t) (now - peer->first_fail)
               > (ngx_msec_int_t) fails->fail_timeout)
        {
            peer->fails = 0;
        }

        if (peer->fails++ == 0) {
            peer->first_fail = now;
        }

        if (peer->fails < fails->max_fails) {
            return 0;
        }

        /* well for shorter than it was passed over: it goes on failing */

        peer->pause = (peer->pause && (ngx_msec_int_t) (now - peer->since)
                                      < (ngx_msec_int_t) peer->pause)
                      ? peer->pause * 2 : fails->fail_timeout;
    }

    peer->pause = ngx_min(peer->pause, fails->max_fail_timeout);
    peer->until = now + peer->pause;
    peer->marked = 1;

    return 1;
}


ngx_uint_t
ngx_http_cw_pick_answered(ngx_http_cw_peer_t *peer, ngx_http_cw_pick_t *pick,
    ngx_msec_t now)
{
    /* an answer to what was asked before the mark does not take it off */

    if (!peer->marked || !pick->marked) {
        return 0;
    }

    peer->marked = 0;
    peer->fails = 0;
    peer->since = now;
    peer->fresh = 1;

    return 1;
}


void
ngx_http_cw_pick_hold(ngx_http_cw_peers_t *peers, ngx_uint_t i,
    ngx_uint_t seat)
{
    if (seat < peers->seats) {
        peers->held[i * peers->seats + seat]++;
        peers->peers[i].held++;
    }
}


void
ngx_http_cw_pick_release(ngx_http_cw_peers_t *peers, ngx_uint_t i,
    ngx_uint_t seat)
{
    uint32_t  *held;

    if (seat >= peers->seats) {
        return;
    }

    held = &peers->held[i * peers->seats + seat];

    if (*held) {
        (*held)--;
        peers->peers[i].held--;
    }
}


void
ngx_http_cw_pick_vacate(ngx_http_cw_peers_t *peers, ngx_uint_t seat)
{
    uint32_t    *held, sum;
    ngx_uint_t   i, k;

    /* added up anew: the worker may have died between the two counts */

    for (i = 0; seat < peers->seats && i < peers->n; i++) {
        held = &peers->held[i * peers->seats];
        held[seat] = 0;

        for (k = 0, sum = 0; k < peers->seats; k++) {
            sum += held[k];
        }

        peers->peers[i].held = sum;
    }
}
