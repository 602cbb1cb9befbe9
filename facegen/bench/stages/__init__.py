"""What is measured: a file a stage, which offers `measure(bench) -> StageResult` and nothing else.

The patterns of others are written out here and named; facegen's own code is called as its commands call it.
"""
