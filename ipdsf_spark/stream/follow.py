"""What a running query follows outside of it: the table of sites, and whether its topic is still the same one.

A query's sites and its place in a topic cannot change while it runs, so whoever owns it stops it between two batches
and starts it again at once.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Final

from ipdsf_spark.config import Config
from ipdsf_spark.errors import BrokerError, ConfigError
from ipdsf_spark.kafka.identity import topic_identity
from ipdsf_spark.kafka.topics import admin
from ipdsf_spark.lidar.site import Site
from ipdsf_spark.sites import sites_of

logger = logging.getLogger(__name__)

URL_SAFE: Final = str.maketrans("/+", "_-")  # of ids in base64, as Kafka itself prints them: a name holds no slash


class SitesFile:
    """The table of sites, and whether it has changed. A table that cannot be read leaves the one before in force."""

    def __init__(self, config: Config) -> None:
        self.table = sites_of(config)
        self._config = config
        self._refused: str | None = None

    def changed(self) -> dict[str, Site] | None:
        """The new table, if it is another one."""
        try:
            found = sites_of(self._config)
        except ConfigError as error:
            if str(error) != self._refused:
                logger.error("the table of sites is not taken over, the one before stays in force: %s", error)
                self._refused = str(error)
            return None
        self._refused = None
        if _stated(found) == _stated(self.table):
            return None
        self.table = found
        return found


def _stated(table: Mapping[str, Site]) -> dict[str, str]:
    """All that a table says, as text: the NaN of an unknown place is not equal to itself."""
    return {name: repr(astuple(site)) for name, site in table.items()}


class FollowedTopic:
    """A topic, and whether it was deleted and made anew.

    Spark tells it from offsets that are no more. Where the new topic has as many records already, it would go on in
    their midst, and never read the first ones.

    Args:
        config: of Kafka.
        bootstrap: where it is.
        name: of the topic.

    Raises:
        BrokerError: no broker answers, or it has no such topic.
    """

    def __init__(self, config: Config, bootstrap: str, name: str) -> None:
        # One client for good: each one would tell anew of brokers that are away.
        self._ask = partial(topic_identity, admin(config.kafka, bootstrap), name)
        self.id = self._ask()

    def is_another(self) -> bool:
        """Whether it was made anew since it was last asked; brokers that are away say so by themselves."""
        try:
            found = self._ask()
        except BrokerError:
            return False
        is_another = found != self.id
        self.id = found
        return is_another


def lay_aside(directory: Path, query: str, *, topic: str, former_id: str, may: bool, goes_with_it: str) -> None:
    """Give a query that reads a topic which was made anew a checkpoint of its own, and keep the former.

    Args:
        directory: of the checkpoints.
        query: name of its checkpoint there.
        topic: its name.
        former_id: of the topic that was deleted.
        may: whether the configuration lets the stream go on where records are lost.
        goes_with_it: what begins anew, or is kept, for the message.

    Raises:
        ConfigError: it does not.
    """
    if not may:
        raise ConfigError(
            f"topic {topic} was made anew since the checkpoint in {directory} was written: set "
            f"stream.fail_on_data_loss=false to begin with the new one from stream.starting_offsets, {goes_with_it}, "
            "or name another stream.directory"
        )
    before = directory / f"{query}.of-topic-{former_id.translate(URL_SAFE)}"
    if (directory / query).exists():
        number = 1
        while before.exists():  # of a topic that came back: a cluster that was failed over and back
            number += 1
            before = before.with_name(f"{query}.of-topic-{former_id.translate(URL_SAFE)}.{number}")
        (directory / query).rename(before)
    logger.warning("topic %s was made anew: its own checkpoint begins, the former is kept in %s", topic, before)
