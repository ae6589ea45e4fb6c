"""Averages of all sites to the components, alarms and filled gaps of their network, until stopped.

./spark-submit.sh network_tensor --config conf/local.toml
MASTER=yarn ./spark-submit.sh network_tensor --config conf/cluster.toml --set network.rank=8
"""

import sys

from ipdsf_spark.cli.network import main

if __name__ == "__main__":
    sys.exit(main())
