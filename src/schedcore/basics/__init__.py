"""Code that knows nothing of jobs: forks, callables, plain data, logging, lazy imports, ids,
HTTP."""
