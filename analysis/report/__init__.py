"""One HTML file that shows what the records say, with nothing left to fetch: `python -m analysis report`."""
