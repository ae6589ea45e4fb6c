"""IPDSF, the Intelligent Parallel Distributed Streaming Framework, as one Apache Spark application.

Rooms, and the direction in which they may import (checked by tests/architecture):

    errors   <- config <- everything that adapts
    lidar    KERNEL   numpy, scipy, netCDF4: instruments, signal, boundary layer, per-site tracking
    edge     ADAPTER  confluent-kafka: the node beside the instrument
    broker   ADAPTER  the embedded Kafka for laptops and tests
    streaming ADAPTER pyspark around lidar
    monitoring ADAPTER progress, pages
    cli      the `ipdsf` command, one module per verb

Kernels know no engine; adapters know no formula.
"""

__version__ = "0.1.0"
