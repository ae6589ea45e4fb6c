"""Forecasts of the mixing height: gaps filled, and the next three hours foretold with an interval.

What is seen of sites (`series`), what is remembered of them (`memory`) and what the network is given (`table`); a
trained network in numpy (`model`), how sure a filled gap may be (`filling`), its versioned files (`folder`), and its
place in the stream (`operator`); years to train on, simulated (`network_years`) or somebody's archive
(`stored_series`); errors and honesty beside those who need no network (`judging`).
The network in torch and its training are `network` and `fitting`; nothing else loads torch.
"""
