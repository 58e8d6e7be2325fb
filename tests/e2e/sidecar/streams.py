"""A gateway worker's side of ValidateStream."""
import hashlib
import queue

from tests.support import rpc

CAUSES = "UNSPECIFIED UNKNOWN_DIGEST UNAVAILABLE RESOURCE_EXHAUSTED INVALID_ARGUMENT DEADLINE_EXCEEDED".split()
DECISIONS = "UNSPECIFIED ALLOW UNAUTHENTICATED FORBIDDEN".split()


def digest(token):
    return hashlib.sha256(token.encode()).digest()


class Batches:
    """One stream: `send` what leaves in one message, `answers(n)` collects n results by id, whatever messages they come in."""

    def __init__(self, socket, domain="clinicwave.localhost"):
        self.domain, self.requests, self.next_id = domain, queue.SimpleQueue(), 1
        self.channel = rpc.channel(socket)
        self.responses = rpc.Stub(self.channel, "clinicwave.token.v1.TokenService").ValidateStream(iter(self.requests.get, None), timeout=30)
        self.messages = []

    def entry(self, token=None, **fields):
        entry = dict(id=self.next_id, domain=self.domain)
        if token is not None:
            entry["token"] = token.encode()
        entry.update(fields)
        self.next_id += 1
        return entry

    def send(self, *entries, rules=()):
        self.requests.put(rpc.message("clinicwave.token.v1.ValidateStreamRequest")(entries=entries, rules=rules))
        return [e["id"] for e in entries]

    def answers(self, n):
        results = {}
        while len(results) < n:
            message = next(self.responses)
            self.messages.append(message)
            for r in message.results:
                assert r.id not in results, "an entry is answered once"
                results[r.id] = r
        return results

    def ask(self, *entries, rules=()):
        """The answers in the order of the entries, as words."""
        ids = self.send(*entries, rules=rules)
        answers = self.answers(len(ids))
        return [words(answers[i]) for i in ids]

    def ask_token(self, token, **fields):
        return self.ask(self.entry(token, **fields))[0]

    def ask_digest(self, token, **fields):
        return self.ask(self.entry(digest=digest(token), **fields))[0]

    def stop(self):
        self.requests.put(None)
        self.channel.close()


def words(result):
    """ALLOW, "UNAUTHENTICATED token_expired", "undecided UNKNOWN_DIGEST digest_unknown" …; (cached) where it was."""
    if result.WhichOneof("outcome") == "verdict":
        v = result.verdict
        return " ".join(filter(None, [DECISIONS[v.decision], v.reason, "(cached)" if v.cached else ""]))
    assert result.WhichOneof("outcome") == "undecided", "a result has an outcome"
    return f"undecided {CAUSES[result.undecided.cause]} {result.undecided.reason}"
