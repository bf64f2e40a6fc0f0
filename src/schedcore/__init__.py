"""An in-process job scheduler: dates, intervals and cron."""
