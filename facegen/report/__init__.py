"""A run folder and its evaluations come in; a page and a model card about them go out.

`facegen.report.report.report` writes both.
"""
