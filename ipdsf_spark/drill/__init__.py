"""Adapter: faults that are really done to a running network, and a record of what they cost.

run(chosen, ...)     does them one after the other: an `Outcome` each
markdown(outcomes)   the table of docs/drills.md

A drill is a function of a `Ground` (a folder, a deadline, brokers, jobs, senders) that ends with an `Account`: what was
sent, and what of it is read from the topics at the end. Nothing is imitated: processes are killed, disks are full.
"""

from ipdsf_spark.drill.drills import DRILLS, Drill, named
from ipdsf_spark.drill.outcome import Account, Found, Outcome
from ipdsf_spark.drill.run import run
from ipdsf_spark.drill.table import markdown

__all__ = ["DRILLS", "Account", "Drill", "Found", "Outcome", "markdown", "named", "run"]
