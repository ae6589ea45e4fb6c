"""`python -m ipdsf_spark.cli VERB`: the command where the folder of its script is not on the path."""

from ipdsf_spark.cli.main import entry

entry()
