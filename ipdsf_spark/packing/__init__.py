"""CT volumes packed into one Petastorm data set on the storage array, and read back from it.

An adapter of Petastorm and Spark around `ct`:

    pack         a Spark job: volumes in parallel, one task each, into Parquet with a Unischema
    manifest     what is in a data set; written last, so that what it names is whole
    storage      the storage array: a mounted path, HDFS, an object store
    local_copy   through Petastorm into numpy files on the machine that trains
"""

import warnings

# Petastorm warns on every use of an interface of Arrow that its own lock of versions provides.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"petastorm\.")
