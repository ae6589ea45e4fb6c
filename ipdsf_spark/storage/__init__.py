"""Adapter: the storage array by one name, whatever lies under it.

location    a text of the configuration as a path of this machine and as a URL for Hadoop
files       files and folders of this machine; replaced by one rename
object_store  the same in a bucket of S3, by pyarrow
hadoop      the same by Hadoop, for HDFS and others; the only module here that needs Spark
lock        one writer at a time for a folder
"""
