"""Adapter: the node beside the instrument. Watches a folder, keeps a copy, sends every file once, resumes."""
