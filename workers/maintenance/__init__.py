"""The reaper: continues what a crash or a lost message left behind."""
