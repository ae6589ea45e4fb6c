"""Adapter: the node beside the instrument. Watches a folder, keeps a copy, sends every file once, resumes.

agent      the loop: intake, sending, pruning, care of the journal
folder     which files are new or have changed, cheaply          growth   what of a changed file is new
intake     from the folder to the journal, with a copy           store    the copies      prune   which to delete
sender     from the journal to Kafka, in order, once             arrived  what is in the topic already
journal    SQLite, or memory while the disk refuses              repair   a journal that is damaged or lost
clock      intervals, and the time of day as Kafka knows it      told     each matter told once
alone      no second agent for the same site
"""
