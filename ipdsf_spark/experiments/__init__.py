"""Adapter: the experiments of the IPDSF presentation, measured on this machine, with its claims beside what was found.

latency, throughput, hosts, sites, training    one module per experiment: settings, rows, `measure`, `claims`
consumer, group, analyst                       plain Kafka consumers as the presentation has them, and their group
result, pictures, page                         JSON and CSV, pictures, one page
"""
