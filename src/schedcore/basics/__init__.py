"""Code that knows nothing of jobs: forks, callables, plain data, logging, imports, ids, HTTP."""
