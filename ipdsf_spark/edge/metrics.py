"""The metrics of an edge node: its spool, the age of what waits, its disk. Read from the journal, beside the agent."""

from __future__ import annotations

from collections.abc import Iterator

from ipdsf_spark.config import Config
from ipdsf_spark.edge.status import Status, status_of
from ipdsf_spark.kafka.certificate import validity_of
from ipdsf_spark.monitoring.prometheus import CONTENT_TYPE, Sample, render
from ipdsf_spark.monitoring.server import PageServer, Query, served


def edge_samples(status: Status, site: str, certificate: str = "") -> Iterator[Sample]:
    """Every metric of the node.

    Args:
        status: of its agent.
        site: whose it is.
        certificate: this client's, PEM; empty if it has none.
    """
    told = {"site": site}
    for state in ("pending", "delivered", "refused", "missing"):
        yield Sample("ipdsf_edge_files", getattr(status, state), told | {"state": state})
    yield Sample("ipdsf_edge_pending_bytes", status.pending_bytes, told)
    yield Sample("ipdsf_edge_oldest_pending_seconds", status.oldest_unsent_age_s, told)
    yield Sample("ipdsf_edge_last_delivery_timestamp_seconds", status.last_delivery_s, told)
    yield Sample("ipdsf_edge_copies_bytes", status.copies_bytes, told)
    yield Sample("ipdsf_edge_disk_free_bytes", status.disk_free_bytes, told)
    if certificate and (validity := validity_of(certificate)) is not None:
        yield Sample("ipdsf_certificate_expiry_timestamp_seconds", validity.end.timestamp(), told)


def serve_metrics(config: Config, site: str) -> PageServer | None:
    """Metrics at `monitoring.edge_listen`; None if it is empty, or cannot be listened on."""
    listen = config.monitoring.edge_listen
    if not listen:
        return None

    def page(rest: str, _: Query) -> tuple[str, bytes] | None:
        if rest:
            return None
        status = status_of(config.edge, site)
        return CONTENT_TYPE, render(edge_samples(status, site, config.kafka.ssl_certificate_location))

    return served(listen, {"/metrics": page}, what=f"metrics of {site}")
