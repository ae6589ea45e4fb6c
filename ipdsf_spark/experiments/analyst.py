"""What a plain consumer does with files: decode, run the operators with its sites' state in memory, send the records.

The same kernels as the stream, and the same acknowledgements. It commits nothing, keeps nothing over a restart and
knows no lateness of batches: what it does not do is what Spark's share pays for.
"""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Message, Producer

from ipdsf_spark.config import Config
from ipdsf_spark.sites import site_named, sites_of
from ipdsf_spark.stream.decode import Decoder
from ipdsf_spark.stream.live import stage_of
from ipdsf_spark.stream.piece import Piece
from ipdsf_spark.stream.site_stage import Share


class Analyst:
    """The analytic tasks of one consumer."""

    def __init__(self, config: Config) -> None:
        self._sites, self._stage = sites_of(config), stage_of(config)
        self._decoder = Decoder(self._sites, config.layers.averaging_s, config.kafka.max_message_bytes)
        self._producer = Producer(
            {"bootstrap.servers": config.kafka.bootstrap_servers, "acks": "all", "linger.ms": 5, "log_level": 0}
        )
        self._states: dict[str, bytes] = {}

    def take(self, messages: Sequence[Message]) -> None:
        """Analyse files; returns when Kafka has acknowledged all that came of them."""
        pieces: dict[str, list[Piece]] = {}
        for message in messages:
            told = dict(message.headers() or [])
            group, raw, *_ = self._decoder.row_of(
                _text(message.key()),
                message.value() or b"",
                _text(told.get("file")),
                int(told.get("sent_ms") or 0),
                message.timestamp()[1],
                None,
                message.topic() or "",
                message.partition() or 0,
                message.offset() or 0,
            )
            pieces.setdefault(group, []).append(Piece.from_bytes(raw))
        shares = [
            Share(site_named(self._sites, site_id), found, self._states.get(site_id, b""))
            for site_id, found in pieces.items()
        ]
        for site_id, outcome in zip(pieces, self._stage.step_many(shares), strict=True):
            if outcome.state is not None:
                self._states[site_id] = outcome.state.to_bytes()
            for record in outcome.records:
                self._producer.produce(record.topic, record.value, record.key, headers=list(record.headers or []))
                self._producer.poll(0)
        self._producer.flush()


def _text(key: str | bytes | None) -> str:
    return key if isinstance(key, str) else (key or b"").decode()
