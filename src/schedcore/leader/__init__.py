"""Which of several processes holds the engine, and what it hands over to the next one."""
