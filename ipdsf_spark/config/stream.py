"""[stream] the streaming job."""

from __future__ import annotations

from dataclasses import dataclass

from ipdsf_spark.config.checks import require


@dataclass(frozen=True)
class StreamConfig:
    """The streaming job."""

    directory: str = "~/.local/share/ipdsf/stream"  # checkpoints and, unless it has a place of its own, the archive
    starting_offsets: str = "earliest"
    trigger_ms: int = 0
    max_files_per_batch: int = 2_000
    max_bytes_per_batch: int = 268_435_456
    fetch_max_wait_ms: int = 1
    python_tasks: int = 0
    state_partitions: int = 0
    warm_daemon: bool = True
    fail_on_data_loss: bool = True
    archive_every_s: int = 30
    archive_directory: str = ""
    archive_compact_every_s: int = 3_600
    archive_keep_versions_h: int = 168
    operators: tuple[str, ...] = ("layers", "air_quality")
    publish_averages: bool = True
    longest_step_s: float = 30.0
    forget_site_after_days: int = 30
    driver_memory_mb: int = 2_048
    driver_java_options: str = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    kafka_package: str = ""

    def __post_init__(self) -> None:
        """Refuse impossible values."""
        require(bool(self.directory.strip()), "stream.directory", "a folder", self.directory)
        require(
            self.starting_offsets in ("earliest", "latest"),
            "stream.starting_offsets",
            "'earliest' or 'latest'",
            self.starting_offsets,
        )
        for name in (
            "max_files_per_batch",
            "max_bytes_per_batch",
            "archive_every_s",
            "archive_compact_every_s",
            "archive_keep_versions_h",
            "driver_memory_mb",
            "forget_site_after_days",
        ):
            require(getattr(self, name) >= 1, f"stream.{name}", "at least 1", getattr(self, name))
        for name in ("longest_step_s", "trigger_ms", "fetch_max_wait_ms", "python_tasks", "state_partitions"):
            require(getattr(self, name) >= 0, f"stream.{name}", "0 or more", getattr(self, name))
