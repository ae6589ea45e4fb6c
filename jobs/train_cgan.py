"""A 3-D conditional GAN on packed CT cubes, by Horovod on Spark executors.

./spark-submit.sh train_cgan --name chest --task denoise --workers 2
MASTER=yarn SPARK_ARGS="--num-executors 4" ./spark-submit.sh train_cgan --name chest --workers 4

With GPUs, Spark gives one to each task, and the worker uses the one it was given:
SPARK_ARGS="--conf spark.executor.resource.gpu.amount=1 --conf spark.task.resource.gpu.amount=1
            --conf spark.executor.resource.gpu.discoveryScript=/path/getGpusResources.sh"
"""

import sys

from ipdsf_spark.cli.ct_train import main

if __name__ == "__main__":
    sys.exit(main())
