"""Adapter: the storage array by one name, whatever lies under it.

location    a text of the configuration as a path of this machine and as a URL for Hadoop
files       files and folders of this machine; replaced by one rename
hadoop      the same by Hadoop, for HDFS and object stores; the only module here that needs Spark
lock        one writer at a time for a folder
"""
