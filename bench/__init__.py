"""Speed beside other libraries, each in a process of its own: interleaved, medians, ratios."""
