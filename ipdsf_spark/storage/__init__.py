"""Adapter: the storage array by one name, whatever lies under it.

location    a text of the configuration as a path of this machine and as a URL for Hadoop
files       files and folders of this machine; replaced by one rename
object_store  the same in a bucket of S3, by pyarrow
hdfs        the same in HDFS, by hdfs-native
reach       which of them reaches a place
fetched     volumes by URL, as files of this machine
lock        one writer at a time for a folder
alone       one process at a time for a folder, by the kernel's lock alone
"""
