"""IPDSF, the Intelligent Parallel Distributed Streaming Framework, as one Apache Spark application.

Rooms, and the direction in which they may import (checked by tests/architecture):

    errors, logs, progress, config, sites   what everybody may import; config has a module per section
    lidar     KERNEL   numpy, scipy
      containers/      bytes -> arrays (HDF5, netCDF classic); knows no lidar
      instruments/     makers' messages and files -> Profiles
      averages/        Profiles -> averages over fixed intervals: all that an analysis sees
      operators.py     what an analysis is: (site, new averages, own state) -> (rows, own state)
      layers/          averages -> boundary layer heights          products/   records, CF netCDF
      heights/         heights of any tool, and their comparison with a reference
      edges/           averages -> edges of the time-height image, linked through time
      aerosol/, air_quality/   averages -> extinction -> PM2.5 and its indices
      targets/, calibration/   profiles or averages -> class of every gate, cloud bases; factor to m-1 sr-1 by day
      simulator/       days of genuine files with known heights
    forecast  KERNEL   torch for training; heights foretold and gaps filled, numpy in the stream; stands upon lidar
    tensor    KERNEL   the network as a streaming tensor
    deep_edges KERNEL  torch: a small network that finds edges in images
    ct        KERNEL   volumes in and out, cubes, stitching, PSNR and SSIM        gan    KERNEL   torch
    kafka     ADAPTER  clients, topics, quarantine         devkafka   a real broker for laptops and tests
    security  ADAPTER  certificates, users, access rights of a Kafka
    spark     ADAPTER  one session, the warm daemon        storage    the storage array by one name
    stream    ADAPTER  source, decode, operate, sinks, job  archive    products kept as tables
    edge      ADAPTER  the node beside the instrument      loadgen    recorded files as a network
    packing, training, imaging ADAPTER  volumes -> Petastorm cubes -> Horovod on Spark -> full-size volumes
    experiments ADAPTER  those of the presentation, measured again: latency, throughput, hosts, sites, training
    drill     ADAPTER  faults really done to a running network, and what they cost
    monitoring, plots, demo; cli, the `ipdsf` command, one module per verb

Kernels know no engine; adapters know no formula.
"""

__version__ = "0.1.0"
