"""Full-size volumes from trained generators, and how good they are.

An adapter around `ct` and `gan`: `generate` makes volumes, `evaluate` judges them beside the trivial baselines, and
`report` puts tables, curves and figure on one page.
"""
