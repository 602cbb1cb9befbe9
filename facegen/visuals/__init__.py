"""Pictures and pages for people: curves and the self-contained HTML report."""
