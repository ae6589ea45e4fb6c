"""Adapter: certificates, users and access rights of a Kafka, for development and as a pattern for an external one.

roles         who may do what with which topic
certificates  a development CA and what it signs, by openssl
folder        all of it in one folder, with the settings that each role's clients need
rights        users and ACLs brought to a running Kafka
"""
