"""CT volumes to one Petastorm data set of cubes on the storage array.

./spark-submit.sh pack_cubes --name chest --train a.nii.gz b/ --test c/
MASTER=yarn ./spark-submit.sh pack_cubes --config conf/cluster.toml --name chest /mnt/studies/*
"""

import sys

from ipdsf_spark.cli.ct_pack import main

if __name__ == "__main__":
    sys.exit(main())
