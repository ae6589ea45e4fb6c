"""Kafka files to tracked boundary layer heights, until stopped.

./spark-submit.sh stream_profiles --config conf/local.toml
MASTER=yarn ./spark-submit.sh stream_profiles --config conf/cluster.toml --set kafka.partitions=150
"""

import sys

from ipdsf_spark.cli.stream import main

if __name__ == "__main__":
    sys.exit(main())
