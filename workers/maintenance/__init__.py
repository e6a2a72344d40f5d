"""The reaper: sets going again what a crash or a lost message left behind."""
