"""One file per hot path: each prints ratios against named alternatives from one run. Only the ratios count."""
