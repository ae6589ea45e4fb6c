"""Which record of a topic is the newest, whatever the clocks of the brokers say that stamped them."""

from __future__ import annotations

from pathlib import Path

import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st
from records import NOON_MS, product

from ipdsf_spark.archive.feed import Feed
from ipdsf_spark.archive.reading import read_products
from ipdsf_spark.archive.tables import PRODUCTS, TABLES, Order
from ipdsf_spark.config import load
from ipdsf_spark.devkafka import EmbeddedKafka
from tests.sender_stamps import topics_stamped_by_senders


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 10**6)), max_size=40))
def test_within_a_partition_the_order_of_times_is_that_of_offsets(stamps: list[tuple[int, int]]) -> None:
    order, last = Order(), {0: 0, 1: 0, 2: 0}
    for offset, (partition, stamp_ms) in enumerate(stamps):
        published_ms = order.published_ms(partition, offset, stamp_ms)
        assert published_ms == max(last[partition], stamp_ms)
        last[partition] = published_ms


def test_a_topic_made_anew_begins_with_its_own_times() -> None:
    order = Order()
    order.published_ms(0, 10, 5_000)

    assert order.published_ms(0, 0, 4_000) == 4_000
    assert order.published_ms(0, 1, 3_000) == 4_000


@pytest.mark.kafka
def test_a_height_that_a_broker_with_a_slow_clock_took_last_is_the_newest(kafka: EmbeddedKafka, tmp_path: Path) -> None:
    names = [f"kafka.{kind}_topic=skewed.{kind}" for kind in ("files", "averages", "products", "sites", "quarantine")]
    config = load(overrides=[f"kafka.bootstrap_servers={kafka.bootstrap_servers}", *names])
    topics_stamped_by_senders(config.kafka, kafka.bootstrap_servers)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for height_m, at_ms in ((600.0, NOON_MS + 30_000), (700.0, NOON_MS + 5_000)):
        key, value = product("oslo", 0, height_m)
        producer.produce(config.kafka.products_topic, value, key, partition=0, timestamp=at_ms)
        producer.flush(30.0)

    with Feed(config.kafka, kafka.bootstrap_servers, config.kafka.products_topic, tmp_path / PRODUCTS,
              TABLES[0]) as feed:  # fmt: skip
        while feed.take().num_records:
            pass

    assert read_products(tmp_path)["mixing_height_m"].tolist() == [700.0]
