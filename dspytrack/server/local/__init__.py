"""The tracking server as a process on this machine, without Docker."""
