"""What Mythline costs, as ratios against a peer or a limit that is measured in the same run.

`python -m benchmarks` (or `make benchmarks`) prints a table. The two sides of a ratio take turns,
call by call, so that a slow moment of the disk or of the machine meets both of them.
"""
