"""A real HDFS, and if wanted a real YARN, on this machine for tests: Hadoop's own small clusters in one Java machine.

`python -m tests.hadoop` says the jars that this takes beside those of pyspark, one a line, for the set-up.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pyspark
from py4j.java_gateway import GatewayParameters, JavaGateway, launch_gateway

SPARK_JARS: Final = Path(pyspark.__file__).parent / "jars"
# What Hadoop's jar of small clusters needs and does not bring: MiniDFSCluster asserts, YARN's resource manager signs.
JUNIT: Final = "org.junit.jupiter:junit-jupiter-api:5.13.4"
BOUNCY_CASTLE: Final = "org.bouncycastle:bcpkix-jdk18on:1.82"
JAVA: Final = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xlog:disable")
TESTS_OWN: Final = "net.topology.node.switch.mapping.impl"
STOP_S: Final = 60.0
NODES_MS: Final = 60_000
YARN: Final = MappingProxyType(
    {
        "yarn.scheduler.capacity.root.queues": "default",
        "yarn.scheduler.capacity.root.default.capacity": "100",
        "yarn.scheduler.capacity.maximum-am-resource-percent": "1.0",
        "yarn.scheduler.minimum-allocation-mb": "64",
        # A machine whose disk is nine tenths full has room enough for these jobs; by default its node is no node.
        "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "100",
    }
)


def coordinates() -> list[str]:
    """group:artifact:version of every jar, for the Hadoop that pyspark brings."""
    (client,) = SPARK_JARS.glob("hadoop-client-api-*.jar")
    version = client.stem.removeprefix("hadoop-client-api-")
    return [f"org.apache.hadoop:hadoop-client-minicluster:{version}", JUNIT, BOUNCY_CASTLE]


def class_path() -> str:
    """Of the clusters, from where Spark's Ivy has laid what the set-up has fetched."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)  # as Java sees it, whatever $HOME says
    fetched = home / ".ivy2.5.2" / "jars"
    first = [fetched / f"{each.replace(':', '_', 1).replace(':', '-')}.jar" for each in coordinates()]
    missing = [str(path) for path in first if not path.is_file()]
    assert not missing, f"{', '.join(missing)} not there: `make setup` fetches it"
    beside = [*fetched.glob("org.junit.platform_*.jar"), *fetched.glob("org.opentest4j_*.jar")]
    beside += [*fetched.glob("org.apiguardian_*.jar"), *fetched.glob("org.bouncycastle_bc*.jar")]
    return os.pathsep.join([*map(str, dict.fromkeys([*first, *beside])), f"{SPARK_JARS}/*"])


@dataclass(frozen=True)
class Hadoop:
    """What runs, and where its configuration stands.

    Attributes:
        url: of HDFS, `hdfs://localhost:PORT`.
        conf: folder for HADOOP_CONF_DIR.
    """

    url: str
    conf: Path
    _yarn: Any = None
    _gateway: Any = None

    def kill_applications(self) -> int:
        """As `yarn application -kill` does, all of them; returns how many there were."""
        client = self._gateway.jvm.org.apache.hadoop.yarn.client.api.YarnClient.createYarnClient()
        client.init(self._yarn.getConfig())
        client.start()
        try:
            running = [each.getApplicationId() for each in client.getApplications() if each.getFinishTime() == 0]
            for each in running:
                client.killApplication(each)
            return len(running)
        finally:
            client.stop()


@contextmanager
def running(
    folder: Path, *, has_yarn: bool = False, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Hadoop]:
    """A name node and a data node, and with YARN a resource manager and a node manager.

    Their Java machine ends with this process, however it ends: it reads a pipe that only this process writes to. What
    runs in containers of YARN is ended here.

    Args:
        folder: for data, configuration and logs.
        has_yarn: whether there is a YARN.
        settings: of the clusters, beside what makes them small.
    """
    conf = folder / "conf"
    conf.mkdir(parents=True)
    with (folder / "out").open("w") as output, (folder / "err").open("w") as complaints:
        port, java = launch_gateway(
            classpath=class_path(), javaopts=list(JAVA), die_on_exit=True, return_proc=True, cwd=str(folder),
            redirect_stdout=output, redirect_stderr=complaints,
        )  # fmt: skip
        gateway, yarn = JavaGateway(gateway_parameters=GatewayParameters(port=port, auto_convert=True)), None
        try:
            hadoop: Any = gateway.jvm.org.apache.hadoop
            told = hadoop.hdfs.HdfsConfiguration()
            told.set("hdfs.minidfs.basedir", str(folder / "hdfs"))
            for key, value in {**(YARN if has_yarn else {}), **settings}.items():
                told.set(key, value)
            hdfs = hadoop.hdfs.MiniDFSCluster.Builder(told).numDataNodes(1).build()
            hdfs.waitActive()
            written = {"core-site.xml": hdfs.getConfiguration(0)}
            if has_yarn:
                yarn = hadoop.yarn.server.MiniYARNCluster("tests", 1, 1, 1)
                yarn.init(hadoop.yarn.conf.YarnConfiguration(told))
                yarn.start()
                assert yarn.waitForNodeManagersToConnect(NODES_MS), f"no node manager came: {folder}"
                written["yarn-site.xml"] = yarn.getConfig()
            for name, content in written.items():
                seen = hadoop.conf.Configuration(content)
                seen.unset(TESTS_OWN)  # a class that clients lack
                stream = gateway.jvm.java.io.FileOutputStream(str(conf / name))
                seen.writeXml(stream)
                stream.close()
            running_now = Hadoop(str(hdfs.getURI().toString()), conf, yarn, gateway)
            yield running_now
            if has_yarn:
                running_now.kill_applications()
        finally:
            if yarn is not None:
                yarn.stop()  # its node manager ends containers, their processes with them
            gateway.shutdown()
            java.stdin.close()
            java.wait(STOP_S)


if __name__ == "__main__":
    sys.stdout.write("\n".join(coordinates()) + "\n")
