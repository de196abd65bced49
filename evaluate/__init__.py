"""Quality on real data sets beside published results (``make evaluate``; data through HIDDENSTATE_DATA)."""
