"""Training of the conditional GAN: on one machine with numpy and torch alone, or by Horovod on Spark.

The loop (`loop`) knows a `Collective` and a set of cubes, nothing of Spark, Horovod or Petastorm. `horovod_workers`
runs it in Horovod processes on Spark executors.
"""
