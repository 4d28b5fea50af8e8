"""`linli up`: the whole service on one machine, with embedded servers and the simulated outside world."""
