"""The `ipdsf` command, one module per verb."""
