"""Many files become rows, each on its own: in this process, in a pool of processes, or on any `concurrent.futures.Executor`. `docs/scale.md` says how."""
