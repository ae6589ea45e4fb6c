"""Forecasts of the mixing height: gaps filled, and the next three hours foretold with an interval.

series, memory, table      what is seen of sites, what is remembered of them, what the network is given
model, folder, operator    a trained network in numpy, its versioned files, and its place in the stream
simulated, observation, network_years, stored_series     years to train on: simulated, or somebody's archive
judging                    errors and honesty beside persistence, yesterday, climatology and trend
network, fitting           the network in torch and its training; nothing else here loads torch
"""
