"""One self-contained HTML file that shows the records' results: `python -m analysis report`."""
