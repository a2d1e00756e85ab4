"""How much the engine holds at once. What would go beyond is told to wait (429), never dropped.

Numbers only; each is kept where its things are counted.
"""

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """Bounds of one engine; a client is a training model or a sampling session.

    Attributes:
        pending: requests without an answer, of all clients.
        pending_each: the same, of one client.
        sequences: wanted by sampling requests without an answer, of all clients.
        sequences_each: the same, of one client.
        pending_bytes: data of requests without an answer.
        reading_bytes: bodies that are being received.
        ahead: training requests of one model that wait for one before them.
        ahead_s: seconds that they wait for it, then they go on without it.
        results: answers that are kept to be fetched.
        result_bytes: their size.
        read_ttl_s: seconds that an answer is kept once it was fetched, in case that the reply was
            lost; one that was not fetched is kept for the settings' ``result_ttl_s``.
        sessions: of clients; those that went silent leave first.
        models: that are being trained, in memory or parked; silent clients' leave first.
        runs: models ever trained of which a record is kept; those with checkpoints always are.
        samplers: sampling sessions; silent clients' leave first.
        snapshots: private sampler weights on disk; the least recently used leave first.
    """

    pending: int = 8192
    pending_each: int = 2048
    sequences: int = 65536
    sequences_each: int = 16384
    pending_bytes: int = 512 * MIB
    reading_bytes: int = 256 * MIB
    ahead: int = 64
    ahead_s: float = 5.0
    results: int = 20_000
    result_bytes: int = 256 * MIB
    read_ttl_s: float = 300.0
    sessions: int = 10_000
    models: int = 1024
    runs: int = 20_000
    samplers: int = 10_000
    snapshots: int = 1000
