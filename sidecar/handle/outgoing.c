/* One buffer, one stream at a time. */
#include "sidecar/handle/outgoing.h"

static _Atomic unsigned *counter(struct outgoing_queued *queued, const void *stream)
{
    return &queued->n[(uint64_t)(uintptr_t)stream * 0x9E3779B97F4A7C15u >> 56];
}

void outgoing_enter(struct outgoing_queued *queued, const void *stream)
{
    atomic_fetch_add(counter(queued, stream), 1);
}

void outgoing_leave(struct outgoing_queued *queued, const void *stream)
{
    atomic_fetch_sub(counter(queued, stream), 1);
}

static void send_all(struct outgoing *outgoing)
{
    if (outgoing->stream) {
        outgoing->send(outgoing->stream, &outgoing->buf);
        outgoing->stream = NULL;
        outgoing->results = 0;
        cw_buf_clear(&outgoing->buf);
    }
}

void outgoing_add(struct outgoing *outgoing, void *stream, struct cw_str answer, uint64_t now_ns)
{
    if (outgoing->stream && (outgoing->stream != stream || outgoing->results >= OUTGOING_RESULTS ||
                             outgoing->buf.n + answer.n > OUTGOING_BYTES)) {
        send_all(outgoing);
    }
    if (!outgoing->stream) {
        outgoing->ref(stream);
        outgoing->stream = stream;
        outgoing->buf.max = OUTGOING_BYTES + OUTGOING_ANSWER_MAX;
        outgoing->since_ns = now_ns;
    }
    cw_buf_add_str(&outgoing->buf, answer);
    outgoing->results++;
}

void outgoing_check(struct outgoing *outgoing, struct outgoing_queued *queued,
                    uint64_t (*now_ns)(void))
{
    if (outgoing->stream && (atomic_load(counter(queued, outgoing->stream)) == 0 ||
                             now_ns() - outgoing->since_ns > OUTGOING_NS)) {
        send_all(outgoing);
    }
}

void outgoing_idle(struct outgoing *outgoing)
{
    send_all(outgoing);
    cw_buf_done(&outgoing->buf);
}
