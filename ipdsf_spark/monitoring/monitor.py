"""What a running job shows: metrics and a status page, served and as files. It fails alone; the stream goes on."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ipdsf_spark.config import Config
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.monitoring import page, prometheus
from ipdsf_spark.monitoring.commit import GroupCommitter
from ipdsf_spark.monitoring.curtains import Curtains
from ipdsf_spark.monitoring.files import PageFiles
from ipdsf_spark.monitoring.job_metrics import TableState, job_samples
from ipdsf_spark.monitoring.network import Follower, Network
from ipdsf_spark.monitoring.progress import LiveListener
from ipdsf_spark.monitoring.server import PageServer, Query, served
from ipdsf_spark.monitoring.view import View, view_of

logger = logging.getLogger(__name__)

PICTURE: Final = "/curtain.png"  # behind the address of a site
HTML: Final = "text/html; charset=utf-8"
GROUP: Final = "stream"  # under which the lag is told where no group is committed to
COMMIT_EVERY_S: Final = 5.0
STOP_S: Final = 10.0
VIEW_KEPT_S: Final = 5.0  # what one looks at is shown to all who look meanwhile


class Monitor:
    """Server, follower of the topics, files and committed offsets of one job.

    Args:
        config: the whole configuration.
        bootstrap: where Kafka is.
        listener: of the live query.
        sites: the table of sites as it is now.
        tables: how the tables of the archive go now.
        archive: its folder; None where there is none.
    """

    def __init__(
        self,
        config: Config,
        bootstrap: str,
        listener: LiveListener,
        *,
        sites: Callable[[], Mapping[str, Site]],
        tables: Callable[[], Sequence[TableState]],
        archive: Path | None = None,
    ) -> None:
        self._config, self._bootstrap, self._listener = config, bootstrap, listener
        self._sites, self._tables = sites, tables
        self.network = Network()
        self.curtains = Curtains(archive, sites)
        self.server: PageServer | None = None
        self._looking = threading.Lock()
        self._seen: tuple[float, View] | None = None
        self._follower: Follower | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def group(self) -> str:
        """Name under which the lag is told."""
        return self._config.monitoring.commit_group or f"{self._config.kafka.group_prefix}{GROUP}"

    def start(self) -> Monitor:
        """Begin, with as much as the configuration asks for; raises nothing."""
        wanted = self._config.monitoring
        if wanted.listen:
            routes = {"/": self._index, "/metrics": self._metrics, "/status.json": self._json, "/site": self._site}
            self.server = served(wanted.listen, routes, what="status page and /metrics")
        if self.server is not None or wanted.pages_directory:
            self._follower = Follower(self._config.kafka, self._bootstrap, self.network).start()
        if wanted.pages_directory or wanted.commit_group:
            self._thread = threading.Thread(target=self._run, name="ipdsf-monitor", daemon=True)
            self._thread.start()
        return self

    def stop(self) -> None:
        """End; the files of the page say how it was at the end."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(STOP_S)
        if self._follower is not None:
            self._follower.stop()
        if self.server is not None:
            self.server.close()

    def metrics(self) -> bytes:
        """All metrics as Prometheus reads them."""
        samples = job_samples(
            self._listener,
            self.network,
            self._tables(),
            group=self.group,
            cluster=self._config.monitoring.cluster_name,
            max_sites=self._config.monitoring.max_sites,
            now_s=time.time(),
            certificate=self._config.kafka.ssl_certificate_location,
        )
        return prometheus.render(samples)

    def view(self) -> View:
        """What the page shows: at most `VIEW_KEPT_S` old, made once for all who look."""
        with self._looking:
            if self._seen is None or time.monotonic() - self._seen[0] > VIEW_KEPT_S:
                made = view_of(self._listener, self.network, self._sites(), self._tables(), now_s=time.time())
                self._seen = time.monotonic(), made
            return self._seen[1]

    def _index(self, rest: str, query: Query) -> tuple[str, bytes] | None:
        if rest:
            return None
        return HTML, page.index(self.view(), site_link="site/{}", asked=page.Asked.of(query)).encode(errors="replace")

    def _site(self, rest: str, query: Query) -> tuple[str, bytes] | None:
        view, name = self.view(), rest.removesuffix(PICTURE)
        row = view.by_site.get(name)
        if row is None:
            return None
        curtain = self.curtains.of(name, row.time)
        if rest.endswith(PICTURE):
            return None if isinstance(curtain, str) else ("image/png", curtain.png)
        found = page.site(
            view,
            name,
            index_link="../",
            curtain=curtain,
            picture_link=f"{quote(name, safe='')}{PICTURE}",
            is_still="still" in query,
        )
        return None if found is None else (HTML, found.encode(errors="replace"))

    def _metrics(self, rest: str, _: Query) -> tuple[str, bytes] | None:
        return None if rest else (prometheus.CONTENT_TYPE, self.metrics())

    def _json(self, rest: str, _: Query) -> tuple[str, bytes] | None:
        return None if rest else ("application/json", json.dumps(self.view().as_json()).encode())

    def _run(self) -> None:
        wanted = self._config.monitoring
        committer = GroupCommitter(self._config.kafka, self._bootstrap, self.group) if wanted.commit_group else None
        files = self._files() if wanted.pages_directory else None
        next_page_s = next_commit_s = 0.0
        is_last = False
        while not is_last:
            is_last = self._stopped.wait(0.2)
            now_s = time.monotonic()
            if committer is not None and (is_last or now_s >= next_commit_s):
                committer.commit(dict(self._listener.lags.read))
                next_commit_s = now_s + COMMIT_EVERY_S
            if files is not None and (is_last or now_s >= next_page_s):
                self._write(files)
                next_page_s = now_s + wanted.pages_every_s
        if committer is not None:
            committer.close()

    def _files(self) -> PageFiles:
        return PageFiles(Path(self._config.monitoring.pages_directory).expanduser(), self.curtains)

    def _write(self, files: PageFiles) -> None:
        try:
            files.write(self.view())
        except Exception as error:  # a full disk, say: the stream goes on
            logger.warning("the status page is not written to %s: %s", self._config.monitoring.pages_directory, error)
